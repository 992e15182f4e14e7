"""Markdown read for review: links, images, anchors and code blocks, each with its exact line.

markdown-it-py keeps positions of blocks only. Inline content is therefore parsed here, block by block, by rules
that note where in the block they matched; a block's text keeps its line ends, so the line is a count.
"""

from __future__ import annotations

import html
import re
import unicodedata
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, Literal

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline, html_inline, image, link
from markdown_it.token import Token

__all__ = ["Document", "Fence", "Link", "Reference", "first_word", "parse", "slug", "without_marks"]


@dataclass(frozen=True, slots=True)
class Link:
    """A link or an image; `target` is as written, with entities and escapes resolved."""

    kind: Literal["link", "image"]
    target: str
    line: int


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference link, `[text][label]`, whose label no definition in the file explains."""

    label: str
    line: int


@dataclass(frozen=True, slots=True)
class Fence:
    """A fenced code block.

    Attributes:
        info: The words after the fence.
        line: Of its first line of content, 1-based.
        text: The content.
        comment: What the HTML comment right above says, lower case; empty without one.
    """

    info: str
    line: int
    text: str
    comment: str


@dataclass(slots=True)
class Document:
    """What one Markdown file refers to and offers.

    Attributes:
        anchors: What `#...` can point at here, in lower case, as GitHub makes them.
        site_anchors: The same as other site generators (Python-Markdown and its kin) make them.
        seen, site_seen: How often each heading has been met, to number its repeats.
        open_ended: The text includes other files or generated parts, so that anchors may come from elsewhere.
    """

    links: list[Link] = field(default_factory=list)
    undefined: list[Reference] = field(default_factory=list)
    fences: list[Fence] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)
    site_anchors: set[str] = field(default_factory=set)
    open_ended: bool = False
    seen: Counter[str] = field(default_factory=Counter)
    site_seen: Counter[str] = field(default_factory=Counter)


_HTML_REFERENCE: Final = re.compile(
    r"<(?P<tag>a|img)\b[^<>]*?\s(?:href|src)\s*=\s*(?:\"(?P<double>[^\"<>]*)\"|'(?P<single>[^'<>]*)')",
    re.IGNORECASE,
)
_HTML_ANCHOR: Final = re.compile(r"\s(?:id|name)\s*=\s*[\"']([^\"'<>]+)[\"']", re.IGNORECASE)
_HTML_HEADING: Final = re.compile(r"<h[1-6]\b[^<>]*>([^\n]*?)</h[1-6]>", re.IGNORECASE)
_HTML_COMMENT: Final = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_HTML_TAG: Final = re.compile(r"<[^<>]*>")
_GIVEN_ID: Final = re.compile(r"\s*\{:?[^{}]*#([\w:.-]+)[^{}]*\}\s*$")
_CROSS_REFERENCE: Final = re.compile(r"\[([^\[\]]*)\]\[[^\[\]]*\]")  # resolved by the site's generator
_LABEL: Final = re.compile(r"\[([^\[\]\n]+)\]")
_FRONT_MATTER: Final = re.compile(r"\A---[ \t]*\n.*?\n(?:---|\.\.\.)[ \t]*(?=\n|\Z)", re.DOTALL)
_INCLUDES: Final = re.compile(r"--8<--|\{%|\{\{|^:::[ :]|^\s*!include\b|^```\{|^\([\w-]+\)=$", re.MULTILINE)
_NOT_WORD: Final = re.compile(r"[^\w\- ]")


def slug(heading: str) -> str:
    """Give the anchor GitHub makes of a heading: lower case, words and hyphens only, spaces made hyphens."""
    return _NOT_WORD.sub("", without_marks(heading.strip().lower())).replace(" ", "-")


def parse(text: str) -> Document:
    """Read one Markdown text with Unix line ends.

    Time is linear in the text; nothing is rendered, fetched or run.
    """
    text = _FRONT_MATTER.sub(lambda match: "\n" * match[0].count("\n"), text)
    document = Document(open_ended=bool(_INCLUDES.search(text)))
    env: dict[str, Any] = {"document": document}
    tokens = _parser().parse(text, env)
    comment = ""
    for at, token in enumerate(tokens):
        if token.type == "inline":
            _read_inline(token, env, heading=at > 0 and tokens[at - 1].type == "heading_open")
        elif token.type == "html_block":
            _read_html(token, document)
        elif token.type == "fence" and token.map:
            document.fences.append(Fence(token.info.strip(), token.map[0] + 2, token.content, comment))
        comment = token.content.lower() if token.type == "html_block" and "<!--" in token.content else ""
    return document


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    parser.core.ruler.disable("inline")  # done here, with positions
    parser.inline.ruler.at("link", _link)
    parser.inline.ruler.at("image", _image)
    parser.inline.ruler.at("html_inline", _html_inline)
    parser.validateLink = lambda url: True  # type: ignore[method-assign]  # noqa: ARG005 -- every target is judged
    parser.normalizeLink = lambda url: url  # type: ignore[method-assign]  # as written, not percent-encoded
    return parser


def _read_inline(token: Token, env: dict[str, Any], *, heading: bool) -> None:
    children: list[Token] = []
    env["into"], env["line"] = children, (token.map or [0])[0] + 1
    env["ends"] = [found.start() for found in re.finditer("\n", token.content)]
    _parser().inline.parse(token.content, _parser(), env, children)
    if heading:
        given = _GIVEN_ID.search(token.content)
        _add_heading(env["document"], _plain(children), given[1] if given else "")


def _plain(tokens: Iterable[Token]) -> str:
    return "".join(" " if t.type == "softbreak" else t.content for t in tokens if t.type in _TEXTUAL)


_TEXTUAL: Final = frozenset({"text", "text_special", "code_inline", "softbreak"})


def _add_heading(document: Document, text: str, given: str) -> None:
    if given:
        document.anchors.add(given.lower())
        text = _GIVEN_ID.sub("", text)
    _add_numbered(document.anchors, document.seen, slug(text), "-")
    text = _CROSS_REFERENCE.sub(r"\1", text)
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^\w\s-]", "", ascii_text).strip().lower()
    _add_numbered(document.site_anchors, document.site_seen, re.sub(r"[-\s]+", "-", plain), "_")


def _add_numbered(anchors: set[str], seen: Counter[str], name: str, joint: str) -> None:
    unique = name
    while unique in anchors and seen[name]:
        unique = f"{name}{joint}{seen[name]}"
        seen[name] += 1
    seen[name] = max(seen[name], 1)
    anchors.add(unique)


def without_marks(text: str) -> str:
    """Drop combining marks, such as the invisible one that makes a character an emoji."""
    # GitHub keeps an emoji's invisible variation selector, people who link to it do not; neither is worth a finding.
    return text if text.isascii() else "".join(c for c in text if unicodedata.category(c)[0] != "M")


def _read_html(token: Token, document: Document) -> None:
    content = _HTML_COMMENT.sub(lambda match: "\n" * match[0].count("\n"), token.content)
    _collect_html(content, (token.map or [0])[0] + 1, document)
    for heading in _HTML_HEADING.finditer(content):
        _add_heading(document, html.unescape(_HTML_TAG.sub("", heading[1])), "")


def _collect_html(content: str, line: int, document: Document) -> None:
    for found in _HTML_REFERENCE.finditer(content):
        target = html.unescape(found["double"] if found["double"] is not None else found["single"])
        group = "double" if found["double"] is not None else "single"
        at = line + content.count("\n", 0, found.start(group))
        document.links.append(Link("image" if found["tag"].lower() == "img" else "link", target.strip(), at))
    document.anchors.update(html.unescape(name).lower() for name in _HTML_ANCHOR.findall(content))


def _line_at(state: StateInline, pos: int) -> int:
    return int(state.env["line"]) + bisect_left(state.env["ends"], pos)


def _opened(state: StateInline, since: int, kind: str) -> Token | None:
    return next((token for token in state.tokens[since:] if token.type == kind), None)


def _link(state: StateInline, silent: bool) -> bool:  # noqa: FBT001 -- markdown-it's signature
    start, since = state.pos, len(state.tokens)
    matched = link(state, silent)
    if silent or state.tokens is not state.env["into"]:
        return matched
    if not matched:
        if state.src[start] == "[":
            _note_undefined(state, start)
    elif token := _opened(state, since, "link_open"):
        _note(state, "link", str(token.attrs["href"]), start)
    return matched


def _image(state: StateInline, silent: bool) -> bool:  # noqa: FBT001 -- markdown-it's signature
    start, since = state.pos, len(state.tokens)
    matched = image(state, silent)
    if (
        matched
        and not silent
        and state.tokens is state.env["into"]
        and (token := _opened(state, since, "image"))
    ):
        _note(state, "image", str(token.attrs["src"]), start)
    return matched


def _html_inline(state: StateInline, silent: bool) -> bool:  # noqa: FBT001 -- markdown-it's signature
    start = state.pos
    matched = html_inline(state, silent)
    if matched and not silent and state.tokens is state.env["into"]:
        _collect_html(state.src[start : state.pos], _line_at(state, start), state.env["document"])
    return matched


def _note(state: StateInline, kind: Literal["link", "image"], target: str, start: int) -> None:
    # A link's text may run over several lines; the line to cite is the one that holds the target.
    at = state.src.find(target, start, state.pos) if target else start
    state.env["document"].links.append(Link(kind, target, _line_at(state, at if at >= 0 else start)))


def _note_undefined(state: StateInline, start: int) -> None:
    end = state.md.helpers.parseLinkLabel(state, start)
    if end < 0 or (start and (state.src[start - 1].isalnum() or state.src[start - 1] in "_])\\[")):
        return  # unbalanced, or an index: `table[row][column]`
    label = _LABEL.match(state.src, end + 1)
    if label and _is_prose(state.src[start + 1 : end]) and not label[1].startswith("^"):
        state.env["document"].undefined.append(Reference(label[1].strip(), _line_at(state, label.start())))


def _is_prose(text: str) -> bool:
    """Tell a link's text from `[ ]`, `[^1]` and the dimensions of an array."""
    return not text.startswith("^") and bool(re.search(r"[^\W\d_]{2}", text)) and not text.startswith("[")


def first_word(info: str) -> str:
    """Give a fence's language: the first word of its info string, lower case, without attributes."""
    words: Sequence[str] = re.split(r"[\s,{:]", info.strip(), maxsplit=1)
    return words[0].lower()
