"""The coder, for now of the review alone."""

from __future__ import annotations

from arms.arm import Answer, arm
from arms.builtin.reviewers import review_source
from arms.work import Work

__all__ = ["coder"]


@arm(
    "coder",
    name="Coder",
    description="Finds what is wrong in code and data files.",
    capabilities=("code_analysis",),
    timeout_seconds=120,
    max_concurrent_tasks=2,
)
def coder(work: Work) -> Answer:
    """Review the code in the context's `paths`."""
    return review_source(work)
