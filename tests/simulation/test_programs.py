"""Random programs on the production code end as a sequential interpreter, written separately, says.

Arms answer in any order, twice, late or not at all; processes die and restore. `OCTOLOG_SIM_EXAMPLES=20000 pytest
tests/simulation/test_programs.py` runs as many programs per rule.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable
from itertools import groupby
from typing import Final

from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from octolog.domain import facts as f
from octolog.domain.ids import TaskId
from octolog.domain.task.evolve import evolve
from octolog.domain.task.state import absent
from octolog.testing import ShardLog, cancel
from tests.simulation.interpreter import Interpreter
from tests.simulation.program_world import ROOT, Run, ended, given_of
from tests.simulation.programs import CONTEXTS, arms, programs, tapes
from tests.simulation.terms import Failed, Given, Outcome, Reply
from tests.simulation.texts import canonical

EXAMPLES: Final = int(os.environ.get("OCTOLOG_SIM_EXAMPLES", "60"))
NEVER: Final = 1 << 60

simulated = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    print_blob=True,
    phases=[phase for phase in Phase if phase is not Phase.explain],
)


@st.composite
def runs(draw: st.DrawFn) -> Run:
    context = draw(st.sampled_from(CONTEXTS))
    return Run(
        draw(programs(context)),
        context,
        draw(arms()),
        draw(st.sampled_from((3, 3, 3, 4, 2, 1))),
        draw(st.integers(1, 5)),
        list(draw(tapes((60, 0, 200, 400)))),
    )


@simulated
@given(runs())
def test_a_program_ends_as_the_interpreter_says_whatever_happens_on_the_way(run: Run) -> None:
    run.run()
    ends = ended(run.log)
    said = interpreted(run, {task_id: place for task_id, (place, _) in ends.items()})
    for task_id, outcome in said.outcomes.items():
        stopped_at = stop_of(task_id, said)
        if task_id in ends:
            place, fact = ends[task_id]
            assert place < stopped_at, f"{task_id} ended after it was stopped"
            assert_same(task_id, fact, outcome, run.log)
        else:
            assert stopped_at < NEVER, f"{task_id} did not end; it should as {outcome}"
    assert set(ends) <= set(said.outcomes)
    assert set(said.made.values()) == {1}
    assert_given(run, said)
    assert_once(run.log.facts)
    run.log.verify()
    assert run.log.replayed().log == run.log.log


@simulated
@given(runs(), st.integers(0, 60))
def test_a_program_cancelled_at_any_moment_is_over_at_once(run: Run, steps: int) -> None:
    run.begin()
    for _ in range(steps):
        run.step()
    open_before = bool(run.log.shard.trees)
    run.log.send(cancel(ROOT))
    assert run.log.shard.trees == {}
    last = run.log.facts[-1]
    assert isinstance(last, f.TaskCancelled if open_before else f.RequestRejected)
    assigned = {x.attempt_id for x in run.log.facts if isinstance(x, f.AttemptAssigned)}
    assert assigned == {x.attempt_id for x in run.log.facts if isinstance(x, f.AttemptEnded)}
    run.log.verify()
    assert run.log.replayed().log == run.log.log


@simulated
@given(runs(), st.randoms(use_true_random=False))
def test_evolve_takes_the_facts_of_programs_in_any_order(run: Run, rng: random.Random) -> None:
    run.run()
    facts = list(run.log.facts) * 2
    rng.shuffle(facts)
    tree = absent(TaskId(ROOT))
    for fact in facts:
        evolve(tree, fact)


def interpreted(run: Run, places: dict[str, int]) -> Interpreter:
    """What the interpreter makes of the program that ran."""

    def oracle(task_id: str, given: Given, answered: int) -> Reply:
        if run.arms.of(task_id).flaky >= run.max_attempts:
            return Failed("EXTERNAL_SERVICE_ERROR", "for a moment")
        return run.arms(task_id, given, answered)

    said = Interpreter(oracle, lambda task_id: places.get(task_id, NEVER))
    said.run(run.program, ROOT, run.context_json)
    note(f"{len(run.program)} operators, {len(said.outcomes)} tasks")
    return said


def stop_of(task_id: str, said: Interpreter) -> int:
    """When a task was stopped, alone or with one it stands in."""
    parts = task_id.split("/")
    around = ("/".join(parts[:end]) for end in range(1, len(parts) + 1))
    return min((said.stopped[name] for name in around if name in said.stopped), default=NEVER)


def assert_same(task_id: str, fact: f.TaskCompleted | f.TaskFailed, outcome: Outcome, log: ShardLog) -> None:
    if isinstance(fact, f.TaskCompleted):
        assert outcome.failure is None, f"{task_id} was completed; it should fail as {outcome.failure}"
        assert output_of(fact, log) == outcome.output, task_id
        return
    assert outcome.failure is not None, f"{task_id} failed ({fact.message}); it should give {outcome.output}"
    assert fact.code == outcome.failure.code, (task_id, fact.message)
    if outcome.failure.message:
        assert fact.message == outcome.failure.message, task_id
    details = "" if outcome.details is None else canonical(outcome.details)
    assert fact.details_json == details, task_id
    assert fact.failed_step == outcome.failed_step, task_id


def output_of(fact: f.TaskCompleted, log: ShardLog) -> str:
    """A completed task's output, or that of the attempt that made it."""
    if fact.output or fact.attempt_id is None:
        return fact.output
    ends = (x for x in log.facts if isinstance(x, f.AttemptEnded) and x.attempt_id == fact.attempt_id)
    return next(ends).output


def assert_given(run: Run, said: Interpreter) -> None:
    """Every attempt was given what the interpreter says; repeats of one round the same again."""
    by_task: dict[str, list[Given]] = {}
    for assignment in run.known.values():
        by_task.setdefault(assignment.task_id, []).append(given_of(assignment))
    for task_id, attempts in by_task.items():
        rounds = [given for given, _ in groupby(attempts)]
        expected = said.given.get(task_id, [])
        assert rounds == expected[: len(rounds)], task_id
        assert len(rounds) == len(expected) or stop_of(task_id, said) < NEVER, task_id


def assert_once(facts: Iterable[f.Fact]) -> None:
    """No task is assigned while it is being worked on or after its end, nor once more after it succeeded."""
    busy: set[str] = set()
    over: set[str] = set()
    for fact in facts:
        match fact:
            case f.AttemptAssigned():
                assert fact.task_id not in busy | over, fact
                busy.add(fact.task_id)
            case f.AttemptEnded(outcome=f.Outcome.SUCCESS):
                busy.discard(fact.task_id)
                over.add(fact.task_id)
            case f.AttemptEnded():
                busy.discard(fact.task_id)
            case f.SubtaskRequested():
                over.discard(fact.task_id)
            case f.TaskCompleted() | f.TaskFailed():
                over.add(fact.task_id)
            case _:
                pass
