"""From a syntax tree to an operator program: everything a schema cannot say is checked here, with its path."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import Final

from octolog.domain.errors import InvalidContract
from octolog.domain.evaluator.legal import broken_rules, check_program
from octolog.domain.ids import TaskId
from octolog.domain.operators import Operator, Program, Role
from octolog.domain.tasksystem import ASTNode, TaskType
from octolog.domain.templates import fields
from octolog.domain.templates.errors import Faults, invalid
from octolog.domain.templates.inputs import Inputs, inputs_of
from octolog.domain.templates.modes import NO_MODE, default_of, mode_of
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


def program_of(tree: ASTNode, faults: Faults | None = None) -> Program:
    """The program that a syntax tree of operators stands for.

    Args:
        tree: The tree.
        faults: Where what is wrong goes; None: the first fault is raised.

    Raises:
        DocumentRefused: VALIDATION_ERROR with its path, when no more faults are wanted.
    """
    wrong = Faults() if faults is None else faults
    reader = _Reader(wrong)
    reader.operator(root(tree), _Place(-1, Role.ROOT, "", 1, TaskType.UNKNOWN))
    program = tuple(reader.operators)
    return program if wrong.found else legal(program, reader.paths, wrong)


def legal(program: Program, paths: list[str], faults: Faults) -> Program:
    """The program itself, once the task processor would take it.

    Args:
        program: From a document.
        paths: Where in the document each operator stands.
        faults: Where what breaks a rule goes.

    Raises:
        DocumentRefused: VALIDATION_ERROR with its path, when no more faults are wanted.
    """
    try:
        check_program("operators", program, _SOME_TASK)
    except InvalidContract:
        for broken in broken_rules("operators", program, _SOME_TASK):
            faults.add(invalid(_path_of(broken.field, paths), broken.message))
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
    def __init__(self, faults: Faults) -> None:
        self.operators: list[Operator] = []
        self.paths: list[str] = []
        self._faults = faults

    def operator(self, task: Located, place: _Place) -> str:
        """Append an operator and all below it; returns its name."""
        if not self._faults.attempt(lambda: self._fits(task, place), instead=False):
            return place.name
        attempt = self._faults.attempt
        kind = attempt(lambda: _kind(task), TaskType.UNKNOWN)
        elements = self._elements(task, kind)
        attributes = self._attributes(task, kind, place)
        is_subtask = attributes.get("subtype") == "subtask"
        default = default_of(kind, place.role, place.parent_type, is_subtask=is_subtask)
        block = elements.get("context_management")
        mode = attempt(lambda: mode_of(block, default, is_subtask=is_subtask), NO_MODE)
        name = attempt(lambda: _name(task, attributes, place), place.name)
        inputs = inputs_of(elements.get("inputs"), self._faults, tasks=True)
        attempt(lambda: _check_arguments(kind, inputs), None)
        index = len(self.operators)
        self.paths.append(task.at)
        self.operators.append(
            Operator(
                name=name,
                parent=place.parent,
                role=place.role,
                type=kind,
                inputs=inputs.given,
                inherit_context=mode.inherit,
                accumulate_data=mode.accumulate,
                accumulation_format=mode.keep,
                fresh_context=mode.fresh,
                **settings_of(task, kind, elements, attributes, self._faults),
            )
        )
        self._children(elements, inputs, kind, _Place(index, Role.STEP, "", place.depth + 1, kind))
        return name

    def _fits(self, task: Located, place: _Place) -> bool:
        if place.depth > MAX_NESTING:
            raise invalid(task.at, f"nests deeper than {MAX_NESTING} tasks")
        if len(self.operators) >= MAX_OPERATORS:
            raise invalid(task.at, f"is one too many: at most {MAX_OPERATORS} tasks")
        return True

    def _children(
        self,
        elements: dict[str, Located],
        inputs: Inputs,
        kind: TaskType,
        place: _Place,
    ) -> None:
        attempt = self._faults.attempt
        children = [(Role.ARGUMENT, name, task) for name, task in inputs.arguments]
        if "steps" in elements:
            steps = attempt(lambda: elements["steps"].items(TASK), list[Located]())
            children += [(Role.STEP, f"step-{number}", task) for number, task in enumerate(steps, 1)]
        for element, role in (("inner_task", Role.INNER), ("reduction_task", Role.REDUCTION)):
            if element in elements:
                only = attempt(partial(_only, elements[element]), None)
                children += [] if only is None else [(role, element.removesuffix("_task"), only)]
        taken: set[str] = set()
        for role, default, task in children:
            child = _Place(place.parent, role, default, place.depth, kind)
            name = self.operator(task, child)
            if name in taken:
                told = f"{shown(name)} is the name of another task beside it; choose one of its own"
                self._faults.add(invalid(task.at, told))
            taken.add(name)

    def _elements(self, task: Located, kind: TaskType) -> dict[str, Located]:
        elements: dict[str, Located] = {}
        allowed = _ELEMENTS.get(kind)
        for element in task.elements():
            name = element.node.type
            if name in elements:
                self._faults.add(invalid(element.at, "stands twice; leave one of them out"))
            elif allowed is not None and name not in allowed:
                self._faults.add(invalid(element.at, f"does not belong to {_a(kind)} task"))
            else:
                elements[name] = element
        self._faults.attempt(lambda: _check_shape(task, kind, elements), None)
        return elements

    def _attributes(self, task: Located, kind: TaskType, place: _Place) -> dict[str, str]:
        attributes = task.attributes()
        allowed = set(_ATTRIBUTES)
        if kind in (TaskType.ATOMIC, TaskType.UNKNOWN):
            allowed.add("subtype")
        if kind in (TaskType.MAP, TaskType.UNKNOWN):
            allowed.add("on_failure")
        if place.role is Role.ROOT:
            allowed |= _OF_A_DOCUMENT
        for name in attributes:
            if name not in allowed:
                told = f"does not belong to {_a(kind)} task here"
                self._faults.add(invalid(f"{task.at}/@{name}", told))
        is_subtask = attributes.get("subtype") == "subtask"
        if is_subtask and place.parent_type is TaskType.REDUCE and place.role is not Role.ARGUMENT:
            told = "a subtask inherits nothing, so it cannot be the inner or reduction task of a reduce"
            self._faults.add(invalid(f"{task.at}/@subtype", told))
        return attributes


def _kind(task: Located) -> TaskType:
    kind = task.node.operator_type
    if "@type" in {child.type for child in task.node.children}:
        raise invalid(f"{task.at}/@type", f"{shown(task.attributes()['type'])} is no type of task")
    if kind is TaskType.UNKNOWN or task.is_template:
        told = "a task within an operator document needs a type and begins with its description"
        raise invalid(task.at, told)
    return kind


def _only(element: Located) -> Located:
    tasks = element.items(TASK)
    if len(tasks) > 1:
        raise invalid(tasks[1].at, "is one too many: there is exactly one")
    return tasks[0]


def _check_shape(task: Located, kind: TaskType, elements: dict[str, Located]) -> None:
    if kind is TaskType.SEQUENTIAL and "steps" not in elements:
        raise invalid(task.at, "a sequential task needs steps, at least one")
    if kind is TaskType.MAP and len(elements.keys() & {"steps", "inner_task"}) != 1:
        raise invalid(task.at, "a map task needs either steps or an inner_task")
    if kind is TaskType.REDUCE and not {"inner_task", "reduction_task"} <= elements.keys():
        raise invalid(task.at, "a reduce task needs an inner_task and a reduction_task")


def _check_arguments(kind: TaskType, inputs: Inputs) -> None:
    if inputs.arguments and kind is TaskType.SEQUENTIAL:
        told = "an input of a sequential task cannot be a task; make it a step"
        raise invalid(inputs.arguments[0][1].at, told)


def _name(task: Located, attributes: dict[str, str], place: _Place) -> str:
    given = attributes.get("name")
    if given is not None and place.role is not Role.ARGUMENT:
        fields.name(given, f"{task.at}/@name")
    if place.role is Role.ROOT:
        return ""  # a document's name is no part of its program
    if place.role is Role.ARGUMENT and given not in (None, place.name):
        raise invalid(f"{task.at}/@name", f"the task of an input bears its name, {shown(place.name)}")
    return given or place.name


def _a(kind: TaskType) -> str:
    return f"an {kind.lower()}" if kind is TaskType.ATOMIC else f"a {kind.lower()}"
