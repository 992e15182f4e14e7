"""Where in a document's text its elements stand: looked for once something is wrong with one of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from xml.parsers import expat  # it sees what the guarded parser has taken: no DTD, no entities

from lxml import etree

from octolog.domain.templates.errors import Fault
from octolog.domain.values import TaskError

_ATTRIBUTE: Final = re.compile(r"/@[^/]*$")
_SHOWN: Final = re.compile(r"(\d+):(\d+)")


def located(errors: Iterable[TaskError], data: bytes, root: etree._Element) -> tuple[Fault, ...]:
    """Errors with the line and column of the element that each is about.

    Args:
        errors: VALIDATION_ERRORs of a document.
        data: Its text in UTF-8, as it was parsed.
        root: Its first element.
    """
    starts = _starts(data)
    number = {element: index for index, element in enumerate(root.iter())}
    found: list[Fault] = []
    for error in errors:
        element = _element(root, error.path or "")
        index = len(starts) if element is None else number.get(element, len(starts))
        found.append(Fault(error, *starts[index]) if index < len(starts) else Fault(error))
    return tuple(found)


def of_parser(error: TaskError) -> Fault:
    """An XML_PARSE_ERROR, whose location says it already."""
    place = _SHOWN.fullmatch(error.location or "")
    return Fault(error) if place is None else Fault(error, int(place[1]), int(place[2]))


def _element(root: etree._Element, path: str) -> etree._Element | None:
    """The element of a path, or of the attribute's owner."""
    try:
        return root.getroottree().find(f".{_ATTRIBUTE.sub('', path).removeprefix(f'/{root.tag}')}")
    except SyntaxError:  # lxml's word for a path that is none
        return None


def _starts(data: bytes) -> list[tuple[int, int]]:
    """Line and column of every element, in the order of the document."""
    found: list[tuple[int, int]] = []
    parser = expat.ParserCreate("utf-8")

    def start(_name: str, _attributes: object) -> None:
        found.append((parser.CurrentLineNumber, parser.CurrentColumnNumber + 1))

    parser.StartElementHandler = start
    try:
        parser.Parse(data, True)  # noqa: FBT003 -- it takes no keyword
    except expat.ExpatError:  # the two parsers differ on it: what was found so far is right
        return found
    return found
