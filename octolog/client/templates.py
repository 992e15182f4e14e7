"""Templates, straight from the log: the topic is small, and the first record of a version is the one that counts.

Two people may register one version at once: both records get into the log. So whoever wrote one reads on to it and
sees whose came first; nobody has to take a lock.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from octolog.app.arms.matching import scoring as scoring_by
from octolog.app.arms.models import Models
from octolog.app.connection import Connection
from octolog.client.decisions import Sent
from octolog.client.sender import Letter, Sender
from octolog.domain.errors import InvalidContract, Refused, UndecodableRecord
from octolog.domain.ids import TaskId
from octolog.domain.templates.document import Document
from octolog.domain.templates.fields import name as checked_name
from octolog.domain.templates.fields import version as checked_version
from octolog.domain.templates.matching import MAX_MATCHES, Match, Scoring, match_text
from octolog.domain.templates.records import TemplateRegistered, TemplateRetired
from octolog.domain.templates.table import Kept, TemplateTable
from octolog.safety import NOTHING_FOUND, Counts, Gate, PiiMode
from schemas.xml import BUILTINS, builtin, read_document
from streams.topics import TEMPLATES


@dataclass(frozen=True, slots=True)
class Registered:
    """A version of a template as it lies in the log.

    Attributes:
        kept: The version.
        new: False when the same was registered before: nothing was written.
        redacted: What was taken out of it before it was written.
    """

    kept: Kept
    new: bool
    redacted: Counts


class TemplateLog:
    """Reads and adds templates.

    Args:
        connection: Which log.
        sender: Writes to it.
        user: Who registers, where nobody else is named.
    """

    def __init__(self, connection: Connection, sender: Sender, user: str) -> None:
        self._connection, self._sender, self._user = connection, sender, user
        self.models: Container[str] = Models(connection.settings)

    def table(self) -> TemplateTable:
        """Every version of every template, as the log has them now. Records that are none are passed over."""
        reader, table = self._connection.reader(), TemplateTable()
        ends = reader.ends([TEMPLATES])
        for batch in reader.read(dict.fromkeys(ends, 0), until=ends):
            for record in batch:
                try:
                    event = self._sender.codec.decode(record.value)
                except UndecodableRecord:
                    continue
                if isinstance(event, TemplateRegistered | TemplateRetired):
                    table.apply(event, record.offset, record.timestamp_ms)
        return table

    def find(self, label: str) -> Document:
        """What a template says, by `name` (its newest version) or `name@version`; octolog's own, too.

        Raises:
            NotFound: There is none.
            Refused: The version is retired.
        """
        if label in BUILTINS:
            return builtin(label)
        kept = self.table().find(label)
        if kept.retired is not None:
            raise Refused(f"template {kept.label} is retired: {kept.retired or 'no reason given'}")
        return read_document(kept.template.xml)

    def match(self, text: str, top_k: int = MAX_MATCHES, scoring: Scoring | None = None) -> tuple[Match, ...]:
        """The atomic templates in use that fit a text, best first; octolog's own take no part.

        Args:
            text: What somebody wants.
            top_k: How many at most; never more than five.
            scoring: How well each fits; None: by meaning where there is an embedding model, else by words.
        """
        chosen = scoring_by(self._connection.settings) if scoring is None else scoring
        return match_text(text, self.table().usable(), top_k, chosen)

    def register(
        self,
        xml: bytes | str,
        *,
        name: str | None = None,
        version: str | None = None,
        registered_by: str | None = None,
    ) -> Registered:
        """Add a version of a template, unless the same is there.

        Args:
            xml: The document.
            name: Its name; None: the one it gives itself.
            version: Its version; None: the one it gives itself.
            registered_by: Who says so; None: this user.

        Raises:
            InvalidContract: It is not valid, or has no name or version.
            Refused: The name and version exist with other content, or the name is octolog's own.
        """
        gate = Gate(PiiMode(self._connection.settings.pii))
        read_document(xml, self.models)  # what is wrong with it is told as it was handed in
        text = gate.text("template", xml if isinstance(xml, str) else xml.decode("utf-8-sig"))
        event = _event(text, read_document(text, self.models), name, version, registered_by or self._user)
        known = self.table().get(event.name, event.version)
        if known is None:
            sent = self._sender.send([Letter(TEMPLATES, TaskId(event.name), event)])[0]
            known = self.table().get(event.name, event.version)
            if known is not None and known.offset == sent.offset:
                return Registered(known, new=True, redacted=gate.counts)
        if known is None or known.template.digest != event.digest:
            raise Refused(
                f"{event.name}@{event.version} exists with other content; give the change a new version"
            )
        if known.retired is not None:
            raise Refused(f"{event.name}@{event.version} is retired; register it under a new version")
        return Registered(known, new=False, redacted=NOTHING_FOUND)

    def retire(self, label: str, *, reason: str = "", retired_by: str | None = None) -> Sent:
        """Take a version out of use; `label` is `name@version`, or `name` for its newest.

        Raises:
            NotFound: There is none.
        """
        kept = self.table().find(label)
        gate = Gate(PiiMode(self._connection.settings.pii))
        event = TemplateRetired(
            kept.template.name, kept.template.version, gate.text("reason", reason), retired_by or self._user
        )
        return self._sender.send([Letter(TEMPLATES, TaskId(event.name), event)])[0]


def _event(
    text: str, document: Document, name: str | None, version: str | None, registered_by: str
) -> TemplateRegistered:
    return TemplateRegistered(
        name=_own("name", name, document.name),
        version=_own("version", version, document.version),
        description=document.description,
        task_type=document.task_type,
        template=document.template,
        digest=document.digest,
        xml=text,
        registered_by=registered_by,
    )


def _own(what: str, given: str | None, said: str) -> str:
    found = said if given is None else given
    if not found:
        raise InvalidContract("VALIDATION_ERROR", f"/task/@{what}", f"is missing; write it, or give --{what}")
    if given is not None and said and given != said:
        raise InvalidContract("VALIDATION_ERROR", f"/task/@{what}", f"is {said}, but {given} was asked for")
    (checked_name if what == "name" else checked_version)(found, f"/task/@{what}")
    if found in BUILTINS and what == "name":
        raise Refused(f"{found} is a template of octolog's own; choose another name")
    return found
