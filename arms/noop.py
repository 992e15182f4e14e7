"""The arm that does nothing, as cheaply as an arm can: what a bench of the host itself runs."""

from __future__ import annotations

from typing import Final

from arms.arm import arm
from arms.work import Work

__all__ = ["noop"]

_FILLER: Final = "x" * 120


@arm(
    "noop",
    name="No-op",
    description="Answers with about 200 bytes and does nothing.",
    capabilities=("noop",),
    timeout_seconds=300,
    max_concurrent_tasks=64,
)
async def noop(work: Work) -> dict[str, str]:
    """Answer with the attempt's id and filler, about 200 bytes of JSON."""
    return {"attempt_id": work.assignment.attempt_id, "filler": _FILLER}
