"""A whole node under load while its processes and its broker are killed at random moments.

Nothing is lost, nothing is decided twice, the projections equal a rebuild, and the log verifies. By default
45 seconds and fifty kills, whatever takes longer; `OCTOLOG_CHAOS_S=600` kills for so many seconds, and
`OCTOLOG_CHAOS_SEED` repeats a run's choices.
"""

from __future__ import annotations

import json
import logging
import os
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import reduce
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from deploy.kafka import EmbeddedKafka, ports
from octolog.app.audit.verification import verify_log
from octolog.app.connection import Connection
from octolog.app.knowledge.queries import open_queries
from octolog.app.node.control import down, up
from octolog.app.processes import wait_until
from octolog.app.projector import catch_up
from octolog.app.settings import Settings
from octolog.domain.errors import Unavailable
from octolog.ports import LogReader, Positions
from projections.analytics.queries import canonical_digest
from projections.analytics.sink import AnalyticsProjection
from projections.duck import FILE_NAME, Store
from projections.episodes.embedded import EmbeddedEpisodes
from projections.episodes.sink import EpisodeProjection
from projections.episodes.store import canonical_digest as episodes_digest
from projections.memory.edge import EdgeCollections
from projections.memory.embedding import HashingEmbedder
from projections.memory.queries import canonical_digest as memory_digest
from projections.memory.sink import MemoryProjection, open_collection, spec_of
from streams.replay import Report
from streams.topics import TASKS
from tests.chaos.killing import Killer
from tests.chaos.ledger import Ledger, assigned_records, dead_letters, read_ledger
from tests.chaos.load import Load, Sent
from tests.chaos.pace import Pace
from tests.chaos.takeover import Death, Takeovers, quantile

KILLING_S = float(os.environ.get("OCTOLOG_CHAOS_S", "45"))
SEED = int(os.environ.get("OCTOLOG_CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
TREES_PER_S = float(os.environ.get("OCTOLOG_CHAOS_TREES_PER_S", "30"))
"""About twice as many tasks a second, steps counted, and six times as many facts."""
GAP_S = 0.9
KILLS = round(50 * min(1.0, KILLING_S / 45))
DRAIN_S = 180.0
TAKEOVER_S = 5.0
ENOUGH_CORE = 0.25
"""Share of a core below which the machine, and not the node, decides how long a start takes; above, the bound is
for a whole core, and grows as there is less of it."""
LONG_S = 300.0
"""From here on the 99th percentile is asserted, of enough deaths: a figure of a machine, which no short run judges."""
TAKEOVERS = 120 if KILLING_S >= LONG_S else 5

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.alone,
    pytest.mark.timeout(5 * KILLING_S + 800),
    pytest.mark.usefixtures("kafka_jars"),
]


@pytest.fixture(scope="module")
def settings() -> Iterator[Settings]:
    """Those of a node that runs."""
    home = Path(mkdtemp(prefix="octolog-chaos-"))
    found = Settings(
        home=home,
        bootstrap_servers=None,
        schema_registry_url=None,
        processors=2,
        partitions=4,
        arms="noop",
        embedding_model="hashing",
        broker_port=ports.free_port(),  # any other broker that starts here would prefer the usual one
    )
    try:
        up(found, detach=True, progress=lambda *_: None)
        yield found
    finally:
        down(found)
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module")
def earlier() -> list[Sent]:
    """What other tests sent to the node before; the log has to answer for that, too."""
    return []


def test_a_killed_processor_is_replaced_while_the_others_go_on(
    settings: Settings, earlier: list[Sent]
) -> None:
    """From its death to its successor's first committed fact, under load, one death at a time.

    A long run, asked for on a machine that is known, also asserts the target of five seconds.
    """
    pace, rng = Pace(), random.Random(SEED)
    with Connection(settings) as connection:
        takeovers = Takeovers(connection)
        killer = Killer(settings, rng, takeovers)
        load = Load(connection, rng, TREES_PER_S, "calm-")
        for thread in (pace, takeovers, load):
            thread.start()
        try:
            for number in range(TAKEOVERS):
                time.sleep(rng.uniform(1.0, 2.0))
                killer.kill_processor(f"processor-{number % 2}")
                assert wait_until(lambda: takeovers.deaths[-1].first_commit_s is not None, 120, pause_s=0.1)
        finally:
            earlier.append(load.finish())
        took_s, share = sorted(death.seconds for death in takeovers.finish()), pace.finish()
    quantiles = {f"p{q:.0f}_s": round(quantile(took_s, q / 100), 2) for q in (50, 90, 99)}
    _say(json.dumps({"takeovers": len(took_s), **quantiles, "core_share": round(share, 2)}, sort_keys=True))
    if KILLING_S >= LONG_S and share >= ENOUGH_CORE:
        assert quantile(took_s, 0.99) <= TAKEOVER_S / min(1.0, share), took_s


def test_a_node_loses_nothing_and_decides_nothing_twice_whoever_is_killed(
    settings: Settings, earlier: list[Sent]
) -> None:
    # Its clients say every second that the broker is down; that is what this test does to them.
    logging.getLogger("octolog.kafka").setLevel(logging.CRITICAL)
    _say(f"OCTOLOG_CHAOS_SEED={SEED}")
    pace = Pace()
    with Connection(settings) as connection:
        sent, killer, takeovers = _load_and_kill(settings, connection, pace)
        share = pace.finish()
        sent = reduce(Sent.and_also, earlier, sent)
        drained_s = _drain(connection, sent)
        deaths = takeovers.finish()
        _wait_for_projections(settings, connection)
    down(settings)
    broker = EmbeddedKafka(settings.home)
    broker.start()
    try:
        with Connection(settings) as connection:
            ledger = read_ledger(connection.reader(), connection.codec())
            report = verify_log(connection)
            told = _summary(killer, deaths, sent, ledger, report)
            _say(
                json.dumps(
                    {**told, "drained_s": round(drained_s, 1), "core_share": round(share, 2)}, sort_keys=True
                )
            )
            _check_contracts(sent, ledger)
            _check_log(connection, ledger, report)
            _check_projections(settings, connection)
    finally:
        broker.stop()
    assert killer.kills.total() >= KILLS, killer.kills


def _say(line: str) -> None:
    sys.stdout.write(f"\n{line}\n")
    sys.stdout.flush()


def _load_and_kill(settings: Settings, connection: Connection, pace: Pace) -> tuple[Sent, Killer, Takeovers]:
    rng = random.Random(SEED)
    load = Load(connection, random.Random(rng.random()), TREES_PER_S)
    takeovers = Takeovers(connection)
    killer = Killer(settings, rng, takeovers)
    pace.start()
    takeovers.start()
    load.start()
    killer.run(KILLING_S, GAP_S, at_least=KILLS)
    return load.finish(), killer, takeovers


def _ends(reader: LogReader) -> Positions:
    """Ends of the facts, once the broker, killed a moment ago perhaps, tells them."""
    found: Positions = {}

    def told() -> bool:
        with suppress(Unavailable):
            found.update(reader.ends([TASKS]))
        return bool(found)

    assert wait_until(told, DRAIN_S), "the broker does not come back"
    return found


def _drain(connection: Connection, sent: Sent) -> float:
    """Wait until every tree that was accepted is over; seconds it took."""
    assert not sent.failed
    began_s = time.monotonic()
    reader, codec, ledger = connection.reader(), connection.codec(), Ledger()
    places = _ends(reader)
    for batch in reader.read(dict.fromkeys(places, 0)):
        for record in batch:
            ledger.add(codec.decode(record.value))
        missing = ledger.lost(sent.roots)
        if not missing:
            return time.monotonic() - began_s
        late = time.monotonic() - began_s > DRAIN_S
        assert not late, (
            f"{len(missing)} trees are not over after {DRAIN_S:.0f} s, first {missing[:5]}; {ledger.told(missing)}"
        )
    raise AssertionError("a following reader never ends")


def _wait_for_projections(settings: Settings, connection: Connection) -> None:
    ends = _ends(connection.reader())

    def caught_up() -> bool:
        try:
            with open_queries(settings) as queries:
                reached = queries.positions()
        except Unavailable:  # the service is being brought back
            return False
        # Control records follow the last fact of a partition, and are never delivered.
        return all(reached.get(place, 0) >= end - 2 for place, end in ends.items())

    assert wait_until(caught_up, DRAIN_S, pause_s=0.2), "the projections stand still"


def _check_contracts(sent: Sent, ledger: Ledger) -> None:
    assert not ledger.lost(sent.roots), "accepted, and without an outcome"
    assert set(ledger.submitted) == set(sent.roots), "accepted and submitted differ"
    for root in sent.roots:
        outcome = ledger.outcomes[root]
        as_asked = outcome == ["TaskCompleted"] or (root in sent.cancelled and outcome == ["TaskCancelled"])
        assert as_asked, "\n".join([f"{root} ended {outcome}:", *ledger.failures[root]])
    for root in sent.clashing:
        assert ledger.rejected[root] or root in sent.cancelled, (
            f"{root}: another content was taken in silence"
        )
    assert set(ledger.rejected) <= sent.clashing | sent.cancelled


def _check_log(connection: Connection, ledger: Ledger, report: Report) -> None:
    assert ledger.decided_twice() == []
    assert ledger.unsettled() == []
    assert ledger.gaps == []
    assert report.ok, report.to_json()
    assert report.facts == ledger.facts
    handed = assigned_records(connection.reader(), connection.codec(), "noop")
    assert handed == ledger.assigned, "what arms were told differs from the facts"
    assert dead_letters(connection) == []


def _check_projections(settings: Settings, connection: Connection) -> None:
    """The live store, having read the last words of the node's end, equals one made from offset 0."""
    digests = [
        _digest(connection, settings.knowledge_dir / FILE_NAME),
        _digest(connection, settings.home / "rebuilt.duckdb"),
    ]
    assert digests[0] == digests[1], "the projections differ from a rebuild"
    memories = [_memory_digest(connection, settings.home / folder) for folder in ("memory", "rebuilt-memory")]
    assert memories[0] == memories[1], "the memories differ from a rebuild"
    folders = [settings.home / "episodes", settings.home / "rebuilt-episodes"]
    episodes = [_episodes_digest(connection, folder / "episodes.sqlite") for folder in folders]
    assert episodes[0] == episodes[1], "the episodes differ from a rebuild"


def _digest(connection: Connection, path: Path) -> str:
    projection = AnalyticsProjection(store := Store.open(path), connection.schema_ids)
    with closing(projection):
        catch_up(projection, connection.reader())
        return canonical_digest(store)


def _memory_digest(connection: Connection, folder: Path) -> str:
    embedder = HashingEmbedder()
    with closing(EdgeCollections(folder)) as collections:
        store, _ = open_collection(collections, spec_of(embedder))
        catch_up(MemoryProjection(store, embedder, connection.codec()), connection.reader())
        assert store.count() > 0
        return memory_digest(store)


def _episodes_digest(connection: Connection, path: Path) -> str:
    with closing(EmbeddedEpisodes(path)) as store:
        catch_up(EpisodeProjection(store, connection.codec()), connection.reader())
        return episodes_digest(store)


def _clean(deaths: list[Death]) -> list[float]:
    return [death.seconds for death in deaths if not death.again and not death.no_broker and death.partitions]


def _summary(
    killer: Killer, deaths: list[Death], sent: Sent, ledger: Ledger, report: Report
) -> dict[str, Any]:
    clean = _clean(deaths)
    return {
        "seed": SEED,
        "killing_s": KILLING_S,
        "kills": dict(killer.kills),
        "contracts": len(sent.roots),
        "repeated": len(sent.repeated),
        "clashing": len(sent.clashing),
        "cancel_requests": len(sent.cancelled),
        "outcomes": Counter(name for names in ledger.outcomes.values() for name in names),
        "attempts": len(ledger.assigned),
        "attempts_lost": ledger.lost_attempts,
        "facts": ledger.facts,
        "verify_ok": report.ok,
        "verify_s": round(report.seconds, 1),
        "takeovers": len(clean),
        "takeover_p50_s": round(quantile(clean, 0.5), 2),
        "takeover_p90_s": round(quantile(clean, 0.9), 2),
        "takeover_p99_s": round(quantile(clean, 0.99), 2),
        "takeovers_killed_again": sum(death.again for death in deaths),
        "takeovers_without_broker": sum(death.no_broker for death in deaths),
    }
