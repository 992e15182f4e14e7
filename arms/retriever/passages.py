"""Files cut into passages: whole lines, at headings and blank lines, each with its place in the file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

__all__ = ["MAX_PASSAGE_CHARS", "Passage", "passages"]

# About 256 tokens, what small embedding models read of a text.
MAX_PASSAGE_CHARS: Final = 1_000
_HEADING: Final = re.compile(r"#{1,6}\s+(?P<title>\S.*)")
_FENCE: Final = re.compile(r"\s*(?:```|~~~)")
_DEFINITION: Final = re.compile(
    r"(?:async\s+)?(?:def|class|func|fn|function|impl|struct|interface|type)\s+\w+"
)


@dataclass(frozen=True, slots=True)
class Passage:
    """Some lines of a file.

    Attributes:
        title: The heading above them; empty where there is none.
        content: The lines, without the last line end.
        start_line: 1-based.
        end_line: 1-based, inclusive.
        start_char: Of the text, 0-based.
        end_char: The character after the last.
    """

    title: str
    content: str
    start_line: int
    end_line: int
    start_char: int
    end_char: int


def passages(lines: list[str], *, markdown: bool) -> Iterator[Passage]:
    """Cut a text into passages, in order; what is blank belongs to none.

    Args:
        lines: The text split at its line ends.
        markdown: Headings begin a passage and give it its title.
    """
    title, block, size, start = "", list[str](), 0, 0
    for number, opens, next_title in _marked(lines, markdown=markdown):
        line = lines[number]
        over = size + len(line) + 1 > MAX_PASSAGE_CHARS
        half_full = size + len(line) > MAX_PASSAGE_CHARS // 2
        if block and (over or opens == "section" or (opens == "block" and half_full)):
            yield from _cut(title, block, number - len(block), start)
            start, block, size = start + size, [], 0
        title = next_title
        block.append(line)
        size += len(line) + 1
    yield from _cut(title, block, len(lines) - len(block), start)


def _marked(lines: list[str], *, markdown: bool) -> Iterator[tuple[int, str, str]]:
    """Every line with what begins there (`section`, `block` or nothing) and the title it stands under."""
    title, fenced, after_blank = "", False, True
    for number, line in enumerate(lines):
        opens = ""
        heading = _HEADING.match(line) if markdown and not fenced else None
        if markdown and _FENCE.match(line):
            fenced = not fenced
        if heading:
            title, opens = heading["title"].strip(" #"), "section"
        elif not markdown and _DEFINITION.match(line):
            opens = "section" if after_blank else "block"
        elif after_blank and line.strip() and not fenced:
            opens = "block"
        after_blank = not line.strip()
        yield number, opens, title


def _cut(title: str, block: list[str], first: int, start: int) -> Iterator[Passage]:
    """The passage of some lines, blank ones around it left out; a line that is too long is several."""
    while block and not block[-1].strip():
        block = block[:-1]
    while block and not block[0].strip():
        start += len(block[0]) + 1
        first += 1
        block = block[1:]
    if not block:
        return
    text = "\n".join(block)
    if len(text) <= MAX_PASSAGE_CHARS or len(block) > 1:
        yield Passage(title, text, first + 1, first + len(block), start, start + len(text))
        return
    for at in range(0, len(text), MAX_PASSAGE_CHARS):
        part = text[at : at + MAX_PASSAGE_CHARS]
        yield Passage(title, part, first + 1, first + 1, start + at, start + at + len(part))
