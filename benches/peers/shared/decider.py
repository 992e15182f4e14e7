"""What a peer's engine does with a record, apart from its engine: the one place where it decides.

An engine hands over what it stored for a key and the record it read; it gets back what to store and which facts to
append. How it stores, appends and commits is the peer's own business, and that is what is compared. Every engine runs
the same decider, so that none of them wins by deciding less.
"""

from __future__ import annotations

import argparse
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_COUNT: Final = struct.Struct(">Q")
FACT_BYTES: Final = 200


@dataclass(frozen=True, slots=True)
class Record:
    """One input record.

    Attributes:
        topic: Where it was read.
        partition: Where it was read.
        offset: Where it was read.
        key: The root task id, as bytes.
        value: Its value as the wire has it.
        at_ms: Its timestamp, in milliseconds since 1970.
    """

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes
    at_ms: int


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows from a record: the key's new stored state and the facts to append under the same key."""

    stored: bytes
    facts: tuple[bytes, ...]


Decide = Callable[[bytes | None, Record], Decision]


def counting(stored: bytes | None, record: Record) -> Decision:
    """Number a key's records from 1: the least state an engine can keep.

    Its figures are the engine's own ceiling, and a reader of the facts sees every loss, repeat and forgotten state.
    """
    number = 1 + (_COUNT.unpack(stored)[0] if stored else 0)
    return Decision(_COUNT.pack(number), ((b"%d " % number + record.value)[:FACT_BYTES].ljust(FACT_BYTES),))


COUNTING: Final = "counting"
OCTOLOG: Final = "octolog"


def decider(options: argparse.Namespace) -> Decide:
    """Return the decider that the options name; octolog's needs its packages on the path and `--context`."""
    if options.decider == COUNTING:
        return counting
    from octolog_core import deciding

    return deciding(options.context, {options.contracts: CONTRACTS, options.results: RESULTS})


CONTRACTS: Final = "octolog.contracts"
RESULTS: Final = "octolog.results"


def arguments(description: str) -> argparse.Namespace:
    """Return the options every engine takes: where the topics are and which decider runs."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--bootstrap-servers", required=True)
    parser.add_argument("--group", required=True)
    parser.add_argument("--contracts", default=CONTRACTS)
    parser.add_argument("--results", default=RESULTS)
    parser.add_argument("--facts", default="octolog.tasks")
    parser.add_argument("--state-dir", required=True, help="folder for local state; empty for a fresh start")
    parser.add_argument(
        "--partitions", type=int, default=1, help="partitions of every topic, for the state's changelog"
    )
    parser.add_argument("--commit-interval-s", type=float, default=0.2)
    parser.add_argument("--decider", choices=(COUNTING, OCTOLOG), default=COUNTING)
    parser.add_argument(
        "--context", type=Path, help="what octolog's decider knows beside its inputs, a JSON file"
    )
    return parser.parse_args()
