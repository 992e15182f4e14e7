"""`verify` says yes to what really happened, and to nothing else; what it finds, it finds at its place."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from octolog.domain.arm import ArmRegistered
from octolog.domain.errors import NotFound
from octolog.domain.task.evolve import evolve
from octolog.domain.upkeep import DeadLetter
from octolog.domain.values import Limits
from octolog.ports import LogRecord
from octolog.testing import capability, step, submit, success
from streams.replay import Difference, Report, rebuild, verify
from streams.topics import ARMS, CONTRACTS, DEAD_LETTERS, RESULTS, TASKS, TIMERS
from tests.replay.log import World
from tests.replay.scenarios import SCENARIOS, plan_by_an_arm, retry_until_it_works, success_at_once
from tests.replay.wandering import wander

FACTS = TASKS, 0


def _verified(world: World, **options: Any) -> Report:
    return verify(world.source, **{"committed": world.committed, **options})


def _first(world: World) -> Difference:
    report = _verified(world)
    assert not report.ok
    assert report.first_difference is not None, report.to_json()
    return report.first_difference


def _set_value(world: World, place: tuple[str, int], index: int, value: bytes | None) -> None:
    records = world.records[place]
    records[index] = records[index]._replace(value=value)


# What happened


@pytest.mark.parametrize("name", SCENARIOS)
def test_what_happened_is_found_right_and_whole(name: str) -> None:
    world = SCENARIOS[name]()
    report = _verified(world)
    assert report.ok, report.to_json()
    assert report.facts == len(world.records[FACTS])
    inputs = sum(len(world.records[topic, 0]) for topic, _ in world.committed)
    assert sum(p.inputs_checked for p in report.partitions) == inputs
    assert report.to_json()["dead_letters"] == len(world.records[DEAD_LETTERS, 0])


@pytest.mark.parametrize("seed", range(15))
def test_any_history_is_found_right(seed: int) -> None:
    world = wander(seed, actions=120)
    report = _verified(world)
    assert report.ok, report.to_json()
    assert report.facts == len(world.records[FACTS]) > 20


@pytest.mark.parametrize("seed", range(5))
def test_deciding_again_and_folding_come_to_one_state(seed: int) -> None:
    world = wander(seed, actions=120)
    folded = rebuild(world.source)
    assert folded.partitions[0].digest == _verified(world).partitions[0].state_digest


def test_a_worker_that_knows_less_of_the_registry_takes_over_and_is_found_right() -> None:
    world = success_at_once()
    knew = world._registry.registry
    world.arm(ArmRegistered(capability("arm-b", "work"), "tester"))
    world.send(submit("task-2"))
    world._registry.registry = knew
    world.send(submit("task-3"))
    offsets = [fact.link.registry_offset for fact in world.facts()]
    assert offsets != sorted(offsets)
    assert _verified(world).ok


def test_facts_up_to_any_point_are_found_right() -> None:
    world = plan_by_an_arm()
    end = world.records[FACTS][-1].offset + 1
    for until in range(end + 1):
        report = _verified(world, until={FACTS: until})
        assert report.ok, report.to_json()
        assert report.facts == sum(record.offset < until for record in world.records[FACTS])


def test_a_partition_that_is_not_there_is_refused() -> None:
    with pytest.raises(NotFound, match="no partition 7"):
        _verified(success_at_once(), partitions=[7])


# Facts


@pytest.mark.parametrize("name", ["plan_by_an_arm", "budget_exhausted", "requests_refused"])
def test_a_flipped_bit_is_found_in_the_fact_it_is_in(name: str) -> None:
    chance = random.Random(name)
    count = len(SCENARIOS[name]().records[FACTS])
    for index in range(count):
        for _ in range(3):
            world = SCENARIOS[name]()
            value = bytearray(world.records[FACTS][index].value or b"")
            value[chance.randrange(len(value))] ^= 1 << chance.randrange(8)
            _set_value(world, FACTS, index, bytes(value))
            first = _first(world)
            assert (first.offset, first.topic) == (world.records[FACTS][index].offset, TASKS)
            assert first.kind in ("edited", "undecodable")


@pytest.mark.parametrize("cut", [0, 4, 40, -1])
def test_a_truncated_fact_is_found(cut: int) -> None:
    world = plan_by_an_arm()
    record = world.records[FACTS][4]
    _set_value(world, FACTS, 4, (record.value or b"")[:cut])
    assert _first(world).offset == record.offset


def test_a_moved_key_is_found() -> None:
    for index in range(len(plan_by_an_arm().records[FACTS])):
        world = plan_by_an_arm()
        world.records[FACTS][index] = world.records[FACTS][index]._replace(key=b"task-2")
        first = _first(world)
        assert (first.offset, first.kind) == (world.records[FACTS][index].offset, "edited")


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_dropped_fact_is_found_where_the_next_one_stands(name: str) -> None:
    count = len(SCENARIOS[name]().records[FACTS])
    for index in range(count - 1):
        world = SCENARIOS[name]()
        del world.records[FACTS][index]
        first = _first(world)
        assert (first.offset, first.kind) == (world.records[FACTS][index].offset, "missing")


@pytest.mark.parametrize("name", [n for n in SCENARIOS if n != "waiting_for_the_registry"])
def test_facts_cut_off_at_the_end_are_found(name: str) -> None:
    for kept in range(len(SCENARIOS[name]().records[FACTS])):
        world = SCENARIOS[name]()
        del world.records[FACTS][kept:]
        assert not _verified(world).ok


@pytest.mark.parametrize("name", ["plan_by_an_arm", "priority_within_a_window"])
def test_a_doubled_fact_is_found_at_the_second(name: str) -> None:
    for index in range(len(SCENARIOS[name]().records[FACTS])):
        world = SCENARIOS[name]()
        again = world.records[FACTS][index]
        world.records[FACTS].insert(index + 1, again)
        _renumber(world.records[FACTS])
        first = _first(world)
        assert (first.offset, first.kind) == (index + 1, "repeated")


@pytest.mark.parametrize("name", ["plan_by_an_arm", "priority_within_a_window"])
def test_swapped_facts_are_found_at_the_first(name: str) -> None:
    for index in range(len(SCENARIOS[name]().records[FACTS]) - 1):
        world = SCENARIOS[name]()
        records = world.records[FACTS]
        records[index], records[index + 1] = records[index + 1], records[index]
        _renumber(records)
        first = _first(world)
        assert (first.offset, first.kind) == (index, "missing")


def test_facts_of_another_log_are_found_where_they_begin() -> None:
    for index in range(1, len(plan_by_an_arm().records[FACTS])):
        world, other = plan_by_an_arm(), _dearer_plan()
        world.records[FACTS][index:] = other.records[FACTS][index:]
        _renumber(world.records[FACTS])
        assert _first(world).offset == index


def test_a_fact_rewritten_with_every_hash_after_it_is_found_and_its_field_is_named() -> None:
    world = plan_by_an_arm()
    changed = next(i for i, fact in enumerate(world.facts()) if type(fact.fact).__name__ == "AttemptEnded")
    _rewrite(world, changed, lambda fact: replace(fact, output='"nothing happened"'))
    first = _first(world)
    assert (first.offset, first.kind) == (world.records[FACTS][changed].offset, "decided-differently")
    assert [(f.field, f.recorded) for f in first.fields] == [("output", '"nothing happened"')]


def test_a_window_other_than_the_one_recorded_is_a_difference() -> None:
    world = SCENARIOS["priority_within_a_window"]()
    for index in range(len(world.facts())):
        _rewrite(world, index, link=lambda link: replace(link, window=64))
    assert _verified(world).first_difference is not None


def test_books_that_do_not_balance_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgets_to_release(held: Any, _: Any) -> Any:
        return held

    monkeypatch.setattr(sys.modules[evolve.__module__], "subtract", forgets_to_release)
    world = _world_with_a_budget()
    (found,) = (d for p in _verified(world).partitions for d in p.differences)
    assert (found.kind, found.tree) == ("settlement", "task-1")
    assert "reserved" in found.message


# Inputs


def test_a_request_without_a_fact_is_lost() -> None:
    world = success_at_once()
    record = world._append(CONTRACTS, 0, b"task-2", world.codec.encode(submit("task-2")))
    assert _verified(world).ok  # not yet processed
    world.committed[CONTRACTS, 0] = record.offset + 1
    (lost,) = _verified(world).lost
    assert (lost.topic, lost.tree) == (CONTRACTS, "task-2")
    world.send(submit("task-3"))
    assert [lost.tree for lost in _verified(world).lost] == ["task-2"]


def test_a_request_whose_facts_are_all_gone_is_lost() -> None:
    world = success_at_once()
    world.records[FACTS].clear()
    report = _verified(world)
    assert {lost.topic for lost in report.lost} == {CONTRACTS, RESULTS}


def test_a_repeat_is_not_lost_even_when_its_meaning_changed_later() -> None:
    world = SCENARIOS["budget_amended"]()
    assert _verified(world).ok
    assert sum(p.inputs_checked - p.causes for p in _verified(world).partitions) == 1


@pytest.mark.parametrize("topic", [CONTRACTS, RESULTS, TIMERS])
def test_a_cause_that_is_gone_is_found(topic: str) -> None:
    world = retry_until_it_works()
    del world.records[topic, 0][0]
    assert _first(world).kind == "no-cause"


def test_an_edited_contract_is_found_at_its_fact() -> None:
    world = success_at_once()
    _set_value(world, (CONTRACTS, 0), 0, world.codec.encode(submit(goal="do less")))
    first = _first(world)
    assert (first.offset, first.kind) == (0, "decided-differently")
    assert {f.field for f in first.fields} == {"contract", "contract_digest"}


def test_an_edited_registry_is_found_at_the_first_fact_it_changes() -> None:
    world = success_at_once()
    _set_value(
        world, (ARMS, 0), 0, world.codec.encode(ArmRegistered(capability("arm-a", "work", cost_tier=4), "x"))
    )
    first = _first(world)
    assert [f.field for f in first.fields] == ["candidates"]


def test_a_registry_cut_short_is_found() -> None:
    world = success_at_once()
    world.records[ARMS, 0].clear()
    assert "octolog.arms@1" in _first(world).message


# Dead letters


def _letters(world: World) -> list[DeadLetter]:
    return [world.codec.decode(record.value) for record in world.records[DEAD_LETTERS, 0]]


def test_a_refused_record_whose_letter_is_gone_is_lost() -> None:
    world = SCENARIOS["dead_letters_between"]()
    lost = _letters(world)[0]
    del world.records[DEAD_LETTERS, 0][0]
    assert [(found.topic, found.offset) for found in _verified(world).lost] == [
        (lost.source_topic, lost.source_offset)
    ]


@pytest.mark.parametrize("change", [{"value": b"other"}, {"key": b"other"}, {"source_timestamp_ms": 1}])
def test_a_letter_with_other_bytes_than_its_source_is_found(change: dict[str, Any]) -> None:
    world = SCENARIOS["dead_letters_between"]()
    letter = replace(_letters(world)[0], **change)
    _set_value(world, (DEAD_LETTERS, 0), 0, world.codec.encode(letter))
    assert _first(world).kind == "dead-letter"


def test_a_letter_about_nothing_is_found() -> None:
    world = SCENARIOS["dead_letters_between"]()
    letter = replace(_letters(world)[0], source_offset=1)
    world._append(DEAD_LETTERS, 0, b"", world.codec.encode(letter))
    assert "is not in the log" in _first(world).message


def test_a_letter_about_a_request_that_was_good_is_found() -> None:
    world = success_at_once()
    record = world._append(CONTRACTS, 0, b"task-2", world.codec.encode(submit("task-2")))
    world.committed[CONTRACTS, 0] = record.offset + 1
    world.processor.refuse(record, [], NotFound("no reason"))  # type: ignore[arg-type]
    assert "can be used" in _first(world).message


def test_a_letter_about_an_input_that_has_facts_is_found() -> None:
    world = success_at_once()
    world.processor.refuse(world.records[CONTRACTS, 0][0], [], NotFound("no reason"))  # type: ignore[arg-type]
    assert "has facts" in _first(world).message


# Helpers


def _world_with_a_budget() -> World:
    world = World()
    world.arm(ArmRegistered(capability("arm-a"), "tester"))
    world.send(submit(budget=Limits(max_tokens=100)))
    world.send(success(world.next_attempt(), tokens_used=10))
    return world


def _dearer_plan() -> World:
    world = World()
    world.arm(ArmRegistered(capability("arm-a", "work", "judge", cost_tier=1), "tester"))
    world.send(submit(goal="something else"))
    world.send(success(world.next_attempt(), "[]", plan=(step("one"), step("two", "one"))))
    world.send(success(world.next_attempt(), '"1"'))
    world.send(success(world.next_attempt(), '"2"'))
    return world


def _renumber(records: list[LogRecord]) -> None:
    records[:] = [record._replace(offset=index) for index, record in enumerate(records)]


def _rewrite(
    world: World,
    index: int,
    change: Callable[[Any], Any] = lambda fact: fact,
    link: Callable[[Any], Any] = lambda link: link,
) -> None:
    """Change a fact as somebody would who can write the whole topic: every hash after it is made anew."""
    head = b""
    for at, recorded in enumerate(world.facts()):
        if at < index:
            continue
        fact, place = recorded.fact, recorded.link
        if at == index:
            fact, place = change(fact), link(place)
        else:
            place = replace(place, prev_hash=head)
        value, head = world.codec.encode_fact(fact, place)
        _set_value(world, FACTS, at, value)
