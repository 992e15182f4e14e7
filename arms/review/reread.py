"""How the judge reads: raw lines, regular expressions, tokens. Shares no reading of a file with the finders.

Each `refute_*` gives the reason why a finding does not hold, or an empty text when it does.
"""

from __future__ import annotations

import html
import json
import re
import textwrap
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

import orjson
import yaml

from arms.review.parsers import bash_problem
from arms.review.reread_python import parses
from arms.review.sandbox import run_python
from arms.review.sources import Source, kind_of

__all__ = [
    "offers_anchor",
    "refute_failing",
    "refute_marker",
    "refute_reference",
    "refute_snippet",
    "refute_unparsable",
    "resolve",
    "shows_target",
    "subject",
    "words",
]

_NAMED: Final = re.compile(r"(?:id|name)\s*=\s*[\"']?([^\"'\s>]+)|\{:?\s*#([\w:.-]+)")


def subject(message: str) -> str:
    """Give what a finding is about: the text in the first backticks of its message."""
    found = re.search(r"`([^`]+)`", message)
    return found[1] if found else ""


def words(text: str) -> Iterator[str]:
    """Give every identifier-like word of a text, wherever it stands."""
    return (found[0] for found in re.finditer(r"[A-Za-z_]\w*", text))


def shows_target(source: Source, line: int, target: str) -> bool:
    """Tell whether a line of Markdown outside code and comments links to `target`, or defines a label that it uses."""
    if _in_fence(source, line) or _in_comment(source, line):
        return False
    place = re.compile(
        rf"(?:\]\(\s*<?|\]:\s*<?|(?:href|src)\s*=\s*[\"']\s*|^\s*<?){re.escape(target)}(?=[\s>)\"'#?]|$)",
        re.IGNORECASE,
    )
    cited = source.lines[line - 1]
    if place.search(cited) or place.search(_plain(cited)):
        return True
    return "]" in cited and any(place.search(_plain(text)) for text in source.lines if "]:" in text)


def _plain(text: str) -> str:
    return html.unescape(re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", text))


def _in_fence(source: Source, line: int) -> bool:
    return any(start < line < end for start, end, _info in _fences(source.raw))


def _in_comment(source: Source, line: int) -> bool:
    before = "\n".join(source.lines[: line - 1])
    return before.rfind("<!--") > before.rfind("-->")


@lru_cache(maxsize=4)
def _fences(raw: bytes) -> tuple[tuple[int, int, str], ...]:
    """Give the fence lines that open and close each code block (1-based) and the info string."""
    lines = raw.decode("utf-8-sig", errors="replace").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    found_fences: list[tuple[int, int, str]] = []
    opened, mark, info = 0, "", ""
    for number, text in enumerate(lines, 1):
        found = re.match(r"(?:[\s>]|[-*+]\s|\d+[.)]\s)*(`{3,}|~{3,})(.*)$", text)
        if not found:
            continue
        if not opened and "`" not in found[2]:
            opened, mark, info = number, found[1], found[2].strip()
        elif opened and found[1].startswith(mark) and not found[2].strip():
            found_fences.append((opened, number, info))
            opened = 0
    if opened:
        found_fences.append((opened, len(lines) + 1, info))
    return tuple(found_fences)


def resolve(path: str, target: str) -> str | None:
    """Give the path a target names, relative to the root; None above the root."""
    bare = re.split(r"[?#]", target, maxsplit=1)[0]
    if not bare:
        return path
    parts = path.split("/")[:-1]
    for part in unquote(bare).split("/"):
        if part == ".." and not parts:
            return None
        if part == "..":
            parts.pop()
        elif part not in {"", "."}:
            parts.append(part)
    return "/".join(parts)


def offers_anchor(text: str, anchor: str) -> bool:
    """Tell whether any raw line could be the anchor's home: a heading (the n-th of its words), an id, a name."""
    wanted = _spelled(unquote(anchor))
    said: Counter[str] = Counter()
    previous = ""
    for line in text.split("\n"):
        heading = re.match(r"[\s>]*#{1,6}\s+(.*?)[\s#]*$", line)
        if heading or re.match(r"\s*(?:=+|-+)\s*$", line):
            words_there = heading[1] if heading else previous
            said[_spelled(re.sub(r"\]\([^)]*\)|<[^>]*>|\{[^}]*\}", "", words_there))] += 1
        if any(_spelled(name) == wanted for names in _NAMED.findall(line) for name in names if name):
            return True
        previous = line
    numbered = re.fullmatch(r"(.+)-(\d+)", wanted)
    return said[wanted] > 0 or bool(numbered and said[numbered[1]] > int(numbered[2]))


def _spelled(text: str) -> str:
    """Keep letters, digits, underscores and hyphens, which spaces become."""
    kept = ("-" if c == " " else c for c in text.strip().lower() if c.isalnum() or c in "-_ ")
    return "".join(kept)


def refute_reference(source: Source, line: int, label: str) -> str:
    """Look for the label and for any line that could define it."""
    label = label.strip("[]")
    if f"[{label}]" not in source.lines[line - 1]:
        return "the label is not there"
    if _in_fence(source, line) or _in_comment(source, line):
        return "the line is code or a comment"
    wanted = " ".join(label.split()).casefold()
    defined = (re.match(r"[\s>]*(?:[-*+]\s+)?\[([^\]]+)\]:", text) for text in source.lines)
    return (
        "a definition exists"
        if any(d and " ".join(d[1].split()).casefold() == wanted for d in defined)
        else ""
    )


def refute_marker(source: Source, line: int, marker: str) -> str:
    """Look for the marker after a comment's start."""
    return (
        ""
        if re.search(rf"(?:#|//|/\*|\*|--|;).*\b{re.escape(marker)}\b", source.lines[line - 1])
        else "no such marker"
    )


def refute_unparsable(source: Source, _line: int, _subject: str) -> str:
    """Hand the whole file to a second parser."""
    language = {"shell": "bash"}.get(kind_of(source.path) or "", kind_of(source.path) or "")
    return "it parses" if _parses(language, source.text) else ""


def refute_snippet(source: Source, line: int, _subject: str) -> str:
    """Cut the example out of the raw lines again and hand it to a second parser."""
    block = _block_at(source, line)
    if block is None:
        return "there is no example at that line"
    info, text = block
    language = _SPELLINGS.get(re.split(r"[\s,{:]", info, maxsplit=1)[0].lower(), "")
    if not language:
        return "the example is in no language that can be checked"
    return "it parses" if _parses(language, text) else ""


def refute_failing(source: Source, line: int, _subject: str) -> str:
    """Run the example again: what fails only sometimes is not confirmed."""
    block = _block_at(source, line)
    return "there is no example at that line" if block is None else "" if run_python(block[1]) else "it runs"


def _block_at(source: Source, line: int) -> tuple[str, str] | None:
    for start, end, info in _fences(source.raw):
        if start <= line <= end:
            text = textwrap.dedent(
                "\n".join(re.sub(r"^(?:\s{0,3}>)+ ?", "", each) for each in source.lines[start : end - 1])
            )
            return info, _unprompted(text)
    return None


def _unprompted(text: str) -> str:
    prompt = re.compile(r"^\s*(?:>>>|\$)(?: |$)", re.MULTILINE)
    if not prompt.search(text):
        return text
    lines = (re.match(r"\s*(?:>>>|\.\.\.|\$|>)(?: (.*)|)$", line) for line in text.split("\n"))
    return "\n".join((found[1] or "") if found else "" for found in lines)


def _parses(language: str, text: str) -> bool:
    try:
        match language:
            case "python":
                return parses(text)
            case "json":
                orjson.loads(text)
            case "toml":
                tomllib.loads(text)
            case "yaml":
                for _node in yaml.compose_all(text, Loader=yaml.SafeLoader):
                    pass
            case _:
                return bash_problem(text) is None
    except (json.JSONDecodeError, tomllib.TOMLDecodeError, yaml.YAMLError, RecursionError):
        return False
    return True


_SPELLINGS: Final[dict[str, str]] = {
    "bash": "bash", "console": "bash", "json": "json", "py": "python", "pycon": "python", "python": "python",
    "python3": "python", "sh": "bash", "shell": "bash", "shell-session": "bash", "toml": "toml", "yaml": "yaml",
    "yml": "yaml",
}  # fmt: skip
