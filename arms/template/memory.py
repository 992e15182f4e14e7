"""The port to memory: what is known that bears on a task. The context mode alone decides whether it is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from octolog.domain.assignment import AttemptAssignment
from octolog.domain.operators import ContextMode

__all__ = ["Match", "Memory", "Remembered", "recall"]


@dataclass(frozen=True, slots=True)
class Match:
    """Something that bears on a task.

    Attributes:
        path: Where it is.
        note: Why it bears on it; may be empty.
    """

    path: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Remembered:
    """What memory says about a task (seed B, AssociativeMatch).

    Attributes:
        context: What the matches contribute, in words.
        matches: The most relevant first.
    """

    context: str
    matches: tuple[Match, ...] = ()


class Memory(Protocol):
    """Finds what bears on a task; never changes anything."""

    async def relevant(self, task: str, history_json: str) -> Remembered:
        """What bears on a task.

        Args:
            task: What the task is told.
            history_json: What earlier steps gave, as in an assignment's context; empty: it is not to be looked at.
        """
        ...


async def recall(memory: Memory | None, given: AttemptAssignment) -> Remembered | None:
    """Ask memory, if the task's context mode says so; None: it is not asked.

    A task that inherits its parent's context never asks. One that accumulates asks with the steps before it; one with
    a context of its own asks without. A task outside programs, a recovery and a continuation do not ask.
    """
    if memory is None or given.recovery is not None or given.continuation is not None:
        return None
    task = given.instructions or given.goal
    match given.context_mode:
        case ContextMode.ACCUMULATE:
            return await memory.relevant(task, given.context_json)
        case ContextMode.FRESH:
            return await memory.relevant(task, "")
        case _:
            return None
