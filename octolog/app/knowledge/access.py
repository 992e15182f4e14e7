"""The projections from Python: `octolog.connect().sql(...)` as Arrow, polars, pandas or plain rows."""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa

from octolog.app.knowledge.queries import MAX_ROWS, TIMEOUT_S, Queries, open_queries, queries_of
from octolog.app.settings import load_settings
from octolog.domain.errors import NotFound, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars  # noqa: ICN001 -- `pl` is a method here


class Result:
    """Rows of one query.

    Attributes:
        truncated: True when there were more than asked for; these are then some of them.
    """

    def __init__(self, table: pa.Table, *, truncated: bool) -> None:
        self._table, self.truncated = table, truncated

    @property
    def columns(self) -> list[str]:
        """The columns' names."""
        return list(self._table.column_names)

    def arrow(self) -> pa.Table:
        """As an Arrow table."""
        return self._table

    def pl(self) -> polars.DataFrame:
        """As a polars frame."""
        import polars  # noqa: ICN001 -- `pl` is this method

        frame = polars.from_arrow(self._table)
        assert isinstance(frame, polars.DataFrame)  # noqa: S101 -- of a table polars makes a frame, not a series
        return frame

    def df(self) -> Any:
        """As a pandas frame.

        Raises:
            Refused: When pandas is not installed.
        """
        try:
            import pandas  # type: ignore[import-untyped]  # noqa: F401, ICN001 -- its absence is told in one line
        except ImportError:
            raise Refused("pandas is not installed; `pip install octolog[pandas]`") from None
        return self._table.to_pandas()

    def fetchall(self) -> list[tuple[Any, ...]]:
        """As tuples."""
        return [tuple(row.values()) for row in self._table.to_pylist()]

    def __len__(self) -> int:
        return int(self._table.num_rows)


class Session:
    """Asks a node, or a file; close it, or use it in a `with`."""

    def __init__(self, source: AbstractContextManager[Queries]) -> None:
        self._source = source
        self._queries = source.__enter__()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def sql(self, sql: str, *, max_rows: int = MAX_ROWS, timeout_s: float = TIMEOUT_S) -> Result:
        """Run one statement that reads.

        Args:
            sql: The statement; docs/reference/tables.md says what may be asked.
            max_rows: At most so many rows.
            timeout_s: Longest run, seconds.

        Raises:
            Refused: For SQL that does more than read, takes too long, or that DuckDB does not understand.
            StoreUnavailable: When the node or the file does not answer.
        """
        answer = self._queries.sql(sql, max_rows=max_rows, timeout_s=timeout_s)
        return Result(answer.table, truncated=answer.truncated)

    def tables(self) -> list[dict[str, Any]]:
        """Every table and view with its columns."""
        return self._queries.tables()

    def close(self) -> None:
        """Let go of the node or the file."""
        self._source.__exit__(None, None, None)


def connect(home: Path | str | None = None, *, file: Path | str | None = None) -> Session:
    """Ask the projections.

    Args:
        home: A node's folder: the running node answers, or its file where none runs. None: as the settings say.
        file: A DuckDB file of a node instead, a copy for example; opened to read.

    Raises:
        NotFound: When there is nothing to ask yet.
        StoreUnavailable: When neither the node nor the file answers.
    """
    if file is not None:
        return Session(_of_file(Path(file)))
    settings = load_settings() if home is None else load_settings(home=Path(home))
    return Session(open_queries(settings))


@contextmanager
def _of_file(path: Path) -> Iterator[Queries]:
    from projections.duck import Store

    if not path.is_file():
        raise NotFound(f"{path}: no such file")
    store = Store.open(path, read_only=True)
    try:
        yield queries_of(store)
    finally:
        store.close()
