"""Where in a document's text its elements stand: looked for once something is wrong with one of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from typing import Any, Final, cast
from xml.parsers import expat  # it sees what the guarded parser has taken: no DTD, no entities

from lxml import etree

from octolog.domain.templates.errors import Fault
from octolog.domain.values import TaskError

_ATTRIBUTE: Final = re.compile(r"/@[^/]*$")
_SHOWN: Final = re.compile(r"(\d+):(\d+)")


def located(errors: Sequence[TaskError], data: bytes, root: etree._Element) -> tuple[Fault, ...]:
    """Errors with the line and column of the element that each is about.

    Args:
        errors: VALIDATION_ERRORs of a document.
        data: Its text in UTF-8, as it was parsed.
        root: Its first element.
    """
    elements = [_element(root, error.path or "") for error in errors]
    wanted = {element for element in elements if element is not None}
    number: dict[etree._Element, int] = {}
    for index, element in enumerate(root.iter()):
        if len(number) == len(wanted):
            break
        if element in wanted:
            number[element] = index
    starts = _starts(data, set(number.values()))
    found: list[Fault] = []
    for error, owner in zip(errors, elements, strict=True):
        start = None if owner is None else starts.get(number[owner])
        found.append(Fault(error) if start is None else Fault(error, *start))
    return tuple(found)


def of_parser(error: TaskError) -> Fault:
    """An XML_PARSE_ERROR, whose location says it already."""
    place = _SHOWN.fullmatch(error.location or "")
    return Fault(error) if place is None else Fault(error, int(place[1]), int(place[2]))


def _element(root: etree._Element, path: str) -> etree._Element | None:
    """The element of a path, or of the attribute's owner."""
    try:
        found = cast("list[Any]", root.getroottree().xpath(_ATTRIBUTE.sub("", path)))
    except etree.XPathError:
        return None
    return found[0] if found else None


class _Enough(Exception):
    """All that was wanted was found."""


def _starts(data: bytes, wanted: set[int]) -> dict[int, tuple[int, int]]:
    """Line and column of some elements, by their number in the document."""
    found: dict[int, tuple[int, int]] = {}
    parser, numbers = expat.ParserCreate("utf-8"), count()

    def start(_name: str, _attributes: object) -> None:
        if (number := next(numbers)) in wanted:
            found[number] = parser.CurrentLineNumber, parser.CurrentColumnNumber + 1
            if len(found) == len(wanted):
                raise _Enough

    parser.StartElementHandler = start
    # Where the two parsers differ on a document, what was found so far is right.
    with suppress(_Enough, expat.ExpatError):
        parser.Parse(data, True)  # noqa: FBT003 -- it takes no keyword
    return found
