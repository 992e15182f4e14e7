"""Documents to XML; reading what was written gives back what was put in."""

from __future__ import annotations

from lxml import etree

from octolog.domain.operators import Program
from octolog.domain.tasksystem import ASTNode
from octolog.domain.templates.document import Document, ast_of_document
from octolog.domain.templates.writing import ast_of
from schemas.xml.tree import to_element


def write_document(document: Document) -> str:
    """A document as XML.

    Raises:
        DocumentRefused: It breaks a rule, or XML cannot hold it.
    """
    return write_ast(ast_of_document(document))


def write_program(program: Program) -> str:
    """A program as an operator document.

    Raises:
        DocumentRefused: It breaks a rule, is not in document order, or XML cannot hold it.
    """
    return write_ast(ast_of(program))


def write_ast(tree: ASTNode) -> str:
    """A syntax tree as XML, laid out for people where that changes no text.

    Raises:
        DocumentRefused: XML cannot hold it.
    """
    root = to_element(tree)
    for element in root.iter():
        if len(element) and not element.text:
            _lay_out(element, sum(1 for _ in element.iterancestors()))
    return etree.tostring(root, encoding="unicode") + "\n"


def _lay_out(element: etree._Element, depth: int) -> None:
    """Put each element in an element on a line of its own."""
    inner = "\n" + "  " * (depth + 1)
    element.text = inner
    for child in element:
        child.tail = inner
    element[-1].tail = "\n" + "  " * depth
