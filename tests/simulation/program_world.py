"""One program on the production code, with arms, a clock and crashes that do what a list of numbers says.

Every number chooses what happens next; when the list is at its end, the rest goes its ordinary way.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Any, Final

from octolog.domain import facts as f
from octolog.domain.assignment import AttemptAssignment
from octolog.domain.contract import SubmitTask
from octolog.domain.ids import AttemptId
from octolog.domain.operators import ATOMIC, ContextMode, Program, RecoveryKind, SubtaskRequest
from octolog.domain.reports import ExecutionResult
from octolog.domain.tasksystem import NamedText
from octolog.domain.values import Limits, RetryPolicy, TaskError, TaskErrorType
from octolog.testing import ArmsTopic, ShardLog, capability, failure, heartbeat, started, submit, success
from tests.simulation.programs import Arms
from tests.simulation.terms import Failed, Given, Reply, Request

LEASE_MS: Final = 2_000
ROOT: Final = "program"
STEPS: Final = 40_000
"""More than any program of these sizes needs: one that is not over by then never ends."""

_KINDS: Final = {RecoveryKind.DECOMPOSITION: "decomposition", RecoveryKind.ALTERNATIVE: "alternative"}


@dataclass(repr=False)
class Run:
    """A program on its way.

    Args:
        program: What the contract carries.
        context_json: The contract's context.
        arms: What arms answer.
        max_attempts: Of the retry policy.
        window: Attempts an arm may hold.
        choices: What happens next.
    """

    program: Program
    context_json: str
    arms: Arms
    max_attempts: int
    window: int
    choices: list[int]
    held: list[AttemptAssignment] = field(default_factory=list[AttemptAssignment])
    late: list[ExecutionResult] = field(default_factory=list[ExecutionResult])
    known: dict[AttemptId, AttemptAssignment] = field(default_factory=dict[AttemptId, AttemptAssignment])
    troubles: Counter[str] = field(default_factory=Counter[str])
    answers: dict[AttemptId, ExecutionResult] = field(default_factory=dict[AttemptId, ExecutionResult])

    def __post_init__(self) -> None:
        arms = ArmsTopic(*(capability(arm, timeout_seconds=300) for arm in ("arm-a", "arm-b")))
        self.log = ShardLog(arms, window=self.window, lease_ms=LEASE_MS)
        self.next = 0

    def __repr__(self) -> str:
        lines = [f"Run({self.context_json}, max_attempts={self.max_attempts}, window={self.window},"]
        lines += [f"{self.choices}", *shown(self.program)]
        lines += map(str, (*self.arms.behaviours, "recoveries:", *self.arms.recoveries))
        lines += [line for program in self.arms.programs for line in ("given:", *shown(program))]
        return "\n  ".join(lines) + ")"

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        printer.text(repr(self))  # or Hypothesis shows every field of every operator

    @property
    def request(self) -> SubmitTask:
        """The contract."""
        retry = RetryPolicy(max_attempts=self.max_attempts, base_ms=100, cap_ms=400)
        return submit(
            ROOT,
            operators=self.program,
            context_json=self.context_json,
            retry=retry,
            budget=Limits(max_tokens=10**7),
        )

    def begin(self) -> None:
        """Submit."""
        self._send(self.request)

    def run(self) -> None:
        """Submit, and go on until the tree is over."""
        self.begin()
        for _ in range(STEPS):
            if not self.log.shard.trees:
                break
            self.step()
        else:
            raise AssertionError("the program does not end")
        for result in self.late:
            self._send(result)
        self._send(self.request)

    def step(self) -> None:
        """One thing happens; nothing once the tree is over."""
        if not self.log.shard.trees:
            return
        choice = self._choose(24)
        if choice == 1 and self.answers:
            self._send(list(self.answers.values())[self._choose(len(self.answers))])
        elif choice == 2 and self.late:
            self._send(self.late.pop(self._choose(len(self.late))))
        elif choice in (3, 4):
            self._crash()
        elif choice == 5:
            self._send(self.request)
        elif choice == 6 and self.held:
            of = self.held[self._choose(len(self.held))]
            self._send(started(of))
            self._send(heartbeat(of))
        elif choice in (7, 8) and self.held:
            self._lose(self._choose(len(self.held)))
        elif self.held:
            self._answer(self.held.pop(self._choose(len(self.held))))
        else:
            self._wait()

    def _choose(self, count: int) -> int:
        """The next choice among `count`; 0 when there are no more."""
        if self.next >= len(self.choices):
            return 0
        self.next += 1
        return self.choices[self.next - 1] % count

    def _send(self, command: SubmitTask | ExecutionResult | object) -> None:
        self.log.send(command)  # type: ignore[arg-type]  # any input
        self._look()

    def _look(self) -> None:
        for entry in self.log.shard.trees.values():
            assert min(*entry.tree.ledger.reserved, *entry.tree.ledger.running) >= 0
        for assignment in self.log.take_assignments():
            known = self.known.setdefault(assignment.attempt_id, assignment)
            assert known == assignment, "an attempt was assigned twice, with another content"
            if known is assignment:
                self.held.append(assignment)

    def _wait(self) -> None:
        """Let time pass to the next timer; arms with nothing to do have nothing to lose by it."""
        due_ms = self.log.shard.next_due_ms()
        assert due_ms is not None, "nothing is held and nothing is awaited, and the tree is open"
        self.log.pass_time(max(0, due_ms - self.log.now_ms))
        self._look()

    def _answer(self, of: AttemptAssignment) -> None:
        result = self._result(of)
        self.answers[of.attempt_id] = result
        self._send(result)

    def _result(self, of: AttemptAssignment) -> ExecutionResult:
        task_id = of.task_id
        flaky = self.arms.of(task_id).flaky
        if self.troubles[task_id] < min(flaky, self.max_attempts):
            self.troubles[task_id] += 1
            return failure(of, "for a moment", retryable=True)
        given = given_of(of)
        number = 0 if of.continuation is None else of.continuation.number
        return _reported(of, self.arms(task_id, given, number))

    def _lose(self, index: int) -> None:
        """An arm falls silent until its lease is over; its word comes later, or never."""
        of = self.held[index]
        if self._expired(of) or self.troubles[of.task_id] + 1 >= self.max_attempts:
            return  # one trouble more would change how the task ends
        del self.held[index]
        self.troubles[of.task_id] += 1
        self.late.append(success(of, '"too late"'))
        for other in self.held:
            self._send(heartbeat(other))
        self._pass_lease()

    def _expired(self, of: AttemptAssignment) -> bool:
        entry = self.log.shard.trees.get(of.root_task_id)
        return entry is None or of.attempt_id not in entry.tree.attempts

    def _pass_lease(self) -> None:
        """A lease's length in small steps, with signs of life from every arm but the silent one."""
        for _ in range(6):
            self.log.pass_time(LEASE_MS // 4)
            self._look()
            for other in self.held:
                self._send(heartbeat(other))

    def _crash(self) -> None:
        """The process dies after some input; another restores the partition and takes the rest again."""
        old = self.log
        kept = max(1, len(old.received) - self._choose(4))
        causes = {(record.topic, record.offset) for record in old.received[:kept]}
        facts = sum((link.cause_topic, link.cause_offset) in causes for _, link, _ in old.log)
        snapshot = old.snapshot() if facts == len(old.log) and self._choose(2) else None
        again = old.restored(facts, snapshot)
        again.received, again.now_ms = old.received[:kept], old.now_ms
        again._offsets = dict(old._offsets)
        for record in old.received[kept:]:
            again.consume(record, again.arms.now)
        assert again.log == old.log, "the inputs taken again gave other facts"
        self.log = again
        self._look()


def given_of(of: AttemptAssignment) -> Given:
    """What an arm is given, as the interpreter words it."""
    kind = "task" if of.recovery is None else _KINDS[of.recovery.kind]
    inputs = tuple((given.step_id, json.loads(given.output)) for given in of.inputs)
    if kind != "task":
        return Given(kind, "", (), of.context_json)
    memory = of.context_mode in (ContextMode.ACCUMULATE, ContextMode.FRESH)
    if of.continuation is None:
        return Given(kind, of.instructions, inputs, of.context_json, memory=memory)
    content, remembered = of.continuation.content, of.continuation.continuation_json
    return Given(kind, of.instructions, inputs, of.context_json, content, remembered, memory)


def _reported(of: AttemptAssignment, reply: Reply) -> ExecutionResult:
    match reply:
        case Request():
            inputs = tuple(NamedText(name, text) for name, text in reply.inputs)
            request = SubtaskRequest(reply.goal, reply.instructions, inputs)
            return success(of, "null", subtask=request, continuation_json=reply.remember)
        case Failed() if reply.union or reply.code == "TASK_FAILURE":
            error = TaskError(TaskErrorType(reply.code), reply.message)
            return failure(of, reply.message, error_code=reply.code, task_error=error)
        case Failed():
            return failure(of, reply.message, error_code=reply.code)
        case _:
            return success(of, reply.output, operators=reply.program)


def ended(log: ShardLog) -> dict[str, tuple[int, f.TaskCompleted | f.TaskFailed]]:
    """Every task's end, with its place in the log."""
    found: dict[str, tuple[int, f.TaskCompleted | f.TaskFailed]] = {}
    for place, fact in enumerate(log.facts):
        if isinstance(fact, f.TaskCompleted | f.TaskFailed):
            assert fact.task_id not in found, f"{fact.task_id} ends twice"
            found[fact.task_id] = place, fact
    return found


def shown(program: Program) -> list[str]:
    """A program, one line for each operator, without its defaults."""
    lines = list[str]()
    for place, op in enumerate(program):
        told = {field.name: getattr(op, field.name) for field in fields(op) if field.name != "goal"}
        usual = {name: value for name, value in told.items() if value != getattr(ATOMIC, name)}
        usual["inputs"] = [f"{given.name}={given.variable or repr(given.text)}" for given in op.inputs]
        lines.append(f"[{place}] " + " ".join(f"{name}={value}" for name, value in usual.items()))
    return lines
