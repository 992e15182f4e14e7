"""Folders to review, with faults that are known, and what a review of them says."""

from __future__ import annotations

from pathlib import Path

from arms.review import Finding, Review, check_snippets, review_code, review_documents, survey


def write(root: Path, **files: str) -> Path:
    """Write files named with `__` for `/` and a single `_` before the suffix."""
    for name, text in files.items():
        stem, _, suffix = name.rpartition("_")
        path = root / f"{stem.replace('__', '/')}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def found(review: Review) -> list[tuple[str, int]]:
    return [(finding.kind, finding.line) for finding in review.findings]


def all_findings(root: Path, *, run: bool = False) -> list[Finding]:
    looked = survey(root)
    findings: list[Finding] = []
    for batch in looked.batches:
        if batch.kind == "documents":
            findings += review_documents(root, batch.paths).findings
            findings += check_snippets(root, batch.paths, run=run).findings
        else:
            findings += review_code(root, batch.paths, tests=looked.tests).findings
    return findings


FAULTY_MARKDOWN = """---
title: a page
---
# Hello `World`

See [a](docs/nope.md) and
[b](other.md#none), [c](#hello).
![d](pic.png) [undefined text][nolabel]

| [cell](gone.md) |
|---|

> - <a href="inline.md">e</a>

[used]: missing/def.md

[f][used]
"""


LIBRARY = '''def undocumented(a):
    return a


def shared(items=[]):
    """Keep."""
    try:
        return items
    except:
        return 1


def quiet():
    """Hush."""
    try:
        quiet()
    except Exception:
        pass
    # TODO: say something


class Thing:
    def method(self):
        x = 1
        return x
'''
