"""Holding a document against `task.xsd`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any, Final, cast

from lxml import etree

from octolog.domain.templates.errors import MAX_FAULTS, invalid
from octolog.domain.templates.verdict import NOT_EXPECTED
from octolog.domain.values import TaskError

_ELEMENT: Final = re.compile(r"^Element '[^']*'(, attribute '(?P<attribute>[^']*)')?: ")
_ORDER: Final = re.compile(r"This element is not expected(\. Expected is (one of )?\( (?P<wanted>.*) \))?")
_FACET: Final = re.compile(r"^\[facet '[^']*'\] ")
_NO_VALUE: Final = re.compile(
    r"'(?P<value>.*)' is not a valid value of the .*type '(?P<type>[^']*)'", re.DOTALL
)
_WORDS: Final = {"Truth": "is neither true nor false", "xs:string": "is no text"}
_ENDS_AT_ATTRIBUTE: Final = re.compile(r"/@[^/]*$")


@cache
def _schema() -> etree.XMLSchema:
    path = files("schemas.xml").joinpath("task.xsd")
    return etree.XMLSchema(etree.fromstring(path.read_bytes()))


def schema_errors(root: etree._Element) -> list[TaskError]:
    """What the schema has against a document: a VALIDATION_ERROR each, with its path; empty when it has nothing."""
    schema = _schema()
    if schema.validate(root):
        return []
    found: dict[str, TaskError] = {}
    for entry in cast("Iterable[Any]", schema.error_log):
        path = _path(entry)
        # One fault is often told twice: the facet that failed, then that the value is not of its type.
        if path not in found:
            found[path] = invalid(path, _message(str(entry.message))).error
        if len(found) == MAX_FAULTS:
            break
    return list(found.values())


def _path(entry: Any) -> str:
    path = str(getattr(entry, "path", None) or "/task")
    match = _ELEMENT.match(str(entry.message))
    attribute = match["attribute"] if match else None
    return f"{path}/@{attribute}" if attribute and not _ENDS_AT_ATTRIBUTE.search(path) else path


def _message(told: str) -> str:
    bare = _FACET.sub("", _ELEMENT.sub("", told)).rstrip(".")
    if (match := _ORDER.fullmatch(bare)) is not None:
        return NOT_EXPECTED + (
            f"; expected is {match['wanted'].replace(', ', ' or ')}" if match["wanted"] else ""
        )
    if (match := _NO_VALUE.fullmatch(bare)) is not None and match["type"] in _WORDS:
        return f"{match['value'][:80]!r} {_WORDS[match['type']]}"
    if bare.startswith("No matching global declaration"):
        return "a document begins with the element task"
    return " ".join(f"{bare[:1].lower()}{bare[1:]}".split())[:400]
