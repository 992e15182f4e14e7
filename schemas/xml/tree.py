"""Between XML elements and syntax trees: the same content in both, nothing dropped but layout."""

from __future__ import annotations

from typing import Final, cast

from lxml import etree

from octolog.domain.tasksystem import ASTNode, TaskType
from octolog.domain.templates.errors import invalid
from octolog.domain.templates.nodes import TASK, Located

_METADATA: Final = "metadata"
_TYPES: Final = {kind.lower(): kind for kind in TaskType if kind is not TaskType.UNKNOWN}


def to_ast(element: etree._Element) -> ASTNode:
    """The syntax tree of an element; spaces between elements are layout and are dropped."""
    if element.tag != TASK:
        return _plain(element, TaskType.UNKNOWN, _attributes(element))
    attributes = _attributes(element)
    kind = _TYPES.get(attributes.get("type", ""), TaskType.UNKNOWN)
    if kind is not TaskType.UNKNOWN:
        del attributes["type"]
    elif "type" not in attributes and len(element) and element[0].tag == "instructions":
        kind = TaskType.ATOMIC  # a template
    return _plain(element, kind, attributes)


def _plain(element: etree._Element, kind: TaskType, attributes: dict[str, str]) -> ASTNode:
    children = [ASTNode(f"@{name}", value) for name, value in attributes.items()]
    metadata, text = "{}", element.text or ""
    if len(element):
        text = _own_text(element)
        for child in element:
            if child.tag == _METADATA and element.tag == TASK and not len(child):
                metadata = child.text or "{}"
            else:
                children.append(to_ast(child))
    return ASTNode(str(element.tag), text, kind, tuple(children), metadata)


def _attributes(element: etree._Element) -> dict[str, str]:
    return cast("dict[str, str]", dict(element.attrib))


def to_element(node: ASTNode) -> etree._Element:
    """The element of a syntax tree; `to_ast` gives the same tree back.

    Raises:
        DocumentRefused: A name or text holds what XML cannot, e.g. a control character.
    """
    located = Located(node, f"/{node.type}")
    try:
        element = etree.Element(node.type)
        for name, value in sorted(located.attributes().items(), key=lambda pair: pair[0] != "type"):
            element.set(name, value)
        if node.content:
            element.text = node.content
        for child in node.children:
            if not child.type.startswith("@"):
                element.append(to_element(child))
        if node.metadata_json != "{}":
            etree.SubElement(element, _METADATA).text = node.metadata_json
    except ValueError as error:
        raise invalid(located.at, f"XML cannot hold it: {error}") from None
    return element


def _own_text(element: etree._Element) -> str:
    """The text of an element beside the elements in it; blanks around elements do not count."""
    text = (element.text or "") + "".join([child.tail or "" for child in element])
    return text if text.strip() else ""
