"""The retriever, for now of the review alone."""

from __future__ import annotations

from arms.arm import Answer, arm
from arms.builtin.reviewers import review_links
from arms.work import Work

__all__ = ["retriever"]


@arm(
    "retriever",
    name="Retriever",
    description="Finds broken links, anchors, images and references in documents.",
    capabilities=("keyword_search",),
    timeout_seconds=120,
    max_concurrent_tasks=2,
)
def retriever(work: Work) -> Answer:
    """Review the documents in the context's `paths`."""
    return review_links(work)
