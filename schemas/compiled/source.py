"""Python source in the making, with the objects it refers to by name."""

from __future__ import annotations

import linecache
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar, cast

_T = TypeVar("_T")


def per_class(make: Callable[[type[Any]], _T]) -> Callable[[type[Any]], _T]:
    """`functools.cache`, typed for classes: mypy takes `type[Any]` for something that may have no hash."""
    return cast("Callable[[type[Any]], _T]", cache(make))


class Source:
    """Lines of Python, and the names they use.

    Args:
        title: What the source is for; a traceback shows its lines under this name.

    Attributes:
        title: As given.
        names: Name -> object, for every name the lines use.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self.names: dict[str, Any] = {}
        self._lines: list[str] = []
        self._indent = 0
        self._numbers: dict[str, int] = {}

    def __str__(self) -> str:
        return "\n".join((*self._lines, ""))

    def line(self, text: str) -> None:
        """Add a line."""
        self._lines.append("    " * self._indent + text)

    def add(self, other: str) -> None:
        """Add lines as they are."""
        self._lines.extend(other.splitlines())

    @contextmanager
    def deeper(self) -> Iterator[None]:
        """Indent the lines added inside."""
        self._indent += 1
        yield
        self._indent -= 1

    def fresh(self, prefix: str) -> str:
        """A name not used yet."""
        self._numbers[prefix] = self._numbers.get(prefix, 0) + 1
        return f"{prefix}{self._numbers[prefix]}"

    def bind(self, name: str, value: Any) -> str:
        """Make an object known to the lines; returns its name."""
        if self.names.setdefault(name, value) != value:
            raise ValueError(f"{name} would mean two things in the code for {self.title}")
        return name

    def function(self, name: str) -> Callable[..., Any]:
        """The function of that name that the lines define."""
        text, path = str(self), f"<compiled {self.title} {name}>"
        linecache.cache[path] = len(text), None, text.splitlines(keepends=True), path
        # Made of names in our own schemas and classes only: nothing from outside reaches it.
        exec(compile(text, path, "exec"), self.names)  # noqa: S102
        return cast("Callable[..., Any]", self.names[name])
