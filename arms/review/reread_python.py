"""How the judge reads Python: raw lines, indentation and tokens, where the finder had a syntax tree.

Each `refute_*` gives the reason why a finding does not hold, or an empty text when it does.
"""

from __future__ import annotations

import io
import re
import tokenize
import warnings
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

from arms.review.sources import Source

__all__ = [
    "defines",
    "parses",
    "refute_bare_except",
    "refute_docstring",
    "refute_long",
    "refute_mutable",
    "refute_swallowed",
    "refute_syntax",
]

_LAYOUT: Final = frozenset(
    {tokenize.NL, tokenize.COMMENT, tokenize.NEWLINE, tokenize.INDENT, tokenize.ENCODING}
)
_MAX_LINES: Final = 60


def defines(line: str, name: str) -> bool:
    """Tell whether a line defines a function or class of this name."""
    return re.match(rf"\s*(?:async\s+def|def|class)\s+{re.escape(name)}\b", line) is not None


def parses(code: str | bytes) -> bool:
    """Tell whether Python compiles it, as a module or, for a fragment, as the body of a coroutine."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if _compiles(code):
            return True
        if isinstance(code, bytes):
            return False
        body = "".join(f"    {line}\n" for line in code.split("\n"))
        return _compiles(f"async def fragment():\n{body}\n    pass\n")


def _compiles(code: str | bytes) -> bool:
    try:
        compile(code, "<judge>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def refute_syntax(source: Source, _line: int, _subject: str) -> str:
    """Compile the file all the way to byte code."""
    return "it compiles" if parses(source.raw) else ""


def refute_bare_except(source: Source, line: int, _subject: str) -> str:
    """Read the handler's lines: nothing after `except`, no `raise` below."""
    if not re.match(r"\s*except\s*:", source.lines[line - 1]):
        return "the handler names what it catches"
    return (
        "it raises again" if any(re.search(r"\braise\b", text) for text in _below(source.lines, line)) else ""
    )


def refute_swallowed(source: Source, line: int, _subject: str) -> str:
    """Read the handler's lines: nothing but `pass`, `continue` or `...`."""
    found = re.match(r"\s*except\b[^:]*\b(?:Base)?Exception\b[^:]*:(.*)$", source.lines[line - 1])
    if not found:
        return "the handler is narrow"
    body = [text.strip() for text in [found[1], *_below(source.lines, line)] if text.strip()]
    return (
        ""
        if body and all(text in {"pass", "continue", "..."} for text in body)
        else "the handler does something"
    )


def _below(lines: list[str], line: int) -> Iterator[str]:
    """Give the lines under a block's first line that are indented deeper."""
    depth = len(lines[line - 1]) - len(lines[line - 1].lstrip())
    for text in lines[line:]:
        if text.strip() and len(text) - len(text.lstrip()) <= depth:
            return
        yield text


def refute_docstring(source: Source, line: int, name: str) -> str:
    """Look at the first token of the body: a docstring is a string there."""
    header = re.match(r"\s*(?:async\s+def|def|class)\b", source.lines[line - 1])
    if line == 1 and not (header and defines(source.lines[0], name)):
        return "the module has one" if _starts_with_text(_tokens(source, 1)) else ""
    tokens = _tokens(source, line)
    if not header or not tokens:
        return "no function or class starts there"
    return "it has one" if _starts_with_text(tokens[_header_end(tokens) :]) else ""


def _starts_with_text(tokens: Sequence[tokenize.TokenInfo]) -> bool:
    first = next((token for token in tokens if token.type not in _LAYOUT), None)
    return first is not None and first.type == tokenize.STRING and first.string[0] not in "bBfF"


def refute_mutable(source: Source, line: int, argument: str) -> str:
    """Find `argument ... = [`, `{` or a call of a mutable type in the lines up to the cited one."""
    text = "\n".join(source.lines[max(line - 4, 0) : line])
    fresh = r"(?:\[|\{|(?:list|dict|set|bytearray|defaultdict|OrderedDict|Counter|deque)\()"
    found = re.search(rf"\b{re.escape(argument)}\s*(?::[^=]*)?=\s*{fresh}", text)
    return "" if found else "the default is not a mutable literal"


def refute_long(source: Source, line: int, name: str) -> str:
    """Count from the `def` to the token that closes its block, without a leading string."""
    if not defines(source.lines[line - 1], name):
        return "the line does not define it"
    tokens = _tokens(source, line)
    body = tokens[_header_end(tokens) :]
    depth, last, text_lines = 0, line, 0
    for token in body:
        depth += (token.type == tokenize.INDENT) - (token.type == tokenize.DEDENT)
        if token.type == tokenize.DEDENT and depth == 0:
            break
        if token.type not in {tokenize.NL, tokenize.COMMENT, tokenize.DEDENT, tokenize.NEWLINE}:
            last = token.end[0]
    first = next((token for token in body if token.type not in _LAYOUT), None)
    if first and first.type == tokenize.STRING and _starts_with_text(body):
        text_lines = first.end[0] - first.start[0] + 1
    return "" if last - line + 1 - text_lines > _MAX_LINES else "it is shorter"


def _tokens(source: Source, line: int) -> Sequence[tokenize.TokenInfo]:
    tokens, starts = _tokenize(source.raw)
    return tokens[bisect_left(starts, line) :]


@lru_cache(maxsize=4)
def _tokenize(raw: bytes) -> tuple[Sequence[tokenize.TokenInfo], list[int]]:
    tokens: list[tokenize.TokenInfo] = []
    try:
        for token in tokenize.tokenize(io.BytesIO(raw).readline):
            tokens.append(token)  # noqa: PERF402 -- what came before an error is still good
    except (tokenize.TokenError, SyntaxError):
        pass
    return tokens, [token.start[0] for token in tokens]


def _header_end(tokens: Sequence[tokenize.TokenInfo]) -> int:
    """Give the index after the colon that ends a `def` or `class` header."""
    depth = 0
    for at, token in enumerate(tokens):
        depth += (token.string in {"(", "[", "{"}) - (token.string in {")", "]", "}"})
        if token.type == tokenize.OP and token.string == ":" and depth == 0:
            return at + 1
    return len(tokens)
