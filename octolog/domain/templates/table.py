"""The templates there are: their records folded in the order of the log."""

from __future__ import annotations

from dataclasses import dataclass

from octolog.domain.errors import NotFound
from octolog.domain.templates.records import TemplateEvent, TemplateRegistered, TemplateRetired


@dataclass(frozen=True, slots=True)
class Kept:
    """A version of a template.

    Attributes:
        template: Its record.
        offset: Where it lies in `octolog.templates`.
        at_ms: When it was registered, milliseconds since the epoch.
        retired: Why it is not used any more; None: it is.
    """

    template: TemplateRegistered
    offset: int
    at_ms: int
    retired: str | None = None

    @property
    def label(self) -> str:
        """`name@version`."""
        return f"{self.template.name}@{self.template.version}"


class TemplateTable:
    """Every version of every template. The first record of a name and version counts; later ones change nothing."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], Kept] = {}

    def apply(self, event: TemplateEvent, offset: int, at_ms: int) -> None:
        """Fold one record."""
        key = event.name, event.version
        known = self._kept.get(key)
        match event:
            case TemplateRegistered() if known is None:
                self._kept[key] = Kept(event, offset, at_ms)
            case TemplateRetired(reason=reason) if known is not None and known.retired is None:
                self._kept[key] = Kept(known.template, known.offset, known.at_ms, reason)
            case _:
                pass

    def all(self) -> list[Kept]:
        """Every version, retired ones too, by name and then in the order they were registered."""
        return sorted(self._kept.values(), key=lambda kept: (kept.template.name, kept.offset))

    def usable(self) -> list[TemplateRegistered]:
        """The newest version of each name that is not retired; what matching chooses from."""
        newest = {kept.template.name: kept.template for kept in self.all() if kept.retired is None}
        return list(newest.values())

    def get(self, name: str, version: str) -> Kept | None:
        """One version, retired or not; None when there is none."""
        return self._kept.get((name, version))

    def find(self, label: str) -> Kept:
        """A template by `name` (the newest version that is not retired) or `name@version`.

        Raises:
            NotFound: There is none.
        """
        name, at, version = label.partition("@")
        if at:
            kept = self.get(name, version)
            if kept is not None:
                return kept
        else:
            versions = [kept for kept in self.all() if kept.template.name == name and kept.retired is None]
            if versions:
                return versions[-1]
        raise NotFound(f"no template {label[:130]}; see `octolog template list`")
