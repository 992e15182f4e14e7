"""The generated code against fastavro, for every record: the same bytes, the same objects, the same refusals."""

from __future__ import annotations

import dataclasses
import json
import math
import struct
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import fastavro
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from octolog.domain.chain import GENESIS, HASH_BYTES, Link, fact_hash
from octolog.domain.contract import Step
from octolog.domain.errors import ContractError, IncompatibleSchema, UndecodableRecord
from octolog.domain.facts import RetryDue, TaskCompleted
from octolog.domain.ids import TaskId
from octolog.domain.memory import EpisodicMemory
from octolog.domain.tasksystem import ASTNode, TaskType, ValidationResult
from octolog.domain.values import NO_LIMITS, BlobRef, Limits, Provenance, Resource
from schemas import catalog
from schemas.codec import Codec, RecordedFact
from schemas.compiled import decoder, encoder, shape
from schemas.compiled.shape import shape_of
from schemas.mapping import to_datum
from tests.conftest import examples
from tests.contract.reference_codec import (
    HEAD,
    NAMES,
    OneSchema,
    reference_decode,
    reference_encode,
    varint,
    without_logical_types,
)

ROOT: Final = Path(__file__).parents[2]
EXAMPLES: Final = settings(
    max_examples=examples(10),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


TEXTS: Final = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=20),
    st.sampled_from(["", "a" * 63, "b" * 64, "é" * 64, "c" * 8_191, "d" * 8_192, "\0", "😀" * 33]),
)
EDGES: Final = [0, -1, 1, 63, 64, -64, -65, 8_191, 8_192, -8_192, -8_193, (1 << 27) - 1, 1 << 27, -(1 << 31)]
INTS: Final = st.one_of(st.integers(-(1 << 31), (1 << 31) - 1), st.sampled_from([*EDGES, (1 << 31) - 1]))
LONGS: Final = st.one_of(
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.integers(0, 2_000_000_000_000),
    st.sampled_from([*EDGES, (1 << 63) - 1, -(1 << 63), 1 << 41, 1 << 34]),
)
SCALARS: Final[dict[str, st.SearchStrategy[Any]]] = {
    "string": TEXTS,
    "bytes": st.binary(max_size=100),
    "int": INTS,
    "long": LONGS,
    "timestamp": LONGS,
    "boolean": st.booleans(),
    "double": st.floats(allow_nan=False),
}


def values(of: shape.Shape, depth: int = 0) -> st.SearchStrategy[Any]:
    match of:
        case shape.Scalar(kind):
            return SCALARS[kind]
        case shape.Fixed(size_bytes):
            return st.binary(min_size=size_bytes, max_size=size_bytes)
        case shape.Symbols(cls):
            return st.sampled_from(list(cls))
        case shape.Nullable(inner):
            return st.none() | values(inner, depth)
        case shape.Sequence(items):
            if depth >= 2:
                return st.just(())
            some = st.lists(values(items, depth + 1), max_size=3)
            many = (
                st.lists(st.just("x"), min_size=64, max_size=70) if items == shape.Scalar("string") else some
            )
            return (some | many).map(tuple)
        case shape.Record(cls, fields):
            made = st.builds(cls, **{name: values(field, depth) for name, field in fields})
            return made | st.just(NO_LIMITS) if cls is Limits else made
        case shape.Again(cls):
            return values(shape_of(cls), depth + 1)


STRATEGIES: Final = {name: values(shape_of(cls)) for name, cls in catalog.RECORDS.items()}
LINKS: Final = values(shape_of(Link))
LINK: Final = Link(TaskId("root"), 3, 1_234, "octolog.results", 12_345, 7, 1, 64, 10_000, GENESIS)


def avro_of(cls: type[Any], draw: Any) -> bytes:
    record = draw(STRATEGIES[cls.schema_name])
    return reference_encode(record, draw(LINKS) if cls in catalog.FACTS else None)


@pytest.mark.parametrize("name", NAMES)
@EXAMPLES
@given(data=st.data())
def test_a_record_becomes_the_bytes_that_fastavro_writes_and_comes_back(
    name: str, data: st.DataObject
) -> None:
    cls = catalog.RECORDS[name]
    record = data.draw(STRATEGIES[name])
    codec = Codec(OneSchema(name))
    if cls not in catalog.FACTS:
        expected = reference_encode(record)
        assert codec.encode(record) == HEAD + expected
        assert codec.decode(HEAD + expected) == record
        assert reference_decode(cls, expected) == record
        return
    link = data.draw(LINKS)
    body = reference_encode(record, link)[:-HASH_BYTES]
    digest = fact_hash(name.encode(), body)
    value, returned = codec.encode_fact(record, link)
    assert (value, returned) == (HEAD + body + digest, digest)
    assert codec.decode(value) == RecordedFact(record, link, digest, digest)
    assert reference_decode(cls, body + digest) == (record, link, digest)


@pytest.mark.parametrize("name", NAMES)
@EXAMPLES
@given(data=st.data())
def test_damaged_bytes_are_refused_or_mean_what_fastavro_says(name: str, data: st.DataObject) -> None:
    cls = catalog.RECORDS[name]
    damaged = bytearray(avro_of(cls, data.draw))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(damaged)))
        length = data.draw(st.sampled_from([0, 0, 1, 1, 2, len(damaged)]))
        damaged[place : place + length] = data.draw(
            st.binary(max_size=3) | st.sampled_from([b"\xff" * 10, b"\x80\1", b"\1"])
        )
    avro = bytes(damaged)
    try:
        theirs = reference_decode(cls, avro)
    except Exception:  # noqa: BLE001 - fastavro raises whatever the bytes provoke
        theirs = None
    try:
        ours = Codec(OneSchema(name)).decode(HEAD + avro)
    except UndecodableRecord:
        # Stricter than fastavro, but only for bytes that no writer of ours would make.
        assert theirs is None or again(cls, theirs) != avro
        return
    assert theirs is not None
    if isinstance(ours, RecordedFact):
        assert again(cls, (ours.fact, ours.link, ours.hash)) == again(cls, theirs)
    else:
        assert again(cls, ours) == again(cls, theirs)


def again(cls: type[Any], decoded: Any) -> bytes:
    """Bytes of what was decoded: unlike the values, they compare well where there is a NaN."""
    try:
        if cls in catalog.FACTS:
            fact, link, digest = decoded
            return reference_encode(fact, link)[:-HASH_BYTES] + bytes(digest)
        return reference_encode(decoded)
    except ValueError:
        return b"a value that cannot be written: an int of more than 32 bits"


@pytest.mark.parametrize("name", NAMES)
@settings(EXAMPLES, max_examples=examples(3))
@given(data=st.data())
def test_a_record_cut_off_anywhere_is_refused(name: str, data: st.DataObject) -> None:
    avro = avro_of(catalog.RECORDS[name], data.draw)
    codec = Codec(OneSchema(name))
    codec.decode(HEAD + avro)
    for end in {*range(min(len(avro), 400)), *range(max(0, len(avro) - 100), len(avro))}:
        with pytest.raises(UndecodableRecord):
            codec.decode(HEAD + avro[:end])
    with pytest.raises(UndecodableRecord, match="1 bytes left over"):
        codec.decode(HEAD + avro + b"\0")


def test_arrays_in_several_blocks_and_in_sized_blocks_are_read() -> None:
    blocks = varint(1) + b"\2a" + varint(-2) + varint(4) + b"\2b\2c" + b"\0"
    avro = b"\0\0\0" + blocks + b"\0" + b"\0" + b"\2"
    expected = EpisodicMemory("", catalog_arm(""), TaskId(""), ("a", "b", "c"), (), (), 1)
    assert decoder(EpisodicMemory)(avro, 0) == expected == reference_decode(EpisodicMemory, avro)


def catalog_arm(name: str) -> Any:
    return name


BLOB: Final = BlobRef("a", 1, "b")
STEP: Final = Step("s", "g")
WRONG: Final[dict[str, object]] = {
    "a long of 65 bits": dataclasses.replace(BLOB, size_bytes=1 << 63),
    "an int of 33 bits": dataclasses.replace(STEP, max_cost_tier=1 << 31),
    "a float for a number": dataclasses.replace(BLOB, size_bytes=1.5),  # type: ignore[arg-type]  # what is tested
    "text for a number": dataclasses.replace(BLOB, size_bytes="5"),  # type: ignore[arg-type]  # what is tested
    "bytes for a text": dataclasses.replace(BLOB, sha256=b"a"),  # type: ignore[arg-type]  # what is tested
    "None for a text": dataclasses.replace(BLOB, sha256=None),  # type: ignore[arg-type]  # what is tested
    "a surrogate": dataclasses.replace(BLOB, sha256="\ud800"),
    "text for a list": dataclasses.replace(STEP, depends_on="abc"),  # type: ignore[arg-type]  # what is tested
    "None for a list": dataclasses.replace(STEP, depends_on=None),  # type: ignore[arg-type]  # what is tested
    "None for a record": dataclasses.replace(STEP, budget=None),  # type: ignore[arg-type]  # what is tested
    "an unknown symbol": ASTNode("a", "b", "LOOP"),  # type: ignore[arg-type]  # what is tested
    "text for a boolean": ValidationResult("no"),  # type: ignore[arg-type]  # what is tested
    "no record": object(),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_record_with_values_of_the_wrong_type_is_not_written(case: str) -> None:
    record = WRONG[case]
    with pytest.raises(ContractError) as caught:
        Codec(OneSchema(getattr(record, "schema_name", ""))).encode(record)
    assert "\n" not in str(caught.value)
    assert type(record).__qualname__ in str(caught.value)


@pytest.mark.parametrize("wrong", [b"", b"\0" * 31, bytearray(32), "x" * 32])
def test_a_link_with_a_hash_that_is_not_32_bytes_is_not_written(wrong: Any) -> None:
    fact = RetryDue(1, TaskId("t"))
    with pytest.raises(ContractError, match="not 32 bytes"):
        Codec(OneSchema(fact.schema_name)).encode_fact(fact, dataclasses.replace(LINK, prev_hash=wrong))


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, -0.0])
def test_special_doubles_keep_their_bits(number: float) -> None:
    record = catalog.RECORDS["octolog.task.Candidate"]("a", number, 1)
    back = decoder(type(record))(encoder(type(record))(record, b""), 0)
    assert struct.pack("<d", back.score) == struct.pack("<d", number)


def test_a_value_read_is_as_good_as_one_constructed() -> None:
    made = Provenance("arm", 1, "h")
    read = decoder(Provenance)(encoder(Provenance)(made, b""), 0)
    assert type(read) is Provenance
    assert (read, hash(read), repr(read)) == (made, hash(made), repr(made))
    assert dataclasses.replace(read, arm_id="other").arm_id == "other"
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(read, "arm_id", "changed")  # noqa: B010 - a plain assignment is a type error already


def test_limits_that_say_nothing_are_the_constant_and_others_are_not() -> None:
    read = decoder(Step)(encoder(Step)(dataclasses.replace(STEP, budget=Limits()), b""), 0)
    assert read.budget is NO_LIMITS
    read = decoder(Step)(encoder(Step)(dataclasses.replace(STEP, budget=Limits(max_tokens=1)), b""), 0)
    assert read.budget == Limits(max_tokens=1)


def test_a_tree_of_nodes_is_written_and_read_with_its_depth() -> None:
    node = ASTNode("leaf", "x", TaskType.ATOMIC)
    for depth in range(100):
        node = ASTNode(f"n{depth}", "", TaskType.SEQUENTIAL, (node, ASTNode("side", "y")))
    codec = Codec(OneSchema(ASTNode.schema_name))
    assert codec.encode(node) == HEAD + reference_encode(node)
    assert codec.decode(codec.encode(node)) == node


def test_bytes_of_another_version_of_the_schema_are_resolved() -> None:
    older = json.loads(catalog.schema_json(TaskCompleted.schema_name))
    older["fields"] = [field for field in older["fields"] if field["name"] != "output_blob"]
    older["fields"].insert(2, {"name": "gone", "type": "string"})
    text = json.dumps(older)
    written = {"link": to_datum(Link)(LINK), "at_ms": 1, "gone": "x", "task_id": "t", "attempt_id": None}
    out = BytesIO()
    datum = {**written, "output": "{}", "hash": b"\7" * HASH_BYTES}
    fastavro.schemaless_writer(out, fastavro.parse_schema(without_logical_types(older)), datum)
    read = Codec(OneSchema(TaskCompleted.schema_name, text)).decode(HEAD + out.getvalue())
    assert read.fact == TaskCompleted(1, TaskId("t"), None, "{}", None)
    assert (read.link, read.hash) == (LINK, b"\7" * HASH_BYTES)
    assert read.computed == fact_hash(TaskCompleted.schema_name.encode(), out.getvalue()[:-HASH_BYTES])
    with pytest.raises(UndecodableRecord, match=r"no octolog\.task\.TaskCompleted"):
        Codec(OneSchema(TaskCompleted.schema_name, text)).decode(HEAD + out.getvalue()[:-40])


def test_a_schema_that_differs_in_words_only_is_read_by_the_same_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reworded = json.loads(catalog.schema_json(BlobRef.schema_name))
    reworded["doc"] = "In other words."
    monkeypatch.setattr(fastavro, "schemaless_reader", None)  # would fail if it were needed
    codec = Codec(OneSchema(BlobRef.schema_name, json.dumps(reworded)))
    assert codec.decode(HEAD + reference_encode(BLOB)) == BLOB


def test_a_class_that_cannot_be_filled_is_refused_when_the_code_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @dataclasses.dataclass(frozen=True)
    class Slotless:
        schema_name = BlobRef.schema_name
        sha256: str
        size_bytes: int
        media_type: str

    with pytest.raises(IncompatibleSchema, match="slotted"):
        shape_of(Slotless)


def test_the_code_of_a_record_can_be_printed() -> None:
    command = [sys.executable, "-m", "schemas.compiled", "octolog.task.AttemptEnded"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout
    assert "def encode(r, link):" in shown
    assert "def decode(d, i):" in shown
    compile(shown, "shown", "exec")
    command[-1] = "octolog.task.Nothing"
    failed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert (failed.returncode, failed.stdout) == (2, "")
    assert "octolog.task.AttemptEnded" in failed.stderr


def test_every_symbol_has_its_number() -> None:
    for number, member in enumerate(Resource):
        warned = catalog.RECORDS["octolog.task.BudgetWarned"](1, member, 2, 3)
        body = encoder(type(warned))(warned, LINK)
        assert body[-3:] == bytes((number * 2, 4, 6))
