"""Says what Python code is, from its syntax tree and its own docstrings: each statement with file and line."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from arms.review.sources import Source, kind_of, read

__all__ = ["Symbol", "explain", "explain_text"]

_BRANCHES: Final = (
    ast.If, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.BoolOp, ast.IfExp, ast.comprehension, ast.Assert,
    ast.match_case,
)  # fmt: skip
_SIGNATURE_CHARS: Final = 300


@dataclass(frozen=True, slots=True)
class Symbol:
    """A module, class or function.

    Attributes:
        path: The file.
        line: Where it begins, 1-based.
        end_line: Where it ends.
        kind: module, class, function or method.
        name: Its name, with the class's before it.
        signature: As written, without body.
        says: The first paragraph of its docstring; empty: it has none.
        branches: Ways through a function, counted as McCabe does; 0 for what is no function.
        uses: For a module: what it imports.
    """

    path: str
    line: int
    end_line: int
    kind: str
    name: str
    signature: str
    says: str
    branches: int = 0
    uses: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Give the symbol as a plain dict."""
        return {name: getattr(self, name) for name in self.__slots__} | {"uses": list(self.uses)}


def explain(root: Path, paths: Iterable[str]) -> tuple[list[Symbol], list[str]]:
    """The symbols of Python files, in order; and the files that do not parse.

    Args:
        root: The folder.
        paths: Relative to it; what is no Python is passed over.
    """
    symbols: list[Symbol] = []
    unread: list[str] = []
    for path in sorted(set(paths)):
        source = read(root, path) if kind_of(path) == "python" else None
        if source is not None:
            found = explain_text(source)
            symbols += found
            unread += [] if found else [path]
    return symbols, unread


def explain_text(source: Source) -> list[Symbol]:
    """The symbols of one file; none when it does not parse."""
    try:
        tree = ast.parse(source.raw)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    module = Symbol(
        source.path,
        1,
        max(len(source.lines), 1),
        "module",
        source.path,
        "",
        _says(tree),
        0,
        tuple(_imports(tree)),
    )
    return [module, *_within(source.path, tree, "")]


def _within(path: str, tree: ast.AST, above: str) -> Iterator[Symbol]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            bases = ", ".join(map(ast.unparse, node.bases))
            text = f"class {node.name}({bases})" if bases else f"class {node.name}"
            yield _symbol(path, node, "class", f"{above}{node.name}", text)
            yield from _within(path, node, f"{above}{node.name}.")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            word = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
            returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
            text = f"{word} {node.name}({ast.unparse(node.args)}){returns}"
            branches = 1 + sum(isinstance(each, _BRANCHES) for each in ast.walk(node))
            yield _symbol(
                path, node, "method" if above else "function", f"{above}{node.name}", text, branches
            )


def _symbol(
    path: str,
    node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef,
    kind: str,
    name: str,
    signature: str,
    branches: int = 0,
) -> Symbol:
    end = node.end_lineno or node.lineno
    return Symbol(path, node.lineno, end, kind, name, signature[:_SIGNATURE_CHARS], _says(node), branches)


def _says(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    text = inspect.cleandoc(ast.get_docstring(node) or "")
    return " ".join(text.partition("\n\n")[0].split())


def _imports(tree: ast.Module) -> list[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add("." * node.level + (node.module or ""))
    return sorted(found)
