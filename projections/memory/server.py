"""The vector store on a Qdrant server, by URL."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, ParamSpec, TypeVar
from uuid import uuid4

from qdrant_client import QdrantClient, models

from octolog.domain.errors import StoreUnavailable
from octolog.ports import Positions
from projections.memory.conditions import AnyOf, Between, Condition, Equals, Where
from projections.memory.meta import Meta
from projections.memory.point import OPEN, Point, from_payload
from projections.memory.store import (
    COLLECTION,
    DENSE,
    FLOAT_FIELDS,
    FOLD,
    INTEGER_FIELDS,
    KEYWORD_FIELDS,
    META_ID,
    WORDS,
    Entry,
    Found,
    MemoryStore,
    Scored,
    Spec,
    Vectors,
)
from projections.memory.words import SparseVector

_TIMEOUT_S: Final = 30
_WRITE_BATCH: Final = 500
P = ParamSpec("P")
R = TypeVar("R")


def connect(url: str, api_key: str | None = None) -> QdrantClient:
    """A client for the server at `url`; `:memory:` for the client's own store, which forgets.

    Raises:
        StoreUnavailable: When no server answers there.
    """
    if url == ":memory:":
        return QdrantClient(url)
    client = QdrantClient(url=url, api_key=api_key, timeout=_TIMEOUT_S, check_compatibility=False)
    _ours(client.get_collections)()
    return client


class ServerCollections:
    """Collections of one server; an alias names the one in use.

    Args:
        client: Where they are.
        alias: The name of the one in use; others are named after it.
    """

    def __init__(self, client: QdrantClient, alias: str = COLLECTION) -> None:
        self._client, self._alias = client, alias
        self._open: ServerStore | None = None

    def current(self) -> MemoryStore | None:
        """The collection in use; None before the first is made."""
        if self._open is None:
            named = self._named()
            self._open = None if named is None else ServerStore.load(self._client, named)
        return self._open

    def create(self, spec: Spec, version: int = FOLD) -> MemoryStore:
        """A new collection, empty, not in use yet; what an earlier attempt left behind is gone."""
        self._sweep()
        return ServerStore.create(self._client, f"{self._alias}-{uuid4().hex[:12]}", spec, version)

    def use(self, made: MemoryStore) -> None:
        """Make a collection the one in use, at once; the one before it is deleted."""
        store, before = _server(made), self._named()
        changes: list[Any] = []
        if before is not None:
            changes.append(
                models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=self._alias))
            )
        alias = models.CreateAlias(collection_name=store.name, alias_name=self._alias)
        changes.append(models.CreateAliasOperation(create_alias=alias))
        _ours(self._client.update_collection_aliases)(change_aliases_operations=changes)
        self._open = store
        if before is not None and before != store.name:
            _ours(self._client.delete_collection)(before)

    def discard(self, made: MemoryStore) -> None:
        """Delete a collection that never came into use."""
        _ours(self._client.delete_collection)(_server(made).name)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _sweep(self) -> None:
        """Delete what was made and never came into use."""
        kept, ours = self._named(), re.compile(rf"{re.escape(self._alias)}-[0-9a-f]{{12}}")
        for found in _ours(self._client.get_collections)().collections:
            if found.name != kept and ours.fullmatch(found.name):
                _ours(self._client.delete_collection)(found.name)

    def _named(self) -> str | None:
        for alias in _ours(self._client.get_aliases)().aliases:
            if alias.alias_name == self._alias:
                return alias.collection_name
        return None


class ServerStore:
    """One collection of a server.

    Attributes:
        spec: What it is made for.
        version: The fold that fills it.
        layout: How its points are laid out.
        name: Its name there.
    """

    def __init__(self, client: QdrantClient, name: str, meta: Meta) -> None:
        self._client, self.name, self._meta = client, name, meta
        self.spec, self.version, self.layout = meta.spec, meta.version, meta.layout

    @classmethod
    def create(cls, client: QdrantClient, name: str, spec: Spec, version: int = FOLD) -> ServerStore:
        """A new collection."""
        _ours(client.create_collection)(
            name,
            vectors_config={DENSE: models.VectorParams(size=spec.dimension, distance=models.Distance.COSINE)},
            sparse_vectors_config={WORDS: models.SparseVectorParams(modifier=models.Modifier.IDF)},
        )
        fields = [(field, models.PayloadSchemaType.KEYWORD) for field in KEYWORD_FIELDS]
        fields += [(field, models.PayloadSchemaType.INTEGER) for field in INTEGER_FIELDS]
        fields += [(field, models.PayloadSchemaType.FLOAT) for field in FLOAT_FIELDS]
        if not _is_local(client):  # it keeps no indexes, and says so in a warning
            for field, kind in fields:
                _ours(client.create_payload_index)(name, field, field_schema=kind, wait=True)
        store = cls(client, name, Meta(spec, version=version))
        store.move({})
        return store

    @classmethod
    def load(cls, client: QdrantClient, name: str) -> ServerStore:
        """A collection that is there."""
        found = _ours(client.retrieve)(name, [META_ID], with_payload=True)
        if not found:
            raise StoreUnavailable(f"collection {name} has no record of its model; delete it, it is rebuilt")
        return cls(client, name, Meta.of(found[0].payload or {}))

    def get(self, ids: Sequence[str]) -> dict[str, Point]:
        """Points by id."""
        records = _ours(self._client.retrieve)(self.name, list(ids), with_payload=True) if ids else []
        return {str(record.id): from_payload(str(record.id), record.payload or {}) for record in records}

    def vectors(self, ids: Sequence[str]) -> dict[str, Vectors]:
        """Vectors by point id."""
        records = _ours(self._client.retrieve)(self.name, list(ids), with_vectors=True) if ids else []
        return {str(record.id): Vectors.named(record.vector) for record in records}

    def put(self, entries: Sequence[Entry]) -> None:
        """Write points with their vectors."""
        for start in range(0, len(entries), _WRITE_BATCH):
            points = [_struct(entry) for entry in entries[start : start + _WRITE_BATCH]]
            _ours(self._client.upsert)(self.name, points, wait=True)

    def update(self, points: Sequence[Point]) -> None:
        """Write points that keep their vectors."""
        for point in points:
            _ours(self._client.overwrite_payload)(
                self.name, point.payload(), points=[point.point_id], wait=True
            )

    def search(self, vectors: Vectors, where: Where, limit: int) -> Found:
        """The nearest points by either vector."""
        limited = _filter(where)
        queries: list[tuple[str, Any]] = [(DENSE, list(vectors.dense))]
        if vectors.sparse.indices:
            queries.append((WORDS, _sparse(vectors.sparse)))
        asked = [
            models.QueryRequest(query=query, using=using, filter=limited, limit=limit)
            for using, query in queries
        ]
        answers = _ours(self._client.query_batch_points)(self.name, asked)
        orders = [[Scored(str(point.id), point.score) for point in answer.points] for answer in answers]
        return Found(orders[0], orders[1] if len(orders) > 1 else [])

    def versions(self, memory_id: str) -> list[Point]:
        """All versions of a memory, oldest first."""
        same = models.Filter(must=[_condition(Equals("memory_id", memory_id))])
        records, _ = _ours(self._client.scroll)(self.name, scroll_filter=same, limit=1_000)
        found = [from_payload(str(record.id), record.payload or {}) for record in records]
        return sorted(found, key=lambda point: point.recorded_at)

    def scan(self, batch: int) -> Iterator[list[Entry]]:
        """Every point with its vectors, in the order of their ids."""
        after: Any = None
        while True:
            records, after = _ours(self._client.scroll)(
                self.name, limit=batch, offset=after, with_payload=True, with_vectors=True
            )
            yield [
                Entry(from_payload(str(record.id), record.payload or {}), Vectors.named(record.vector))
                for record in records
                if str(record.id) != META_ID
            ]
            if after is None:
                return

    def count(self, where: Where | None = None) -> int:
        """How many points there are."""
        limited = _everything() if where is None else _filter(where)
        return _ours(self._client.count)(self.name, count_filter=limited, exact=True).count

    def positions(self) -> Positions:
        """The positions stored with the points."""
        return dict(self._meta.positions)

    def move(self, positions: Positions) -> None:
        """Store positions; every write before was waited for."""
        meta = self._meta.moved(positions)
        point = models.PointStruct(id=META_ID, vector={}, payload=meta.payload())
        _ours(self._client.upsert)(self.name, [point], wait=True)
        self._meta = meta

    def clear(self) -> None:
        """Delete every point and position."""
        _ours(self._client.delete)(self.name, models.FilterSelector(filter=_everything()), wait=True)
        self._meta = self._meta.emptied()
        self.move({})

    def settle(self) -> None:
        """Nothing: the server builds its indexes by itself."""

    def close(self) -> None:
        """Nothing: the connection is its collections'."""


def _server(store: MemoryStore) -> ServerStore:
    if not isinstance(store, ServerStore):
        raise TypeError(f"{type(store).__name__} is no collection of a server")
    return store


def _struct(entry: Entry) -> models.PointStruct:
    point, (dense, sparse) = entry
    vector: Any = {DENSE: list(dense), WORDS: _sparse(sparse)}
    return models.PointStruct(id=point.point_id, vector=vector, payload=point.payload())


def _sparse(vector: SparseVector) -> models.SparseVector:
    return models.SparseVector(indices=list(vector.indices), values=list(vector.values))


def _everything() -> models.Filter:
    """All points but the one that holds the positions."""
    return models.Filter(must=[_condition(Between("closed_at", most=OPEN))])


def _filter(where: Where) -> models.Filter:
    return models.Filter(must=[_condition(condition) for condition in where.conditions()])


def _condition(condition: Condition) -> Any:
    match condition:
        case Equals(field=field, value=value):
            return models.FieldCondition(key=field, match=models.MatchValue(value=value))
        case Between(field=field, least=least, most=most):
            return models.FieldCondition(key=field, range=models.Range(gte=least, lte=most))
        case AnyOf(groups=groups):
            inner = [models.Filter(must=[_condition(one) for one in group]) for group in groups]
            return models.Filter(should=list(inner))


def _is_local(client: QdrantClient) -> bool:
    return type(getattr(client, "_client", None)).__name__ == "QdrantLocal"


def _ours(call: Callable[P, R]) -> Callable[P, R]:
    """The same call with the client's errors as ours: it raises those of HTTP, of gRPC, and its own."""

    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return call(*args, **kwargs)
        except Exception as error:
            text = " ".join(str(error).split()) or type(error).__name__
            raise StoreUnavailable(f"Qdrant: {text[:300]}") from error

    return guarded
