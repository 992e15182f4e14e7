"""The house rules that no linter knows; the order of `__all__` is ruff's (RUF022)."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = ("octolog", "schemas", "streams", "projections", "arms", "blobs", "deploy")
SOURCES: Final = sorted(path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))
DOMAIN: Final = [path for path in SOURCES if path.is_relative_to(ROOT / "octolog" / "domain")]

# An allow list, so that a module nobody thought of is refused too. All of these compute; none looks outside.
PURE_MODULES: Final = frozenset(
    {
        "__future__",
        "abc",
        "annotated_types",
        "bisect",
        "collections",
        "contextlib",
        "copy",
        "dataclasses",
        "datetime",
        "decimal",
        "enum",
        "fractions",
        "functools",
        "graphlib",
        "hashlib",
        "heapq",
        "itertools",
        "json",
        "math",
        "octolog",
        "operator",
        "pydantic",
        "pydantic_core",
        "re",
        "string",
        "textwrap",
        "types",
        "typing",
        "typing_extensions",
        "unicodedata",
        "uuid",
    }
)
# Calls that read the clock, draw randomness or touch the machine although their module is pure.
IMPURE_METHODS: Final = frozenset({"getnode", "now", "today", "utcnow", "uuid1", "uuid4"})
IMPURE_FUNCTIONS: Final = IMPURE_METHODS | {
    "__import__",
    "breakpoint",
    "eval",
    "exec",
    "input",
    "open",
    "print",
}

# Modules that make functions of the names in our own classes, as `dataclass` does.
WRITES_CODE: Final = frozenset({"octolog/domain/quick.py"})

# A module above this many lines says in its docstring why it is not two.
LONG_MODULE_LINES: Final = 400
LENGTH_REASON: Final = re.compile(r"\bone\s+(module|file)[,:]?\s+(because|since|so\s+that)\b", re.IGNORECASE)

# Spelled in pieces, or this file would name what it forbids.
MACHINE_TRACES: Final = re.compile(
    "|".join(
        (
            r"(?<![\w.])/" + r"work/",
            r"(?<![\w.])/" + r"root/",
            r"(?<![\w.])/home/" + r"(?!user\b|you\b)[a-z]",
            r"\bfiles\.python" + r"hosted\.org",
            r"\bpypi\.org/" + r"simple",
            r"\bregistry\.npm" + r"js\.org",
            r"\brepo1?\.maven\." + r"(?:apache\.)?org",
            r"--(?:extra-)?index-" + r"url[ =]\s*\S",
            r"(?:^|\n)\s*(?:extra-)?index-" + r"url\s*=",
        )
    )
)


def tracked_files() -> list[Path]:
    try:
        listing = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True, timeout=30
        ).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [path for name in listing.split("\0") if name and (path := ROOT / name).is_file()]


def imported_modules(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or ".")
    return found


def impure_calls(tree: ast.AST) -> set[str]:
    functions = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    methods = {function.attr for function in functions if isinstance(function, ast.Attribute)}
    names = {function.id for function in functions if isinstance(function, ast.Name)}
    return (methods & IMPURE_METHODS) | (names & IMPURE_FUNCTIONS)


def impurities(source: str) -> set[str]:
    tree = ast.parse(source)
    roots = {name.split(".")[0] for name in imported_modules(tree)}
    ours = {name for name in imported_modules(tree) if name.split(".")[0] == "octolog"}
    outside = {name for name in ours if not name.startswith("octolog.domain")}
    return (roots - PURE_MODULES) | outside | impure_calls(tree)


def declared_exports(source: str) -> list[str] | None:
    for node in ast.parse(source).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            value = getattr(node, "value", None)
            return [str(name) for name in ast.literal_eval(value)] if value is not None else None
    return None


def lacks_length_reason(source: str) -> bool:
    if len(source.splitlines()) <= LONG_MODULE_LINES:
        return False
    return LENGTH_REASON.search(ast.get_docstring(ast.parse(source)) or "") is None


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_is_importable_from_this_checkout(package: str) -> None:
    module = importlib.import_module(package)
    assert module.__file__ is not None, f"{package} has no __init__.py"
    assert Path(module.__file__).is_relative_to(ROOT)


def test_every_folder_with_modules_is_a_package() -> None:
    bare = {relative(path.parent) for path in SOURCES if not (path.parent / "__init__.py").is_file()}
    assert not bare


@pytest.mark.parametrize("path", DOMAIN, ids=relative)
def test_the_domain_looks_at_nothing_but_its_arguments(path: Path) -> None:
    allowed = {"exec"} if relative(path) in WRITES_CODE else set[str]()
    assert impurities(path.read_text(encoding="utf-8")) <= allowed


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import time", "time"),
        ("from os import path", "os"),
        ("def f():\n    import logging", "logging"),
        ("from octolog.ports import Log", "octolog.ports"),
        ("from datetime import datetime, UTC\nat = datetime.now(UTC)", "now"),
        ("import uuid\nid = uuid.uuid4()", "uuid4"),
        ("open('x')", "open"),
    ],
)
def test_an_impure_module_is_found_out(source: str, found: str) -> None:
    assert impurities(source) == {found}


def test_no_file_names_a_registry_or_a_path_of_one_machine() -> None:
    traces = []
    for path in tracked_files():
        text = path.read_bytes().decode("utf-8", errors="ignore")
        traces += [f"{relative(path)}: {hit.group()}" for hit in MACHINE_TRACES.finditer(text)]
    assert not traces


@pytest.mark.parametrize(
    "trace", ["see /work" + "/main", "cd /root" + "/x", "--index-" + "url https://host/simple"]
)
def test_a_trace_of_a_machine_is_found_out(trace: str) -> None:
    assert MACHINE_TRACES.search(trace)


@pytest.mark.parametrize(
    "innocent", ["streams/work/x", "the root/ of a tree", "https://host/work", "network/"]
)
def test_a_word_that_only_looks_like_a_path_is_let_through(innocent: str) -> None:
    assert MACHINE_TRACES.search(innocent) is None


def test_a_long_module_says_why_it_is_not_two() -> None:
    long = [relative(path) for path in SOURCES if lacks_length_reason(path.read_text(encoding="utf-8"))]
    assert not long, "write in the docstring: 'One module because ...', or split it"


def test_a_long_module_without_a_reason_is_found_out() -> None:
    body = "x = 1\n" * LONG_MODULE_LINES
    assert lacks_length_reason(f'"""A module."""\n{body}')
    assert not lacks_length_reason(
        f'"""A table; one module, because its rows refer to each other."""\n{body}'
    )


def bound_names(source: str) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def test_every_public_name_exists() -> None:
    for path in SOURCES:
        source = path.read_text(encoding="utf-8")
        if "def __getattr__" in source:  # loads its names on first use; importing it is the test
            continue
        missing = set(declared_exports(source) or ()) - bound_names(source)
        assert not missing, f"{relative(path)} lists {sorted(missing)} but does not define them"
