"""Budgets inside budgets, on the pure decider: whatever arms use, lose and repeat, nothing is overspent."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from octolog.domain import facts as f
from octolog.domain.assignment import AttemptAssignment
from octolog.domain.task.ledger import ZERO, Vector, add, bounds, vector
from octolog.domain.values import Limits, RetryPolicy
from octolog.testing import (
    ArmsTopic,
    ShardLog,
    call_intended,
    call_used,
    capability,
    failure,
    step,
    submit,
    success,
)

TOKENS = st.none() | st.integers(1, 900)
WANTS = st.builds(Limits, TOKENS, st.none(), st.none() | st.integers(0, 900), st.none() | st.integers(0, 4))
MOVES = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 50), st.integers(0, 999)), max_size=120)
RETRY = RetryPolicy(max_attempts=6, base_ms=100, cap_ms=500)


class Spender:
    """Arms that keep to their allowances, and do everything else that arms can do."""

    def __init__(self, wants: list[Limits], limits: Limits) -> None:
        self.log = ShardLog(ArmsTopic(capability("arm-a", "work")), lease_ms=1_000)
        steps = tuple(step(f"c{n}", budget=want) for n, want in enumerate(wants))
        self.log.send(submit(budget=limits, steps=steps, nested_budgets=True, retry=RETRY))
        self.held: list[AttemptAssignment] = []
        self.used: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
        self.calls: dict[str, dict[int, int]] = defaultdict(dict)

    def move(self, kind: int, which: int, amount: int) -> None:
        """Do one thing."""
        self.held += self.log.take_assignments()
        if not self.held:
            return
        of = self.held[which % len(self.held)]
        match kind:
            case 0 | 1 | 2:
                self._call(of, amount)
            case 3:
                self._settle(of)
            case 4:
                self.log.send(success(of))
            case 5:
                self.log.send(failure(of, retryable=True))
            case 6:
                plan = (step("x", budget=Limits(max_tokens=1 + amount)), step("y"))
                self.log.send(success(of, "[]", plan=plan))
            case _:
                self.log.pass_time(1_200)

    def _call(self, of: AttemptAssignment, amount: int) -> None:
        spent, limit = self.used[of.attempt_id], of.allowance
        ask = [amount, amount // 2, 1]
        most = (limit.max_tokens, limit.max_cost_micros, limit.max_llm_calls)
        if any(
            cap is not None and have + want > cap for have, want, cap in zip(spent, ask, most, strict=True)
        ):
            return  # the handler refuses it
        self.used[of.attempt_id] = [have + want for have, want in zip(spent, ask, strict=True)]
        number = len(self.calls[of.attempt_id]) + 1
        self.calls[of.attempt_id][number] = amount
        self.log.send(call_intended(of, number, tokens=amount, cost_micros=amount // 2, calls=1))

    def _settle(self, of: AttemptAssignment) -> None:
        for number, amount in self.calls[of.attempt_id].items():
            self.log.send(call_used(of, number, tokens=amount // 3, cost_micros=amount // 4, calls=1))


@given(wants=st.lists(WANTS, min_size=1, max_size=12), limits=WANTS, moves=MOVES)
def test_nothing_is_overspent_at_any_level(
    wants: list[Limits], limits: Limits, moves: list[tuple[int, int, int]]
) -> None:
    spender = Spender(wants, limits)
    for move in moves:
        spender.move(*move)
    spender.log.run_timers()

    log: Any = spender.log
    ended = {x.attempt_id: x for x in log.facts if isinstance(x, f.AttemptEnded)}
    entered: dict[str, dict[int, Vector]] = defaultdict(dict)
    for x in log.facts:
        if isinstance(x, f.UsageRecorded):
            entered[x.attempt_id][x.call_number] = vector(x.amounts)
    charged: dict[str, Vector] = defaultdict(lambda: ZERO)
    for attempt_id, end in ended.items():
        tokens, _, cost, calls = vector(end.settled)
        sums = ZERO
        for amounts in entered[attempt_id].values():
            sums = add(sums, amounts)
        assert (tokens, cost, calls) == (sums[0], sums[2], sums[3])
        path = str(end.task_id)
        while path:
            charged[path] = add(charged[path], (tokens, 0, cost, calls))
            path = path.rpartition("/")[0]
    bound = {"task-1": limits, **{f"task-1/c{n}": want for n, want in enumerate(wants)}}
    for task_id, most in bound.items():
        for used, cap in zip(charged[task_id], bounds(most), strict=True):
            assert cap is None or used <= cap
    if not log.shard.trees:
        assert {x.attempt_id for x in log.facts if isinstance(x, f.AttemptAssigned)} == ended.keys()
    for entry in log.shard.trees.values():
        tree = entry.tree
        assert (tree.ledger.reserved == ZERO) == (not any(a.reserved != ZERO for a in tree.attempts.values()))
        for node in tree.nodes.values():
            assert node.account is None or all(free is None or free >= 0 for free in node.account.free())
