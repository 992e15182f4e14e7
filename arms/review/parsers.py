"""Does this text parse? One answer per language: None for yes, else the first problem and its line.

Both whole files and examples in documents come here. The parsers are the languages' own; nothing is run.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import yaml

__all__ = [
    "PARSERS",
    "Problem",
    "bash_problem",
    "json_problem",
    "python_problem",
    "python_tree",
    "toml_problem",
    "yaml_problem",
]

BASH_TIMEOUT_S: Final = 5
# Syntax that later Pythons accept: on an older one it is no proof that the text is wrong.
_NEWER_SYNTAX: Final = re.compile(
    r"^\s*type\s+\w+(\[.*\])?\s*=|^\s*(async\s+)?def\s+\w+\[|^\s*class\s+\w+\[|\b[rR]?[fFtT][rR]?[\"']|^\s*except\*?\s+[\w.]+\s*,"
)
_BASH_LINE: Final = re.compile(r"line (\d+): (.*)")


@dataclass(frozen=True, slots=True)
class Problem:
    """Where a text stops making sense; `line` is 1-based within that text."""

    line: int
    message: str


def python_problem(text: str | bytes) -> Problem | None:
    """Parse Python; bytes are decoded as the file itself declares. Fragments (`return`, `await`) are fine.

    Syntax that only a later Python than the running one could accept is given the benefit of the doubt.
    """
    found = python_tree(text)
    return found if isinstance(found, Problem) else None


def python_tree(text: str | bytes) -> ast.Module | Problem | None:
    """As `python_problem`; the tree where there is none. None for what may be right and cannot be read here."""
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return cast("ast.Module", compile(text, "<review>", "exec", flags=flags, dont_inherit=True))
    except SyntaxError as error:
        if error.lineno and _may_be_newer(text, error.lineno):
            return None
        return Problem(error.lineno or 1, _words(error.msg))
    except ValueError as error:  # a NUL byte
        return Problem(1, _words(str(error)))
    except (RecursionError, MemoryError):  # too deep for this parser, which proves nothing
        return None


def _may_be_newer(text: str | bytes, line: int) -> bool:
    words = text if isinstance(text, str) else text.decode("utf-8", errors="replace")
    around = words.replace("\r\n", "\n").split("\n")[max(line - 2, 0) : line + 1]
    return any(_NEWER_SYNTAX.search(each) for each in around)


def json_problem(text: str) -> Problem | None:
    """Parse JSON, or several objects or lists one after the other, as in JSON Lines."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return None if _is_json_lines(text) else Problem(error.lineno, _words(error.msg))
    except RecursionError:
        return None
    return None


def _is_json_lines(text: str) -> bool:
    """Tell whether the text is several objects or lists, each starting on a line of its own."""
    decoder, at, count = json.JSONDecoder(), 0, 0
    try:
        while at < len(text):
            value, end = decoder.raw_decode(text, at)
            rest = re.compile(r"[ \t]*(?:\n\s*|\Z)").match(text, end)
            if not isinstance(value, dict | list) or rest is None:
                return False
            at, count = rest.end(), count + 1
    except (json.JSONDecodeError, RecursionError):
        return False
    return count > 1


def toml_problem(text: str) -> Problem | None:
    """Parse TOML 1.0."""
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"\(at line (\d+), column \d+\)", str(error))
        line = int(at[1]) if at else text.count("\n") + 1
        return Problem(line, _words(re.sub(r"\s*\(at .*\)$", "", str(error))))
    except RecursionError:
        return None
    return None


def yaml_problem(text: str) -> Problem | None:
    """Parse YAML down to its events, so that tags of any dialect pass."""
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        for _event in yaml.parse(text, Loader=loader):
            pass
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return Problem(mark.line + 1 if mark else 1, _words(error.problem or error.context or "not YAML"))
    except yaml.YAMLError as error:
        return Problem(1, _words(str(error)))
    except RecursionError:
        return None
    return None


def bash_problem(text: str) -> Problem | None:
    """Let `bash -n` read a script without running it; where there is no bash, nothing is claimed."""
    try:
        done = subprocess.run(
            ["/bin/bash", "--norc", "--noprofile", "-n"],
            input=text.encode("utf-8", errors="replace"),
            env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
            capture_output=True,
            timeout=BASH_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode == 0:
        return None
    found = _BASH_LINE.search(done.stderr.decode(errors="replace"))
    return Problem(int(found[1]), _words(found[2])) if found else None


def _words(message: str) -> str:
    """Make a parser's message one line without backticks, which in a finding mark its subject."""
    return " ".join(message.replace("`", "'").split())


PARSERS: Final[Mapping[str, Callable[[str], Problem | None]]] = {
    "bash": bash_problem,
    "json": json_problem,
    "python": python_problem,
    "toml": toml_problem,
    "yaml": yaml_problem,
}

PYTHON_VERSION: Final = f"{sys.version_info.major}.{sys.version_info.minor}"
