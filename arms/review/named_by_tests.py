"""Every name that a test suite mentions: called, imported, reached for as an attribute, or spelled in a string.

Wide on purpose: a function counts as tested when any test so much as names it, so that "no test names it" is true.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Final

from arms.review.sources import locate, read

__all__ = ["names_in_tests"]

_WORD: Final = re.compile(r"[A-Za-z_]\w*")


def names_in_tests(root: Path, tests: Iterable[str]) -> frozenset[str]:
    """Collect the names in the given test files; the steps of one review that share a process read them once."""
    stamped = []
    for path in sorted(set(tests)):
        file = locate(root, path)
        if file:
            status = file.stat()
            stamped.append((path, status.st_size, status.st_mtime_ns))
    return _collect(str(root), tuple(stamped))


@lru_cache(maxsize=2)
def _collect(root: str, stamped: tuple[tuple[str, int, int], ...]) -> frozenset[str]:
    names: set[str] = set()
    for path, _size_bytes, _mtime_ns in stamped:
        source = read(Path(root), path)
        if source is None:
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(source.raw)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            names.update(_WORD.findall(source.text))  # cannot tell: everything in it counts
        else:
            names.update(_names(tree))
    return frozenset(names)


def _names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name):
                yield name
            case ast.alias(name=name, asname=asname):
                yield from _WORD.findall(f"{name} {asname or ''}")
            case ast.keyword(arg=str(name)):
                yield name
            case ast.Constant(value=str(text)):
                yield from _WORD.findall(text)
            case _:
                continue
