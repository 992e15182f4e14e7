"""Finds what is broken in Markdown: links, anchors, images, references. Addresses on the network are never fetched.

What cannot be judged from the files alone is left alone: absolute paths and extensionless routes belong to a site
generator, targets above the root to whoever serves it, `{{ ... }}` to a template engine.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from arms.review.findings import Finding, Review, finding_at
from arms.review.markdown import Document, Link, parse, without_marks
from arms.review.sources import Source, kind_of, read, stands_aside

__all__ = ["in_site", "is_judged", "review_documents", "split_target"]

_ELSEWHERE: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:|//|/|\\|~")
_TEMPLATED: Final = re.compile(r"\{\{|\{%|%\}|\$\{|\$\(|<|>|\.\.\.|…|\*|@\w+\.|\s")
# What authors write when they show how a link looks.
_EXAMPLES: Final = frozenset(
    {"", "url", "link", "href", "path", "target", "here", "uri", "todo", "tbd", "src", "image"}
)
_EXAMPLE_FOLDERS: Final = ("path/to/", "./path/to/", "example/", "your-")
_SITE_FILES: Final = (
    "mkdocs.yml", "mkdocs.yaml", "zensical.toml", "docusaurus.config.js", "docusaurus.config.ts", "conf.py",
    "_config.yml", "book.toml", "hugo.toml", "config.toml", "mint.json", "docs.json", "_sidebar.md", "sidebars.js",
    "astro.config.mjs", "antora.yml", ".vitepress", "_toc.yml", "SUMMARY.md",
)  # fmt: skip
# Often published by a generator whose configuration lives elsewhere; its anchors are good there.
_SITE_FOLDERS: Final = frozenset({"doc", "docs", "documentation", "site", "website"})
_SITE_SOURCES: Final = (".md", ".mdx", ".markdown", ".rst", ".ipynb", ".adoc", ".md.j2", ".html")
_FREE_ANCHOR: Final = re.compile(
    r"(?:l\d+(?:c\d+)?(?:-l\d+(?:c\d+)?)?|:~:.*|top|fn(?:ref)?[:-]?.*|/.*|!.*)\Z", re.DOTALL
)


def review_documents(root: Path | str, paths: Iterable[str]) -> Review:
    """Review Markdown files.

    Args:
        root: The folder under review; nothing outside it is opened.
        paths: Relative to `root`; files that are no readable Markdown are passed over.

    Returns:
        Findings of kind `broken-link`, `broken-anchor`, `missing-image` and `undefined-reference`; the files read are
        the documents and those whose anchors they link to.
    """
    shelf = _Shelf(Path(root))
    findings: list[Finding] = []
    for path in sorted(set(paths)):
        if kind_of(path) == "markdown" and (source := shelf.source(path)) and not stands_aside(source):
            findings += _review(shelf, source)
    return Review.of(findings, shelf.read_paths)


class _Shelf:
    """The documents opened in one call, each read and parsed once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._sources: dict[str, Source | None] = {}
        self._documents: dict[str, Document] = {}

    @property
    def read_paths(self) -> list[str]:
        return [path for path, source in self._sources.items() if source]

    def source(self, path: str) -> Source | None:
        if path not in self._sources:
            self._sources[path] = read(self.root, path)
        return self._sources[path]

    def document(self, path: str) -> Document | None:
        if path not in self._documents:
            source = self.source(path)
            if source is None:
                return None
            self._documents[path] = parse(source.text)
        return self._documents[path]

    def exists(self, path: str) -> bool:
        return os.path.lexists(self.root / path)  # a link that leaves the root is there for its reader


def _review(shelf: _Shelf, source: Source) -> Iterator[Finding]:
    document = shelf.document(source.path)
    if document is None:
        return
    site = in_site(shelf.root, source.path)
    for link in document.links:
        found = _judge(shelf, source, link, site=site)
        if found:
            yield found
    for reference in document.undefined:
        # Dotted names are cross-references of API documentation, resolved when the site is built.
        if not site and not re.fullmatch(r"`?[\w.]*\.[\w.]+(?:\(\))?`?", reference.label):
            message = f"`[{reference.label}]` has no definition in this file"
            yield finding_at("undefined-reference", source.path, source.lines, reference.line, message)


def _judge(shelf: _Shelf, source: Source, link: Link, *, site: bool) -> Finding | None:
    if not is_judged(link.target):
        return None
    path, anchor = split_target(source.path, link.target)
    if path is None:
        return None
    if not _is_there(shelf, source.path, path, link, site=site):
        kind, what = ("missing-image", "image") if link.kind == "image" else ("broken-link", "link target")
        message = f"`{link.target}`: the {what} `{path}` does not exist"
        return finding_at(kind, source.path, source.lines, link.line, message)  # type: ignore[arg-type]
    if (
        link.kind == "link"
        and anchor
        and kind_of(path) == "markdown"
        and not _offers(shelf, path, anchor, site=site)
    ):
        message = f"`{link.target}`: no heading or anchor `#{anchor}` in `{path}`"
        return finding_at("broken-anchor", source.path, source.lines, link.line, message)
    return None


def is_judged(target: str) -> bool:
    """Tell whether a link's target names a file here, not an address, a site's route, a template or an example."""
    bare = target.partition("#")[0].partition("?")[0]
    if _ELSEWHERE.match(target) or _TEMPLATED.search(target) or target == "#":
        return False
    return target.startswith("#") or (bare.lower() not in _EXAMPLES and not bare.startswith(_EXAMPLE_FOLDERS))


def split_target(path: str, target: str) -> tuple[str | None, str]:
    """Resolve a target against the document that holds it.

    Returns:
        The file's path relative to the root (None: above the root, so not ours to judge) and the anchor, unquoted.
    """
    bare, _, anchor = target.partition("#")
    bare = unquote(bare.partition("?")[0])
    resolved = posixpath.normpath(posixpath.join(posixpath.dirname(path), bare)) if bare else path
    return (None if resolved.startswith("..") else resolved), unquote(anchor)


def in_site(root: Path, path: str) -> bool:
    """Tell whether a site generator publishes the document: its routes and anchors then follow other rules."""
    folder = posixpath.dirname(path)
    while True:
        if any((root / folder / name).exists() for name in _SITE_FILES):
            return True
        if not folder:
            return False
        folder = posixpath.dirname(folder)


def _is_there(shelf: _Shelf, document: str, path: str, link: Link, *, site: bool) -> bool:
    if shelf.exists(path) or shelf.exists(posixpath.join(posixpath.dirname(document), link.target)):
        return True
    stem, suffix = posixpath.splitext(path)
    if suffix == ".html":  # built from a source of the same name, or by a tool that writes into the site
        return site or any(shelf.exists(stem + source) for source in _SITE_SOURCES)
    if suffix:
        return False
    # A route without extension: `guide/install` is built from `guide/install.md`, one level up or not.
    return site or any(shelf.exists(path + source) for source in _SITE_SOURCES)


def _offers(shelf: _Shelf, path: str, anchor: str, *, site: bool) -> bool:
    document = shelf.document(path)
    wanted = anchor.lower().removeprefix("user-content-")
    if document is None or document.open_ended or _FREE_ANCHOR.match(wanted):
        return True
    published = site or any(folder in _SITE_FOLDERS for folder in path.split("/")[:-1])
    offered = document.anchors | document.site_anchors if published else document.anchors
    return wanted in offered or without_marks(wanted) in offered
