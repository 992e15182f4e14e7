"""How much faster generated code encodes and decodes a record than fastavro with dicts between; the goal is 3 times.

fastavro's side is what the codec was before: dataclass -> dict (generated, `schemas.mapping`) -> fastavro into a
`BytesIO`, and back. Both sides are timed in turn, in short rounds, by the thread's own CPU time, and the fastest round
of each counts: the work is the same every time, so what makes a round longer is the machine. No ratio of single
rounds is used: on a busy machine the longer round is interrupted more often, which flatters the faster side.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any, Final

import fastavro

from benches._run import bound, options, report, say
from octolog.domain.chain import GENESIS, HASH_BYTES, Link, fact_hash
from octolog.domain.contract import Step, SubmitTask, TaskContract
from octolog.domain.facts import (
    AttemptAssigned,
    AttemptEnded,
    Candidate,
    Outcome,
    TaskCompleted,
    TaskSubmitted,
    UsagePhase,
    UsageRecorded,
)
from octolog.domain.ids import ArmId, AttemptId, TaskId
from octolog.domain.reports import ExecutionResult, ResourceUsed, ResultStatus
from octolog.domain.values import NO_LIMITS, NOTHING, Amounts, Provenance
from schemas import catalog
from schemas.codec import Codec, RecordedFact
from schemas.mapping import from_datum, to_datum
from schemas.registry.ids import RegisteredSchema

WANTED_RATIO: Final = 3.0
ROUND_RECORDS: Final = 200
QUICK_ROUNDS: Final = 40
FULL_ROUNDS: Final = 400
HEADER_BYTES: Final = 5

_TASK: Final = TaskId("task-0123456789")
_STEP_TASK: Final = TaskId(f"{_TASK}/plan")
_ATTEMPT: Final = AttemptId("11111111-2222-5333-8444-555555555555")
_ARM: Final = ArmId("code-writer")
_NOW_MS: Final = 1_790_000_000_000
_LINK: Final = Link(_TASK, 3, 1_234, "octolog.results", 12_345, 7, 1, 64, 10_000, GENESIS)
_CONTRACT: Final = TaskContract(
    _TASK,
    "Find what the last release broke, and say how to repair it",
    steps=(
        Step("plan", "g" * 30),
        Step("find", "g" * 30, ("plan",)),
        Step("write", "g" * 30, ("plan", "find")),
    ),
)
_PROVENANCE: Final = Provenance(_ARM, _NOW_MS, "a" * 64)
_OUTPUT: Final = '{"text":"' + "x" * 190 + '"}'

RECORDS: Final[tuple[Any, ...]] = (
    SubmitTask(_TASK, _CONTRACT, "bench"),
    ExecutionResult(
        _TASK, _STEP_TASK, _ATTEMPT, _ARM, ResultStatus.SUCCESS, _OUTPUT, 0.9, 1_250, 830, _PROVENANCE
    ),
    ResourceUsed(
        _TASK, _STEP_TASK, _ATTEMPT, _ARM, 1, "m-large", Amounts(830, 1_250, 4_100, 1), 700, 130, "v1"
    ),
)
FACTS: Final[tuple[Any, ...]] = (
    TaskSubmitted(_NOW_MS, _CONTRACT, "d" * 64, "bench"),
    AttemptAssigned(
        _NOW_MS,
        _STEP_TASK,
        _ATTEMPT,
        1,
        _ARM,
        NO_LIMITS,
        10_000,
        30_000,
        "cost_first",
        (Candidate(_ARM, 0.9, 1), Candidate(ArmId("code-reader"), 0.7, 2)),
    ),
    UsageRecorded(
        _NOW_MS, _STEP_TASK, _ATTEMPT, 1, UsagePhase.ACTUAL, "m-large", Amounts(830, 1_250, 4_100, 1)
    ),
    AttemptEnded(
        _NOW_MS,
        _STEP_TASK,
        _ATTEMPT,
        _ARM,
        Outcome.SUCCESS,
        Amounts(830, 1_250, 4_100, 1),
        NOTHING,
        _OUTPUT,
        None,
        0.9,
        1_250,
        None,
        None,
        False,  # noqa: FBT003 - facts are built by position
        None,
        _PROVENANCE,
    ),
    TaskCompleted(_NOW_MS, _STEP_TASK, _ATTEMPT, "", None),
)


class _Ids:
    """Ids in the order of asking, for this process alone."""

    def __init__(self) -> None:
        self._known: list[tuple[str, str]] = []

    def register(self, subject: str, schema: str | Mapping[str, object]) -> int:
        self._known.append((subject, str(schema)))
        return len(self._known)

    def by_id(self, schema_id: int) -> tuple[str, str]:
        return self._known[schema_id - 1]

    def all(self) -> tuple[RegisteredSchema, ...]:
        return tuple(RegisteredSchema(name, 1, n, text) for n, (name, text) in enumerate(self._known, 1))


class _Fastavro:
    """A record through a dict and fastavro, both ways."""

    def __init__(self, record: Any, header: bytes) -> None:
        cls = type(record)
        self._name = cls.schema_name.encode()
        self._schema = fastavro.parse_schema(_untimed(catalog.self_contained(cls.schema_name)))
        self._datum, self._build = to_datum(cls), from_datum(cls)
        self._link_datum, self._link = to_datum(Link), from_datum(Link)
        self._header = header

    def encode(self, record: Any) -> bytes:
        out = BytesIO()
        out.write(self._header)
        fastavro.schemaless_writer(out, self._schema, self._datum(record))
        return out.getvalue()

    def decode(self, value: bytes) -> Any:
        return self._build(self._read(value))

    def encode_fact(self, fact: Any) -> bytes:
        datum = self._datum(fact)
        datum["link"] = self._link_datum(_LINK)
        datum["hash"] = GENESIS
        out = BytesIO()
        fastavro.schemaless_writer(out, self._schema, datum)
        body = out.getvalue()[:-HASH_BYTES]
        return self._header + body + fact_hash(self._name, body)

    def decode_fact(self, value: bytes) -> RecordedFact:
        datum = self._read(value)
        computed = fact_hash(self._name, memoryview(value)[HEADER_BYTES:-HASH_BYTES])
        return RecordedFact(self._build(datum), self._link(datum["link"]), datum["hash"], computed)

    def _read(self, value: bytes) -> Any:
        source = BytesIO(value)
        source.seek(HEADER_BYTES)
        return fastavro.schemaless_reader(source, self._schema, None)


def _untimed(node: Any) -> Any:
    """The schema with timestamps as the integers that octolog works with."""
    if isinstance(node, list):
        return [_untimed(item) for item in node]
    if isinstance(node, dict):
        return {key: _untimed(value) for key, value in node.items() if key != "logicalType"}
    return node


def _round_us(call: Callable[[Any], Any], argument: Any) -> float:
    started_ns = time.thread_time_ns()
    for _ in range(ROUND_RECORDS):
        call(argument)
    return (time.thread_time_ns() - started_ns) / ROUND_RECORDS / 1_000


def _in_turn_us(rounds: int, calls: list[tuple[Callable[[Any], Any], Any]]) -> list[list[float]]:
    """Microseconds a record, for each call and round."""
    timed: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for times, (call, argument) in zip(timed, calls, strict=True):
            times.append(_round_us(call, argument))
    return timed


def _compared(name: str, ours: list[float], theirs: list[float]) -> dict[str, float]:
    return {
        f"{name}_us": round(min(ours), 2),
        f"{name}_fastavro_us": round(min(theirs), 2),
        f"{name}_ratio": round(min(theirs) / min(ours), 1),
    }


def _measure(codec: Codec, record: Any, rounds: int) -> dict[str, Any]:
    fact = type(record) in catalog.FACTS
    value = codec.encode_fact(record, _LINK)[0] if fact else codec.encode(record)
    peer = _Fastavro(record, value[:HEADER_BYTES])
    peer_encode, peer_decode = (peer.encode_fact, peer.decode_fact) if fact else (peer.encode, peer.decode)
    assert peer_encode(record) == value
    assert codec.decode(value) == peer_decode(value)
    encode = (lambda r: codec.encode_fact(r, _LINK)) if fact else codec.encode
    ours_out, theirs_out, ours_in, theirs_in = _in_turn_us(
        rounds, [(encode, record), (peer_encode, record), (codec.decode, value), (peer_decode, value)]
    )
    return {
        "bytes": len(value),
        **_compared("encode", ours_out, theirs_out),
        **_compared("decode", ours_in, theirs_in),
    }


def main() -> None:
    """Measure each record and print the document."""
    rounds = FULL_ROUNDS if options(__doc__ or "").full else QUICK_ROUNDS
    codec = Codec(_Ids())
    measured: dict[str, dict[str, Any]] = {}
    for record in (*RECORDS, *FACTS):
        measured[record.schema_name] = _measure(codec, record, rounds)
        say(f"{record.schema_name}: {measured[record.schema_name]}")
    report(
        {
            "bench": "codec",
            "goal": "encode and decode 3 times as fast as fastavro with dicts, every record; `kept` says whether",
            "rounds": rounds,
            "records_a_round": ROUND_RECORDS,
            "records": measured,
            "least_encode_ratio": bound(
                min(m["encode_ratio"] for m in measured.values()), at_least=WANTED_RATIO
            ),
            "least_decode_ratio": bound(
                min(m["decode_ratio"] for m in measured.values()), at_least=WANTED_RATIO
            ),
        }
    )


if __name__ == "__main__":
    main()
