"""What retriever, executor and coder do in the review of a folder: findings that quote their proof."""

from __future__ import annotations

from arms.arm import Answer
from arms.builtin.bounded import MAX_STEP_BYTES, bounded, context_paths, counts
from arms.review import Review, check_snippets, review_code, review_documents
from arms.work import Work

__all__ = ["review_examples", "review_links", "review_source"]


def review_links(work: Work) -> Answer:
    """Review the documents in the context's `paths`."""
    root, paths = context_paths(work)
    return _answer(review_documents(root, paths), "links-resolved")


def review_examples(work: Work) -> Answer:
    """Check the examples in the context's `paths`; `run: false` there keeps it from running any."""
    root, paths = context_paths(work)
    return _answer(check_snippets(root, paths, run=work.context.get("run", True) is True), "examples-checked")


def review_source(work: Work) -> Answer:
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
