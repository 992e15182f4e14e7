"""A program on the production code in memory, from its XML to its end, with arms that a test writes as a function."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TypeAlias

from octolog.domain import facts as f
from octolog.domain.assignment import AttemptAssignment
from octolog.domain.ids import TaskId
from octolog.domain.operators import Program
from octolog.domain.reports import ExecutionResult
from octolog.domain.values import RetryPolicy, TaskError
from octolog.testing import ArmsTopic, ShardLog, capability, failure, submit
from schemas.xml.reader import read_program

ROOT = "job"
Answer: TypeAlias = Callable[[AttemptAssignment], ExecutionResult]


def given(of: AttemptAssignment) -> dict[str, str]:
    """An attempt's inputs by name."""
    return {item.step_id: json.loads(item.output) for item in of.inputs}


def said(content: str, **notes: str) -> str:
    """A task result as an arm writes it."""
    return json.dumps({"content": content, "notes": {"dataUsage": "none", **notes}})


def broken(of: AttemptAssignment, error: TaskError, output: str = "") -> ExecutionResult:
    """An attempt that ends with one of the task system's errors."""
    return failure(of, error.message, error_code=str(error.type), task_error=error, output=output)


class Evaluation:
    """A program's run. Arms answer in the order they were asked, unless `step` is called by hand.

    Args:
        program: An operator document, or a program.
        answer: What an arm answers.
        context_json: The contract's context.

    Attributes:
        asked: Every attempt that an arm was asked for, in order.
        waiting: Those that were not answered yet.
    """

    def __init__(self, program: str | Program, answer: Answer, *, context_json: str = "{}") -> None:
        self.log = ShardLog(ArmsTopic(capability("arm-a")))
        self.answer = answer
        self.asked: list[AttemptAssignment] = []
        self.waiting: list[AttemptAssignment] = []
        operators = read_program(program) if isinstance(program, str) else program
        retry = RetryPolicy(max_attempts=2, base_ms=10, cap_ms=10)
        self.log.send(submit(ROOT, operators=operators, context_json=context_json, retry=retry))
        self._look()

    def run(self) -> Evaluation:
        """Answer until the tree is over."""
        while self.log.shard.trees:
            if self.waiting:
                self.step(0)
            else:
                self.log.pass_time(100)
                self._look()
        assert self.log.replayed().log == self.log.log
        return self

    def step(self, index: int) -> None:
        """Answer one of those that wait."""
        self.log.send(self.answer(self.waiting.pop(index)))
        self._look()

    def ids(self) -> list[str]:
        """Tasks that arms were asked for, in order."""
        return [of.task_id for of in self.asked]

    def of(self, name: str) -> AttemptAssignment:
        """The first attempt at a task below the root, or at the root for the empty name."""
        return next(of for of in self.asked if of.task_id == (f"{ROOT}/{name}" if name else ROOT))

    def facts(self, kind: type[f.Fact]) -> list[f.Fact]:
        """The facts of one kind."""
        return [fact for fact in self.log.facts if isinstance(fact, kind)]

    def failure(self, name: str = "") -> f.TaskFailed:
        """How a task failed."""
        task_id = TaskId(f"{ROOT}/{name}" if name else ROOT)
        [found] = [x for x in self.log.facts if isinstance(x, f.TaskFailed) and x.task_id == task_id]
        return found

    def output(self, name: str = "") -> str:
        """What a task gave."""
        task_id = TaskId(f"{ROOT}/{name}" if name else ROOT)
        [end] = [x for x in self.log.facts if isinstance(x, f.TaskCompleted) and x.task_id == task_id]
        if end.output or end.attempt_id is None:
            return end.output
        made = (x for x in self.log.facts if isinstance(x, f.AttemptEnded) and x.attempt_id == end.attempt_id)
        return next(made).output

    def _look(self) -> None:
        taken = self.log.take_assignments()
        self.asked += taken
        self.waiting += taken
