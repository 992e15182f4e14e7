"""What a search is made of: rankers that find, and a model that turns texts into vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["Citation", "Embedder", "Found", "Ranker"]


@dataclass(frozen=True, slots=True)
class Citation:
    """Where a passage stands, so that anybody can look.

    Attributes:
        path: The file, relative to its folder.
        start_line: First line, 1-based.
        end_line: Last line, 1-based.
        start_char: First character, 0-based, in the text with Unix line ends and without a byte order mark.
        end_char: The character after the last.
        sha256: Of the file's bytes when it was read.
        folder: What the path is relative to.
    """

    path: str
    start_line: int
    end_line: int
    start_char: int
    end_char: int
    sha256: str
    folder: str = ""

    def to_json(self) -> dict[str, Any]:
        """Give the citation as a plain dict."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Found:
    """Something that a ranker found.

    Attributes:
        key: The same for the same thing, whoever finds it.
        content: Its text.
        source: Where it comes from: a file's path with its lines, or `memory:<id>`.
        relevance: 0.0 to 1.0; comparable within one ranker.
        citation: Where it stands, if in a file.
    """

    key: str
    content: str
    source: str
    relevance: float
    citation: Citation | None = None


class Ranker(Protocol):
    """Finds by one method. The semantic memory is another one, beside the two over files.

    Attributes:
        name: The method, as the answer names it.
    """

    name: str

    def rank(self, query: str, limit: int) -> Sequence[Found]:
        """What fits the query, best first, at most `limit`.

        Raises:
            Unavailable: When it cannot look now.
        """
        ...


class Embedder(Protocol):
    """Makes vectors of length 1; those of `projections.memory` fit.

    Attributes:
        model: Its name.
        dimension: Numbers in a vector.
    """

    model: str
    dimension: int

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """A vector for each text, in order."""
        ...
