"""What a collection says of itself, in a point without vectors: its model, its layout, how far it has read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from octolog.domain.errors import StoreUnavailable
from octolog.ports import Positions
from projections.memory.store import LAYOUT, Spec


@dataclass(frozen=True, slots=True)
class Meta:
    """Of one collection.

    Attributes:
        spec: What it is made for.
        positions: The next offset to read per partition.
        layout: How its points are laid out.
    """

    spec: Spec
    positions: Positions = field(default_factory=dict)
    layout: int = LAYOUT

    @classmethod
    def of(cls, payload: Mapping[str, Any]) -> Meta:
        """What `payload()` was made of.

        Raises:
            StoreUnavailable: When it is of another layout.
        """
        if payload.get("layout") != LAYOUT:
            raise StoreUnavailable(
                f"the memories are laid out as version {payload.get('layout')}, this is {LAYOUT};"
                " delete the collection, it is rebuilt from the log"
            )
        positions = {(topic, partition): offset for topic, partition, offset in payload["positions"]}
        return cls(Spec(payload["model"], payload["dimension"]), positions)

    def moved(self, positions: Positions) -> Meta:
        """The same with these positions for their partitions."""
        return replace(self, positions={**self.positions, **positions})

    def payload(self) -> dict[str, Any]:
        """As plain values; none of its fields is one that a search is limited to."""
        rows = [[topic, partition, offset] for (topic, partition), offset in sorted(self.positions.items())]
        return {
            "model": self.spec.model,
            "dimension": self.spec.dimension,
            "positions": rows,
            "layout": self.layout,
        }
