"""Contracts as XML: a template or an operator document, and the values that go into it."""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Mapping
from dataclasses import replace
from typing import Any, Final, TypeAlias

from octolog.domain.contract import TaskContract
from octolog.domain.errors import InvalidContract
from octolog.domain.ids import TaskId
from octolog.domain.operators import Operator, OperatorInput, Program, Role
from octolog.domain.templates.document import Document
from octolog.edge.document import canonical_json, shown
from octolog.edge.uuid7 import uuid7

FindTemplate: TypeAlias = Callable[[str], Document]
"""The template of a label, `name` or `name@version`."""

MAX_GOAL_CHARS: Final = 10_000
_UTF8_MARK: Final = b"\xef\xbb\xbf"
_FROM_THE_ROOT: Final = (
    "acceptance_criteria",
    "assigned_arm",
    "required_capabilities",
    "max_cost_tier",
    "priority",
    "timeout_ms",
    "budget",
)
"""What a contract says of its tree and its root operator says of itself: where only the root says it, both do."""


def is_xml(document: object) -> bool:
    """True for a text that can only be meant as XML: JSON never begins with `<`."""
    match document:
        case bytes():
            return document.removeprefix(_UTF8_MARK).lstrip().startswith(b"<")
        case str():
            return document.removeprefix("\ufeff").lstrip().startswith("<")
        case _:
            return False


def read_xml(document: bytes | str, models: Container[str] | None = None) -> Document:
    """A document.

    Args:
        document: XML.
        models: Model ids that exist; None: any name will do.

    Raises:
        DocumentRefused: XML_PARSE_ERROR with line and column, or VALIDATION_ERROR with the path.
    """
    from schemas.xml import read_document  # lxml is loaded by those who have XML

    return read_document(document, models)


def contract_of(program: Program, task_id: str | None = None, **given: Any) -> TaskContract:
    """The contract that asks for a program.

    Args:
        program: What to do.
        task_id: Its id; None: a new UUIDv7.
        given: Fields of the contract; what is not given, the root operator says.
    """
    root = program[0]
    said = {name: value for name in _FROM_THE_ROOT if (value := getattr(root, name)) is not None}
    return TaskContract(
        task_id=TaskId(str(uuid7()) if task_id is None else task_id),
        operators=program,
        **{"goal": goal_of(root), **said, **given},
    )


def goal_of(root: Operator) -> str:
    """What a program is for, in words; a contract has to say it."""
    told = next(
        (text for text in (root.goal, root.instructions) if text.strip()), f"a {root.type.lower()} task"
    )
    return told[:MAX_GOAL_CHARS]


def with_context(contract: TaskContract, context: Mapping[str, object]) -> TaskContract:
    """A contract with more in its context.

    Raises:
        InvalidContract: The context has a key already, with another value.
    """
    merged: dict[str, object] = json.loads(contract.context_json)
    for name, value in context.items():
        if name in merged and merged[name] != value:
            raise InvalidContract("VALIDATION", "context", f"{shown(name)} is given twice, with two values")
        merged[name] = value
    return replace(contract, context_json=canonical_json(merged))


def with_inputs(contract: TaskContract, inputs: Mapping[str, str]) -> TaskContract:
    """A contract whose program's root gets these values for its inputs.

    A value goes into the context and its input is bound to it there: so braces in a value stay what they are.

    Raises:
        InvalidContract: The root has no such input, or the result of a task in it.
    """
    if not inputs:
        return contract
    if not contract.operators:
        raise InvalidContract("VALIDATION", "inputs", "only a template or a program has inputs")
    root, *rest = contract.operators
    names = [given.name for given in root.inputs]
    tasks = {child.name for child in rest if child.parent == 0 and child.role is Role.ARGUMENT}
    for name in inputs:
        if name not in names:
            has = f"it has {', '.join(names)}" if names else "it has none; see --context"
            raise InvalidContract("VALIDATION", "inputs", f"{shown(name)} is no input of this task; {has}")
        if name in tasks:
            raise InvalidContract("VALIDATION", "inputs", f"{shown(name)} is the result of a task")
    bound = tuple(
        OperatorInput(given.name, variable=given.name) if given.name in inputs else given
        for given in root.inputs
    )
    return with_context(replace(contract, operators=(replace(root, inputs=bound), *rest)), inputs)
