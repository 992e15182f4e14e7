"""From an operator program to its syntax tree; what a document cannot say is refused, never changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from octolog.domain.operators import FailurePolicy, Operator, Program, Role
from octolog.domain.tasksystem import ASTNode, AtomicTaskSubtype, FreshContext, TaskType
from octolog.domain.templates.errors import invalid
from octolog.domain.templates.fields import LIMITS, ROUTING, Field
from octolog.domain.templates.modes import NO_MODE, Mode
from octolog.domain.templates.nodes import TASK, attribute, leaf, shown
from octolog.domain.templates.reading import MAX_NESTING, MAX_OPERATORS, program_of
from octolog.domain.values import NO_LIMITS

_TRUTH: Final = {True: "true", False: "false"}
_WORDS: Final = {True: "full", False: "none"}


def ast_of(program: Program) -> ASTNode:
    """The syntax tree of a program; `program_of` gives the same program back.

    Raises:
        DocumentRefused: The program breaks a rule, is not in document order, or cannot be written as a document.
    """
    _check_shape(program)
    tree = _Writer(program).task(0)
    again = program_of(tree)
    for index, operator in enumerate(program):
        if index >= len(again) or again[index] != operator:
            what = f"operator {index} ({shown(operator.name)})"
            raise invalid(
                f"/{TASK}", f"{what} cannot be written as a document: is the program in document order?"
            )
    return tree


def _check_shape(program: Program) -> None:
    """Bound the nesting before anything recurs into it."""
    if not program or program[0].parent != -1 or program[0].role is not Role.ROOT:
        raise invalid(f"/{TASK}", "a program begins with its root")
    if len(program) > MAX_OPERATORS:
        raise invalid(f"/{TASK}", f"{len(program)} operators; at most {MAX_OPERATORS}")
    depths = [1]
    for index, operator in enumerate(program[1:], 1):
        if not 0 <= operator.parent < index:
            raise invalid(f"/{TASK}", f"operator {index} does not stand below one before it")
        depths.append(depths[operator.parent] + 1)
        if depths[index] > MAX_NESTING:
            raise invalid(f"/{TASK}", f"operator {index} nests deeper than {MAX_NESTING} tasks")


class _Writer:
    def __init__(self, program: Program) -> None:
        self._program = program
        self._children: defaultdict[int, list[int]] = defaultdict(list)
        for index, operator in enumerate(program[1:], 1):
            self._children[operator.parent].append(index)

    def task(self, index: int) -> ASTNode:
        """The node of an operator, with all below it."""
        operator = self._program[index]
        children = (*_attributes(operator), *self._elements(index, operator))
        return ASTNode(TASK, "", operator.type, children, operator.metadata_json)

    def _elements(self, index: int, operator: Operator) -> Iterator[ASTNode]:
        yield leaf("description", operator.goal)
        yield from _context(operator)
        for name in ("instructions", "system", "model", "initial_value"):
            if text := getattr(operator, name):
                yield leaf(name, text)
        if operator.inputs:
            yield self._inputs(index, operator)
        yield from self._parts(index)
        yield from _settings(operator)

    def _inputs(self, index: int, operator: Operator) -> ASTNode:
        arguments = {self._program[child].name: child for child in self._of(index, Role.ARGUMENT)}
        nodes: list[ASTNode] = []
        for given in operator.inputs:
            inner: tuple[ASTNode, ...] = (attribute("name", given.name),)
            if given.variable:
                inner += (attribute("from", given.variable),)
            if given.name in arguments:
                inner += (self.task(arguments[given.name]),)
            nodes.append(ASTNode("input", given.text, children=inner))
        return ASTNode("inputs", "", children=tuple(nodes))

    def _parts(self, index: int) -> Iterator[ASTNode]:
        steps = tuple(self.task(child) for child in self._of(index, Role.STEP))
        if steps:
            yield ASTNode("steps", "", children=steps)
        for role, name in ((Role.INNER, "inner_task"), (Role.REDUCTION, "reduction_task")):
            tasks = tuple(self.task(child) for child in self._of(index, role))
            if tasks:
                yield ASTNode(name, "", children=tasks)

    def _of(self, index: int, role: Role) -> list[int]:
        return [child for child in self._children[index] if self._program[child].role is role]


def _attributes(operator: Operator) -> Iterator[ASTNode]:
    if operator.name and operator.role is not Role.ARGUMENT:
        yield attribute("name", operator.name)
    if operator.subtype is AtomicTaskSubtype.SUBTASK:
        yield attribute("subtype", "subtask")
    if operator.type is TaskType.MAP and operator.on_failure is FailurePolicy.FAIL_FAST:
        yield attribute("on_failure", "fail_fast")
    yield from _written(operator, ROUTING)


def _written(owner: object, table: tuple[Field, ...]) -> Iterator[ASTNode]:
    for field in table:
        value = getattr(owner, field.name)
        if value is not None and value != ():
            yield attribute(field.written, field.write(value))


def _context(operator: Operator) -> Iterator[ASTNode]:
    mode = Mode(
        operator.inherit_context,
        operator.accumulate_data,
        operator.accumulation_format,
        operator.fresh_context,
    )
    if mode == NO_MODE:
        return
    of_seed = mode.fresh is FreshContext.UNSAID
    inner = [
        leaf("inherit_context", (_TRUTH if of_seed else _WORDS)[mode.inherit]),
        leaf("accumulate_data", _TRUTH[mode.accumulate]),
        leaf("accumulation_format", mode.keep.lower()),
    ]
    if not of_seed:
        inner.append(leaf("fresh_context", mode.fresh.lower()))
    yield ASTNode("context_management", "", children=tuple(inner))


def _settings(operator: Operator) -> Iterator[ASTNode]:
    if operator.is_manual_xml:
        yield leaf("manual_xml", "true")
    if operator.disable_reparsing:
        yield leaf("disable_reparsing", "true")
    if operator.output_type:
        yield ASTNode("output_format", "", children=(attribute("type", operator.output_type),))
    if operator.acceptance_criteria:
        criteria = tuple(leaf("criterion", text) for text in operator.acceptance_criteria)
        yield ASTNode("acceptance_criteria", "", children=criteria)
    if operator.budget != NO_LIMITS:
        yield ASTNode("budget", "", children=tuple(_written(operator.budget, LIMITS)))
