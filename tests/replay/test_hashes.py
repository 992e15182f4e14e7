"""Hashes, chains, positions and checkpoints say yes to what was written, and find every edit at its place."""

from __future__ import annotations

import os
import random
from functools import cache
from hashlib import sha256
from pathlib import Path

import pytest

from octolog.domain.audit import Checkpoint
from octolog.domain.errors import UndecodableRecord
from schemas.fact_bytes import FactSchemas, read_links
from streams.notary.keys import KeyRing
from streams.replay import HashesReport, rebuild, verify, verify_hashes
from streams.replay.hashes import HashCheck
from streams.topics import ARMS, CHECKPOINTS, CONTRACTS, TASKS
from tests.replay.log import CODEC, START_MS, World
from tests.replay.notary import notary, sign
from tests.replay.scenarios import SCENARIOS, plan_by_an_arm
from tests.replay.tampering import any_edit
from tests.replay.wandering import wander

FACTS = TASKS, 0
EDITS = int(os.environ.get("OCTOLOG_TEST_EDITS", "200"))


def _hashes(world: World) -> HashesReport:
    return verify_hashes(world.source)


@cache
def _wandered(seed: int) -> World:
    return wander(seed, actions=120)


# What happened


@pytest.mark.parametrize("name", SCENARIOS)
def test_what_happened_has_right_hashes(name: str) -> None:
    world = SCENARIOS[name]()
    report = _hashes(world)
    assert report.ok, report.to_json()
    assert report.facts == len(world.records[FACTS])
    assert report.to_json()["trees"] == len({fact.link.root_task_id for fact in world.facts()})


@pytest.mark.parametrize("batch", [1, 2, 7, 5_000])
def test_batches_may_be_cut_anywhere(batch: int) -> None:
    facts = _wandered(1).records[FACTS]
    check = HashCheck(0, FactSchemas(CODEC.ids))
    for start in range(0, len(facts), batch):
        assert check.add(facts[start : start + batch])
    assert check.finish(facts[-1].offset + 1).facts == len(facts)


def test_links_are_read_as_the_codec_reads_them() -> None:
    world = _wandered(2)
    links = read_links([record.value or b"" for record in world.records[FACTS]])
    for row, fact in enumerate(world.facts()):
        start, size = int(links.root_start[row]), int(links.root_bytes[row])
        assert links.whole[row]
        assert links.data[start : start + size].tobytes().decode() == fact.link.root_task_id
        assert (int(links.seq[row]), int(links.position[row])) == (fact.link.seq, fact.link.position)
        assert links.prev[row].tobytes() == fact.link.prev_hash
        assert links.hash[row].tobytes() == fact.hash


def test_numbers_of_every_length_are_read() -> None:
    fact = plan_by_an_arm().facts()[0]
    for bits in range(63):
        number = (1 << bits) - (bits > 1)
        link = type(fact.link)(
            fact.link.root_task_id, number, number, "t" * 200, number, number, 1, 1, number, b"p" * 32
        )
        links = read_links([CODEC.encode_fact(fact.fact, link)[0]] * 2)
        assert links.whole.all()
        assert (int(links.seq[1]), int(links.position[1])) == (number, number)
        assert links.prev[1].tobytes() == b"p" * 32


@pytest.mark.parametrize("value", [b"", b"\0\0", b"\1\0\0\0\1", b"\0\xff\xff\xff\xff"])
def test_a_header_of_no_fact_is_refused(value: bytes) -> None:
    with pytest.raises(UndecodableRecord):
        FactSchemas(CODEC.ids).hashed_name(value)


def test_a_record_that_is_no_fact_is_found() -> None:
    world = plan_by_an_arm()
    record = world.records[FACTS][4]
    world.records[FACTS][4] = record._replace(value=world.records[CONTRACTS, 0][0].value)
    first = _hashes(world).first_difference
    assert first is not None
    assert (first.offset, first.kind) == (record.offset, "undecodable")


# Checkpoints


def test_a_notary_signs_and_its_checkpoints_are_found_right(tmp_path: Path) -> None:
    world = _wandered(3)
    published = sign(world, tmp_path, every=17)
    report = _hashes(world)
    assert report.ok, report.to_json()
    assert report.partitions[0].covered == report.facts == len(world.records[FACTS])
    assert report.partitions[0].checkpoints == len(published.said()) - 1
    assert verify(world.source, committed=world.committed).ok
    del world.records[CHECKPOINTS, 0]


def test_a_notary_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    world = plan_by_an_arm()
    facts = world.records[FACTS]
    world.records[FACTS] = facts[:5]
    sign(world, tmp_path)
    world.records[FACTS] = facts
    again, published = notary(world, tmp_path)
    again._resume([0])
    assert again._partitions[0].signed == 5
    again.take(facts[5:])
    again.sign_due(all_of_them=True)
    assert [type(said).__name__ for said in published.said()] == [
        "NotaryKeyAnnounced",
        "Checkpoint",
        "Checkpoint",
    ]
    assert _hashes(world).partitions[0].covered == len(facts)


def test_a_checkpoint_waits_for_its_interval(tmp_path: Path) -> None:
    world = plan_by_an_arm()
    found, published = notary(world, tmp_path)
    now_s = 100.0
    found._clock_s = lambda: now_s
    found.take(world.records[FACTS][:3])
    now_s += 9.9
    found.sign_due()
    assert not published.said()
    now_s += 0.2
    found.sign_due()
    assert [type(said).__name__ for said in published.said()] == ["NotaryKeyAnnounced", "Checkpoint"]
    found.sign_due(all_of_them=True)
    assert len(published.said()) == 2, "nothing new to sign"


def test_a_notary_signs_no_partition_with_an_edited_fact(tmp_path: Path) -> None:
    world = plan_by_an_arm()
    facts = world.records[FACTS]
    value = bytearray(facts[4].value or b"")
    value[-1] ^= 1
    facts[4] = facts[4]._replace(value=bytes(value))
    found, published = notary(world, tmp_path)
    found.take(facts)
    found.sign_due(all_of_them=True)
    assert not published.said()
    assert f"{TASKS}/0@{facts[4].offset}: edited" in str(found.fault)


def test_who_rewrites_facts_and_all_their_hashes_meets_a_checkpoint(tmp_path: Path) -> None:
    world, other = wander(1, actions=60), wander(2, actions=60)
    sign(world, tmp_path)
    world.records[FACTS] = other.records[FACTS]
    first = _hashes(world).first_difference
    assert first is not None
    assert first.kind in ("checkpoint", "missing")


def test_facts_cut_off_after_they_were_signed_are_missed(tmp_path: Path) -> None:
    world = plan_by_an_arm()
    sign(world, tmp_path)
    cut = world.records[FACTS].pop()
    world.records[FACTS].append(world.records[FACTS].pop()._replace(offset=cut.offset))
    first = _hashes(world).first_difference
    assert first is not None
    assert (first.kind, first.message.split(" that")[0]) == ("missing", "the last 1 facts")
    report = verify(world.source)
    assert "missing" in {d.kind for p in report.partitions for d in p.differences}


def test_an_edited_checkpoint_is_not_believed(tmp_path: Path) -> None:
    world = plan_by_an_arm()
    sign(world, tmp_path)
    record = world.records[CHECKPOINTS, 0][1]
    value = bytearray(record.value or b"")
    value[40] ^= 1
    world.records[CHECKPOINTS, 0][1] = record._replace(value=bytes(value))
    report = _hashes(world)
    assert not report.ok
    assert report.first_difference is not None
    assert (report.first_difference.topic, report.first_difference.offset) == (CHECKPOINTS, 1)
    assert not report.partitions[0].checkpoints


# Keys


def test_a_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path / "keys")
    assert ring.announcements() == ()
    name = ring.current(1)
    assert ring.current(2) == name
    for path in (tmp_path / "keys").glob("*.*"):
        if path.name != ".lock":
            assert path.stat().st_mode & 0o777 == 0o600
    (said,) = ring.announcements()
    assert said.key_id == sha256(said.public_key).hexdigest() == name


def test_a_new_key_is_announced_by_the_one_before(tmp_path: Path) -> None:
    world = plan_by_an_arm()
    facts = world.records[FACTS]
    found, published = notary(world, tmp_path)
    found.take(facts[:4])
    found.sign_due(all_of_them=True)
    old, new = KeyRing(tmp_path).current(0), KeyRing(tmp_path).rotate(START_MS)
    found.take(facts[4:])
    found.sign_due(all_of_them=True)
    said = published.said()
    assert [getattr(event, "previous_key_id", None) for event in said] == [None, None, old, None]
    assert [event.key_id for event in said] == [old, old, new, new]
    report = _hashes(world)
    assert report.ok
    assert report.partitions[0].checkpoints == 2


def test_a_key_that_nobody_announced_signs_nothing(tmp_path: Path) -> None:
    world = plan_by_an_arm()
    sign(world, tmp_path)
    del world.records[CHECKPOINTS, 0][0]
    assert not _hashes(world).ok


# Tampering


def test_every_random_edit_of_the_facts_is_found_at_its_place(tmp_path: Path) -> None:
    """Bit flips, truncations, drops, swaps, doubles, splices from another log, an end cut off."""
    base, other = _wandered(4), _wandered(5)
    facts, others = list(base.records[FACTS]), list(other.records[FACTS])
    published = sign(base, tmp_path, every=40)
    chance, found = random.Random(EDITS), 0
    for _ in range(EDITS):
        edit = any_edit(facts, others, chance)
        if edit.records == facts:
            continue
        check = HashCheck(
            0, FactSchemas(CODEC.ids), [said for said in published.said() if isinstance(said, Checkpoint)]
        )
        check.add(edit.records)
        difference = check.finish(facts[-1].offset + 10).difference
        assert difference is not None, edit.name
        if edit.offset is None:
            assert difference.kind == "missing", edit.name
        elif (
            difference.offset != edit.offset
        ):  # facts that are whole by themselves, at the beginning of the log
            assert edit.name == "splice", (edit.name, difference)
            base.records[FACTS] = edit.records
            report = verify(base.source)
            assert report.first_difference is not None
            assert report.first_difference.offset == edit.offset
        found += 1
    base.records[FACTS] = facts
    del base.records[CHECKPOINTS, 0]
    assert found == EDITS
    assert rebuild(base.source).facts == len(facts), "the edits left the log itself alone"
    assert base.records[ARMS, 0]
