"""Templates in the log (`octolog.templates`): versioned, never changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from octolog.domain.tasksystem import TaskTemplate, TaskType


@dataclass(frozen=True, slots=True)
class TemplateRegistered:
    """A version of a template. The first record of a name and version is the one that counts.

    Attributes:
        name: Letters, digits and `._-`, at most 64; the record's key.
        version: As its author counts; letters, digits and `._+-`, at most 64.
        description: What it is for; matching compares this. Empty: matching takes the instructions.
        task_type: Which operator it is; only atomic ones are matched.
        template: What it says; null unless it is a template document.
        digest: SHA-256 of what it says, lowercase hex; the same for two texts that differ in layout alone.
        xml: The document as it was handed in.
        registered_by: Who says so.
    """

    schema_name: ClassVar[str] = "octolog.template.TemplateRegistered"
    name: str
    version: str
    description: str
    task_type: TaskType
    template: TaskTemplate | None
    digest: str
    xml: str
    registered_by: str


@dataclass(frozen=True, slots=True)
class TemplateRetired:
    """A version of a template is not to be used any more; its name and version stay taken.

    Attributes:
        name: The template.
        version: Its version.
        reason: Why, for the log.
        retired_by: Who says so.
    """

    schema_name: ClassVar[str] = "octolog.template.TemplateRetired"
    name: str
    version: str
    reason: str
    retired_by: str


TemplateEvent: TypeAlias = TemplateRegistered | TemplateRetired
