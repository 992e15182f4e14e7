"""What a collection says of itself, in a point without vectors: its model, its layout, how far it has read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from octolog.ports import Positions
from projections.memory.store import FOLD, LAYOUT, Spec


@dataclass(frozen=True, slots=True)
class Meta:
    """Of one collection.

    Attributes:
        spec: What it is made for.
        positions: The next offset to read per partition.
        layout: How its points are laid out.
        version: The fold that fills it.
    """

    spec: Spec
    positions: Positions = field(default_factory=dict)
    layout: int = LAYOUT
    version: int = FOLD

    @classmethod
    def of(cls, payload: Mapping[str, Any]) -> Meta:
        """What `payload()` was made of; one of before there were versions is of the first."""
        positions = {(topic, partition): offset for topic, partition, offset in payload["positions"]}
        spec = Spec(payload["model"], payload["dimension"])
        return cls(spec, positions, int(payload.get("layout", 1)), int(payload.get("version", 1)))

    def moved(self, positions: Positions) -> Meta:
        """The same with these positions for their partitions."""
        return replace(self, positions={**self.positions, **positions})

    def emptied(self) -> Meta:
        """The same of a collection without points."""
        return replace(self, positions={})

    def payload(self) -> dict[str, Any]:
        """As plain values; none of its fields is one that a search is limited to."""
        rows = [[topic, partition, offset] for (topic, partition), offset in sorted(self.positions.items())]
        return {
            "model": self.spec.model,
            "dimension": self.spec.dimension,
            "positions": rows,
            "layout": self.layout,
            "version": self.version,
        }
