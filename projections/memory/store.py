"""The port of the vector store. `edge` keeps it in this process, `server` on a Qdrant server."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from octolog.domain.errors import Refused
from octolog.ports import Positions
from projections.memory.conditions import Where
from projections.memory.point import Point
from projections.memory.words import SparseVector

COLLECTION: Final = "octolog-memory"
DENSE: Final = "meaning"
WORDS: Final = "words"
"""Names of a point's two vectors."""

KEYWORD_FIELDS: Final = ("memory_id", "entity_type", "source", "tags", "task_id")
INTEGER_FIELDS: Final = (
    "partition",
    "recorded_at",
    "closed_at",
    "recorded_ms",
    "closed_ms",
    "timestamp_ms",
)
FLOAT_FIELDS: Final = ("confidence",)
"""Fields that a search can be limited to; each has an index."""

META_ID: Final = "00000000-0000-5000-8000-000000000000"
"""The point without vectors that holds the model and the positions; no memory id has this UUID."""

LAYOUT: Final = 1
"""Changes when points are laid out anew; a collection of another layout cannot be asked, and is filled anew."""

FOLD: Final = 1
"""Changes with what is made of a record; a collection of another version answers until a new one is filled."""


class Vectors(NamedTuple):
    """A point's vectors.

    Attributes:
        dense: The embedding.
        sparse: The bag of words.
    """

    dense: Sequence[float]
    sparse: SparseVector

    @classmethod
    def named(cls, found: Any) -> Vectors:
        """From what Qdrant gives back, by name; a point may have no words."""
        sparse = found.get(WORDS)
        words = (
            SparseVector((), ())
            if sparse is None
            else SparseVector(tuple(sparse.indices), tuple(sparse.values))
        )
        return cls(found[DENSE], words)


class Entry(NamedTuple):
    """A point with its vectors."""

    point: Point
    vectors: Vectors


class Scored(NamedTuple):
    """A point's id and how well it fits; more is better."""

    point_id: str
    score: float


class Found(NamedTuple):
    """What both searches found, best first."""

    by_meaning: list[Scored]
    by_words: list[Scored]


@dataclass(frozen=True, slots=True)
class Spec:
    """What a collection is made for, and never changes.

    Attributes:
        model: Whose vectors it holds.
        dimension: Numbers in each.
    """

    model: str
    dimension: int

    def must_be(self, wanted: Spec) -> None:
        """Raise Refused unless `wanted` is this."""
        if self != wanted:
            raise Refused(
                f"the memories have vectors of {self.model} ({self.dimension} numbers), not of {wanted.model}"
                f" ({wanted.dimension}); unset OCTOLOG_EMBEDDING_MODEL, or run `octolog memory reembed --model"
                f" {wanted.model}`"
            )


class MemoryStore(Protocol):
    """One collection. Every method raises StoreUnavailable when the store does not do what it should.

    Writers are one at a time; readers may read beside them.

    Attributes:
        spec: What it is made for.
        version: The `FOLD` that fills it.
        layout: The `LAYOUT` of its points.
    """

    spec: Spec
    version: int
    layout: int

    def get(self, ids: Sequence[str]) -> dict[str, Point]:
        """Points by id; those that are not there are missing."""
        ...

    def vectors(self, ids: Sequence[str]) -> dict[str, Vectors]:
        """Vectors by point id."""
        ...

    def put(self, entries: Sequence[Entry]) -> None:
        """Write points with their vectors, over what has the same id."""

    def update(self, points: Sequence[Point]) -> None:
        """Write points that keep their vectors."""

    def search(self, vectors: Vectors, where: Where, limit: int) -> Found:
        """The nearest points by either vector, each search by itself; a sparse vector without words finds nothing."""
        ...

    def versions(self, memory_id: str) -> list[Point]:
        """All versions of a memory, oldest first."""
        ...

    def scan(self, batch: int) -> Iterable[list[Entry]]:
        """Every point with its vectors, in batches, in the order of their ids."""
        ...

    def count(self, where: Where | None = None) -> int:
        """How many points there are; None: in all, ended ones too."""
        ...

    def positions(self) -> Positions:
        """The positions stored with the points."""
        ...

    def move(self, positions: Positions) -> None:
        """Store positions; whoever does it last after the points can resume exactly."""

    def clear(self) -> None:
        """Delete every point and position."""

    def settle(self) -> None:
        """Build the indexes that much writing has left behind; searches stay right, and get quick."""

    def close(self) -> None:
        """Release the collection; what was written is on disk."""


class Collections(Protocol):
    """Where collections live: one is current, another may grow beside it."""

    def current(self) -> MemoryStore | None:
        """The collection in use; None before the first is made."""
        ...

    def create(self, spec: Spec, version: int = FOLD) -> MemoryStore:
        """A new collection, empty, not in use yet; what an earlier attempt left behind is gone."""
        ...

    def use(self, made: MemoryStore) -> None:
        """Make a collection the one in use, at once; the one before it is closed and deleted."""

    def discard(self, made: MemoryStore) -> None:
        """Delete a collection that never came into use."""

    def close(self) -> None:
        """Release everything."""
