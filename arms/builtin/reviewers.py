"""The finders: each reads the files its step names and answers with findings that quote their proof."""

from __future__ import annotations

from arms.arm import Answer, arm
from arms.builtin.bounded import MAX_STEP_BYTES, bounded, context_paths, counts
from arms.review import Review, check_snippets, review_code, review_documents
from arms.work import Work

__all__ = ["coder", "executor", "retriever"]


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
    root, paths = context_paths(work)
    return _answer(review_documents(root, paths), "links-resolved")


@arm(
    "executor",
    name="Executor",
    description="Parses the examples in documents, and runs those marked as runnable in a sandbox.",
    capabilities=("python_execution",),
    cost_tier=3,
    timeout_seconds=300,
    max_concurrent_tasks=1,
)
def executor(work: Work) -> Answer:
    """Check the examples in the context's `paths`; `run: false` there keeps it from running any."""
    root, paths = context_paths(work)
    return _answer(check_snippets(root, paths, run=work.context.get("run", True) is True), "examples-checked")


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
    root, paths = context_paths(work)
    return _answer(review_code(root, paths), "code-parsed")


def _answer(review: Review, check: str) -> Answer:
    findings, left_out = bounded(review.findings, MAX_STEP_BYTES)
    output = {
        "by_kind": counts(review.findings),
        "files_read": len(review.files_read),
        "findings": findings,
        "left_out": left_out,
    }
    return Answer(output, data_sources=review.files_read, tests_passed=(check,))
