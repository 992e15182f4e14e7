"""Taking what was found out of a text, or out of the values of a JSON document."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final, NoReturn, TypeAlias, cast

from octolog.safety.detect import detect_value
from octolog.safety.kinds import Found, Kind, placeholder
from octolog.safety.words import key_as_words

__all__ = ["NOTHING_FOUND", "Counts", "Redacted", "Style", "in_words", "redact", "redact_json", "sum_counts"]

Counts: TypeAlias = Mapping[str, int]
"""How many of each kind were found, by the kind's name: what may be told and logged, unlike the values."""

NOTHING_FOUND: Final[Counts] = MappingProxyType({})
_ROUNDS: Final = 6
_TAIL_CHARS: Final = 4


class Style(StrEnum):
    """What stands in the place of a value.

    `MASK` says what it was: `[REDACTED_EMAIL]`. `HASH` tells equal values from others without saying which:
    `[EMAIL#1f0c9a2b44d0e6a1]`; short numbers can be guessed back from it, so it is for logs that stay inside.
    `TOKEN` numbers the distinct values of one text: `[EMAIL:1]`. `PARTIAL` keeps the end: `************1111`.
    `REMOVE` leaves nothing.
    """

    MASK = "mask"
    HASH = "hash"
    PARTIAL = "partial"
    REMOVE = "remove"
    TOKEN = "token"


@dataclass(frozen=True, slots=True)
class Redacted:
    """A text without what was found in it.

    Attributes:
        text: The text.
        counts: What was found, by kind.
    """

    text: str
    counts: Counts = field(default_factory=lambda: NOTHING_FOUND)


def redact(text: str, style: Style = Style.MASK, *, key: str = "", before: str = "") -> Redacted:
    """A text with every finding replaced. Doing it twice changes nothing more.

    Args:
        text: Any text.
        style: What stands in the place of a value.
        key: The JSON key the text is the value of, if it is one.
        before: Words that stand before the text elsewhere and say what it is.
    """
    lead = before or (key_as_words(key) if key else "")
    counts: Counter[str] = Counter()
    writer = _Writer(style)
    for _ in range(_ROUNDS):  # what stood beside a value can be one itself once that is gone
        found = detect_value(text, lead)
        if not found:
            break
        counts.update(each.kind.value for each in found)
        text = writer.written(text, found)
    return Redacted(text, dict(sorted(counts.items()))) if counts else Redacted(text)


def redact_json(text: str, style: Style = Style.MASK) -> Redacted:
    """A JSON text with findings replaced in every string, number and key; it stays JSON.

    Values are judged with their key: `{"password": "a plain word"}`. A number that is found becomes a string.
    A text without findings comes back unchanged, byte for byte; any other in canonical form: keys sorted, no
    spaces, numbers as they were written.

    Raises:
        ValueError: It is no JSON.
    """
    if _is_bare(text):
        return Redacted(text)
    walk = _Walk(style)
    value = walk.value(json.loads(text, parse_int=_Number, parse_float=_Number, parse_constant=_refuse), "")
    return Redacted(_canonical(value), dict(sorted(walk.counts.items()))) if walk.counts else Redacted(text)


def sum_counts(counts: Iterable[Counts]) -> Counts:
    """All of them together."""
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(sorted(total.items())) if total else NOTHING_FOUND


def in_words(counts: Counts) -> str:
    """`2 email, 1 ssn`."""
    return ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items()))


def _is_bare(text: str) -> bool:
    """True for the empty documents that most free-form fields hold."""
    return text in {"", "{}", "[]", "null", "true", "false"}


class _Number(str):
    """A JSON number as it was written: a float would lose digits."""

    __slots__ = ()


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


class _Writer:
    """Writes replacements; equal values of one text get equal ones."""

    def __init__(self, style: Style) -> None:
        self._style = style
        self._numbered: dict[tuple[Kind, str], int] = {}

    def written(self, text: str, found: Iterable[Found]) -> str:
        parts, at = [], 0
        for each in found:
            parts += [text[at : each.start], self._instead(each.kind, text[each.start : each.end])]
            at = each.end
        return "".join([*parts, text[at:]])

    def _instead(self, kind: Kind, value: str) -> str:
        match self._style:
            case Style.MASK:
                return placeholder(kind)
            case Style.HASH:
                return f"[{kind.upper()}#{sha256(value.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}]"
            case Style.TOKEN:
                return (
                    f"[{kind.upper()}:{self._numbered.setdefault((kind, value), len(self._numbered) + 1):x}]"
                )
            case Style.PARTIAL:
                return _partial(kind, value)
            case Style.REMOVE:
                return ""


_SHOW_END: Final = frozenset({Kind.CARD, Kind.PHONE, Kind.SSN, Kind.IBAN, Kind.BANK_ACCOUNT})


def _partial(kind: Kind, value: str) -> str:
    """Stars, and of the numbers that people know by their end, the end."""
    if kind not in _SHOW_END:
        return "*" * min(len(value), 16)
    end = [char for char in value if char.isalnum()][-_TAIL_CHARS:]
    return "*" * max(4, len(value) - _TAIL_CHARS) + "".join(end)


class _Walk:
    """Goes through a JSON value and redacts it."""

    def __init__(self, style: Style) -> None:
        self._style = style
        self.counts: Counter[str] = Counter()

    def value(self, value: Any, lead: str) -> Any:
        match value:
            case str():  # numbers too, as they were written
                return self._text(value, lead)
            case list():
                return [self.value(item, lead) for item in value]
            case dict():
                return self._object(cast("dict[str, Any]", value))
            case _:
                return value

    def _object(self, given: dict[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, item in given.items():
            name = str(self._text(key, ""))
            while name in made or (name != key and name in given):
                name += "'"  # two keys that hid two values are still two
            made[name] = self.value(item, key_as_words(key))
        return made

    def _text(self, text: str, lead: str) -> str:
        done = redact(text, self._style, before=lead)
        if not done.counts:
            return text
        self.counts.update(done.counts)
        return done.text


def _canonical(value: Any) -> str:
    match value:
        case _Number():
            return str(value)
        case list():
            return f"[{','.join(map(_canonical, value))}]"
        case dict():
            pairs = sorted(cast("dict[str, Any]", value).items())
            return "{" + ",".join(f"{_quoted(key)}:{_canonical(item)}" for key, item in pairs) + "}"
        case str():
            return _quoted(value)
        case _:
            return json.dumps(value)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
