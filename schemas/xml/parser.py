"""From bytes to a tree, or to an XML_PARSE_ERROR with line and column.

The document is walked through twice: first as a stream of events that builds nothing and refuses what has no place in
a task (document types, namespaces, nesting without end), then by the parser that makes the tree. Entities other than
XML's own five cannot be declared without a document type, so there is nothing to expand.
"""

from __future__ import annotations

from typing import Any, Final, NoReturn, cast

from lxml import etree

from octolog.domain.templates.errors import DocumentRefused, unparsable
from octolog.domain.templates.nodes import TASK
from octolog.domain.templates.reading import MAX_OPERATORS

MAX_DOCUMENT_BYTES: Final = 1024 * 1024
"""Longest document that is parsed at all; that of every document at octolog's edge."""

MAX_DEPTH: Final = 128
"""Deepest nesting of elements: 32 tasks, three elements each at most, and what stands in the innermost."""

MAX_ELEMENTS: Final = 50_000
"""Most elements of one document."""

MAX_ATTRIBUTES: Final = 32
"""Most attributes of one element; what reads them takes time with the square of their number."""

_CHUNK_BYTES: Final = 4_096
"""What is looked at before the bounds are checked again."""

_SAFE: Final[dict[str, Any]] = {
    "encoding": "utf-8",
    "resolve_entities": False,
    "load_dtd": False,
    "dtd_validation": False,
    "no_network": True,
    "huge_tree": False,
    "recover": False,
    "remove_comments": True,
    "remove_pis": True,
}
"""lxml's switches, each on its safe side, also where that is the default."""


def parse(document: bytes | str) -> etree._Element:
    """The root element of a document.

    Raises:
        DocumentRefused: XML_PARSE_ERROR.
    """
    return parse_bytes(text_bytes(document))


def parse_bytes(data: bytes) -> etree._Element:
    """The root element of a document that is UTF-8 and not too long.

    Raises:
        DocumentRefused: XML_PARSE_ERROR.
    """
    _walk(data)
    try:
        return etree.fromstring(data, etree.XMLParser(**_SAFE))
    except etree.XMLSyntaxError as error:
        raise _refusal(error) from None


def text_bytes(document: bytes | str) -> bytes:
    """The document as UTF-8, bounded before anything else is done with it.

    Raises:
        DocumentRefused: XML_PARSE_ERROR.
    """
    if len(document) > MAX_DOCUMENT_BYTES:
        _too_long(len(document))
    data = document.encode("utf-8", "surrogatepass") if isinstance(document, str) else document
    if len(data) > MAX_DOCUMENT_BYTES:
        _too_long(len(data))
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise unparsable(
            f"{line}:{column}", f"byte {error.start} is no UTF-8; write the document in UTF-8"
        ) from None
    return data


def _too_long(size: int) -> NoReturn:
    raise unparsable("1:1", f"{size} bytes or characters; at most {MAX_DOCUMENT_BYTES}")


def _walk(data: bytes) -> None:
    """Refuse what no task has, without building anything."""
    walk = _Walk()
    try:
        for start in range(0, len(data), _CHUNK_BYTES):
            if walk.feed(data[start : start + _CHUNK_BYTES]) is not None:
                raise _located(data, start)
        walk.parser.close()
    except etree.XMLSyntaxError as error:
        raise _refusal(error) from None


def _located(data: bytes, start: int) -> DocumentRefused:
    """Walk again, byte by byte within the chunk that began at `start`, to say where its refusal stands."""
    walk = _Walk()
    walk.feed(data[:start])
    end, refused = start, None
    while refused is None and end < len(data):
        refused = walk.feed(data[end : end + 1])
        end += 1
    line = data.count(b"\n", 0, end) + 1
    column = end - data.rfind(b"\n", 0, end) - 1
    return unparsable(f"{line}:{column}", refused or "is refused")


class _Walk:
    """One walk through a document."""

    def __init__(self) -> None:
        self._guard = _Guard()
        self.parser = etree.XMLParser(target=cast("Any", self._guard), **_SAFE)

    def feed(self, data: bytes) -> str | None:
        """Go on; returns why the document is refused, once it is."""
        try:
            self.parser.feed(data)
        except etree.XMLSyntaxError:
            if self._guard.refused is None:
                raise
        return self._guard.refused


class _Guard:
    """Hears the parser's events; keeps the first refusal instead of raising through C code."""

    def __init__(self) -> None:
        self.refused: str | None = None
        self._depth = self._elements = self._tasks = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        self._depth += 1
        self._elements += 1
        self._tasks += tag == TASK
        if self._depth > MAX_DEPTH:
            self._refuse(f"nests deeper than {MAX_DEPTH} elements")
        elif self._elements > MAX_ELEMENTS:
            self._refuse(f"has more than {MAX_ELEMENTS} elements")
        elif self._tasks > MAX_OPERATORS:
            self._refuse(f"has more than {MAX_OPERATORS} tasks")
        elif len(attributes) > MAX_ATTRIBUTES:
            self._refuse(f"element {tag[:80]} has {len(attributes)} attributes; at most {MAX_ATTRIBUTES}")
        elif tag.startswith("{") or (attributes and any(name.startswith("{") for name in attributes)):
            self._refuse(f"element {tag[:80]} uses a namespace; a task has none")

    def end(self, _tag: str) -> None:
        """An element ends."""
        self._depth -= 1

    def doctype(self, *_names: str | None) -> None:
        """A document type stands before the first element."""
        self._refuse("has a document type (DOCTYPE); a task has none, and no entities of its own")

    def data(self, _text: str) -> None:
        """Text."""

    def close(self) -> None:
        """The document ends."""

    def _refuse(self, message: str) -> None:
        if self.refused is None:
            self.refused = message


def _refusal(error: etree.XMLSyntaxError) -> DocumentRefused:
    line, column = error.position
    message = " ".join(str(error.msg or "is no XML").split())
    return unparsable(f"{line or 1}:{max(1, column)}", message.rsplit(", line ", 1)[0])
