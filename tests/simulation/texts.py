"""Canonical JSON, contents, notes, histories and placeholders, as the operators page words them.

Written from `docs/reference/operators.md` alone: nothing here calls the code under test.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

HISTORY_CHARS: Final = 65_536
FILLED_CHARS: Final = 2_097_152
ARRAY_CHARS: Final = 262_144

_PLACEHOLDER: Final = re.compile(r"\{\{ *([A-Za-z0-9_][A-Za-z0-9._-]{0,63}) *\}\}")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class _Number(str):
    __slots__ = ()


class Kept(NamedTuple):
    """What a history keeps of a step.

    Attributes:
        step: Its name.
        output: Its output, as the arm wrote it.
    """

    step: str
    output: str


def canonical(value: object) -> str:
    """The canonical JSON of a value that `parsed` made, or of plain texts, lists and dicts."""
    match value:
        case _Number():
            return str(value)
        case str():
            return json.dumps(_whole(value), ensure_ascii=False)
        case dict():
            members = (f"{canonical(name)}:{canonical(value[name])}" for name in sorted(value))
            return "{" + ",".join(members) + "}"
        case list():
            return "[" + ",".join(map(canonical, value)) + "]"
        case _:
            return json.dumps(value)


def parsed(text: str) -> object:
    """The value of a JSON text.

    Raises:
        ValueError: When it is none.
    """

    def refuse(name: str) -> object:
        raise ValueError(name)

    return json.loads(text, parse_int=_Number, parse_float=_Number, parse_constant=refuse)


def content(output: str) -> str:
    """The text that an output stands for."""
    try:
        value = parsed(output)
    except ValueError:
        return _whole(output)
    if isinstance(value, dict) and type(value.get("content")) is str:
        return _whole(value["content"])
    return _whole(value) if type(value) is str else canonical(value)


def notes(output: str) -> str:
    """The notes of an output, canonical JSON."""
    try:
        value = parsed(output)
    except ValueError:
        return "{}"
    own = value.get("notes") if isinstance(value, dict) else None
    if type(own) is str:
        return canonical({"dataUsage": own})
    return canonical(own) if isinstance(own, dict) else "{}"


def lacks_data_usage(output: str) -> bool:
    """Whether an output is a task result, and its notes do not say what data was used."""
    try:
        value = parsed(output)
    except ValueError:
        return False
    if not isinstance(value, dict) or type(value.get("content")) is not str:
        return False
    own = value.get("notes")
    return isinstance(own, dict) and type(own.get("dataUsage")) is not str


def element(output: str) -> str:
    """An output as an element of a map's array."""
    try:
        return canonical(parsed(output))
    except ValueError:
        return canonical(output)


def environment(context_json: str) -> dict[str, str]:
    """What a contract's context binds."""
    value = parsed(context_json)
    assert isinstance(value, dict)
    return {_whole(k): _whole(v) if type(v) is str else canonical(v) for k, v in value.items()}


def is_of_type(text: str, output_type: str) -> bool:
    """Whether a content is of a declared type other than `text`."""
    try:
        value = parsed(text)
    except ValueError:
        return False
    match output_type:
        case "object":
            return isinstance(value, dict)
        case "array":
            return isinstance(value, list)
        case "string[]":
            return isinstance(value, list) and all(type(item) is str for item in value)
        case "number":
            return isinstance(value, _Number)
        case "boolean":
            return isinstance(value, bool)
        case _:
            return True


def names_in(text: str) -> list[str]:
    """The names between double braces, in order."""
    return _PLACEHOLDER.findall(text)


def filled(text: str, values: Mapping[str, str]) -> str | None:
    """The text with every placeholder replaced; None when it grows too long."""
    grown = len(text)
    for match in _PLACEHOLDER.finditer(text):
        grown += len(values[match[1]]) - len(match[0])
    return _PLACEHOLDER.sub(lambda m: values[m[1]], text) if grown <= FILLED_CHARS else None


def history(kept: Sequence[Kept], *, full: bool) -> tuple[list[dict[str, object]], bool]:
    """The entries that fit, oldest first, and whether something was cut."""
    room, entries = HISTORY_CHARS, list[dict[str, object]]()
    for step, output in reversed(kept):
        entry: dict[str, object] = {"notes": parsed(notes(output)), "step": step}
        if full:
            entry["content"] = content(output)
        room -= len(canonical(entry)) + 1
        if room >= 0:
            entries.append(entry)
            continue
        if full:
            text = content(output)
            room += len(canonical(text)) - 2
            if room >= 0:
                entries.append(entry | {"content": text[len(text) - _fitting(text, room) :]})
        return entries[::-1], True
    return entries[::-1], False


def _fitting(text: str, room: int) -> int:
    """How many characters from a text's end have room as JSON."""
    for count, character in enumerate(reversed(text)):
        room -= len(canonical(character)) - 2
        if room < 0:
            return count
    return len(text)


def _whole(text: str) -> str:
    return _SURROGATE.sub("\ufffd", text)
