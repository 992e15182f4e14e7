"""`given(history).when(command).then(facts)`: one rule of a task tree in one line.

Facts are compared, never state: state is an implementation, facts are the storage format.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from octolog.domain.facts import Candidate, Fact, RequestRejected, TaskSubmitted
from octolog.domain.ids import ArmId, TaskId
from octolog.domain.task.commands import AssignAttempt, DeferRouting, TreeCommand
from octolog.domain.task.decide import advance
from octolog.domain.task.evolve import evolve
from octolog.domain.task.state import Tree, absent
from octolog.testing.requests import ROOT

START_MS: Final = 1_000_000
"""When a test's commands come unless it says: milliseconds since the epoch, long after any default's reach."""

Timed = TreeCommand | tuple[TreeCommand, int]
"""A command, or a command with its time in milliseconds since the epoch."""


class Decided:
    """What followed from a command; compare it with what should."""

    def __init__(self, command: TreeCommand, facts: tuple[Fact, ...]) -> None:
        self._command, self.facts = command, facts

    def then(self, *expected: Fact) -> tuple[Fact, ...]:
        """Exactly these facts, in this order; returns them.

        Raises:
            AssertionError: When others followed; names the first that differs.
        """
        for number, (fact, wanted) in enumerate(zip(self.facts, expected, strict=False)):
            if fact != wanted:
                self._fail(f"fact {number} is\n  {fact}\nnot\n  {wanted}")
        if len(self.facts) != len(expected):
            self._fail(f"{len(self.facts)} facts, not {len(expected)}: {self._kinds()}")
        return self.facts

    def then_kinds(self, *expected: type[Fact]) -> tuple[Fact, ...]:
        """Exactly facts of these classes, in this order; returns them for a closer look.

        Raises:
            AssertionError: When others followed.
        """
        if tuple(map(type, self.facts)) != expected:
            self._fail(f"{self._kinds()}, not {', '.join(kind.__name__ for kind in expected)}")
        return self.facts

    def then_nothing(self) -> None:
        """No fact at all.

        Raises:
            AssertionError: When some followed.
        """
        if self.facts:
            self._fail(f"{self._kinds()}, not nothing")

    def then_refused(self, code: str, field: str | None = None) -> RequestRejected:
        """One fact, a refusal with this code, and this field if one is named; returns it.

        Raises:
            AssertionError: When the command was not refused, or for another reason.
        """
        if len(self.facts) != 1 or not isinstance(self.facts[0], RequestRejected):
            self._fail(f"{self._kinds() or 'nothing'}, not a refusal")
        refusal = self.facts[0]
        assert isinstance(refusal, RequestRejected)  # noqa: S101 -- for the type checker; judged above
        if refusal.code != code or field not in (None, refusal.field):
            self._fail(f"refused with {refusal.code} at {refusal.field!r}, not {code} at {field!r}")
        return refusal

    def _kinds(self) -> str:
        return ", ".join(type(fact).__name__ for fact in self.facts)

    def _fail(self, found: str) -> None:
        raise AssertionError(f"from {type(self._command).__name__} followed {found}")


@dataclass(frozen=True, slots=True)
class Given:
    """A tree with a history.

    Attributes:
        tree: Its state; never changed by `when`.
    """

    tree: Tree

    def when(self, command: TreeCommand, *, at_ms: int = START_MS) -> Decided:
        """Decide a command at a time, in milliseconds since the epoch."""
        tree = copy.deepcopy(self.tree)
        return Decided(command, tuple(advance(tree, command, at_ms)))


def given(*facts: Fact, root: str | None = None) -> Given:
    """A tree in which these facts happened.

    Args:
        facts: The history; without any, the tree does not exist yet.
        root: The tree; None: the one its first submission names, or `task-1`.
    """
    tree = absent(TaskId(root or _root_of(facts)))
    for fact in facts:
        evolve(tree, fact)
    return Given(tree)


def history(*commands: Timed, root: str = ROOT) -> tuple[Fact, ...]:
    """The facts that follow from commands, one after the other: a history for `given`."""
    tree = absent(TaskId(root))
    facts: list[Fact] = []
    for item in commands:
        command, at_ms = item if isinstance(item, tuple) else (item, START_MS)
        facts += advance(tree, command, at_ms)
    return tuple(facts)


def assign(
    task_id: str = ROOT, arm: str = "arm-a", *, lease_ms: int = 10_000, timeout_ms: int = 30_000
) -> AssignAttempt:
    """What the scheduler asks of a tree when it is a task's turn."""
    candidates = (Candidate(ArmId(arm), 1.0, 1),)
    return AssignAttempt(TaskId(task_id), ArmId(arm), candidates, lease_ms, timeout_ms)


def defer(task_id: str = ROOT, reason: str = "no arm is registered") -> DeferRouting:
    """What the scheduler asks of a tree when no arm can take a task."""
    return DeferRouting(TaskId(task_id), reason)


def _root_of(facts: Iterable[Fact]) -> str:
    return next((fact.contract.task_id for fact in facts if isinstance(fact, TaskSubmitted)), ROOT)
