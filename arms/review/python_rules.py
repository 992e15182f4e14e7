"""The rules for Python code, over its syntax tree.

A rule says nothing where its author may have had a reason: `# noqa` on the line, a comment inside the handler,
`__all__` without the name, a method that fulfils a base class.
"""

from __future__ import annotations

import ast
import io
import posixpath
import re
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from arms.review.findings import Finding, Kind, finding_at
from arms.review.parsers import PYTHON_VERSION, Problem, python_tree
from arms.review.sources import Source, is_test

__all__ = ["FUNCTION_MAX_LINES", "review_python"]

FUNCTION_MAX_LINES: Final = 60
# Run by hand or by a tool: nobody imports them, so nobody's tests name what is in them.
_NOT_A_LIBRARY: Final = frozenset({
    "bench", "benches", "benchmarks", "bin", "doc", "docs", "example", "examples", "extra", "migrations", "samples",
    "scripts", "tools",
})  # fmt: skip
_SCRIPT_NAMES: Final = frozenset(
    {"__main__.py", "conf.py", "fabfile.py", "manage.py", "noxfile.py", "setup.py", "tasks.py"}
)
_PLAIN_DECORATORS: Final = frozenset(
    {"cache", "lru_cache", "contextmanager", "asynccontextmanager", "wraps", "no_type_check"}
)
_SILENT_DECORATORS: Final = frozenset({"overload", "override", "setter", "deleter", "getter", "register"})
_PLAIN_BASES: Final = frozenset({"object", "ABC", "Generic", "Protocol"})
_MUTABLE_CALLS: Final = frozenset(
    {"list", "dict", "set", "bytearray", "defaultdict", "OrderedDict", "Counter", "deque"}
)
_MARKERS: Final = ("TODO", "FIXME")
_MARKER: Final = re.compile(r"(?:^|[#;])[\s#!:*-]*@?(TODO|FIXME)\b(?![-/\w])")
_READ_ONLY: Final = re.compile(r"\b(?:Sequence|Iterable|Mapping|Collection|Container|AbstractSet)\b")
_NOQA: Final = re.compile(r"#\s*(?:noqa|nosec|pylint:\s*disable|pragma)", re.IGNORECASE)

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Scope = Sequence[ast.AST]


def review_python(source: Source, tested: frozenset[str] | None) -> Iterator[Finding]:
    """Review one Python file.

    Args:
        source: The file.
        tested: Every name the tests mention; None when there are no tests to compare with.
    """
    tree = python_tree(source.raw)
    if isinstance(tree, Problem):
        message = f"does not parse as `Python {PYTHON_VERSION}`: {tree.message}"
        yield finding_at("syntax-error", source.path, source.lines, tree.line, message)
    elif tree is not None:  # newer syntax, or too deep, is not judged
        yield from _Rules(source, tested, tree, _Comments(source)).findings()


class _Comments:
    """The comments of a file, told apart from strings only where a line may have one: that takes longest of all."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def within(self, first: int, last: int) -> list[str]:
        """Those on the lines from `first` to `last`."""
        if not any("#" in line for line in self._source.lines[max(first - 1, 0) : last]):
            return []
        return [self.all[line] for line in range(first, last + 1) if line in self.all]

    @cached_property
    def all(self) -> dict[int, str]:
        """All of them by line."""
        comments: dict[int, str] = {}
        try:
            for token in tokenize.generate_tokens(io.StringIO(self._source.text).readline):
                if token.type == tokenize.COMMENT:
                    comments[token.start[0]] = token.string
        except (tokenize.TokenError, SyntaxError):
            return comments
        return comments


@dataclass(frozen=True, slots=True)
class _Rules:
    source: Source
    tested: frozenset[str] | None
    tree: ast.Module
    comments: _Comments

    def findings(self) -> Iterator[Finding]:
        yield from self._markers()
        exported, nodes = _exported(self.tree), list(_walk(self.tree))
        if not is_test(self.source.path) and not self._is_private_file():
            yield from self._module_docstring(exported)
            for node, scope in nodes:
                if isinstance(node, _Function | ast.ClassDef):
                    yield from self._docstring(node, scope, exported)
            yield from self._untested(exported)
        for node, _scope in nodes:
            if isinstance(node, ast.ExceptHandler):
                yield from self._handler(node)
            elif isinstance(node, _Function):
                yield from self._defaults(node)
                if not is_test(self.source.path):  # a test may be one long table
                    yield from self._length(node)

    def _markers(self) -> Iterator[Finding]:
        text = self.source.text
        if not any(word in text for word in _MARKERS):
            return
        for line, comment in self.comments.all.items():
            marker = _MARKER.search(comment)
            if marker:
                yield self._at("todo-marker", line, f"`{marker[1]}` marker in a comment")

    def _at(self, kind: Kind, line: int, message: str) -> Finding:
        return finding_at(kind, self.source.path, self.source.lines, line, message)

    def _excused(self, line: int) -> bool:
        return any(_NOQA.search(comment) for comment in self.comments.within(line, line))

    def _is_private_file(self) -> bool:
        *folders, name = self.source.path.split("/")
        private = name.startswith("_") and not name.startswith("__")
        return (
            private or name in _SCRIPT_NAMES or any(f.startswith("_") or f in _NOT_A_LIBRARY for f in folders)
        )

    def _module_docstring(self, exported: frozenset[str] | None) -> Iterator[Finding]:
        defines = any(
            isinstance(n, _Function | ast.ClassDef) and _is_public(n.name, exported) for n in self.tree.body
        )
        if defines and ast.get_docstring(self.tree, clean=False) is None and not self._excused(1):
            yield self._at(
                "missing-docstring", 1, f"public module `{_module_name(self.source.path)}` has no docstring"
            )

    def _docstring(
        self, node: _Function | ast.ClassDef, scope: _Scope, exported: frozenset[str] | None
    ) -> Iterator[Finding]:
        if (
            len(scope) > 1
            or not _is_public(node.name, None if scope else exported)
            or self._excused(node.lineno)
        ):
            return
        if scope:  # a method; a nested class is configuration more often than not
            owner = scope[0]
            if (
                not isinstance(owner, ast.ClassDef)
                or isinstance(node, ast.ClassDef)
                or not _stands_alone(owner)
            ):
                return
            if not _is_public(owner.name, exported) or len(node.body) == 1:
                return
        if _decorators(node) & _SILENT_DECORATORS or ast.get_docstring(node, clean=False) is not None:
            return
        what = "class" if isinstance(node, ast.ClassDef) else "method" if scope else "function"
        yield self._at("missing-docstring", node.lineno, f"public {what} `{node.name}` has no docstring")

    def _untested(self, exported: frozenset[str] | None) -> Iterator[Finding]:
        if self.tested is None:
            return
        for node in self.tree.body:
            if not isinstance(node, _Function) or node.name in self.tested or node.name == "main":
                continue
            if not _is_public(node.name, exported) or not _decorators(node) <= _PLAIN_DECORATORS:
                continue  # a decorator may register it under another name
            if ">>>" not in (ast.get_docstring(node, clean=False) or "") and not self._excused(node.lineno):
                yield self._at(
                    "untested-function", node.lineno, f"no test names the public function `{node.name}`"
                )

    def _handler(self, node: ast.ExceptHandler) -> Iterator[Finding]:
        if self._excused(node.lineno):
            return
        if node.type is None:
            if not any(isinstance(inner, ast.Raise) for inner in ast.walk(node)):
                yield self._at(
                    "bare-except", node.lineno, "bare `except:` also stops KeyboardInterrupt and SystemExit"
                )
            return
        kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        broad = [
            kind.id
            for kind in kinds
            if isinstance(kind, ast.Name) and kind.id in {"Exception", "BaseException"}
        ]
        if broad and all(_does_nothing(each) for each in node.body) and not self._explained(node):
            yield self._at(
                "swallowed-exception", node.lineno, f"`except {broad[0]}` does nothing and says nothing"
            )

    def _explained(self, node: ast.ExceptHandler) -> bool:
        # A comment in the handler, just above it, or just below its last line at the same depth says why.
        return bool(self.comments.within(node.lineno - 1, node.end_lineno or node.lineno))

    def _defaults(self, node: _Function) -> Iterator[Finding]:
        positional = [*node.args.posonlyargs, *node.args.args]
        given = list(
            zip(positional[len(positional) - len(node.args.defaults) :], node.args.defaults, strict=True)
        )
        given += [
            (arg, value)
            for arg, value in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
            if value
        ]
        for argument, value in given:
            if argument.annotation and _READ_ONLY.search(ast.unparse(argument.annotation)):
                continue  # a type checker refuses to change it
            if _is_mutable(value) and not self._excused(value.lineno) and not self._excused(node.lineno):
                message = (
                    f"the default of `{argument.arg}` is one object shared by all calls of `{node.name}`"
                )
                yield self._at("mutable-default", value.lineno, message)

    def _length(self, node: _Function) -> Iterator[Finding]:
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        first = node.body[0]
        if ast.get_docstring(node, clean=False) is not None:
            length -= (first.end_lineno or first.lineno) - first.lineno + 1
        if length > FUNCTION_MAX_LINES and not self._excused(node.lineno):
            yield self._at(
                "long-function", node.lineno, f"`{node.name}` is {length} lines long without its docstring"
            )


def _walk(tree: ast.Module) -> Iterator[tuple[ast.AST, tuple[ast.AST, ...]]]:
    """Give every node with the classes and functions around it, outermost first."""
    held: list[tuple[ast.AST, tuple[ast.AST, ...]]] = [(tree, ())]
    while held:
        node, scope = held.pop()
        yield node, scope
        inner = (*scope, node) if isinstance(node, _Function | ast.ClassDef) else scope
        held.extend((child, inner) for child in ast.iter_child_nodes(node))


def _exported(tree: ast.Module) -> frozenset[str] | None:
    """Give the names in a literal `__all__`, or None."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(
            isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets
        ):
            values = node.value.elts if isinstance(node.value, ast.List | ast.Tuple) else []
            return (
                frozenset(v.value for v in values if isinstance(v, ast.Constant) and isinstance(v.value, str))
                or None
            )
    return None


def _is_public(name: str, exported: frozenset[str] | None) -> bool:
    return not name.startswith("_") and (exported is None or name in exported)


def _decorators(node: _Function | ast.ClassDef) -> frozenset[str]:
    bare = (d.func if isinstance(d, ast.Call) else d for d in node.decorator_list)
    return frozenset(
        d.attr if isinstance(d, ast.Attribute) else d.id if isinstance(d, ast.Name) else "?" for d in bare
    )


def _stands_alone(node: ast.ClassDef) -> bool:
    """Tell whether a class inherits nothing, so that no base documents its methods."""
    bare = [base.value if isinstance(base, ast.Subscript) else base for base in node.bases]
    names = [base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "?") for base in bare]
    return all(name in _PLAIN_BASES for name in names)


def _does_nothing(node: ast.stmt) -> bool:
    return isinstance(node, ast.Pass | ast.Continue) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and node.value.value is ...
    )


def _is_mutable(node: ast.expr) -> bool:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id in _MUTABLE_CALLS
    return isinstance(node, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp)


def _module_name(path: str) -> str:
    return posixpath.splitext(path)[0].removesuffix("/__init__").replace("/", ".")
