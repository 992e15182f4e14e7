"""A world around one partition: users, arms and a clock that do what they like, in any order.

An action is three integers; what they mean depends on what exists when they are drawn. So every list of
actions is a valid history, shrinks well, and is the same history each time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from octolog.domain.arm import Health
from octolog.domain.assignment import AttemptAssignment
from octolog.domain.contract import ApproveTask, Step
from octolog.domain.errors import InvalidContract
from octolog.domain.facts import Fact
from octolog.domain.ids import ArmId, AttemptId, TaskId
from octolog.domain.shard import Input, OpenTree
from octolog.domain.upkeep import TimerFired, TimerKind
from octolog.domain.values import Limits, RetryPolicy
from octolog.testing import (
    ArmsTopic,
    ShardLog,
    amend,
    call_intended,
    call_used,
    cancel,
    capability,
    failure,
    heartbeat,
    partial,
    started,
    step,
    submit,
    success,
)

Action = tuple[int, int, int]

TREES: Final = 8
ARMS: Final = ("arm-a", "arm-b", "arm-c")
TAGS: Final = ("work", "plan", "judge")
HEALTHS: Final = (Health.HEALTHY, Health.DEGRADED, Health.UNAVAILABLE)
LEASE_MS: Final = 2_000
WINDOW: Final = 3


@dataclass(slots=True)
class Spent:
    """What an arm knows that it used of an attempt's allowance."""

    tokens: int = 0
    calls: int = 0
    cost_micros: int = 0
    open_calls: dict[int, tuple[int, int]] = field(default_factory=dict)


class World:
    """Users, arms and a clock around a `ShardLog`.

    Args:
        thrifty: Arms keep to their allowances.
    """

    def __init__(self, *, thrifty: bool = True) -> None:
        arms = ArmsTopic(*(capability(arm, *TAGS[: n + 1], cost_tier=n + 1) for n, arm in enumerate(ARMS)))
        self.log = ShardLog(arms, window=WINDOW, lease_ms=LEASE_MS)
        self.thrifty = thrifty
        self.sent: list[Input] = []
        self.repeats: list[tuple[Input, tuple[Fact, ...]]] = []
        self.assigned: list[AttemptAssignment] = []
        self.spent: dict[AttemptId, Spent] = {}
        self.entries: dict[TaskId, OpenTree] = {}
        self.held_back: list[Input] = []
        self.after_send: list[Callable[[], None]] = []

    def run(self, actions: list[Action]) -> None:
        """Do every action."""
        for kind, a, b in actions:
            _ACTIONS[kind % len(_ACTIONS)](self, a, b)

    def finish(self) -> None:
        """Bring every arm back, deliver what was held back, and let time pass until nothing is set."""
        for arm in ARMS:
            self.log.arms.register(capability(arm, *TAGS))
        self.log.registry_changed()
        for command in self.held_back:
            self.send(command)
        self.log.run_timers()
        self.look()

    def send(self, command: Input, *, skew_ms: int = 0) -> tuple[Fact, ...]:
        """Send a command, then send it again: what follows from the second is remembered."""
        at_ms = self.log.now_ms - skew_ms
        try:
            facts = self.log.send(command, at_ms=at_ms)
        except InvalidContract:
            return ()
        self.look()
        self.sent.append(command)
        self.repeats.append((command, self.log.send(command, at_ms=at_ms)))
        return facts

    def look(self) -> None:
        """Take what arms were told, and keep hold of trees after they closed."""
        for assignment in self.log.take_assignments():
            self.assigned.append(assignment)
            self.spent[assignment.attempt_id] = Spent()
        self.entries.update(self.log.shard.trees)
        for check in self.after_send:
            check()

    # What users do

    def submit(self, a: int, b: int) -> None:
        number = a % TREES
        tokens = (None, 300, 1_000, 5_000)[b % 4]
        limits = Limits(tokens, (None, None, 60_000)[b % 3], (None, 2_000)[b % 2], (None, 8)[a % 2])
        retry = RetryPolicy(max_attempts=1 + b % 3, base_ms=500, cap_ms=2_000)
        tags = ((), ("work",), ("judge",))[b % 3]
        steps = _plan(a // TREES, b)
        self.send(
            submit(
                f"task-{number}",
                budget=limits,
                retry=retry,
                priority=1 + b % 10,
                required_capabilities=tags,
                steps=steps,
            )
        )

    def subtask(self, a: int, b: int) -> None:
        tree = self._tree(a)
        if tree is None:
            return
        nodes = list(tree.tree.nodes)
        parent = nodes[b % len(nodes)]
        # Some ids clash on purpose: with a step, with another tree, with another subtask.
        name = (f"{parent}/sub-{a % 3}", f"{parent}/s1", f"task-{a % TREES}", f"sub-{b}")[a % 4]
        want = Limits(max_tokens=(None, 100, 700)[b % 3])
        steps = _plan(a, b) if b % 5 == 0 else ()
        self.send(submit(name, root=tree.tree.root_id, parent_task_id=parent, budget=want, steps=steps))

    def illegal(self, a: int, b: int) -> None:
        root = f"task-{a % TREES}"
        wrong = (
            submit(root, goal=" "),
            submit(root, priority=11),
            submit(root, budget=Limits(max_tokens=-1)),
            submit(root, steps=(step("s1", "s2"), step("s2"))),
            submit(f"{root}/x", root=root, parent_task_id="nobody"),
            ApproveTask(TaskId(root), TaskId(root), "tester"),
        )
        self.send(wrong[b % len(wrong)])

    def cancel(self, a: int, b: int) -> None:
        if b % 3 == 0:
            self.send(cancel(f"task-{a % TREES}", reason=f"reason {b % 2}"))

    def amend(self, a: int, b: int) -> None:
        entry = self._tree(a)
        if entry is None:
            return
        # A limit that was never set stays unset: an allowance without limit cannot be called back.
        limits = entry.tree.ledger.limits
        factor = (50, 80, 150, 300)[b % 4]
        changed = replace(limits, max_tokens=limits.max_tokens and limits.max_tokens * factor // 100)
        self.send(amend(changed, task_id=entry.tree.root_id, reason=f"because {b % 2}"))

    def again(self, a: int, b: int) -> None:
        if self.sent:
            self.send(self.sent[a % len(self.sent)])

    # What arms do

    def start(self, a: int, b: int) -> None:
        if (of := self._attempt(a)) is not None:
            self.send(started(of), skew_ms=b % 50)

    def beat(self, a: int, b: int) -> None:
        if (of := self._attempt(a)) is not None:
            self.send(heartbeat(of), skew_ms=b % 50)

    def intend(self, a: int, b: int) -> None:
        of = self._attempt(a)
        if of is None:
            return
        spent = self.spent[of.attempt_id]
        tokens = self._affordable(1 + b % 600, of.allowance.max_tokens, spent.tokens)
        cost = self._affordable(b % 300, of.allowance.max_cost_micros, spent.cost_micros)
        calls = self._affordable(1, of.allowance.max_llm_calls, spent.calls)
        if self.thrifty and (tokens == 0 or calls == 0):
            return  # the handler refuses the call
        spent.tokens, spent.cost_micros, spent.calls = (
            spent.tokens + tokens,
            spent.cost_micros + cost,
            spent.calls + calls,
        )
        number = spent.calls if calls else 1
        spent.open_calls[number] = tokens, cost
        self._maybe_late(b, call_intended(of, number, tokens=tokens, cost_micros=cost, calls=calls))

    def use(self, a: int, b: int) -> None:
        of = self._attempt(a)
        if of is None:
            return
        spent = self.spent[of.attempt_id]
        if not spent.open_calls:
            return
        number = next(iter(spent.open_calls))
        tokens, cost = spent.open_calls.pop(number)
        used = tokens - b % (tokens + 1)
        self._maybe_late(b // 7, call_used(of, number, tokens=used, cost_micros=cost, calls=1))

    def succeed(self, a: int, b: int) -> None:
        if (of := self._attempt(a)) is not None:
            used = self.spent[of.attempt_id].tokens
            tokens = used if self.thrifty else used + b % 900
            output = ('{"b":1}', '"ä"', "not json", "", '"\\ud800"', "NaN")[b % 6]
            self._maybe_late(b, success(of, output=output, tokens_used=tokens))

    def plan(self, a: int, b: int) -> None:
        if (of := self._attempt(a)) is not None:
            self._maybe_late(b, success(of, plan=_plan(1 + a % 6, b)))

    def fail(self, a: int, b: int) -> None:
        if (of := self._attempt(a)) is not None:
            report = partial(of) if b % 4 == 0 else failure(of, retryable=b % 4 != 1)
            self._maybe_late(b, report)

    def lie(self, a: int, b: int) -> None:
        of = self._attempt(a)
        if of is not None:
            other = replace(of, arm_id=ArmId(ARMS[b % 3]))
            self.send(success(other) if b % 2 else heartbeat(other))

    def deliver_late(self, a: int, b: int) -> None:
        if self.held_back:
            self.send(self.held_back.pop(a % len(self.held_back)))

    # What time and the registry do

    def wait(self, a: int, b: int) -> None:
        self.log.pass_time((50, 600, 2_100, 40_000)[a % 4])
        self.look()

    def early_timer(self, a: int, b: int) -> None:
        of = self._attempt(a)
        if of is not None:
            kind = (TimerKind.LEASE, TimerKind.TIMEOUT, TimerKind.RETRY)[b % 3]
            subject = of.task_id if kind is TimerKind.RETRY else of.attempt_id
            self.send(TimerFired(kind, of.root_task_id, subject, self.log.now_ms))

    def change_arm(self, a: int, b: int) -> None:
        arm = ARMS[a % 3]
        if b % 5 == 0:
            self.log.arms.retire(arm)
        elif b % 5 == 1:
            self.log.arms.register(capability(arm, *TAGS[: 1 + b % 3], cost_tier=1 + a % 5))
        else:
            self.log.arms.set_health(arm, HEALTHS[b % 3])
        if a % 2:  # the engine looks at once, or with its next input
            self.log.registry_changed()
            self.look()

    # Choices

    def _tree(self, a: int) -> OpenTree | None:
        trees = list(self.log.shard.trees.values())
        return trees[a % len(trees)] if trees else None

    def _attempt(self, a: int) -> AttemptAssignment | None:
        """Mostly one of the last few, seldom any that ever was."""
        if not self.assigned:
            return None
        recent = self.assigned[-6:] if a % 8 else self.assigned
        return recent[(a // 8) % len(recent)]

    def _affordable(self, wanted: int, limit: int | None, spent: int) -> int:
        return wanted if limit is None or not self.thrifty else max(0, min(wanted, limit - spent))

    def _maybe_late(self, b: int, report: Input) -> None:
        if b % 6 == 5:
            self.held_back.append(report)
        else:
            self.send(report)


def _plan(shape: int, b: int) -> tuple[Step, ...]:
    """No steps, a chain, a fan, or a diamond."""
    want = Limits(max_tokens=(None, 150)[b % 2])
    tags = ((), ("work",), ("plan",))[b % 3]
    fields = {"required_capabilities": tags, "budget": want}
    match shape % 4:
        case 1:
            return (step("s1", **fields), step("s2", "s1", **fields), step("s3", "s2", priority=1))
        case 2:
            return (step("s1", **fields), step("s2", priority=9), step("s3", **fields))
        case 3:
            return (
                step("s1", **fields),
                step("s2", "s1"),
                step("s3", "s1", **fields),
                step("s4", "s2", "s3", **fields),
            )
        case _:
            return ()


# A kind stands as often as it should happen.
_ACTIONS: Final[tuple[Callable[[World, int, int], None], ...]] = (
    World.submit,
    World.submit,
    World.succeed,
    World.succeed,
    World.succeed,
    World.succeed,
    World.plan,
    World.plan,
    World.fail,
    World.fail,
    World.intend,
    World.intend,
    World.use,
    World.use,
    World.start,
    World.beat,
    World.wait,
    World.wait,
    World.subtask,
    World.again,
    World.deliver_late,
    World.change_arm,
    World.early_timer,
    World.lie,
    World.amend,
    World.cancel,
    World.illegal,
)
