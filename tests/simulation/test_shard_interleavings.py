"""Whatever users, arms, timers and the registry do, in any order: what must hold of a partition holds.

`OCTOLOG_SIM_EXAMPLES=1000000 pytest tests/simulation` runs as many histories per rule.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from typing import Final

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from octolog.domain import facts as f
from octolog.domain.ids import AttemptId, TaskId
from octolog.domain.task.evolve import evolve
from octolog.domain.task.ledger import ZERO, bounds, vector
from octolog.domain.task.state import absent
from octolog.domain.values import Limits
from tests.simulation.world import WINDOW, Action, World

EXAMPLES: Final = int(os.environ.get("OCTOLOG_SIM_EXAMPLES", "60"))

simulated = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    print_blob=True,
    phases=[phase for phase in Phase if phase is not Phase.explain],
)

NUMBER: Final = st.integers(0, 999)
HISTORIES: Final = st.lists(st.tuples(st.integers(0, 26), NUMBER, NUMBER), min_size=8, max_size=70)


def lived(actions: list[Action], *, thrifty: bool = True) -> World:
    world = World(thrifty=thrifty)
    world.run(actions)
    return world


@simulated
@given(HISTORIES, st.booleans())
def test_the_chain_of_every_tree_is_gapless_and_its_hashes_fit(actions: list[Action], thrifty: bool) -> None:
    lived(actions, thrifty=thrifty).log.verify()


@simulated
@given(HISTORIES, st.booleans())
def test_the_same_input_twice_records_nothing_the_second_time(actions: list[Action], thrifty: bool) -> None:
    for command, facts in lived(actions, thrifty=thrifty).repeats:
        assert facts == (), command


@simulated
@given(HISTORIES)
def test_no_attempt_is_assigned_twice_and_none_ends_twice(actions: list[Action]) -> None:
    facts = lived(actions).log.facts
    assigned = Counter(fact.attempt_id for fact in facts if isinstance(fact, f.AttemptAssigned))
    ended = Counter(fact.attempt_id for fact in facts if isinstance(fact, f.AttemptEnded))
    assert set(assigned.values()) <= {1}
    assert set(ended.values()) <= {1}
    assert set(ended) <= set(assigned)


@simulated
@given(HISTORIES)
def test_no_arm_holds_more_than_its_window(actions: list[Action]) -> None:
    holder: dict[AttemptId, str] = {}
    for fact in lived(actions).log.facts:
        if isinstance(fact, f.AttemptAssigned):
            holder[fact.attempt_id] = fact.arm_id
        elif isinstance(fact, f.AttemptEnded):
            holder.pop(fact.attempt_id)
        assert max(Counter(holder.values()).values(), default=0) <= WINDOW


@simulated
@given(HISTORIES)
def test_settled_and_reserved_never_pass_a_limit_while_arms_keep_their_allowances(
    actions: list[Action],
) -> None:
    """Counted from the facts alone, by another hand than the ledger's."""
    world = lived(actions)
    limits: dict[TaskId, Limits] = {}
    held: dict[AttemptId, tuple[int, ...]] = {}
    tree_of: dict[AttemptId, TaskId] = {}
    settled: dict[TaskId, tuple[int, ...]] = {}
    for fact, link, _ in world.log.log:
        root = link.root_task_id
        match fact:
            case f.TaskSubmitted() if fact.contract.parent_task_id is None:
                limits[root], settled[root] = fact.contract.budget, ZERO
            case f.BudgetAmended():
                limits[root] = fact.limits
            case f.AttemptAssigned():
                held[fact.attempt_id] = tuple(part or 0 for part in bounds(fact.allowance))
                tree_of[fact.attempt_id] = root
            case f.AttemptEnded():
                del held[fact.attempt_id]
                settled[root] = tuple(map(sum, zip(settled[root], vector(fact.settled), strict=True)))
            case _:
                continue
        for part, limit in enumerate(bounds(limits[root])):
            reserved = sum(parts[part] for attempt, parts in held.items() if tree_of[attempt] == root)
            assert limit is None or settled[root][part] + reserved <= limit, (fact, part)


@simulated
@given(HISTORIES, st.booleans())
def test_nothing_is_reserved_or_running_when_a_tree_is_over(actions: list[Action], thrifty: bool) -> None:
    world = lived(actions, thrifty=thrifty)
    for entry in world.entries.values():
        ledger = entry.tree.ledger
        if entry.tree.closed:
            assert (ledger.reserved, ledger.running, entry.tree.attempts) == (ZERO, ZERO, {})
        assert min(ledger.reserved) >= 0
        assert min(ledger.running) >= 0


@simulated
@given(HISTORIES, st.booleans())
def test_every_tree_ends_once_arms_are_back_and_time_has_passed(actions: list[Action], thrifty: bool) -> None:
    world = lived(actions, thrifty=thrifty)
    world.finish()
    assert world.log.shard.trees == {}
    world.log.verify()
    submitted = {link.root_task_id for fact, link, _ in world.log.log if isinstance(fact, f.TaskSubmitted)}
    ends = Counter(
        link.root_task_id
        for fact, link, _ in world.log.log
        if isinstance(fact, f.TaskCompleted | f.TaskFailed | f.TaskCancelled)
        and fact.task_id == link.root_task_id
    )
    assert ends == dict.fromkeys(submitted, 1)


@simulated
@given(HISTORIES, st.booleans())
def test_deciding_every_input_again_gives_the_same_log(actions: list[Action], thrifty: bool) -> None:
    log = lived(actions, thrifty=thrifty).log
    assert log.replayed().log == log.log


@simulated
@given(HISTORIES, st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_restored_partition_goes_on_as_if_nothing_had_happened(
    actions: list[Action], cut: float, stored: float, tail: float
) -> None:
    log = lived(actions).log
    inputs = round(cut * len(log.received))
    before = log.replayed(inputs)
    facts = len(before.log)
    at_snapshot = log.replayed(round(stored * inputs))
    snapshot = at_snapshot.snapshot()
    tail_from = round(tail * snapshot.facts)
    for again in (log.restored(facts), log.restored(facts, snapshot, tail_from=tail_from)):
        again.continue_with(log, inputs)
        assert again.log == log.log


@simulated
@given(HISTORIES, st.randoms(use_true_random=False), st.booleans())
def test_evolve_takes_any_facts_in_any_order(
    actions: list[Action], rng: random.Random, thrifty: bool
) -> None:
    facts = list(lived(actions, thrifty=thrifty).log.facts) * 2
    rng.shuffle(facts)
    tree = absent(TaskId("task-0"))
    for fact in facts:
        evolve(tree, fact)
