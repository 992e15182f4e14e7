"""Finds what is wrong in code and data files, each by the means its language allows.

Python is read as a syntax tree (`python_rules`); JSON, TOML, YAML and shell scripts must parse; every language is
searched for TODO and FIXME markers. Fixtures, templates and generated files are left alone.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, cast

from arms.review.findings import Finding, Kind, Review, finding_at
from arms.review.named_by_tests import names_in_tests
from arms.review.parsers import PARSERS
from arms.review.python_rules import review_python
from arms.review.snippets import excused
from arms.review.sources import Source, is_test, kind_of, list_files, read, stands_aside

__all__ = ["review_code"]

_COMMENT_LEADER: Final = {"shell": "#", "yaml": "#", "toml": "#", "code": "//|/\\*|^\\s*\\*|--|#"}
# Read by tools that allow comments and trailing commas in them.
_JSON_WITH_COMMENTS: Final = re.compile(
    r"(?:^|/)(?:[tj]sconfig[^/]*|\.[^/]*rc|devcontainer|\.vscode/.*|.*\.jsonc?5?rc)(?:\.json)?$"
)
_OTHER_SHELLS: Final = re.compile(r"#!.*\b(?:zsh|fish|ksh|csh|tcsh|python\d?|perl|node|ruby|expect|awk)\b")


def review_code(root: Path | str, paths: Iterable[str], *, tests: Iterable[str] | None = None) -> Review:
    """Review code and data files.

    Args:
        root: The folder under review; nothing outside it is opened.
        paths: Relative to `root`; Markdown and what cannot be read is passed over.
        tests: The Python test files, as `Survey.tests` gives them; None looks for them in `root`.

    Returns:
        Findings of the kinds `syntax-error`, `missing-docstring`, `untested-function`, `bare-except`,
        `swallowed-exception`, `mutable-default`, `long-function`, `todo-marker` and `invalid-<language>`. The files
        read are those reviewed and, when Python was among them, the tests.
    """
    root = Path(root)
    sources = [
        source
        for path in sorted(set(paths))
        if kind_of(path) not in {None, "markdown"}
        and (source := read(root, path))
        and not stands_aside(source)
    ]
    files_read = [source.path for source in sources]
    tested: frozenset[str] | None = None
    if any(kind_of(source.path) == "python" and not is_test(source.path) for source in sources):
        chosen = tuple(sorted(set(_find_tests(root) if tests is None else tests)))
        tested = names_in_tests(root, chosen) if chosen else None
        files_read += chosen
    return Review.of((found for source in sources for found in _review(source, tested)), files_read)


def _find_tests(root: Path) -> Iterator[str]:
    return (path for path in list_files(root) if kind_of(path) == "python" and is_test(path))


def _review(source: Source, tested: frozenset[str] | None) -> Iterator[Finding]:
    kind = kind_of(source.path) or ""
    if kind == "python":
        yield from review_python(source, tested)
        return
    yield from _markers(source, kind)
    found = _unparsable(source, kind)
    if found:
        yield found


def _markers(source: Source, kind: str) -> Iterator[Finding]:
    leader = _COMMENT_LEADER.get(kind)
    if leader is None:
        return
    marker = re.compile(rf"(?:^|(?<=\s))(?:{leader})[\s#/*!-]*@?(TODO|FIXME)\b(?![-/\w])")
    for number, line in enumerate(source.lines, 1):
        found = marker.search(line) if "TODO" in line or "FIXME" in line else None
        if found and not _within_quotes(line, found.start()):
            yield finding_at(
                "todo-marker", source.path, source.lines, number, f"`{found[1]}` marker in a comment"
            )


def _within_quotes(line: str, at: int) -> bool:
    return any(line.count(quote, 0, at) % 2 == 1 for quote in ('"', "'", "`"))


def _unparsable(source: Source, kind: str) -> Finding | None:
    language = "bash" if kind == "shell" else kind
    if language not in PARSERS or is_test(source.path) or not source.text.strip():
        return None
    if kind == "json" and _JSON_WITH_COMMENTS.search(source.path):
        return None
    if kind == "shell" and _OTHER_SHELLS.match(source.lines[0]):
        return None
    problem = PARSERS[language](source.text)
    if problem is None or (kind != "shell" and excused(language, source.text, problem)):
        return None
    name = posixpath.basename(source.path)
    message = f"`{name}` does not parse as {language}: {problem.message}"
    return finding_at(cast("Kind", f"invalid-{language}"), source.path, source.lines, problem.line, message)
