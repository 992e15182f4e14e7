"""The planner's work: what is in the folder, and how to share out its review as steps that run side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from arms.review.sources import FILE_MAX_BYTES, is_test, kind_of, list_files, locate

__all__ = ["BATCH_MAX_BYTES", "BATCH_MAX_FILES", "Batch", "Survey", "survey"]

# A batch takes about a second: short enough to lose, long enough to be worth a record.
BATCH_MAX_FILES: Final = 25
BATCH_MAX_BYTES: Final = 200_000
_SNIFF_BYTES: Final = 1_024

BatchKind = Literal["documents", "code"]


@dataclass(frozen=True, slots=True)
class Batch:
    """Files for one step.

    Attributes:
        kind: `documents` go to `review_documents` and `check_snippets`, `code` to `review_code`.
        paths: Sorted, relative to the root; at most `BATCH_MAX_FILES`.
        size_bytes: Their sizes on disk, added up; over `BATCH_MAX_BYTES` only when one file alone is.
    """

    kind: BatchKind
    paths: tuple[str, ...]
    size_bytes: int

    def to_json(self) -> dict[str, Any]:
        """Give the batch as a plain dict with sorted keys."""
        return {"kind": self.kind, "paths": list(self.paths), "size_bytes": self.size_bytes}


@dataclass(frozen=True, slots=True)
class Survey:
    """What a folder holds.

    Attributes:
        files_total: Files listed, reviewed or not.
        size_bytes: Sizes of the files in the batches, added up.
        by_kind: Number of files in the batches by kind (markdown, python, ...), sorted.
        skipped: Number of files left out, by reason (binary, empty, linked, other, too-large, unreadable), sorted.
        batches: Documents first, then code, each in path order.
        tests: The Python test files; what they name counts as tested.
    """

    files_total: int
    size_bytes: int
    by_kind: tuple[tuple[str, int], ...]
    skipped: tuple[tuple[str, int], ...]
    batches: tuple[Batch, ...]
    tests: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Give the survey as a plain dict with sorted keys."""
        return {
            "batches": [batch.to_json() for batch in self.batches],
            "by_kind": dict(self.by_kind),
            "files_total": self.files_total,
            "size_bytes": self.size_bytes,
            "skipped": dict(self.skipped),
            "tests": list(self.tests),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Survey:
        """Read what `to_json` wrote."""
        return cls(
            files_total=value["files_total"],
            size_bytes=value["size_bytes"],
            by_kind=tuple(sorted(value["by_kind"].items())),
            skipped=tuple(sorted(value["skipped"].items())),
            batches=tuple(Batch(b["kind"], tuple(b["paths"]), b["size_bytes"]) for b in value["batches"]),
            tests=tuple(value["tests"]),
        )


def survey(root: Path | str) -> Survey:
    """Look at every file's name, size and first bytes under `root`, and plan the review.

    Raises:
        NotADirectoryError: `root` is no folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise NotADirectoryError(f"{root} is not a folder; name one that holds documents or code")
    paths = list_files(root)
    sizes: dict[str, int] = {}
    skipped: Counter[str] = Counter()
    for path in paths:
        size_bytes, reason = _weigh(root, path)
        if reason:
            skipped[reason] += 1
        else:
            sizes[path] = size_bytes
    kinds = {path: kind_of(path) or "" for path in sizes}
    documents = [path for path in sizes if kinds[path] == "markdown"]
    code = [path for path in sizes if kinds[path] != "markdown"]
    return Survey(
        files_total=len(paths),
        size_bytes=sum(sizes.values()),
        by_kind=tuple(sorted(Counter(kinds.values()).items())),
        skipped=tuple(sorted(skipped.items())),
        batches=(*_batches("documents", documents, sizes), *_batches("code", code, sizes)),
        tests=tuple(path for path in code if kinds[path] == "python" and is_test(path)),
    )


def _weigh(root: Path, path: str) -> tuple[int, str]:
    """Give a file's size in bytes and why it is left out (empty: it is not)."""
    if kind_of(path) is None:
        return 0, "other"
    file = locate(root, path)
    if file is None:
        return 0, "unreadable"
    if (
        root / path
    ).is_symlink():  # reviewed where it lies: from here its relative links would mean something else
        return 0, "linked"
    try:
        size_bytes = file.stat().st_size
        with file.open("rb") as stream:
            head = stream.read(_SNIFF_BYTES)
    except OSError:
        return 0, "unreadable"
    if size_bytes > FILE_MAX_BYTES:
        return size_bytes, "too-large"
    if b"\0" in head:
        return size_bytes, "binary"
    return size_bytes, "" if head else "empty"


def _batches(kind: BatchKind, paths: Iterable[str], sizes: Mapping[str, int]) -> Iterator[Batch]:
    held: list[str] = []
    held_bytes = 0
    for path in paths:
        if held and (len(held) == BATCH_MAX_FILES or held_bytes + sizes[path] > BATCH_MAX_BYTES):
            yield Batch(kind, tuple(held), held_bytes)
            held, held_bytes = [], 0
        held.append(path)
        held_bytes += sizes[path]
    if held:
        yield Batch(kind, tuple(held), held_bytes)
