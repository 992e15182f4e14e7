"""The port to memory: what is known that bears on a task. The context mode alone decides whether it is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson

from arms.arm import Fail
from octolog.domain.assignment import AttemptAssignment, Continuation
from octolog.domain.errors import StoreUnavailable
from octolog.domain.operators import ContextMode
from octolog.domain.reports import ContextRecalled, RecalledMemory
from octolog.domain.rules import MAX_RECALLED_CHARS
from octolog.domain.values import TaskError, TaskErrorType

__all__ = ["Match", "Memory", "NoContext", "Recollection", "Remembered", "recall", "recalled", "recollected"]

_MAX_MATCHES: Final = 20
"""Paths that are named to a model; who finds more has not looked for what bears on the task."""


@dataclass(frozen=True, slots=True)
class Match:
    """Something that bears on a task.

    Attributes:
        path: Where it is.
        note: Why it bears on it; may be empty.
        found: Which memory it is, where the log has it.
    """

    path: str
    note: str = ""
    found: RecalledMemory | None = None


@dataclass(frozen=True, slots=True)
class Remembered:
    """What memory says about a task (seed B, AssociativeMatch).

    Attributes:
        context: What the matches contribute, in words.
        matches: The most relevant first.
        truncated: True when it knows more than it says.
    """

    context: str
    matches: tuple[Match, ...] = ()
    truncated: bool = False


class NoContext(Fail):
    """Memory does not answer, and an attempt without what it should know is not made."""

    retryable = True

    def __init__(self, cause: StoreUnavailable) -> None:
        error = TaskError(TaskErrorType.TASK_FAILURE, str(cause), reason="context_retrieval_failure")
        super().__init__(str(cause), "CONTEXT_UNAVAILABLE", task_error=error)


class Memory(Protocol):
    """Finds what bears on a task; never changes anything."""

    async def relevant(self, task: str, history_json: str) -> Remembered | None:
        """What bears on a task; None: there is nobody to ask.

        Args:
            task: What the task is told.
            history_json: What earlier steps gave, as in an assignment's context; empty: it is not to be looked at.

        Raises:
            StoreUnavailable: It does not answer.
        """
        ...


async def recall(memory: Memory | None, given: AttemptAssignment) -> Remembered | None:
    """Ask memory, if the task's context mode says so; None: it is not asked.

    A task that inherits its parent's context never asks, nor does one whose fresh context is disabled. One that
    accumulates asks with the steps before it; one with a context of its own asks without. A task outside programs, a
    recovery and a continuation do not ask.

    Raises:
        NoContext: Memory does not answer.
    """
    if memory is None or given.recovery is not None or given.continuation is not None:
        return None
    task = given.instructions or given.goal
    try:
        match given.context_mode:
            case ContextMode.ACCUMULATE:
                return await memory.relevant(task, given.context_json)
            case ContextMode.FRESH:
                return await memory.relevant(task, "")
            case _:
                return None
    except StoreUnavailable as error:
        raise NoContext(error) from error


def recalled(given: AttemptAssignment, remembered: Remembered) -> ContextRecalled:
    """What an attempt is given of what memory said, bounded, as the log has it."""
    matches = remembered.matches[:_MAX_MATCHES]
    named = (f"- {match.path}{': ' + match.note if match.note else ''}" for match in matches)
    text = "\n".join((remembered.context, *named)).strip()
    return ContextRecalled(
        given.root_task_id,
        given.task_id,
        given.attempt_id,
        given.arm_id,
        given.context_mode is ContextMode.ACCUMULATE,
        text[:MAX_RECALLED_CHARS],
        remembered.truncated or len(text) > MAX_RECALLED_CHARS or len(remembered.matches) > _MAX_MATCHES,
        tuple(match.found for match in matches if match.found is not None),
    )


@dataclass(frozen=True, slots=True)
class Recollection:
    """What a conversation was told from memory; it stays so over its subtasks.

    Attributes:
        text: As it was told; empty: nothing.
        sources: Which memories, for its provenance.
        cut: Memory knows more than that.
    """

    text: str = ""
    sources: tuple[str, ...] = ()
    cut: bool = False

    def kept(self) -> dict[str, Any]:
        """What a continuation has of it; nothing where there was nothing."""
        if not self.text:
            return {}
        return {"recalled": {"cut": self.cut, "sources": self.sources, "text": self.text}}


def recollected(waiting: Continuation) -> Recollection:
    """What was told before the subtask."""
    kept = orjson.loads(waiting.continuation_json).get("recalled")
    if not isinstance(kept, dict):
        return Recollection()
    return Recollection(str(kept["text"]), tuple(map(str, kept["sources"])), bool(kept["cut"]))
