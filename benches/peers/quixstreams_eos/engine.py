"""The engine on quixstreams: contracts and results in, facts out, state in RocksDB, exactly once.

Runs until it is stopped (SIGINT or SIGTERM); whoever compares reads the facts with `read_committed`.

The best reasonable configuration:

- Keys, values and state are bytes: no JSON is made where none is needed.
- Both topics are one stream (`concat`), so that a tree's contracts and results meet in one state.
- The commit interval is an option: a short one serves latency, a long one throughput.
- Records are sent at once and compressed with lz4, as ours are; logs are warnings only.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Final

from decider import Decide, Record, arguments, decider
from quixstreams import Application, State, message_context
from quixstreams.dataframe import StreamingDataFrame
from quixstreams.models import BytesDeserializer, BytesSerializer

STORED: Final = "tree"  # quixstreams keeps state per message key; this names the one value under it
POLL_TIMEOUT_S: Final = 0.02  # the default, 1 s, would hold back a commit while nothing arrives

Tagged = tuple[str, bytes]
React = Callable[[Tagged, bytes, int, object, State], tuple[bytes, ...]]


def build(options: argparse.Namespace) -> Application:
    """Return the application, exactly once, on topics that exist already."""
    app = Application(
        broker_address=options.bootstrap_servers,
        consumer_group=options.group,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        commit_interval=options.commit_interval_s,
        consumer_poll_timeout=POLL_TIMEOUT_S,
        state_dir=options.state_dir,
        producer_extra_config={"compression.type": "lz4", "linger.ms": 0},
        loglevel="WARNING",
    )
    inputs = [_read(app, name) for name in (options.contracts, options.results)]
    facts = app.topic(options.facts, key_serializer=BytesSerializer(), value_serializer=BytesSerializer())
    reaction = react_with(decider(options))
    inputs[0].concat(inputs[1]).apply(reaction, stateful=True, metadata=True, expand=True).to_topic(facts)
    return app


def react_with(decide: Decide) -> React:
    """Return the callback that keeps state in the store and yields facts."""

    def react(tagged: Tagged, key: bytes, at_ms: int, _headers: object, state: State) -> tuple[bytes, ...]:
        source, value = tagged
        at = message_context()
        record = Record(source, at.partition, at.offset, key, value, at_ms)
        decision = decide(state.get_bytes(STORED), record)
        state.set_bytes(STORED, decision.stored)
        return decision.facts

    return react


def _read(app: Application, name: str) -> StreamingDataFrame:
    source = app.topic(name, key_deserializer=BytesDeserializer(), value_deserializer=BytesDeserializer())
    return app.dataframe(source).apply(lambda value: (name, value))


def main() -> None:
    """Run the engine until it is stopped."""
    build(arguments("The engine on quixstreams")).run()


if __name__ == "__main__":
    main()
