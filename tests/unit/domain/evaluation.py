"""Programs in a partition in memory, whose arm the test is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from octolog.domain import facts as f
from octolog.domain.assignment import AttemptAssignment
from octolog.domain.operators import (
    ATOMIC,
    Operator,
    OperatorInput,
    Role,
)
from octolog.domain.tasksystem import AtomicTaskSubtype, TaskType
from octolog.domain.values import TaskError, TaskErrorType
from octolog.testing import ArmsTopic, ShardLog, capability, failure, submit, success

SEQUENTIAL, MAP, REDUCE = TaskType.SEQUENTIAL, TaskType.MAP, TaskType.REDUCE
EXHAUSTED = TaskError(TaskErrorType.RESOURCE_EXHAUSTION, "turns: 3 of 3", resource="turns", used=3, limit=3)
UNPARSABLE = TaskError(TaskErrorType.XML_PARSE_ERROR, "unclosed tag", location="3:7")


def root(kind: TaskType = TaskType.ATOMIC, **fields: Any) -> Operator:
    return _operator(type=kind, **fields)


def step(name: str, parent: int = 0, role: Role = Role.STEP, **fields: Any) -> Operator:
    return _operator(name=name, parent=parent, role=role, **fields)


def _operator(**fields: Any) -> Operator:
    compound = fields.get("type", TaskType.ATOMIC) is not TaskType.ATOMIC
    return replace(ATOMIC, **({"subtype": AtomicTaskSubtype.NONE if compound else ATOMIC.subtype} | fields))


def inputs(**texts: str) -> tuple[OperatorInput, ...]:
    return tuple(OperatorInput(name, text) for name, text in texts.items())


class Evaluation:
    """A program in a partition in memory, whose arm the test is."""

    def __init__(self, *program: Operator, **contract: Any) -> None:
        self.log = ShardLog(ArmsTopic(capability("arm-a")))
        self.log.send(submit(operators=program, **contract))
        self.open: dict[str, AttemptAssignment] = {}
        self.given: dict[str, AttemptAssignment] = {}
        self._take()

    def answer(self, task: str, output: str = '"done"', **fields: Any) -> None:
        self.log.send(success(self.open.pop(_id(task)), output, **fields))
        self._take()

    def fail(self, task: str, task_error: TaskError | None = None, **fields: Any) -> None:
        if task_error is not None:
            fields = {"error_code": str(task_error.type), "task_error": task_error} | fields
        self.log.send(failure(self.open.pop(_id(task)), **fields))
        self._take()

    @property
    def waiting(self) -> list[str]:
        return [task_id.removeprefix("task-1").removeprefix("/") for task_id in self.open]

    @property
    def end(self) -> f.Fact:
        return self.log.facts[-1]

    def output(self) -> str:
        end = self.end
        assert isinstance(end, f.TaskCompleted), end
        assert end.task_id == "task-1"
        return end.output

    def failed(self, task: str = "") -> f.TaskFailed:
        return next(x for x in self.log.facts if isinstance(x, f.TaskFailed) and x.task_id == _id(task))

    def started(self) -> list[str]:
        return [x.task_id for x in self.log.facts if isinstance(x, f.OperatorStarted)]

    def _take(self) -> None:
        for assignment in self.log.take_assignments():
            self.open[assignment.task_id] = self.given[assignment.task_id] = assignment
        self.log.verify()


def _id(task: str) -> str:
    return f"task-1/{task}" if task else "task-1"


def five(**fields: Any) -> tuple[Operator, ...]:
    return (root(SEQUENTIAL, **fields), *(step(f"s{n}") for n in range(5)))
