"""Code that a model wrote, checked with the same tools before anybody hears of it."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from arms.coder.claims import Claim
from arms.coder.lint import lint
from arms.coder.run_tests import Tested, run_tests
from arms.review.parsers import PARSERS

__all__ = ["Checked", "Written", "check", "read_answer"]

_BLOCK: Final = re.compile(r"^```[ \t]*(?P<info>[^\n`]*)\n(?P<code>.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
_LANGUAGES: Final = {"python": "py", "bash": "sh", "json": "json", "toml": "toml", "yaml": "yaml"}
# What each check is worth. Tests that the asker gave prove more than those that the writer wrote for itself.
_PARSES, _CLEAN, _GIVEN_TESTS, _OWN_TESTS = 0.3, 0.2, 0.5, 0.2
_UNCHECKED: Final = 0.2


@dataclass(frozen=True, slots=True)
class Written:
    """What a model answered.

    Attributes:
        code: The first block.
        tests: The block of tests, if there is one.
        explanation: What it wrote around them.
    """

    code: str
    tests: str
    explanation: str


@dataclass(frozen=True, slots=True)
class Checked:
    """What the tools say of it.

    Attributes:
        parses: None: no parser for its language here.
        confidence: 0.0 to 1.0, from the checks alone.
        passed: Names of the checks it passed.
        claims: What is wrong, by line; `solution.py` is the code, `test_solution.py` its tests.
        warnings: What was not checked, and why.
    """

    parses: bool | None
    confidence: float
    passed: tuple[str, ...]
    claims: tuple[Claim, ...]
    warnings: tuple[str, ...]


def read_answer(text: str) -> Written | None:
    """The code, the tests and the words of a model's answer; None: it holds no code."""
    blocks = [
        (found["info"].strip().lower(), found["code"].strip("\n") + "\n") for found in _BLOCK.finditer(text)
    ]
    if not blocks:
        return None
    tests = next((code for info, code in blocks[1:] if "test" in info or "def test_" in code), "")
    return Written(blocks[0][1], tests, _BLOCK.sub("", text).strip())


def check(written: Written, language: str, *, given_tests: str = "", timeout_s: float = 60.0) -> Checked:
    """Check code with the tools there are for its language.

    Args:
        written: The code.
        language: As in a fence's info string.
        given_tests: Tests the code has to pass, which import `solution`; they take the place of the writer's own.
        timeout_s: For the tests, seconds.
    """
    parser = PARSERS.get(language)
    if parser is None:
        return Checked(None, _UNCHECKED, (), (), (f"no tool for {language} here: nothing was checked",))
    problem = parser(written.code)
    suffix = _LANGUAGES.get(language, "txt")
    if problem is not None:
        lines = written.code.split("\n")
        evidence = lines[problem.line - 1] if problem.line <= len(lines) else ""
        claim = Claim(
            f"solution.{suffix}", problem.line, "syntax-error", problem.message, "error", language, evidence
        )
        return Checked(False, 0.0, (), (claim,), ())  # noqa: FBT003 -- the field's name is next to it in the class
    if language != "python":
        return Checked(True, _PARSES, ("parses",), (), ("parsed, not run",))  # noqa: FBT003 -- as above
    return _check_python(written, given_tests, timeout_s)


def _check_python(written: Written, given_tests: str, timeout_s: float) -> Checked:
    tests = given_tests or written.tests
    with tempfile.TemporaryDirectory(prefix="octolog-coder-") as made:
        root = Path(made).resolve()
        (root / "solution.py").write_text(written.code, encoding="utf-8")
        linted = lint(root, ["solution.py"], isolated=True)
        if tests:
            (root / "test_solution.py").write_text(tests, encoding="utf-8")
        tested = run_tests(root, ["test_solution.py"], timeout_s=timeout_s) if tests else None
    confidence, passed, warnings = _PARSES, ["parses"], [linted.problem] if linted.problem else []
    clean = bool(linted.tool) and not any(claim.severity != "note" for claim in linted.claims)
    if clean:
        confidence, passed = confidence + _CLEAN, [*passed, "ruff"]
    claims = list(linted.claims)
    if tested is None:
        warnings.append("no tests: that it does what was asked is not shown")
    else:
        claims += tested.claims
        warnings += [tested.problem] if tested.problem else []
        if _all_passed(tested):
            confidence += _GIVEN_TESTS if given_tests else _OWN_TESTS
            passed.append("pytest")
    return Checked(True, round(confidence, 2), tuple(passed), tuple(claims), tuple(warnings))  # noqa: FBT003


def _all_passed(tested: Tested) -> bool:
    bad: dict[str, Any] = {
        name: count for name, count in tested.counts.items() if name in {"failed", "error"}
    }
    return tested.exit_code == 0 and not bad and tested.counts.get("passed", 0) > 0
