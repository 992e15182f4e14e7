"""The engine on Faust: contracts and results in, facts out, state in a table, exactly once.

Runs until it is stopped (SIGINT or SIGTERM); whoever compares reads the facts with `read_committed`.

The best reasonable configuration:

- Keys, values and state are bytes (`raw`): no JSON is made where none is needed.
- One agent reads both topics, so that a tree's contracts and results meet in one table.
- The table lives in memory over its changelog, Faust's fastest store.
- The commit interval is an option; the web server is off, logs are warnings only.
"""

from __future__ import annotations

import argparse
from typing import Final

import faust
from decider import Record, arguments, decider

SESSION_TIMEOUT_S: Final = (
    6.0  # the default, 60 s, is how long a killed engine would keep its partitions from its successor
)
BUFFERED_RECORDS: Final = 16_384  # the default, 4,096, starves a fast stream


def build(options: argparse.Namespace) -> faust.App:
    """Return the application, exactly once, on topics that exist already."""
    app = faust.App(
        options.group,
        broker=f"kafka://{options.bootstrap_servers}",
        store="memory://",
        datadir=options.state_dir,
        processing_guarantee="exactly_once",
        key_serializer="raw",
        value_serializer="raw",
        broker_commit_interval=options.commit_interval_s,
        broker_session_timeout=SESSION_TIMEOUT_S,
        broker_heartbeat_interval=SESSION_TIMEOUT_S / 3,
        consumer_auto_offset_reset="earliest",
        producer_compression_type="lz4",
        producer_linger=0,
        stream_buffer_maxsize=BUFFERED_RECORDS,
        topic_allow_declare=True,
        topic_disable_leader=True,
        topic_partitions=options.partitions,
        topic_replication_factor=1,
        web_enabled=False,
    )
    _add_agent(app, options)
    return app


def _add_agent(app: faust.App, options: argparse.Namespace) -> None:
    raw = {"key_type": bytes, "value_type": bytes}
    inputs = app.topic(options.contracts, options.results, partitions=options.partitions, **raw)
    facts = app.topic(options.facts, partitions=options.partitions, **raw)
    trees = app.Table("trees", partitions=options.partitions, **raw)
    decide = decider(options)

    @app.agent(inputs)
    async def _react(stream: faust.Stream[bytes]) -> None:
        async for event in stream.events():
            message = event.message
            record = Record(
                message.topic,
                message.partition,
                message.offset,
                event.key,
                event.value,
                round(message.timestamp * 1000),
            )
            decision = decide(trees.get(event.key), record)
            trees[event.key] = decision.stored
            for fact in decision.facts:
                await facts.send(key=event.key, value=fact)


def main() -> None:
    """Run the engine until it is stopped."""
    app = build(arguments("The engine on Faust"))
    faust.Worker(app, loglevel="WARNING", redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    main()
