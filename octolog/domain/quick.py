"""Frozen dataclasses that are made quickly.

The `__init__` that `dataclass(frozen=True, slots=True)` writes sets each field by `object.__setattr__`, a call for
each: a microsecond for ten fields. Here the new instance is, while its fields are set, of another class, one with
the same slots and nothing frozen; then it becomes what it is: half the time. Python allows that between classes of
one layout, and nobody else holds the instance before it is done.
"""

from __future__ import annotations

import dataclasses
from functools import wraps
from typing import Any, TypeVar

_T = TypeVar("_T")


def quick(cls: type[_T]) -> type[_T]:
    """The same frozen dataclass with a quicker `__init__`; a decorator above `@dataclass(frozen=True, slots=True)`.

    Raises:
        TypeError: When the class is no slotted dataclass, or does more than set its fields.
    """
    made: Any = cls
    fields = dataclasses.fields(made)
    names = tuple(field.name for field in fields)
    plain = all(field.init and field.default_factory is dataclasses.MISSING for field in fields)
    if getattr(made, "__slots__", None) != names or hasattr(made, "__post_init__") or not plain:
        raise TypeError(f"{made.__qualname__} must be a slotted dataclass that only sets its fields")
    specs = [(field.name, Any, dataclasses.field(default=field.default)) for field in fields]
    filled: Any = dataclasses.make_dataclass(made.__name__, specs, slots=True, eq=False, repr=False)
    fill, become = filled.__init__, object.__setattr__

    @wraps(made.__init__)
    def init(self: Any, *args: Any, **named: Any) -> None:
        become(self, "__class__", filled)
        fill(self, *args, **named)
        self.__class__ = made

    made.__init__ = init
    return cls
