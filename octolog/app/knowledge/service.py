"""The knowledge process of a node: follows the log into DuckDB, and answers queries while it does.

A file that was made by another version of the tables goes on answering, unwritten, while this process fills a new one
beside it; once that has caught up, it takes the old one's place.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from octolog.app.arms.keeper import KeeperThread
from octolog.app.audit.notary import NotaryThread
from octolog.app.connection import Connection
from octolog.app.knowledge.files import current_file, drop_file, new_file, use_file
from octolog.app.knowledge.live_store import LiveAnalytics, LiveStore
from octolog.app.knowledge.rebuild import equal_at_once
from octolog.app.knowledge.server import QueryServer
from octolog.app.processes import StateFile, Stop
from octolog.app.projector import ProjectorState, covers, fill_and_follow, read_on
from octolog.app.settings import Settings
from octolog.domain.errors import NotFound, Refused, StoreUnavailable
from octolog.domain.health import Record
from octolog.domain.ids import ArmId
from octolog.ports import DeadLetterSink, Positions
from projections.analytics.sink import AnalyticsProjection
from projections.duck import Store
from projections.registry.queries import records
from streams.dead_letters import PublishedDeadLetters

if TYPE_CHECKING:
    from streams.kafka.publisher import KafkaPublisher

_REPORT_S: Final = 0.25
_WAIT_S: Final = 600.0
_PAUSE_S: Final = 0.1


def run_knowledge(settings: Settings, name: str, state: StateFile, stop: Stop) -> None:
    """Project and serve until told to stop."""
    with Connection(settings) as connection:
        publisher = connection.publisher(background=True)
        letters = PublishedDeadLetters(publisher, connection.codec(), consumer=name)
        knowledge = Knowledge(settings, connection, letters)
        server = QueryServer(knowledge.live, knowledge.served, knowledge.put_in_place)
        url = server.start()
        report = threading.Thread(target=_report, args=(state, url, knowledge, stop, publisher), daemon=True)
        report.start()
        notary = NotaryThread(settings, stop)
        notary.start()
        keeper = KeeperThread(settings, stop, knowledge.records)
        keeper.start()
        try:
            knowledge.follow(stop)
        finally:
            server.stop()
            notary.join()
            keeper.join()
            knowledge.close()


class Knowledge:
    """The tables of a node: what answers, what follows the log, and how one takes the other's place.

    Args:
        settings: Where the files are.
        connection: Which log.
        letters: Told of what cannot be stored.
    """

    def __init__(self, settings: Settings, connection: Connection, letters: DeadLetterSink) -> None:
        self._settings, self._connection, self._letters = settings, connection, letters
        self.progress = ProjectorState()
        self.stale = ""
        """Why what answers is not what follows; empty: they are the same."""
        self._old_positions: Positions = {}
        self._path = current_file(settings)
        store, old = self._open()
        self.live = LiveStore(old or store)
        # A file filled anew was told of before: what cannot be stored is in the log as dead letters already.
        told = letters if old is None else None
        self.projection = LiveAnalytics(AnalyticsProjection(store, connection.schema_ids, told))
        self._store = store

    def served(self) -> ProjectorState:
        """How far the tables that answer are."""
        return ProjectorState(positions=self._old_positions) if self.stale else self.progress

    def records(self) -> dict[ArmId, Record]:
        """How the attempts of every arm went."""
        with self.live.lease() as store:
            return records(store)

    def follow(self, stop: Stop) -> None:
        """Follow the log until told to stop; what another version filled is filled anew first."""
        reader = self._connection.reader()
        take_over = self._take_over if self.stale else None
        fill_and_follow(self.projection, reader, self.progress, stop, take_over)

    def put_in_place(self, name: str) -> dict[str, Any]:
        """Verify a rebuilt file against the one in use, then put it in its place; no query notices.

        Raises:
            NotFound: When there is no such file.
            Refused: When it differs.
            StoreUnavailable: When the projector does not come that far.
        """
        path = self._settings.knowledge_dir / name
        if not path.is_file() or path == self._path:
            raise NotFound(f"no rebuilt file {name}")
        if self.stale:
            raise Refused("the tables are being rebuilt already, for this version; see `octolog status`")
        store = Store.open(path)
        built = AnalyticsProjection(store, self._connection.schema_ids, None)
        try:
            self._wait_until_as_far(built.positions())
            reader = self._connection.reader()
            with self.live.lease() as live:
                rows = equal_at_once(live, built, store, reader)
            with self.projection.writing:
                read_on(built, reader, self.projection.positions())
                self._replace(store, built, path)
        except BaseException:
            if self._path != path:
                built.close()
            raise
        return {"file": name, "verified": True, "rows": sum(rows.values()), "tables": len(rows)}

    def close(self) -> None:
        """Release the tables."""
        self.projection.close()

    def _open(self) -> tuple[Store, Store | None]:
        """What follows the log; and what answers meanwhile, when that is another."""
        path = current_file(self._settings)
        if path.is_file():
            try:
                old = Store.open(path, read_only=True)
            except StoreUnavailable:
                return Store.open(path), None
            self.stale = AnalyticsProjection.made_otherwise(old) or ""
            if self.stale and old.rows("SELECT 1 FROM duckdb_tables() LIMIT 1"):
                self._remember(old)
                self._path = new_file(self._settings)
                return Store.open(self._path), old
            self.stale = ""
            old.close()
        return Store.open(path), None

    def _remember(self, old: Store) -> None:
        with suppress(StoreUnavailable):
            self._old_positions = old.positions()

    def _take_over(self) -> None:
        """What was filled beside has caught up: from now on it answers."""
        old = current_file(self._settings)
        use_file(self._settings, self._path)
        with self.live.lease() as before:
            self.live.replace(self._store, lambda: _give_up(before.close, old))
        self.projection.inner.report_to(self._letters)
        self.stale = ""

    def _replace(self, store: Store, built: AnalyticsProjection, path: Path) -> None:
        old_path, old = self._path, self.projection.inner
        use_file(self._settings, path)
        self._path, self._store, self.projection.inner = path, store, built
        built.report_to(self._letters)
        self.live.replace(store, lambda: _give_up(old.close, old_path))

    def _wait_until_as_far(self, positions: Positions) -> None:
        for _ in range(int(_WAIT_S / _PAUSE_S)):
            if covers(self.projection.positions(), positions):
                return
            threading.Event().wait(_PAUSE_S)
        raise StoreUnavailable(f"the projector is not that far after {_WAIT_S:.0f} s; see `octolog status`")


def _give_up(close: Callable[[], None], path: Path) -> None:
    close()
    drop_file(path)


def _report(state: StateFile, url: str, knowledge: Knowledge, stop: Stop, publisher: KafkaPublisher) -> None:
    while not stop.asked:
        progress = knowledge.progress
        behind = "caught up" if progress.caught_up else "catching up"
        detail = f"{progress.records} records, {behind}"
        if knowledge.stale:
            detail = f"filling the tables anew, {knowledge.stale}; {detail}"
        state.write(state="ready", kind="knowledge", url=url, detail=detail)
        threading.Event().wait(_REPORT_S)
    publisher.close()
