"""The inputs of a task in a document: each a text, a variable's value, or the result of a task in it."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from octolog.domain.operators import OperatorInput
from octolog.domain.templates import fields
from octolog.domain.templates.errors import Faults, invalid
from octolog.domain.templates.nodes import TASK, Located, shown


class Inputs(NamedTuple):
    """What an element `inputs` holds.

    Attributes:
        given: The inputs, in order.
        arguments: The tasks among them, by input name.
    """

    given: tuple[OperatorInput, ...]
    arguments: tuple[tuple[str, Located], ...]


def inputs_of(element: Located | None, faults: Faults, *, tasks: bool) -> Inputs:
    """The inputs in an element.

    Args:
        element: `inputs`; None: there are none.
        faults: Where what is wrong goes; what can be read is returned all the same.
        tasks: Whether an input may be bound to a variable or a task.

    Raises:
        DocumentRefused: VALIDATION_ERROR, when no more faults are wanted.
    """
    reader = _Inputs(tasks=tasks)
    if element is not None:
        for item in faults.attempt(lambda: element.items("input"), list[Located]()):
            faults.attempt(partial(reader.read, item), None)
    return Inputs(tuple(reader.found.values()), tuple(reader.arguments))


class _Inputs:
    def __init__(self, *, tasks: bool) -> None:
        self.found: dict[str, OperatorInput] = {}
        self.arguments: list[tuple[str, Located]] = []
        self._tasks = tasks

    def read(self, item: Located) -> None:
        """File an input; its task is looked at even where the input is wrong."""
        attributes = item.attributes()
        inner = list(item.elements())
        name = attributes.pop("name", None)
        variable = attributes.pop("from", None)
        if self._tasks:
            self.arguments += [(name or "", task) for task in inner if task.node.type == TASK]
        if name is None:
            raise invalid(item.at, "needs a name")
        fields.input_name(name, f"{item.at}/@name")
        if name in self.found:
            raise invalid(item.at, f"{shown(name)} is the name of another input; choose one of its own")
        _check_input(item, variable, inner, tasks=self._tasks)
        if attributes:
            raise invalid(f"{item.at}/@{next(iter(attributes))}", "does not belong to an input")
        self.found[name] = OperatorInput(name, "" if inner else item.content, variable or "")


def _check_input(item: Located, variable: str | None, inner: list[Located], *, tasks: bool) -> None:
    if not tasks and (variable is not None or inner):
        raise invalid(item.at, "an input of a template holds a text and nothing else")
    if variable == "":
        raise invalid(f"{item.at}/@from", "names no variable")
    if len(inner) > 1 or (inner and inner[0].node.type != TASK):
        raise invalid(inner[-1].at, "does not belong here; an input holds at most one task")
    if (variable is not None) + bool(inner) + bool(item.content.strip() if inner else item.content) > 1:
        raise invalid(item.at, "has more than one source: a text, from, or a task")
