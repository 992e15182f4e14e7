"""Documents from XML: strictly where somebody is responsible for them, leniently where a model answered."""

from __future__ import annotations

import json
from collections.abc import Container, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from lxml import etree

from octolog.domain.operators import Program
from octolog.domain.tasksystem import ASTNode
from octolog.domain.templates.document import Document, document_of, every_fault
from octolog.domain.templates.errors import MAX_FAULTS, DocumentRefused
from octolog.domain.templates.reading import program_of
from octolog.domain.templates.verdict import Verdict, is_told, model_errors, verdict
from octolog.domain.values import TaskError, TaskErrorType
from schemas.xml.parser import parse, parse_bytes, text_bytes
from schemas.xml.places import located, of_parser
from schemas.xml.schema import schema_errors
from schemas.xml.tree import to_ast


@dataclass(frozen=True, slots=True)
class Output:
    """What an atomic task answered.

    Attributes:
        content: The answer, unchanged.
        tree: Its syntax tree; None when it is no XML.
        warnings: Why an answer that looks like XML is none; else empty.
    """

    content: str
    tree: ASTNode | None = None
    warnings: tuple[str, ...] = ()


def judge(document: bytes | str, known_models: Container[str] | None = None) -> Verdict:
    """Everything there is to say about a document.

    Args:
        document: XML.
        known_models: Model ids that exist; None: any name will do.
    """
    return _judge(document, known_models, content=True)


def read_document(document: bytes | str, known_models: Container[str] | None = None) -> Document:
    """What a document says.

    Args:
        document: XML.
        known_models: Model ids that exist; None: any name will do.

    Raises:
        DocumentRefused: XML_PARSE_ERROR with line and column, or VALIDATION_ERROR with the path.
    """
    return _judge(document, known_models, content=False).required()


def _judge(document: bytes | str, known_models: Container[str] | None, *, content: bool) -> Verdict:
    try:
        data = text_bytes(document)
        root = parse_bytes(data)
    except DocumentRefused as refused:
        return verdict([of_parser(refused.error)], schema_errors=0)
    of_schema = schema_errors(root)
    tree = to_ast(root)
    said, of_rules, rest = _read(tree, of_schema)
    unknown = [] if known_models is None else model_errors(_unknown(root, known_models))
    errors = [*of_schema, *of_rules, *unknown]
    return verdict(
        located(errors, data, root) if errors else (),
        schema_errors=len(of_schema),
        document=said,
        rest=rest,
        parsed_content_json=_canonical(tree) if content else None,
    )


def _read(
    tree: ASTNode, of_schema: Sequence[TaskError]
) -> tuple[Document | None, list[TaskError], Document | None]:
    """What a tree says; or what breaks a rule that the schema has not told of, and what it says besides."""
    if not of_schema:
        with suppress(DocumentRefused):
            return document_of(tree), [], None
    found, rest = every_fault(tree)
    return None, [error for error in found if not is_told(error, of_schema)], rest


def _unknown(root: etree._Element, known: Container[str]) -> list[tuple[str, str]]:
    """Path and id of the first models that nobody knows."""
    paths = root.getroottree()
    named = ((element, " ".join((element.text or "").split())) for element in root.iter("model"))
    unknown = ((paths.getpath(element), model) for element, model in named if model and model not in known)
    return list(islice(unknown, MAX_FAULTS))


def read_ast(document: bytes | str) -> ASTNode:
    """The syntax tree of a document that follows the schema.

    Raises:
        DocumentRefused: XML_PARSE_ERROR or VALIDATION_ERROR.
    """
    root = parse(document)
    for error in schema_errors(root):
        raise DocumentRefused(error)
    return to_ast(root)


def read_program(document: bytes | str, known_models: Container[str] | None = None) -> Program:
    """The program in an operator document, strictly: for what a decomposition gave.

    Raises:
        DocumentRefused: XML_PARSE_ERROR or VALIDATION_ERROR; a template document is refused, too.
    """
    found = read_document(document, known_models)
    if found.template is not None:
        program_of(to_ast(parse(document)))  # says what an operator document needs
    return found.program


def read_output(answer: str) -> Output:
    """What an atomic task answered, leniently: what is no XML is a text, never an error.

    An answer that looks like XML and is none gets a warning.
    """
    if not answer.lstrip().startswith("<"):
        return Output(answer)
    try:
        return Output(answer, to_ast(parse(answer.strip())))
    except DocumentRefused as refused:
        kind = TaskErrorType.XML_PARSE_ERROR
        return Output(answer, None, (f"{kind}: {refused.error.location}: {refused.message}; taken as text",))


def _canonical(tree: ASTNode) -> str:
    return json.dumps(_plain(tree), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _plain(node: ASTNode) -> dict[str, object]:
    plain: dict[str, object] = {"type": node.type, "content": node.content}
    if node.operator_type != "UNKNOWN":
        plain["operatorType"] = node.operator_type.lower()
    if node.children:
        plain["children"] = [_plain(child) for child in node.children]
    if node.metadata_json != "{}":
        plain["metadata"] = node.metadata_json
    return plain
