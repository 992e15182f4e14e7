"""A tool that finds nothing finds nothing wrong: each must fail where it should."""

from __future__ import annotations

from dataclasses import replace

import pytest

import octolog.testing
from octolog.domain import facts as f
from octolog.domain.errors import LogCorrupted
from octolog.testing import ArmsTopic, ShardLog, capability, given, history, step, submit, success


def test_every_name_offered_is_there() -> None:
    assert {name for name in octolog.testing.__all__ if not hasattr(octolog.testing, name)} == set()


def test_facts_that_differ_are_found_and_shown() -> None:
    decided = given().when(submit())
    other = replace(history(submit())[0], at_ms=1)
    with pytest.raises(AssertionError, match="fact 0 is"):
        decided.then(other)
    with pytest.raises(AssertionError, match="1 facts, not 0"):
        decided.then()
    with pytest.raises(AssertionError, match="TaskSubmitted, not TaskFailed"):
        decided.then_kinds(f.TaskFailed)
    with pytest.raises(AssertionError, match="TaskSubmitted, not nothing"):
        decided.then_nothing()
    with pytest.raises(AssertionError, match="not a refusal"):
        decided.then_refused("VALIDATION")
    with pytest.raises(AssertionError, match="INVALID_PRIORITY at 'priority'"):
        given().when(submit(priority=11)).then_refused("INVALID_PRIORITY", "goal")


def test_a_decision_leaves_the_given_tree_as_it_was() -> None:
    tree = given()
    tree.when(submit())
    tree.when(submit()).then_kinds(f.TaskSubmitted)


def finished() -> ShardLog:
    log = ShardLog(ArmsTopic(capability("arm-a")))
    log.send(submit(steps=(step("a"), step("b", "a"))))
    while assignments := log.take_assignments():
        log.send(success(assignments[0]))
    return log


def test_an_untouched_log_is_sound_and_replays_to_itself() -> None:
    log = finished()
    log.verify()
    assert log.replayed().log == log.log
    assert [type(fact).__name__ for fact in log.facts_of("task-1")][-1] == "TaskCompleted"


@pytest.mark.parametrize("place", range(7))
def test_a_fact_that_was_lost_doubled_moved_or_edited_is_found(place: int) -> None:
    for damage in ("lost", "doubled", "moved", "edited"):
        log = finished()
        rows = log.log
        match damage:
            case "lost" if place < len(rows) - 1:
                del rows[place]
            case "doubled":
                rows.insert(place, rows[place])
            case "moved" if place < len(rows) - 1:
                rows[place], rows[place + 1] = rows[place + 1], rows[place]
            case "edited":
                rows[place] = rows[place]._replace(fact=replace(rows[place].fact, at_ms=0))
            case _:
                continue
        with pytest.raises(LogCorrupted, match="fact "):
            log.verify()


def test_timers_that_never_end_are_reported_and_not_run_for_ever() -> None:
    log = ShardLog(ArmsTopic(capability("arm-a")))
    log.send(submit())
    log.shard.due = lambda now_ms: iter(())  # type: ignore[method-assign]  # a clock nobody listens to
    with pytest.raises(AssertionError, match="never ends"):
        log.run_timers()
