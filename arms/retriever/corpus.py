"""The documents of a folder as they are now, known by what they hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import Path
from typing import Final

from arms.retriever.passages import Passage, passages
from arms.retriever.ports import Citation
from arms.review.sources import Source, kind_of, list_files, read

__all__ = ["Corpus", "Document", "check_citation", "read_corpus"]

_TEXT_SUFFIXES: Final = (
    ".adoc",
    ".cfg",
    ".csv",
    ".ini",
    ".rst",
    ".tex",
    ".text",
    ".tsv",
    ".txt",
    ".xml",
    ".html",
)
_BARE_NAMES: Final = frozenset({"Dockerfile", "LICENSE", "Makefile", "NOTICE", "README"})
MAX_FILES: Final = 20_000


@dataclass(frozen=True, slots=True)
class Document:
    """One file.

    Attributes:
        path: Relative to the folder.
        sha256: Of its bytes.
        source: Its text.
    """

    path: str
    sha256: str
    source: Source

    def passages(self) -> Iterator[tuple[Passage, Citation]]:
        """Its passages, each with where it stands."""
        markdown = kind_of(self.path) == "markdown" or self.path.endswith(".rst")
        for passage in passages(self.source.lines, markdown=markdown):
            yield (
                passage,
                Citation(
                    self.path,
                    passage.start_line,
                    passage.end_line,
                    passage.start_char,
                    passage.end_char,
                    self.sha256,
                ),
            )


@dataclass(frozen=True, slots=True)
class Corpus:
    """The documents of a folder.

    Attributes:
        root: The folder, links resolved.
        documents: By path.
        digest: SHA-256 over paths and contents: the same for the same documents, wherever they lie.
        beyond: Files that were too many to take.
    """

    root: Path
    documents: dict[str, Document]
    digest: str
    beyond: int


def read_corpus(root: Path, patterns: tuple[str, ...] = ()) -> Corpus:
    """Read the documents of a folder: text files that git tracks or would, or all of them where there is no git.

    Args:
        root: The folder.
        patterns: Shell patterns over relative paths; a file counts when one fits. Empty: all files.
    """
    wanted = [path for path in list_files(root) if _is_text(path) and _fits(path, patterns)]
    documents: dict[str, Document] = {}
    for path in wanted[:MAX_FILES]:
        source = read(root, path)
        if source is not None:
            documents[path] = Document(path, sha256(source.raw).hexdigest(), source)
    told = "".join(f"{path}\0{document.sha256}\n" for path, document in sorted(documents.items()))
    digest = sha256(told.encode("utf-8", "surrogatepass")).hexdigest()
    return Corpus(root.resolve(), documents, digest, max(0, len(wanted) - MAX_FILES))


def check_citation(citation: Citation, content: str) -> bool:
    """Tell whether a file still holds, at that place, exactly what was cited from it."""
    source = read(Path(citation.folder), citation.path)
    if source is None:
        return False
    text = source.text
    lines = "\n".join(source.lines[citation.start_line - 1 : citation.end_line])
    return (
        sha256(source.raw).hexdigest() == citation.sha256
        and text[citation.start_char : citation.end_char] == content
        and content in lines
    )


def _is_text(path: str) -> bool:
    return (
        kind_of(path) is not None
        or path.lower().endswith(_TEXT_SUFFIXES)
        or path.rpartition("/")[2] in _BARE_NAMES
    )


def _fits(path: str, patterns: tuple[str, ...]) -> bool:
    return not patterns or any(fnmatchcase(path, pattern) for pattern in patterns)
