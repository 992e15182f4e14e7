"""Asking the projections: the running node over HTTP, or the file itself when no node runs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Protocol

from octolog.app.loopback_client import LoopbackClient, Reply
from octolog.app.node.control import query_url, runs
from octolog.app.settings import Settings
from octolog.domain import errors
from octolog.domain.errors import NotFound, OctologError, StoreUnavailable, Unavailable
from octolog.ports import Positions

if TYPE_CHECKING:
    import pyarrow as pa

MAX_ROWS: Final = 10_000
TIMEOUT_S: Final = 30.0
SWAP_TIMEOUT_S: Final = 3_600.0
_PATIENCE_S: Final = 20.0
_PAUSE_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows of a query.

    Attributes:
        table: The rows, as Arrow.
        truncated: True when there were more than asked for.
    """

    table: pa.Table
    truncated: bool


class _Source(Protocol):
    def call(self, method: str, args: Mapping[str, Any]) -> Any: ...

    def sql(self, sql: str, max_rows: int, timeout_s: float) -> Answer: ...

    def positions(self) -> Positions: ...

    def swap(self, file: str) -> dict[str, Any]: ...


class Queries:
    """What the projections know.

    Raises:
        Refused: For SQL that does more than read, or takes too long.
        NotFound: For a task that is not in the projections.
        StoreUnavailable: When neither the node nor the file answers.
    """

    def __init__(self, source: _Source) -> None:
        self._source = source

    def sql(self, sql: str, *, max_rows: int = MAX_ROWS, timeout_s: float = TIMEOUT_S) -> Answer:
        """Run one reading statement."""
        return self._source.sql(sql, max_rows, timeout_s)

    def tables(self) -> list[dict[str, Any]]:
        """Every table and view with its columns."""
        return self._rows("tables")

    def task(self, task_id: str) -> dict[str, Any]:
        """A task's state now, with its attempts and steps."""
        found: dict[str, Any] = self._source.call("task", {"task_id": task_id})
        return found

    def tasks(self, limit: int = 50, status: str | None = None) -> list[dict[str, Any]]:
        """The newest tasks."""
        return self._rows("tasks", limit=limit, status=status)

    def trees(self, limit: int = 50, status: str | None = None) -> list[dict[str, Any]]:
        """The newest trees."""
        return self._rows("trees", limit=limit, status=status)

    def timeline(self, root: str) -> list[dict[str, Any]]:
        """All facts of a tree in order."""
        return self._rows("timeline", root=root)

    def custody(self, task_id: str) -> dict[str, Any]:
        """The chain of custody of a task."""
        found: dict[str, Any] = self._source.call("custody", {"task_id": task_id})
        return found

    def lineage(self, task_id: str, form: str, *, personal: bool = True) -> Any:
        """A task's lineage as `prov-json` (a document), `openlineage` (events) or `svg` (text).

        Args:
            task_id: The task.
            form: One of the three.
            personal: False: without what can be personal data.
        """
        return self._source.call("lineage", {"task_id": task_id, "form": form, "personal": personal})

    def steps(self, root: str) -> list[dict[str, Any]]:
        """Cost and time of every step of a tree."""
        return self._rows("steps", root=root)

    def arms(self) -> list[dict[str, Any]]:
        """Every arm with its health and statistics."""
        return self._rows("arms")

    def dead_letters(self, limit: int = 50) -> list[dict[str, Any]]:
        """The newest dead letters."""
        return self._rows("dead_letters", limit=limit)

    def root_of(self, task_id: str) -> str:
        """The tree a task belongs to."""
        return str(self._source.call("root_of", {"task_id": task_id}))

    def made(self) -> dict[str, Any]:
        """The version that filled the tables, and as `stale` why they cannot be gone on with; empty: they can."""
        found: dict[str, Any] = self._source.call("made", {})
        return found

    def positions(self) -> Positions:
        """How far the projections have read."""
        return self._source.positions()

    def swap(self, file: str) -> dict[str, Any]:
        """Put a rebuilt file in the place of the one in use, once it was found equal; where a node runs.

        Raises:
            Refused: When it differs; nothing was changed.
        """
        return self._source.swap(file)

    def wait_for(self, positions: Positions, timeout_s: float) -> None:
        """Return once the projections have read that far.

        Raises:
            Unavailable: When they have not after `timeout_s` seconds.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            reached = self.positions()
            if all(reached.get(place, 0) >= offset for place, offset in positions.items()):
                return
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"the projections are not that far after {timeout_s:.0f} s; see `octolog status`"
                )
            time.sleep(0.05)

    def _rows(self, method: str, **args: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._source.call(method, args)
        return found


@contextmanager
def open_queries(settings: Settings) -> Iterator[Queries]:
    """The running node's query service once it answers, or the file itself where no node runs.

    While a node runs, the file is its projector's: opened directly in a moment without query service, it would
    keep the projector from opening it again.

    Raises:
        NotFound: When nothing was projected in this home yet.
        StoreUnavailable: When the service does not come back, or the file cannot be opened.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while (url := query_url(settings)) is None and runs(settings):
        if time.monotonic() > deadline:
            raise StoreUnavailable(f"no query service after {_PATIENCE_S:.0f} s; see `octolog status`")
        time.sleep(_PAUSE_S)
    if url is not None:
        yield Queries(_Remote(LoopbackClient(url, "the query service")))
        return
    from octolog.app.knowledge.files import current_file
    from projections.duck import Store

    path = current_file(settings)
    if not path.is_file():
        raise NotFound(f"nothing is projected under {settings.home} yet; start a node with `octolog up`")
    store = Store.open(path, read_only=True)
    try:
        yield queries_of(store)
    finally:
        store.close()


def queries_of(store: Any) -> Queries:
    """The same questions to a `projections.duck.Store` that this process has open."""
    return Queries(_Local(store))


class _Remote:
    def __init__(self, client: LoopbackClient) -> None:
        self._client = client

    def call(self, method: str, args: Mapping[str, Any]) -> Any:
        return self._post("/call", {"method": method, "args": dict(args)}).json()

    def sql(self, sql: str, max_rows: int, timeout_s: float) -> Answer:
        asked = {"sql": sql, "max_rows": max_rows, "timeout_s": timeout_s}
        response = self._post("/sql", asked, timeout_s=timeout_s + 5)
        from pyarrow import ipc

        return Answer(ipc.open_stream(response.content).read_all(), response.headers["x-truncated"] == "1")

    def swap(self, file: str) -> dict[str, Any]:
        response = self._post("/swap", {"file": file}, timeout_s=SWAP_TIMEOUT_S)
        found: dict[str, Any] = response.json()
        return found

    def positions(self) -> Positions:
        places = self._get("/positions")["positions"]
        return {(place.rsplit("/", 1)[0], int(place.rsplit("/", 1)[1])): at for place, at in places.items()}

    def _get(self, path: str) -> Any:
        return self._client.ask("GET", path, timeout_s=TIMEOUT_S + 5).json()

    def _post(self, path: str, body: Any, timeout_s: float = TIMEOUT_S + 5) -> Reply:
        response = self._client.ask("POST", path, body, timeout_s=timeout_s)
        if response.status != HTTPStatus.OK:
            raise _error(response)
        return response


class _Local:
    def __init__(self, store: Any) -> None:
        self._store = store

    def call(self, method: str, args: Mapping[str, Any]) -> Any:
        from octolog.app.knowledge.answers import ANSWERS
        from octolog.app.knowledge.server import to_json

        return json.loads(to_json(ANSWERS[method](self._store, **args)))

    def sql(self, sql: str, max_rows: int, timeout_s: float) -> Answer:
        from projections.sql.queries import QueryLimits, run_query

        result = run_query(self._store, sql, QueryLimits(timeout_s, max_rows))
        return Answer(result.table, result.truncated)

    def swap(self, file: str) -> dict[str, Any]:
        raise StoreUnavailable(f"no node runs here to put {file} in place")

    def positions(self) -> Positions:
        rows = self._store.rows("SELECT topic, partition, next_offset FROM meta.positions")
        return {(row["topic"], row["partition"]): row["next_offset"] for row in rows}


def _error(response: Reply) -> OctologError:
    """The service's refusal as the error it was."""
    try:
        said = response.json()
    except ValueError:
        return StoreUnavailable(f"the query service failed: HTTP {response.status}")
    kind = getattr(errors, said.get("error", ""), StoreUnavailable)
    return (
        kind(said.get("message", "")) if issubclass(kind, OctologError) else StoreUnavailable(said["message"])
    )
