"""A program made ready for evaluation: who stands under whom, which names are wanted, what each task asks for.

It derives from the operators alone and never changes, so it is made once, shared, and no part of a snapshot.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from octolog.domain.evaluator.text import names_in
from octolog.domain.json_text import canonical, exactly, is_number, whole
from octolog.domain.operators import Operator, Program, Role
from octolog.domain.tasksystem import TaskType

_NO_USES: Final[dict[str, int]] = {}
_NO_NAMES: Final[frozenset[str]] = frozenset()


class Loaded:
    """A program in evaluation.

    Args:
        operators: The program, which is legal.
        context_json: What its outermost environment is made of.

    Attributes:
        operators: The program.
        context_json: As given.
        steps: Places of an operator's STEPs, by its place.
        inner: Place of its INNER, by its place.
        reduction: Place of its REDUCTION, by its place.
        arguments: Name and place of its ARGUMENTs, by its place.
        inputs: Place of each input of an operator by name, by the operator's place.
    """

    __slots__ = (
        "_context",
        "_expiring",
        "_last_use",
        "arguments",
        "context_json",
        "inner",
        "inputs",
        "operators",
        "reduction",
        "specs",
        "steps",
    )

    def __init__(self, operators: Program, context_json: str) -> None:
        self.operators, self.context_json = operators, context_json
        self.steps: dict[int, list[int]] = {}
        self.inner: dict[int, int] = {}
        self.reduction: dict[int, int] = {}
        self.arguments: dict[int, dict[str, int]] = {}
        self.inputs = {
            place: {given.name: number for number, given in enumerate(operator.inputs)}
            for place, operator in enumerate(operators)
            if operator.inputs
        }
        self.specs: dict[int, Any] = {}
        self._context: dict[str, str] | None = None
        for place, operator in enumerate(operators):
            self._file(place, operator)
        self._last_use: dict[int, dict[str, int]] = {}
        self._find_uses()
        self._expiring = {place: _by_step(uses) for place, uses in self._last_use.items()}

    def __deepcopy__(self, _: object) -> Loaded:
        return self

    @property
    def context(self) -> dict[str, str]:
        """The outermost environment: the context's top-level keys."""
        if self._context is None:
            self._context = members(self.context_json)
        return self._context

    def is_kept(self, place: int, step: int, name: str) -> bool:
        """Whether a later step of the sequence at `place` wants the content of its step number `step`."""
        return self._last_use.get(place, _NO_USES).get(name, -1) > step

    def expiring(self, place: int, step: int) -> list[str]:
        """Steps whose content nothing wants once step number `step` of the sequence at `place` has ended."""
        uses = self._expiring.get(place)
        return [] if uses is None else uses.get(step, [])

    def _file(self, place: int, operator: Operator) -> None:
        match operator.role:
            case Role.STEP:
                self.steps.setdefault(operator.parent, []).append(place)
            case Role.INNER:
                self.inner[operator.parent] = place
            case Role.REDUCTION:
                self.reduction[operator.parent] = place
            case Role.ARGUMENT:
                self.arguments.setdefault(operator.parent, {})[operator.name] = place
            case _:
                pass

    def _find_uses(self) -> None:
        """For every sequence, the last step that mentions an earlier one, anywhere inside it."""
        number = {place: n for places in self.steps.values() for n, place in enumerate(places)}
        of_sequence = {
            place: {self.operators[step].name for step in steps}
            for place, steps in self.steps.items()
            if self.operators[place].type is TaskType.SEQUENTIAL
        }
        for place, operator in enumerate(self.operators):
            for name in set(_mentions(operator)):
                here = place
                while here > 0:
                    parent = self.operators[here].parent
                    if name in of_sequence.get(parent, _NO_NAMES):
                        uses = self._last_use.setdefault(parent, {})
                        uses[name] = max(uses.get(name, -1), number[here])
                    here = parent


def members(context_json: str) -> dict[str, str]:
    """The top-level keys of a JSON object; a value that is no string is its canonical JSON."""
    if context_json in ("", "{}"):
        return {}
    try:
        value = exactly(context_json)
    except ValueError:
        return {}
    if not isinstance(value, dict):
        return {}
    found: dict[str, object] = value  # pyright: ignore[reportUnknownVariableType]
    return {
        whole(key): whole(item) if isinstance(item, str) and not is_number(item) else canonical(item)
        for key, item in found.items()
    }


def _mentions(operator: Operator) -> Iterator[str]:
    yield from names_in(operator.instructions)
    yield from names_in(operator.initial_value)
    for given in operator.inputs:
        if given.variable:
            yield given.variable
        else:
            yield from names_in(given.text)


def _by_step(uses: dict[str, int]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for name, step in uses.items():
        found.setdefault(step, []).append(name)
    return found
