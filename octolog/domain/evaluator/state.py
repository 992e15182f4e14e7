"""What a task of a program is now, beside what every task is. Changed by `fold` alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from octolog.domain.ids import TaskId
from octolog.domain.operators import RecoveryKind
from octolog.domain.values import TaskError


class Phase(StrEnum):
    """What a task of a program is at."""

    ARGUMENTS = "ARGUMENTS"
    BODY = "BODY"
    RECOVERING = "RECOVERING"
    DECOMPOSED = "DECOMPOSED"
    DONE = "DONE"


@dataclass(slots=True)
class Kept:
    """What a history keeps of a step.

    Attributes:
        step: Its name.
        content: Its content, at most the end of it that a history can hold; None once it fits no more.
        notes: Its notes, canonical JSON.
    """

    step: str
    content: str | None
    notes: str


@dataclass(slots=True)
class History:
    """What the steps of a sequence gave, as far back as anything can be shown.

    Attributes:
        steps: Oldest first.
        full_from: Steps before this place have lost their content.
        full_chars: Characters of contents and notes from there on.
        notes_chars: Characters of all notes.
        lost: True once steps were dropped.
    """

    steps: list[Kept] = field(default_factory=list[Kept])
    full_from: int = 0
    full_chars: int = 0
    notes_chars: int = 0
    lost: bool = False


@dataclass(slots=True)
class Fault:
    """Why a task failed.

    Attributes:
        code: As in `TaskFailed`.
        category: As there.
        message: As there.
        task_error: As there.
        details_json: As there.
        failed_step: As there.
    """

    code: str
    category: str
    message: str
    task_error: TaskError | None = None
    details_json: str = ""
    failed_step: TaskId | None = None


@dataclass(slots=True)
class Body:
    """How far a compound operator is.

    Attributes:
        ended: Children that ended; of a sequence and a reduce also the place of the next.
        history: A sequence's.
        results: A map's outputs so far by place, canonical JSON; empty where it is no longer kept.
        result_chars: Their characters.
        is_wide: True once they are too many for one array; then only what a failure shows is kept.
        failed: Places of a map's failed children, in the order they failed.
        first: Of those, the first in place.
        current: A reduce's inner result, between the inner task and the reduction.
        accumulator: A reduce's.
    """

    ended: int = 0
    history: History | None = None
    results: dict[int, str] = field(default_factory=dict[int, str])
    result_chars: int = 0
    is_wide: bool = False
    failed: list[int] = field(default_factory=list[int])
    first: Fault | None = None
    current: str | None = None
    accumulator: str = ""


@dataclass(slots=True)
class Trouble:
    """A failed task that is tried with another structure.

    Attributes:
        number: Of the latest recovery, from 1.
        kind: Decomposition or alternative approach.
        error: What led to it.
        output: What the failed attempt gave.
    """

    number: int
    kind: RecoveryKind
    error: TaskError
    output: str


@dataclass(slots=True)
class Op:
    """A task's place in a program.

    Attributes:
        program: The root task of its program.
        position: Its place in it.
        phase: What it is at.
        index: Its place among its siblings, or its input's.
        input_name: The input of its map or reduce that it works on; empty: none.
        bound: Values of its inputs that are no plain literals; a sequence's earlier steps.
        too_long: True when a text of its own grew beyond all bounds as it was filled.
        open: Children of the program that have not ended.
        used: Recoveries used for what it stands in.
        recovery: Set when it is itself a recovery task.
        trouble: Set once it failed and is recovered.
        body: Set on a compound operator that began.
    """

    program: TaskId
    position: int
    phase: Phase
    index: int = 0
    input_name: str = ""
    bound: dict[str, str] = field(default_factory=dict[str, str])
    too_long: bool = False
    open: int = 0
    used: int = 0
    recovery: RecoveryKind | None = None
    trouble: Trouble | None = None
    body: Body | None = None


@dataclass(slots=True)
class Spawn:
    """Subtasks that a task's arm asked for.

    Attributes:
        number: Of the latest, from 1.
        goal: What was asked for.
        continuation_json: What the arm wants to find again.
        mark: Fingerprint of goal and inputs.
        waiting: True until the latest has ended.
        attempts_before: Attempts of the task when it ended; they are no retries of what follows.
        content: Its content.
        notes: Its notes, canonical JSON.
    """

    number: int
    goal: str
    continuation_json: str
    mark: bytes
    waiting: bool = True
    attempts_before: int = 0
    content: str = ""
    notes: str = "{}"
