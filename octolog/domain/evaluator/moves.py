"""What is to be done next while a decision of the evaluator lasts.

One fact leads to another: a step ends, so the next begins, is empty, ends, and its parent with it. Each of these
is a move on a stack, never a call in a call: a sequence of ten thousand empty maps needs no deep stack of Python's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from octolog.domain.evaluator.state import Fault
from octolog.domain.ids import TaskId
from octolog.domain.operators import Role


@dataclass(frozen=True, slots=True)
class Start:
    """Begin an operator.

    Attributes:
        task_id: Its task.
        parent: The task it is part of; None: the tree's root.
        program: The root task of its program.
        position: Its place there.
        index: Its place among its siblings, or its input's.
        input_name: The input it works on.
    """

    task_id: TaskId
    parent: TaskId | None
    program: TaskId
    position: int
    index: int = 0
    input_name: str = ""


@dataclass(frozen=True, slots=True)
class Begin:
    """Go on with an operator whose ARGUMENTs are there."""

    task_id: TaskId


@dataclass(frozen=True, slots=True)
class Look:
    """See what a child's end means to its operator.

    Attributes:
        task_id: The operator's task.
        role: What the child was to it.
    """

    task_id: TaskId
    role: Role


@dataclass(frozen=True, slots=True)
class Complete:
    """Complete a task whose own work is done, unless something else below it is open."""

    task_id: TaskId


@dataclass(frozen=True, slots=True)
class Fail:
    """Fail a task."""

    task_id: TaskId
    fault: Fault


Move: TypeAlias = Start | Begin | Look | Complete | Fail
