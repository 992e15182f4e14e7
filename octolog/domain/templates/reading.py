"""From a syntax tree to an operator program: everything a schema cannot say is checked here, with its path."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from octolog.domain.errors import InvalidContract
from octolog.domain.evaluator.legal import check_program
from octolog.domain.ids import TaskId
from octolog.domain.operators import Operator, OperatorInput, Program, Role
from octolog.domain.tasksystem import ASTNode, TaskType
from octolog.domain.templates import fields
from octolog.domain.templates.errors import invalid
from octolog.domain.templates.modes import default_of, mode_of
from octolog.domain.templates.nodes import TASK, Located, root, shown
from octolog.domain.templates.settings import settings_of

MAX_NESTING: Final = 32
"""Deepest nesting of operators. Source: docs/reference/operators.md."""

MAX_OPERATORS: Final = 20_000

_SOME_TASK: Final = TaskId("0" * 36)
"""Stands for the task that a program will belong to; ids that octolog makes are that long."""

_FIELD: Final = re.compile(r"operators\[(?P<place>\d+)\](\.(?P<rest>.*))?")
_INPUT: Final = re.compile(r"inputs\[(?P<number>\d+)\].*")
_WRITTEN: Final = {
    "name": "@name",
    "goal": "description",
    "metadata_json": "metadata",
    **{name: name for name in ("instructions", "system", "model", "initial_value", "acceptance_criteria")},
}
_EVERY: Final = frozenset(
    {
        "description",
        "context_management",
        "system",
        "model",
        "inputs",
        "manual_xml",
        "disable_reparsing",
        "output_format",
        "acceptance_criteria",
        "budget",
        "metadata",
    }
)
_ELEMENTS: Final = {
    TaskType.ATOMIC: _EVERY | {"instructions"},
    TaskType.SEQUENTIAL: _EVERY | {"steps"},
    TaskType.MAP: _EVERY | {"steps", "inner_task"},
    TaskType.REDUCE: _EVERY | {"initial_value", "inner_task", "reduction_task"},
}
_ATTRIBUTES: Final = frozenset({"name", "type"}) | {field.written for field in fields.ROUTING}
_OF_A_DOCUMENT: Final = frozenset({"name", "version"})


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an operator stands in its program.

    Attributes:
        parent: Place of its parent; -1 at the root.
        role: What it is to its parent.
        name: The name it has when its document gives none; empty at the root.
        depth: How many operators deep, from 1.
        parent_type: Its parent's type; UNKNOWN at the root.
    """

    parent: int
    role: Role
    name: str
    depth: int
    parent_type: TaskType


def program_of(tree: ASTNode) -> Program:
    """The program that a syntax tree of operators stands for.

    Raises:
        DocumentRefused: VALIDATION_ERROR, with the path of the first thing that is wrong.
    """
    reader = _Reader()
    reader.operator(root(tree), _Place(-1, Role.ROOT, "", 1, TaskType.UNKNOWN))
    return legal(tuple(reader.operators), reader.paths)


def legal(program: Program, paths: list[str]) -> Program:
    """The program itself, once the task processor would take it.

    Args:
        program: From a document.
        paths: Where in the document each operator stands.

    Raises:
        DocumentRefused: VALIDATION_ERROR, with the path of what breaks a rule.
    """
    try:
        check_program("operators", program, _SOME_TASK)
    except InvalidContract as broken:
        raise invalid(_path_of(broken.field, paths), broken.message) from None
    return program


def _path_of(field: str, paths: list[str]) -> str:
    """Where in a document a field of its program stands; the task it belongs to, where that cannot be said."""
    found = _FIELD.fullmatch(field)
    if found is None:
        return paths[0]
    at, rest = paths[int(found["place"])], found["rest"] or ""
    given = _INPUT.fullmatch(rest)
    if given is not None:
        return f"{at}/inputs/input[{int(given['number']) + 1}]"
    return f"{at}/{_WRITTEN[rest]}" if rest in _WRITTEN else at


class _Reader:
    def __init__(self) -> None:
        self.operators: list[Operator] = []
        self.paths: list[str] = []

    def operator(self, task: Located, place: _Place) -> str:
        """Append an operator and all below it; returns its name."""
        kind = self._kind(task, place)
        elements = _elements(task, kind)
        attributes = _attributes(task, kind, place)
        is_subtask = attributes.get("subtype") == "subtask"
        default = default_of(kind, place.role, place.parent_type, is_subtask=is_subtask)
        mode = mode_of(elements.get("context_management"), default, is_subtask=is_subtask)
        name = _name(task, attributes, place)
        inputs, arguments = _inputs(elements, kind)
        index = len(self.operators)
        self.paths.append(task.at)
        self.operators.append(
            Operator(
                name=name,
                parent=place.parent,
                role=place.role,
                type=kind,
                inputs=inputs,
                inherit_context=mode.inherit,
                accumulate_data=mode.accumulate,
                accumulation_format=mode.keep,
                fresh_context=mode.fresh,
                **settings_of(task, kind, elements, attributes),
            )
        )
        self._children(elements, arguments, kind, _Place(index, Role.STEP, "", place.depth + 1, kind))
        return name

    def _kind(self, task: Located, place: _Place) -> TaskType:
        kind = task.node.operator_type
        if "@type" in {child.type for child in task.node.children}:
            raise invalid(f"{task.at}/@type", f"{shown(task.attributes()['type'])} is no type of task")
        if kind is TaskType.UNKNOWN or task.is_template:
            raise invalid(
                task.at, "a task within an operator document needs a type and begins with its description"
            )
        if place.depth > MAX_NESTING:
            raise invalid(task.at, f"nests deeper than {MAX_NESTING} tasks")
        if len(self.operators) >= MAX_OPERATORS:
            raise invalid(task.at, f"is one too many: at most {MAX_OPERATORS} tasks")
        return kind

    def _children(
        self,
        elements: dict[str, Located],
        arguments: list[tuple[str, Located]],
        kind: TaskType,
        place: _Place,
    ) -> None:
        children = [(Role.ARGUMENT, name, task) for name, task in arguments]
        if "steps" in elements:
            steps = elements["steps"].items(TASK)
            children += [(Role.STEP, f"step-{number}", task) for number, task in enumerate(steps, 1)]
        for element, role in (("inner_task", Role.INNER), ("reduction_task", Role.REDUCTION)):
            if element in elements:
                children.append((role, element.removesuffix("_task"), _only(elements[element])))
        taken: set[str] = set()
        for role, default, task in children:
            child = _Place(place.parent, role, default, place.depth, kind)
            name = self.operator(task, child)
            if name in taken:
                raise invalid(task.at, f"{shown(name)} is the name of another task beside it")
            taken.add(name)


def _only(element: Located) -> Located:
    tasks = element.items(TASK)
    if len(tasks) > 1:
        raise invalid(tasks[1].at, "is one too many: there is exactly one")
    return tasks[0]


def _elements(task: Located, kind: TaskType) -> dict[str, Located]:
    elements = task.parts()
    allowed = _ELEMENTS[kind]
    for name, element in elements.items():
        if name not in allowed:
            raise invalid(element.at, f"does not belong to {_a(kind)} task")
    if kind is TaskType.SEQUENTIAL and "steps" not in elements:
        raise invalid(task.at, "a sequential task needs steps, at least one")
    if kind is TaskType.MAP and len(elements.keys() & {"steps", "inner_task"}) != 1:
        raise invalid(task.at, "a map task needs either steps or an inner_task")
    if kind is TaskType.REDUCE and not {"inner_task", "reduction_task"} <= elements.keys():
        raise invalid(task.at, "a reduce task needs an inner_task and a reduction_task")
    return elements


def _attributes(task: Located, kind: TaskType, place: _Place) -> dict[str, str]:
    attributes = task.attributes()
    allowed = set(_ATTRIBUTES)
    if kind is TaskType.ATOMIC:
        allowed.add("subtype")
    if kind is TaskType.MAP:
        allowed.add("on_failure")
    if place.role is Role.ROOT:
        allowed |= _OF_A_DOCUMENT
    for name in attributes:
        if name not in allowed:
            raise invalid(f"{task.at}/@{name}", f"does not belong to {_a(kind)} task here")
    is_subtask = attributes.get("subtype") == "subtask"
    if is_subtask and place.parent_type is TaskType.REDUCE and place.role is not Role.ARGUMENT:
        raise invalid(
            f"{task.at}/@subtype",
            "a subtask inherits nothing, so it cannot be the inner or reduction task of a reduce",
        )
    return attributes


def _name(task: Located, attributes: dict[str, str], place: _Place) -> str:
    given = attributes.get("name")
    if given is not None and place.role is not Role.ARGUMENT:
        fields.name(given, f"{task.at}/@name")
    if place.role is Role.ROOT:
        return ""  # a document's name is no part of its program
    if place.role is Role.ARGUMENT and given not in (None, place.name):
        raise invalid(f"{task.at}/@name", f"the task of an input bears its name, {shown(place.name)}")
    return given or place.name


def inputs_of(
    element: Located, *, tasks: bool
) -> tuple[tuple[OperatorInput, ...], list[tuple[str, Located]]]:
    """The inputs in an element, and the tasks among them by input name.

    Args:
        element: `inputs`.
        tasks: Whether an input may be bound to a variable or a task.

    Raises:
        DocumentRefused: VALIDATION_ERROR.
    """
    found: dict[str, OperatorInput] = {}
    arguments: list[tuple[str, Located]] = []
    for item in element.items("input"):
        attributes = item.attributes()
        if "name" not in attributes:
            raise invalid(item.at, "needs a name")
        name = fields.input_name(attributes.pop("name"), f"{item.at}/@name")
        if name in found:
            raise invalid(item.at, f"{shown(name)} is the name of another input")
        variable = attributes.pop("from", None)
        inner = list(item.elements())
        _check_input(item, variable, inner, tasks=tasks)
        if attributes:
            raise invalid(f"{item.at}/@{next(iter(attributes))}", "does not belong to an input")
        found[name] = OperatorInput(name, "" if inner else item.content, variable or "")
        arguments += [(name, task) for task in inner]
    return tuple(found.values()), arguments


def _check_input(item: Located, variable: str | None, inner: list[Located], *, tasks: bool) -> None:
    if not tasks and (variable is not None or inner):
        raise invalid(item.at, "an input of a template holds a text and nothing else")
    if variable == "":
        raise invalid(f"{item.at}/@from", "names no variable")
    if len(inner) > 1 or (inner and inner[0].node.type != TASK):
        raise invalid(inner[-1].at, "does not belong here; an input holds at most one task")
    if (variable is not None) + bool(inner) + bool(item.content.strip() if inner else item.content) > 1:
        raise invalid(item.at, "has more than one source: a text, from, or a task")


def _inputs(
    elements: dict[str, Located], kind: TaskType
) -> tuple[tuple[OperatorInput, ...], list[tuple[str, Located]]]:
    if "inputs" not in elements:
        return (), []
    inputs, arguments = inputs_of(elements["inputs"], tasks=True)
    if arguments and kind is TaskType.SEQUENTIAL:
        raise invalid(arguments[0][1].at, "an input of a sequential task cannot be a task; make it a step")
    return inputs, arguments


def _a(kind: TaskType) -> str:
    return f"an {kind.lower()}" if kind is TaskType.ATOMIC else f"a {kind.lower()}"
