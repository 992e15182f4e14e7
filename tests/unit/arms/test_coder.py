"""The coder: every claim has its place, tests run for real and contained, and what a model wrote is checked first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from arms.arm import Answer, Fail, Retry
from arms.builtin.coder import make_coder
from arms.coder import lint as lint_module
from arms.coder.claims import Claim, as_json
from arms.coder.lint import find_tool
from arms.coder.solution import read_answer
from arms.handler import Handler
from arms.outcome import Outcomes
from arms.sandbox.box import detect
from arms.sandbox.walls import missing
from arms.work import Work
from octolog.domain.reports import ResultStatus
from tests.unit.arms.doubles import RecordingMeter, ScriptedModel, assignment

needs_walls = pytest.mark.skipif(bool(missing(detect())), reason=f"this kernel confines nothing: {detect()}")
needs_ruff = pytest.mark.skipif(find_tool("ruff") is None, reason="ruff is not installed")
MODULE = '''"""Sums."""

import os


def add(first: int, second: int) -> int:
    """The sum of both.

    Longer words.
    """
    return first + missing


class Ledger:
    """Keeps sums."""

    def total(self, rows=[]):
        for row in rows:
            if row:
                return row
'''
TESTS = """import pytest
import sums

def test_right():
    assert True

def test_wrong():
    total = 2
    assert total == 3, "sums differ"

@pytest.mark.skip
def test_later(): ...

def test_broken(absent_fixture): ...
"""


def code(
    text: str = "", *, model: ScriptedModel | None = None, goal: str = "Write the code", **context: Any
) -> Answer:
    arm = make_coder(model=model is not None)
    given = assignment(arm_id=arm.arm_id, goal=goal, context=context | ({"code": text} if text else {}))
    answer = arm(Work(given, Handler(given, RecordingMeter()), model=model))
    assert isinstance(answer, Answer)
    result = Outcomes(arm).of(given, answer, Handler(given, RecordingMeter()), took_ms=1, ended_ms=1)
    assert result.status is ResultStatus.SUCCESS, result.error
    return answer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sums.py").write_text(MODULE)
    (tmp_path / "bad.py").write_text("def f(:\n    pass\n")
    (tmp_path / "data.json").write_text('{"a": }\n')
    return tmp_path


@needs_walls
@needs_ruff
def test_an_analysis_names_file_and_line_of_every_claim_and_the_tool_that_makes_it(folder: Path) -> None:
    answer = code(type="analyze", path=str(folder))
    claims = answer.output["claims"]
    for claim in claims:
        lines = (folder / claim["path"]).read_text().split("\n")
        assert claim["evidence"] == lines[claim["line"] - 1][:300]
    found = {(claim["path"], claim["line"], claim["rule"]) for claim in claims}
    assert {("sums.py", 3, "F401"), ("sums.py", 11, "F821"), ("sums.py", 17, "mutable-default")} <= found
    assert {("bad.py", 1, "syntax-error"), ("data.json", 1, "invalid-json")} <= found
    assert answer.output["counts"]["error"] == sum(claim["severity"] == "error" for claim in claims) >= 3
    assert answer.output["tools"] == ["octolog", "ruff"]


def test_without_a_linter_it_says_so_and_is_less_sure(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lint_module, "find_tool", lambda _: None)
    answer = code(type="analyze", path=str(folder))
    assert answer.output["tools"] == ["octolog"]
    assert "not installed" in answer.output["warnings"][0]
    assert answer.confidence == 0.8


@needs_walls
def test_tests_are_run_and_each_failure_has_its_line(folder: Path) -> None:
    (folder / "test_sums.py").write_text(TESTS)
    answer = code(type="test", path=str(folder), files=["test_sums.py"])
    assert answer.output["counts"] == {"error": 1, "failed": 1, "passed": 1, "skipped": 1}
    assert answer.output["passed"] is False
    assert answer.tests_passed == ("test_sums.py::test_right",)
    claims = {claim["rule"]: (claim["path"], claim["line"]) for claim in answer.output["claims"]}
    assert claims == {"test_wrong": ("test_sums.py", 9), "test_broken": ("test_sums.py", 14)}
    wrong = next(claim for claim in answer.output["claims"] if claim["rule"] == "test_wrong")
    assert "sums differ" in wrong["message"]
    assert wrong["evidence"] == '    assert total == 3, "sums differ"'


@needs_walls
def test_tests_cannot_write_elsewhere_start_programs_or_reach_the_network(folder: Path) -> None:
    (folder / "test_harm.py").write_text(
        "import pathlib, socket, subprocess\n"
        f"def test_write(): pathlib.Path({str(folder / 'made')!r}).write_text('x')\n"
        "def test_start(): subprocess.run(['/bin/echo'])\n"
        "def test_connect(): socket.create_connection(('127.0.0.1', 9))\n"
        "def test_scratch(tmp_path): (tmp_path / 'made').write_text('x')\n"
    )
    answer = code(type="test", path=str(folder), files=["test_harm.py"])
    assert answer.output["counts"] == {"failed": 3, "passed": 1}
    assert not (folder / "made").exists()
    assert not list(folder.glob("**/__pycache__"))


@needs_walls
def test_options_for_plugins_that_are_not_there_are_left_out_and_named(folder: Path) -> None:
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    (folder / "test_sums.py").write_text("def test_right(): pass\n")
    answer = code(type="test", path=str(folder), files=["test_sums.py"])
    assert answer.output["counts"] == {"passed": 1}
    assert "addopts" in answer.output["warnings"][0]


@needs_walls
def test_tests_that_do_not_end_are_a_failure_that_says_so(folder: Path) -> None:
    (folder / "test_slow.py").write_text("import time\ndef test_slow(): time.sleep(600)\n")
    with pytest.raises(Fail, match="had not ended after 2 s") as caught:
        code(type="test", path=str(folder), files=["test_slow.py"], timeout=2)
    assert caught.value.code == "TESTS_NOT_RUN"


def test_an_explanation_quotes_signatures_and_docstrings_with_their_lines(folder: Path) -> None:
    answer = code(type="explain", path=str(folder), files=["sums.py", "bad.py"])
    symbols = {symbol["name"]: symbol for symbol in answer.output["symbols"]}
    assert symbols["sums.py"]["uses"] == ["os"]
    add, total = symbols["add"], symbols["Ledger.total"]
    assert (add["line"], add["signature"], add["says"]) == (
        6,
        "def add(first: int, second: int) -> int",
        "The sum of both.",
    )
    assert (total["line"], total["kind"], total["branches"], total["says"]) == (17, "method", 3, "")
    assert (
        "sums.py:6 `def add(first: int, second: int) -> int`: The sum of both."
        in answer.output["explanation"]
    )
    assert answer.output["warnings"] == ["bad.py does not parse"]
    assert answer.confidence == 0.75  # three of four symbols say what they are for


def test_what_needs_a_model_is_refused_without_one_and_not_among_the_tags() -> None:
    for kind in ("generate", "debug", "refactor", "optimize", "test"):
        with pytest.raises(Fail) as caught:
            code("x = 1\n", type=kind, instruction="Do the work, please")
        assert caught.value.code == "MODEL_REQUIRED"
    assert make_coder().capability.capabilities == ("code_analysis", "code_explanation")
    assert make_coder(model=True).capability.capabilities == (
        "code_analysis", "code_debugging", "code_explanation", "code_generation", "code_refactoring", "test_generation",
    )  # fmt: skip


GOOD = "def double(n: int) -> int:\n    return 2 * n\n"
OWN = "from solution import double\n\ndef test_double():\n    assert double(2) == 4\n"
GIVEN = "from solution import double\n\ndef test_given():\n    assert double(-3) == -6\n"


def answer_of(*blocks: str) -> ScriptedModel:
    return ScriptedModel("\n".join(f"```python\n{block}```" for block in blocks) + "\nIt doubles.")


@needs_walls
@needs_ruff
@pytest.mark.parametrize(
    ("blocks", "given", "confidence", "passed"),
    [
        ((GOOD,), "", 0.5, ("parses", "ruff")),
        ((GOOD, OWN), "", 0.7, ("parses", "ruff", "pytest")),
        ((GOOD, OWN), GIVEN, 1.0, ("parses", "ruff", "pytest")),
        ((GOOD.replace("2 * n", "n * n"), OWN), GIVEN, 0.5, ("parses", "ruff")),
        (("import os\n" + GOOD, OWN), GIVEN, 0.8, ("parses", "pytest")),
        ((GOOD, "def test_nothing(:\n"), "", 0.5, ("parses", "ruff")),
    ],
    ids=["no-tests", "own-tests", "given-tests", "fails-given-tests", "lint", "tests-do-not-parse"],
)
def test_confidence_comes_from_the_checks_that_the_code_passed(
    blocks: tuple[str, ...], given: str, confidence: float, passed: tuple[str, ...]
) -> None:
    answer = code(model=answer_of(*blocks), type="generate", instruction="Double a number", tests=given)
    assert (answer.confidence, answer.output["checks"], answer.tests_passed) == (
        confidence,
        list(passed),
        passed,
    )
    assert answer.output["code"] == blocks[0]
    assert answer.output["explanation"] == "It doubles."
    assert answer.model_version == "scripted-1"
    missing_checks = {"parses", "ruff", "pytest"} - set(passed)
    assert bool(missing_checks) == bool(answer.output["claims"] or answer.output["warnings"])


@pytest.mark.parametrize("text", ["I cannot do that.", "```python\ndef f(:\n```"])
def test_an_answer_without_code_that_parses_may_be_asked_for_again(text: str) -> None:
    with pytest.raises(Retry) as caught:
        code(model=ScriptedModel(text), type="generate", instruction="Double a number")
    assert caught.value.code == "INVALID_OUTPUT"


def test_a_language_without_tools_here_is_said_to_be_unchecked() -> None:
    model = ScriptedModel("```cobol\nSTOP RUN.\n```")
    answer = code(model=model, type="generate", instruction="Stop the run", language="cobol")
    assert (answer.confidence, answer.output["checks"]) == (0.2, [])
    assert "nothing was checked" in answer.output["warnings"][0]


def test_the_model_is_shown_the_code_and_the_tests_it_has_to_pass() -> None:
    model = ScriptedModel("no code")
    with pytest.raises(Retry):
        code("x = 1\n", model=model, type="refactor", instruction="Make it clear", tests=GIVEN)
    assert "x = 1" in model.prompts[0]
    assert "test_given" in model.prompts[0]


@pytest.mark.parametrize(
    "context",
    [
        {"type": "sing"},
        {"type": "generate", "instruction": "short"},
        {"type": "generate", "instruction": "x" * 1_001},
        {"type": "debug", "instruction": "Mend the code"},
        {"type": "generate", "instruction": "Write the code", "language": 3},
        {"type": "analyze", "path": "/", "files": "a.py"},
        {"type": "test", "path": "/", "timeout": 281},
    ],
)
def test_a_request_beyond_its_bounds_is_refused(context: dict[str, Any]) -> None:
    with pytest.raises(Fail) as caught:
        code(**context)
    assert caught.value.code == "INVALID_INPUT"


@pytest.mark.parametrize("file", ["../outside.py", "-x", "/etc/passwd", "gone.py"])
def test_a_file_that_is_not_in_the_folder_is_named(file: str, folder: Path) -> None:
    with pytest.raises(Fail) as caught:
        code(type="analyze", path=str(folder), files=[file])
    assert caught.value.code == "NOT_FOUND"


def test_claims_are_cut_to_size_errors_first() -> None:
    notes = [Claim("a.py", n, "N", "note" * 20, "note", "t") for n in range(1, 100)]
    errors = [Claim("b.py", n, "E", "error", "error", "t") for n in range(1, 10)]
    kept, left_out = as_json([*notes, *errors], 3_000)
    assert len(kept) + left_out == 108
    assert sum(claim["severity"] == "error" for claim in kept) == 9


def test_code_tests_and_words_are_told_apart() -> None:
    written = read_answer(f"Here:\n```python\n{GOOD}```\nand\n```python test\n{OWN}```\nDone.")
    assert written is not None
    assert (written.code, written.tests) == (GOOD, OWN)
    assert written.explanation.split() == ["Here:", "and", "Done."]
    assert read_answer("nothing") is None
