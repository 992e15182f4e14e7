"""What a node and its log look like at one moment, as Prometheus metrics.

Counters come from the log itself and from what projections fold of it, so they survive every restart of a process.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from octolog.app.connection import Connection
from octolog.app.knowledge.queries import Queries, open_queries
from octolog.app.node.control import status
from octolog.app.processes import StateFile, Stop
from octolog.app.settings import Settings
from octolog.domain.errors import NotFound, SettingsError, Unavailable
from octolog.ports import Positions
from streams.kafka.positions import committed
from streams.runner import GROUP
from streams.topics import DEAD_LETTERS, INPUTS, MEMORY, TASKS

_REPORT_S: Final = 0.5
_PLACE: Final = ("topic", "partition")
_ENDED: Final = """
    SELECT arm_id, outcome, count(*), sum(settled_tokens), sum(settled_cost_micros) / 1e6,
           sum(settled_time_ms) / 1e3
    FROM attempt_ended GROUP BY ALL ORDER BY ALL"""
_OPEN: Final = """
    SELECT arm_id, sum(held) FROM (
        SELECT arm_id, 1 AS held FROM attempt_assigned UNION ALL SELECT arm_id, -1 FROM attempt_ended
    ) GROUP BY ALL ORDER BY ALL"""
_TREES: Final = "SELECT status, count(*) FROM trees GROUP BY ALL ORDER BY ALL"
_WAITING: Final = "SELECT count(*) FROM approvals WHERE state = 'OPEN'"


class NodeMetrics(Collector):
    """Asks the node, the log and the projections at every scrape; what does not answer is left out, and said.

    Args:
        settings: Which node, and which log.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def collect(self) -> Iterator[Metric]:
        """Every metric, with its help."""
        yield from self._processes()
        up = GaugeMetricFamily(
            "octolog_source_up", "1 when this part of octolog answered.", labels=["source"]
        )
        sources: list[tuple[str, Callable[[], Iterator[Metric]]]] = [("log", self._log)]
        if self._settings.runs(
            "knowledge"
        ):  # without it, nobody here would answer, and each scrape would wait
            sources.append(("projections", self._projections))
        for source, ask in sources:
            found = _answered(ask)
            up.add_metric([source], float(found is not None))
            yield from found or ()
        yield up

    def _processes(self) -> Iterator[Metric]:
        ready = GaugeMetricFamily("octolog_process_ready", "1 when the process says so.", labels=["process"])
        memory = GaugeMetricFamily(
            "octolog_process_resident_memory_bytes", "Resident memory of a process.", labels=["process"]
        )
        for part in status(self._settings).components:
            ready.add_metric([part.name], float(part.state in ("ready", "running")))
            memory.add_metric([part.name], part.rss_bytes)
        yield from (ready, memory)

    def _log(self) -> Iterator[Metric]:
        with Connection(self._settings) as connection:
            ends = connection.reader().ends((*INPUTS, TASKS, MEMORY, DEAD_LETTERS))
            reached = committed(connection.kafka, GROUP, INPUTS)
        written = CounterMetricFamily(
            "octolog_log_offsets",
            "Offsets written to a partition, marks of transactions included.",
            labels=_PLACE,
        )
        _by_place(written, ends)
        lag = GaugeMetricFamily(
            "octolog_processor_lag_offsets",
            "Offsets of an input partition that no committed decision covers yet; a mark of a transaction counts.",
            labels=_PLACE,
        )
        _by_place(lag, {place: max(0, ends.get(place, 0) - at) for place, at in reached.items()})
        yield from (written, lag)

    def _projections(self) -> Iterator[Metric]:
        with open_queries(self._settings) as queries:
            yield from _ended(_rows(queries, _ENDED))
            yield _gauge("octolog_attempts_open", "Attempts that arms hold.", ["arm"], _rows(queries, _OPEN))
            yield _gauge("octolog_trees", "Task trees by status.", ["status"], _rows(queries, _TREES))
            waiting = _rows(queries, _WAITING)
            yield _gauge("octolog_approvals_open", "Requests that wait for a person.", [], waiting)
            health = [
                (arm["capability"]["arm_id"], arm["health"], 1)
                for arm in queries.arms()
                if not arm["retired"]
            ]
            yield _gauge("octolog_arm_health", "1 for the health an arm is in.", ["arm", "health"], health)


def registry_of(settings: Settings) -> CollectorRegistry:
    """The metrics of a node, ready to be written out or served."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(NodeMetrics(settings))
    return registry


def exposition(registry: CollectorRegistry) -> str:
    """All metrics in Prometheus' text format."""
    return generate_latest(registry).decode()


def run_metrics(settings: Settings, state: StateFile, stop: Stop) -> None:
    """Serve `/metrics` until told to stop.

    Raises:
        SettingsError: When the port cannot be listened on.
    """
    port, host = settings.metrics_port or 0, settings.metrics_host
    try:
        server, thread = start_http_server(port, host, registry_of(settings))
    except OSError as error:
        raise SettingsError(
            f"setting metrics_port: {host}:{port} cannot be used: {error.strerror}"
        ) from error
    url = f"http://{host}:{server.server_address[1]}/metrics"
    while not stop.asked:
        state.write(state="ready", kind="metrics", url=url, detail=url)
        time.sleep(_REPORT_S)
    server.shutdown()
    thread.join()


def _answered(ask: Callable[[], Iterable[Metric]]) -> list[Metric] | None:
    try:
        return list(ask())
    except (NotFound, Unavailable):
        return None


def _gauge(name: str, documentation: str, labels: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> Metric:
    family = GaugeMetricFamily(name, documentation, labels=labels)
    for *names, value in rows:
        family.add_metric(list(map(str, names)), value)
    return family


def _ended(rows: list[tuple[Any, ...]]) -> Iterator[Metric]:
    by = ["arm", "outcome"]
    families = (
        CounterMetricFamily("octolog_attempts_ended", "Attempts that ended, by arm and outcome.", labels=by),
        CounterMetricFamily("octolog_tokens", "Tokens that ended attempts were charged.", labels=by),
        CounterMetricFamily("octolog_cost_dollars", "What ended attempts were charged, dollars.", labels=by),
        CounterMetricFamily(
            "octolog_attempt_seconds", "What ended attempts were charged, seconds.", labels=by
        ),
    )
    for arm, outcome, *values in rows:
        for family, value in zip(families, values, strict=True):
            family.add_metric([arm, outcome], float(value or 0))
    yield from families


def _by_place(family: CounterMetricFamily | GaugeMetricFamily, values: Positions) -> None:
    for (topic, partition), value in sorted(values.items()):
        family.add_metric([topic, str(partition)], value)


def _rows(queries: Queries, sql: str) -> list[tuple[Any, ...]]:
    found = queries.sql(sql).table.to_pydict()
    return list(zip(*found.values(), strict=True))
