"""Instances of frozen dataclasses without their `__init__`.

A frozen dataclass sets each field through `object.__setattr__`, a call for each. A *blank* is an instance of a
class with the same slots and nothing else: its fields are set by plain assignment, and then it becomes an
instance of the real class, which Python allows between classes of the same layout. Nobody else holds it before
that, so the frozen class keeps its word.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from schemas.compiled.source import Source, per_class


@per_class
def blank(cls: type[Any]) -> type[Any]:
    """The class whose instances are filled and then become `cls`, by setting their `__class__`.

    Raises:
        TypeError: When `cls` has no slots, or more than its own.
    """
    made = type(f"Blank{cls.__name__}", (), {"__slots__": getattr(cls, "__slots__", ())})
    instance: Any = made()
    instance.__class__ = cls  # refused here, if ever, and not while records are read
    return made


def maker(cls: type[Any]) -> Callable[..., Any]:
    """`cls`, called with all its fields in order, without the cost of a frozen class."""
    source = Source(cls.__qualname__)
    names = [field.name for field in dataclasses.fields(cls)]
    source.line(f"def make({', '.join(names)}):")
    with source.deeper():
        source.line(f"t = {source.bind('blank', blank(cls))}()")
        for name in names:
            source.line(f"t.{name} = {name}")
        source.line(f"t.__class__ = {source.bind('cls', cls)}")
        source.line("return t")
    return source.function("make")
