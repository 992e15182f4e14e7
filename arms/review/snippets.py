"""Finds examples in documents that do not parse, or, when asked to run them, do not run.

An example is written for people: prompts are stripped, and what says "and so on" (`...`, `<your key>`, a bare
signature) is no mistake. `no-check` or `skip` in the info string, or `<!-- skip -->` right above, opts a block out.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, cast

from arms.review.findings import Finding, Kind, Review, finding_at
from arms.review.markdown import first_word, parse
from arms.review.parsers import PARSERS, PYTHON_VERSION, Problem
from arms.review.sandbox import run_python
from arms.review.sources import Source, kind_of, read, stands_aside

__all__ = ["Snippet", "check_snippets", "excused", "extract_snippets", "runnable_lines", "snippets_of"]

Language = Literal["bash", "json", "python", "toml", "yaml"]

_LANGUAGES: Final[dict[str, Language]] = {
    "bash": "bash", "console": "bash", "json": "json", "py": "python", "pycon": "python", "python": "python",
    "python3": "python", "sh": "bash", "shell": "bash", "shell-session": "bash", "toml": "toml", "yaml": "yaml",
    "yml": "yaml",
}  # fmt: skip
_SESSIONS: Final = frozenset({"console", "shell-session"})
_OPT_OUT: Final = re.compile(r"\b(?:no-?check|no-?test|skip|ignore)\b")
_SHELL_PROMPT: Final = re.compile(r"^\s*[$%]\s+(?=\S)")
_ELLIPSIS: Final = re.compile(r"\.\.\.|…")
_PLACEHOLDER: Final = re.compile(
    r"<[A-Za-z/][^<>\n]*>|\{\{|\{%|\$\{\{|\[\[|^\s*[%!]{1,2}\w|^@@|^[-+](?![-+\d.])\S?", re.MULTILINE
)
_JSON_COMMENT: Final = re.compile(r"^\s*(?://|/\*|#)|[,{}\[\]\"\d]\s+(?://|#)", re.MULTILINE)
# A call spelled with types, as reference manuals print it.
_SIGNATURE: Final = re.compile(r"^\s*[\w.]+(?:\[.*\])?\([^()]*(?:\)\s*->.*|\w:\s[^()]*\))\s*$")
_TERMINAL: Final = re.compile(r"[➤\u276f•│└├─✓✔]")  # drawn by programs: the block shows their output
_CONTINUATION: Final = re.compile(
    r"^\s*(?:else|elif\b.*|except\b.*|finally|case\b.*)\s*:|^\s*\$\s|^\s*[)\]}]"
)


@dataclass(frozen=True, slots=True)
class Snippet:
    """One example.

    Attributes:
        path: The document, relative to the root.
        line: Of the first line of its content, 1-based.
        language: What its info string names, in our spelling.
        session: The language named is a terminal session: only the lines after a prompt are code.
        text: The content as written.
        opted_out: Its author asked that it not be checked.
        self_contained: Its author marked it as runnable on its own: `run` in the info string or `<!-- run -->` above.
    """

    path: str
    line: int
    language: Language
    session: bool
    text: str
    opted_out: bool
    self_contained: bool


def extract_snippets(root: Path | str, paths: Iterable[str]) -> tuple[Snippet, ...]:
    """Collect the fenced examples in a language we can parse, in path and line order."""
    sources = _documents(Path(root), paths)
    return tuple(snippet for source in sources for snippet in snippets_of(source))


def check_snippets(root: Path | str, paths: Iterable[str], *, run: bool = False) -> Review:
    """Check the examples of Markdown files.

    Args:
        root: The folder under review.
        paths: Relative to `root`; files that are no readable Markdown are passed over.
        run: Also run the Python examples marked self-contained, each alone in `sandbox.run_python`.

    Returns:
        Findings of kind `snippet-<language>` and `snippet-fails`; the files read are the documents.
    """
    sources = _documents(Path(root), paths)
    findings = [
        finding
        for source in sources
        for snippet in snippets_of(source)
        if not snippet.opted_out and (finding := _check(source, snippet, run=run))
    ]
    return Review.of(findings, (source.path for source in sources))


def snippets_of(source: Source) -> Iterator[Snippet]:
    """Give the examples of one document in order."""
    for fence in parse(source.text).fences:
        word = first_word(fence.info)
        language = _LANGUAGES.get(word)
        if language and fence.text.strip():
            info = fence.info.lower().partition(" ")[2] + " " + fence.comment
            yield Snippet(
                source.path, fence.line, language, word in _SESSIONS, fence.text,
                opted_out=bool(_OPT_OUT.search(info)), self_contained=bool(re.search(r"(?:^|\s)run(?:\s|$)", info)),
            )  # fmt: skip


def _documents(root: Path, paths: Iterable[str]) -> list[Source]:
    markdown = (path for path in sorted(set(paths)) if kind_of(path) == "markdown")
    return [source for path in markdown if (source := read(root, path)) and not stands_aside(source)]


def _check(source: Source, snippet: Snippet, *, run: bool) -> Finding | None:
    code = runnable_lines(snippet)
    problem = PARSERS[snippet.language](code)
    if problem:
        if excused(snippet.language, code, problem):
            return None
        named = f"Python {PYTHON_VERSION}" if snippet.language == "python" else snippet.language
        message = f"example does not parse as `{named}`: {problem.message}"
        kind = cast("Kind", f"snippet-{snippet.language}")
        return finding_at(kind, source.path, source.lines, snippet.line + problem.line - 1, message)
    if run and snippet.self_contained and snippet.language == "python":
        failure = run_python(code)
        if failure:
            at = snippet.line + failure.line - 1
            return finding_at(
                "snippet-fails", source.path, source.lines, at, f"example fails: `{failure.message}`"
            )
    return None


def runnable_lines(snippet: Snippet) -> str:
    """Give the code of an example with as many lines as it has: prompts stripped, printed output blanked."""
    lines = textwrap.dedent(snippet.text).split("\n")
    if snippet.language == "python" and any(line.lstrip().startswith(">>>") for line in lines):
        return "\n".join(_python_session(lines))
    if snippet.language == "bash" and (snippet.session or any(map(_SHELL_PROMPT.match, lines))):
        return "\n".join(_shell_session(lines))
    return "\n".join(lines)


def _python_session(lines: list[str]) -> Iterator[str]:
    indent = 0
    for line in lines:
        bare = line.lstrip()
        if bare.startswith(">>>"):
            indent = len(line) - len(bare)
            yield bare[4:]
        elif bare.startswith("...") and len(line) - len(bare) == indent and bare[3:4] in {"", " "}:
            yield bare[4:]
        else:
            yield ""


def _shell_session(lines: list[str]) -> Iterator[str]:
    going_on = False
    for line in lines:
        prompt = _SHELL_PROMPT.match(line)
        code = line[prompt.end() :] if prompt else re.sub(r"^> ", "", line) if going_on else ""
        going_on = code.endswith("\\")
        yield code


def excused(language: str, code: str, problem: Problem) -> bool:
    """Tell whether a text that does not parse was never meant to: elided, templated, or a fragment by nature."""
    lines = code.split("\n")
    near = "\n".join(lines[max(problem.line - 2, 0) : problem.line + 1])
    if _ELLIPSIS.search(near) or _PLACEHOLDER.search(code):
        return True
    match language:
        case "python":
            return _python_fragment(lines, problem)
        case "json":
            return bool(_JSON_COMMENT.search(code) or _ELLIPSIS.search(code)) or _json_fragment(code)
        case "toml":  # alternatives side by side, or TOML 1.1's inline tables over several lines
            return "overwrite" in problem.message or "declare" in problem.message or "{" in near
        case "bash":  # a heredoc or quote cut short, or `[a|b]` from a manual
            return bool(
                _ELLIPSIS.search(code) or _TERMINAL.search(code) or re.search(r"\[[^\]\n]*\|[^\]\n]*\]", code)
            )
        case _:
            return _ELLIPSIS.search(code) is not None


def _python_fragment(lines: list[str], problem: Problem) -> bool:
    filled = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    cited = lines[problem.line - 1] if problem.line <= len(lines) else ""
    if not filled or _CONTINUATION.match(filled[0]) or filled[-1].lstrip().startswith("@"):
        return True
    if _SIGNATURE.match(cited):
        return True
    # A signature shown without its body, or a block cut after its first line, parses once it has one.
    body = "\n".join(lines).rstrip()
    indent = " " * (len(filled[-1]) - len(filled[-1].lstrip()) + 4)
    return any(PARSERS["python"](body + ending) is None for ending in (": ...", f"\n{indent}pass"))


def _json_fragment(code: str) -> bool:
    body = code.strip().rstrip(",")
    return PARSERS["json"]("{" + body + "}") is None or PARSERS["json"]("[" + body + "]") is None
