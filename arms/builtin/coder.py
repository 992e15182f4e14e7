"""The coder: reads, lints and tests code with real tools; writes with a model, and checks what it wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from arms.arm import Answer, Arm, Fail, Retry, arm
from arms.builtin.reviewers import review_source
from arms.coder.claims import Claim, as_json
from arms.coder.explain import explain
from arms.coder.lint import lint
from arms.coder.run_tests import run_tests
from arms.coder.solution import Checked, Written, check, read_answer
from arms.review import review_code
from arms.review.sources import kind_of, list_files, locate, read
from arms.work import Work

__all__ = ["INPUT", "make_coder"]

# What the published interface of a coder takes.
TYPES: Final = ("generate", "debug", "refactor", "analyze", "test", "explain", "optimize")
_WITHOUT_MODEL: Final = ("code_analysis", "code_explanation")
_WITH_MODEL: Final = ("code_debugging", "code_generation", "code_refactoring", "test_generation")
_INSTRUCTION_CHARS: Final = (10, 1_000)
MAX_CODE_CHARS: Final = 50_000
MAX_FILES: Final = 2_000
_CLAIMS_BYTES: Final = 150_000
_SYMBOLS_BYTES: Final = 150_000
_TIMEOUT_S: Final = (1, 120, 280)
_NEEDS_CODE: Final = frozenset({"debug", "optimize", "refactor"})
_MODEL_TOKENS: Final = 4_000
_TASKS: Final[Mapping[str, str]] = {
    "debug": "Find what is wrong in the code and mend it.",
    "generate": "Write the code that is asked for.",
    "optimize": "Make the code faster or smaller without changing what it does.",
    "refactor": "Make the code clearer without changing what it does.",
    "test": "Write tests for the code; repeat the code unchanged.",
}
_SYSTEM: Final = (
    "{task} Answer with one fenced block of {language} that holds the whole file `{file}`, then one fenced block of "
    "tests that import `solution` (pytest), then at most five sentences of explanation. No other block."
)
INPUT: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "code": {"type": "string", "maxLength": MAX_CODE_CHARS},
        "files": {"type": "array", "items": {"type": "string"}},
        "instruction": {"type": "string"},
        "language": {"type": "string"},
        "path": {"type": "string"},
        "tests": {"type": "string", "maxLength": MAX_CODE_CHARS},
        "timeout": {"type": "integer", "minimum": _TIMEOUT_S[0], "maximum": _TIMEOUT_S[2]},
        "type": {"enum": list(TYPES)},
    },
}


def make_coder(*, model: bool = False) -> Arm:
    """Make a coder.

    Args:
        model: A model is set, so that code can be written.
    """
    tags = (*_WITHOUT_MODEL, *(_WITH_MODEL if model else ()))
    writes = (
        "; writes, mends and reworks code with a model and checks it"
        if model
        else ", without a model: writes none"
    )

    @arm(
        "coder",
        name="Coder",
        description=f"Analyses, lints and explains code, and runs its tests in a sandbox{writes}.",
        capabilities=tuple(sorted(tags)),
        cost_tier=4 if model else 1,
        timeout_seconds=300,
        max_concurrent_tasks=2,
        version="2",
        input_schema=INPUT,
    )
    def coder(work: Work) -> Answer:
        """Do what the context's `type` says; without one, review the code in the context's `paths`."""
        if "type" not in work.context and "paths" in work.context:
            return review_source(work)
        return _work(work)

    return coder


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request within its bounds."""

    type: str
    language: str
    instruction: str
    code: str
    tests: str
    timeout_s: int


def _work(work: Work) -> Answer:
    asked = _asked(work)
    if asked.type == "analyze":
        return _analyze(*_folder(work))
    if asked.type == "explain":
        return _explain(*_folder(work))
    if asked.type == "test" and not asked.code:
        root, _ = _folder(work)
        return _test(root, _files(work.context, root), asked.timeout_s)
    return _write(work, asked)


def _analyze(root: Path, paths: list[str]) -> Answer:
    review = review_code(root, paths)
    python = [path for path in paths if kind_of(path) == "python"]
    linted = lint(root, python)
    claims = [
        Claim(each.path, each.line, each.kind, each.message, each.severity, "octolog", each.evidence)
        for each in review.findings
    ]
    kept, left_out = as_json([*claims, *linted.claims], _CLAIMS_BYTES)
    every = {*claims, *linted.claims}
    output = {
        "claims": kept,
        "counts": _counts(every),
        "files": len(paths),
        "left_out": left_out,
        "tools": ["octolog", *([linted.tool] if linted.tool else [])],
        "type": "analyze",
        "warnings": [linted.problem] if linted.problem else [],
    }
    ran = ("code-parsed", *(("ruff",) if linted.tool else ()))
    return Answer(output, confidence=1.0 if linted.tool else 0.8, data_sources=tuple(paths), tests_passed=ran)


def _explain(root: Path, paths: list[str]) -> Answer:
    symbols, unread = explain(root, paths)
    kept: list[dict[str, Any]] = []
    size_bytes = 0
    for symbol in symbols:
        size_bytes += len(orjson.dumps(symbol.to_json())) + 1
        if size_bytes > _SYMBOLS_BYTES:
            break
        kept.append(symbol.to_json())
    said = sum(1 for symbol in symbols if symbol.says)
    output = {
        "explanation": "\n".join(map(_sentence, kept)),
        "left_out": len(symbols) - len(kept),
        "symbols": kept,
        "type": "explain",
        "warnings": [f"{path} does not parse" for path in unread],
    }
    # How much of it says what it is for; the rest is known by its shape alone.
    confidence = round(said / len(symbols), 2) if symbols else 0.0
    return Answer(output, confidence=confidence, data_sources=tuple(dict.fromkeys(s.path for s in symbols)))


def _sentence(symbol: Mapping[str, Any]) -> str:
    shown = symbol["signature"] or f"{symbol['kind']} {symbol['name']}"
    return f"{symbol['path']}:{symbol['line']} `{shown}`: {symbol['says'] or 'has no docstring'}"


def _test(root: Path, paths: list[str], timeout_s: int) -> Answer:
    tested = run_tests(root, paths, timeout_s=float(timeout_s))
    if tested.exit_code < 0:
        raise Fail(tested.problem, "TESTS_NOT_RUN")
    kept, left_out = as_json(tested.claims, _CLAIMS_BYTES)
    bad = tested.counts.get("failed", 0) + tested.counts.get("error", 0)
    output = {
        "claims": kept,
        "counts": tested.counts,
        "left_out": left_out,
        "passed": tested.exit_code == 0 and not bad,
        "tools": ["pytest"],
        "type": "test",
        "warnings": [tested.problem] if tested.problem else [],
    }
    return Answer(output, data_sources=(str(root),), tests_passed=tested.passed)


def _write(work: Work, asked: _Asked) -> Answer:
    if work.model is None:
        raise Fail(
            f"`{asked.type}` needs a model, and none is set; without one: analyze, test, explain",
            "MODEL_REQUIRED",
        )
    file = "solution.py" if asked.language == "python" else "solution"
    system = _SYSTEM.format(task=_TASKS[asked.type], language=asked.language, file=file)
    prompt = asked.instruction
    prompt += f"\n\nThe code:\n```{asked.language}\n{asked.code}\n```" if asked.code else ""
    prompt += (
        f"\n\nThe tests it has to pass:\n```{asked.language} test\n{asked.tests}\n```" if asked.tests else ""
    )
    answer = work.wait(work.ask(prompt, system=system, max_tokens=_MODEL_TOKENS))
    written = read_answer(answer.text)
    if written is None:
        raise Retry("the model's answer holds no block of code", "INVALID_OUTPUT")
    work.heartbeat("checking what the model wrote")
    checked = check(written, asked.language, given_tests=asked.tests, timeout_s=float(asked.timeout_s))
    if checked.parses is False:
        raise Retry(f"the model's code does not parse: {checked.claims[0].message}", "INVALID_OUTPUT")
    return _answer(asked, written, checked, answer.model)


def _answer(asked: _Asked, written: Written, checked: Checked, model: str) -> Answer:
    claims, left_out = as_json(checked.claims, _CLAIMS_BYTES)
    output = {
        "checks": list(checked.passed),
        "claims": claims,
        "code": written.code,
        "confidence": checked.confidence,
        "explanation": written.explanation[:5_000],
        "language": asked.language,
        "left_out": left_out,
        "tests": asked.tests or written.tests or None,
        "type": asked.type,
        "warnings": list(checked.warnings),
    }
    return Answer(output, checked.confidence, tests_passed=checked.passed, model_version=model)


def _asked(work: Work) -> _Asked:
    context = work.context
    kind = context.get("type", "analyze")
    if kind not in TYPES:
        raise _wrong(f"`type` is one of {', '.join(TYPES)}")
    texts = {
        name: context.get(name, default)
        for name, default in (("code", ""), ("tests", ""), ("language", "python"))
    }
    for name, text in texts.items():
        if not isinstance(text, str) or len(text) > MAX_CODE_CHARS:
            raise _wrong(f"`{name}` is a text of at most {MAX_CODE_CHARS} characters")
    instruction = context.get("instruction", work.goal)
    least, most = _INSTRUCTION_CHARS
    writes = kind in _NEEDS_CODE or kind == "generate"
    if not isinstance(instruction, str) or (writes and not least <= len(instruction) <= most):
        raise _wrong(f"`instruction` is a text of {least} to {most} characters")
    if kind in _NEEDS_CODE and not texts["code"]:
        raise _wrong(f"`{kind}` needs the `code` it is about")
    shortest, usual, longest = _TIMEOUT_S
    timeout_s = context.get("timeout", usual)
    if type(timeout_s) is not int or not shortest <= timeout_s <= longest:
        raise _wrong(f"`timeout` is {shortest} to {longest} seconds")
    return _Asked(kind, texts["language"].lower(), instruction, texts["code"], texts["tests"], timeout_s)


def _folder(work: Work) -> tuple[Path, list[str]]:
    path = work.context.get("path")
    if not isinstance(path, str) or not path or "\0" in path or not Path(path).is_dir():
        raise Fail(f"{path!r} is not a folder on this machine; give `path` in the context", "NOT_FOUND")
    root = Path(path).resolve()
    named = _files(work.context, root)
    paths = [file for file in named or list_files(root) if kind_of(file) not in {None, "markdown"}]
    if not paths:
        raise Fail(f"{root} holds no code that can be read", "NOT_FOUND")
    return root, [file for file in paths[:MAX_FILES] if read(root, file) is not None]


def _files(context: Mapping[str, Any], root: Path) -> list[str]:
    files = context.get("files", [])
    if not isinstance(files, list) or not all(isinstance(file, str) for file in files):
        raise _wrong("`files` is a list of paths relative to `path`")
    gone = next((file for file in files if file.startswith("-") or locate(root, file) is None), None)
    if gone is not None:
        raise Fail(f"{gone!r} is no file in {root}", "NOT_FOUND")
    return files


def _counts(claims: set[Claim]) -> dict[str, int]:
    return {name: sum(claim.severity == name for claim in claims) for name in ("error", "warning", "note")}


def _wrong(message: str) -> Fail:
    return Fail(message, "INVALID_INPUT")
