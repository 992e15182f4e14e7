"""What is written is what is read, and what was touched in between is found."""

from __future__ import annotations

import dataclasses
import json
import struct
import typing
from enum import StrEnum
from io import BytesIO
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin

import fastavro
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from octolog.domain.chain import GENESIS, Link
from octolog.domain.errors import UndecodableRecord
from octolog.domain.facts import Outcome, TaskCancelled
from octolog.domain.ids import TaskId
from octolog.domain.upkeep import TimerFired, TimerKind
from octolog.domain.values import Amounts
from schemas import catalog
from schemas.codec import Codec, RecordedFact
from schemas.registry import MemorySchemaTopic, TopicSchemaIds
from tests.conftest import examples

IDS: Final = TopicSchemaIds(MemorySchemaTopic())
CODEC: Final = Codec(IDS)
IDS.register_all({name: catalog.schema_json(name) for name in catalog.TOP_LEVEL})

RECORDS: Final = [
    catalog.RECORDS[name] for name in catalog.TOP_LEVEL if catalog.RECORDS[name] not in catalog.FACTS
]
FACTS: Final = sorted(catalog.FACTS, key=lambda cls: cls.__name__)

bounded = settings(max_examples=examples(10), deadline=None, suppress_health_check=[HealthCheck.too_slow])


def values(hint: Any, avro: Any) -> st.SearchStrategy[Any]:
    """Any value that a field of this type can hold."""
    if isinstance(hint, typing.NewType):
        return values(hint.__supertype__, avro)
    if get_origin(hint) in (Union, UnionType):
        (inner,) = (arg for arg in get_args(hint) if arg is not type(None))
        return st.none() | values(inner, avro[1])
    if get_origin(hint) is tuple:
        return st.lists(values(get_args(hint)[0], avro["items"]), max_size=3).map(tuple)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return st.sampled_from(list(hint))
    if dataclasses.is_dataclass(hint):
        return instances(hint)
    if hint is int:
        bits = 31 if avro == "int" else 63
        return st.integers(-(2**bits), 2**bits - 1)
    if hint is float:
        return st.floats(allow_nan=False, width=32 if avro == "float" else 64)
    if hint is bytes:
        size = catalog.file_schema(avro)["size"] if "." in avro else None
        return st.binary(min_size=size or 0, max_size=size or 40)
    return st.booleans() if hint is bool else st.text(max_size=30)


def instances(cls: Any) -> st.SearchStrategy[Any]:
    hints = typing.get_type_hints(cls)
    types = {field["name"]: field["type"] for field in catalog.file_schema(cls.schema_name)["fields"]}
    fields = dataclasses.fields(cls)
    return st.builds(cls, **{field.name: values(hints[field.name], types[field.name]) for field in fields})


@pytest.mark.parametrize("cls", RECORDS, ids=lambda cls: cls.__name__)
def test_a_record_comes_back_as_it_was(cls: type[Any]) -> None:
    @bounded
    @given(instances(cls))
    def comes_back(record: Any) -> None:
        assert CODEC.decode(CODEC.encode(record)) == record

    comes_back()


@pytest.mark.parametrize("cls", FACTS, ids=lambda cls: cls.__name__)
def test_a_fact_comes_back_with_its_link_and_a_hash_that_fits(cls: type[Any]) -> None:
    @bounded
    @given(instances(cls), instances(Link))
    def comes_back(fact: Any, link: Link) -> None:
        value, digest = CODEC.encode_fact(fact, link)
        assert CODEC.decode(value) == RecordedFact(fact, link, digest, digest)

    comes_back()


@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(FACTS).flatmap(instances), instances(Link), st.integers(0), st.integers(1, 255))
def test_a_byte_that_was_changed_is_found(fact: Any, link: Link, place: int, change: int) -> None:
    value = bytearray(CODEC.encode_fact(fact, link)[0])
    value[place % len(value)] ^= change
    try:
        found = CODEC.decode(bytes(value))
    except UndecodableRecord:
        return
    # Another schema's id may turn a fact into another record; then its topic refuses it.
    assert not isinstance(found, RecordedFact) or found.computed != found.hash


def test_every_single_byte_of_a_fact_is_guarded() -> None:
    value, _ = CODEC.encode_fact(FACT, LINK)
    for place in range(len(value)):
        for change in (0x01, 0x02, 0x80, 0xFF):
            touched = bytearray(value)
            touched[place] ^= change
            try:
                found = CODEC.decode(bytes(touched))
            except UndecodableRecord:
                continue
            assert not isinstance(found, RecordedFact) or found.computed != found.hash, place


LINK: Final = Link(TaskId("task-1"), 3, 1_234, "octolog.results", 12_345, 7, 1, 64, 10_000, b"\1" * 32)
FACT: Final = TaskCancelled(
    1, TaskId("task-1"), "why not", "tester", (TaskId("task-1/a"),), Amounts(1, 2, 3, 4)
)
TIMER: Final = TimerFired(TimerKind.LEASE, TaskId("task-1"), "attempt", 99)


@pytest.mark.parametrize(
    "value", [CODEC.encode(TIMER), CODEC.encode_fact(FACT, LINK)[0]], ids=["timer", "fact"]
)
def test_bytes_that_are_missing_are_found_wherever_they_are_missing(value: bytes) -> None:
    for length in range(len(value)):
        with pytest.raises(UndecodableRecord):
            CODEC.decode(value[:length])


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "0 bytes are too few"),
        (b"", "0 bytes are too few"),
        (b"\0\0\0\0", "4 bytes are too few"),
        (CODEC.encode(TIMER) + b"\0", "1 bytes left over"),
        (b"\1" + CODEC.encode(TIMER)[1:], "first byte is 1, not the magic byte 0"),
        (b"{}      ", "first byte is 123, not the magic byte 0"),
        (struct.pack(">bI", 0, 999_999) + b"\0", "999999"),
        (CODEC.encode(TIMER)[:5] + b"\x7e", "no octolog.timer.TimerFired"),
        (CODEC.encode(TIMER)[:5] + b"\x02\x08\xff\xff\xff\xff", "no octolog.timer.TimerFired"),
        (CODEC.encode(TIMER)[:5] + b"\x02" + b"\xff" * 9 + b"\x01", "no octolog.timer.TimerFired"),
    ],
    ids=[
        "tombstone",
        "empty",
        "four bytes",
        "one too many",
        "magic 1",
        "json",
        "unknown id",
        "no such symbol",
        "no utf-8",
        "negative length",
    ],
)
def test_what_is_no_record_is_refused_in_one_line(value: bytes | None, reason: str) -> None:
    with pytest.raises(UndecodableRecord) as refused:
        CODEC.decode(value)
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_schema_that_octolog_does_not_know_is_refused_by_name() -> None:
    foreign = {"type": "record", "name": "Foreign", "namespace": "elsewhere", "fields": []}
    schema_id = IDS.register("elsewhere.Foreign", foreign)
    with pytest.raises(UndecodableRecord, match=r"elsewhere\.Foreign, which octolog does not know"):
        CODEC.decode(struct.pack(">bI", 0, schema_id))


# Another version of octolog wrote it


def rewritten(name: str, change: Any, datum: dict[str, Any]) -> bytes:
    """A value written with a changed schema, as a newer or older octolog would."""
    schema = json.loads(catalog.schema_json(name))
    change(schema)
    schema_id = IDS.register(name, schema)
    writer = BytesIO()
    fastavro.schemaless_writer(writer, fastavro.parse_schema(schema), datum)
    return struct.pack(">bI", 0, schema_id) + writer.getvalue()


DATUM: Final[dict[str, Any]] = {"kind": "LEASE", "root_task_id": "task-1", "subject": "attempt", "due_ms": 99}


def test_a_field_of_a_later_version_is_passed_over() -> None:
    def add(schema: Any) -> None:
        schema["fields"].append(
            {"name": "later", "type": ["null", "string"], "default": None, "doc": "later"}
        )

    assert CODEC.decode(rewritten("octolog.timer.TimerFired", add, DATUM | {"later": "x"})) == TIMER


def test_a_symbol_of_a_later_version_is_unknown() -> None:
    def add(schema: Any) -> None:
        schema["fields"][0]["type"]["symbols"].append("LATER")

    found = CODEC.decode(rewritten("octolog.timer.TimerFired", add, DATUM | {"kind": "LATER"}))
    assert found == dataclasses.replace(TIMER, kind=TimerKind.UNKNOWN)


def test_every_enum_has_a_symbol_for_what_it_does_not_know() -> None:
    enums = [catalog.file_schema(name) for name in catalog.all_names()]
    open_ended = {schema["name"] for schema in enums if schema["type"] == "enum" and "default" in schema}
    assert {schema["name"] for schema in enums if schema["type"] == "enum"} == open_ended
    assert catalog.file_schema("octolog.task.Outcome")["default"] == Outcome.UNKNOWN


def test_a_hash_covers_the_link_the_name_and_every_field() -> None:
    _, digest = CODEC.encode_fact(FACT, LINK)
    others = [
        CODEC.encode_fact(FACT, dataclasses.replace(LINK, prev_hash=GENESIS))[1],
        CODEC.encode_fact(FACT, dataclasses.replace(LINK, position=1))[1],
        CODEC.encode_fact(dataclasses.replace(FACT, used=Amounts(1, 2, 3, 5)), LINK)[1],
    ]
    assert len({digest, *others}) == 4
    assert CODEC.encode_fact(FACT, LINK)[1] == digest
