"""Record classes to Avro datums and back, by functions generated once per class.

A generic walk over `dataclasses.fields` costs more than the encoding itself; straight-line source made from
the class's annotations costs about a third (`benches/codec.py`).
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable
from enum import StrEnum
from functools import cache
from types import UnionType
from typing import Any, TypeAlias, TypeVar, Union, get_args, get_origin

Datum: TypeAlias = dict[str, Any]
_Names: TypeAlias = dict[str, Any]
_T = TypeVar("_T")


def _per_class(make: Callable[[type[Any]], _T]) -> Callable[[type[Any]], _T]:
    """`functools.cache`, typed for classes: mypy takes `type[Any]` for something that may have no hash."""
    return typing.cast("Callable[[type[Any]], _T]", cache(make))


@_per_class
def to_datum(cls: type[Any]) -> Callable[[Any], Datum]:
    """The function that turns an instance of `cls` into an Avro datum."""
    names: _Names = {}
    hints = typing.get_type_hints(cls)
    pairs = (
        f"{field.name!r}: {_outward(hints[field.name], f'r.{field.name}', names)}"
        for field in dataclasses.fields(cls)
    )
    return _compiled(f"lambda r: {{{', '.join(pairs)}}}", names)


@_per_class
def from_datum(cls: type[Any]) -> Callable[[Datum], Any]:
    """The function that turns an Avro datum into an instance of `cls`."""
    names: _Names = {"cls": cls}
    hints = typing.get_type_hints(cls)
    values = (
        f"{field.name}={_inward(hints[field.name], f'd[{field.name!r}]', names)}"
        for field in dataclasses.fields(cls)
    )
    return _compiled(f"lambda d: cls({', '.join(values)})", names)


def _compiled(source: str, names: _Names) -> Callable[[Any], Any]:
    # The source is made of field names of our own classes only; nothing from outside reaches it.
    return typing.cast("Callable[[Any], Any]", eval(source, names))  # noqa: S307


def _outward(hint: Any, value: str, names: _Names) -> str:
    optional = _optional(hint)
    if optional is not None:
        inner = _outward(optional, value, names)
        return value if inner == value else f"(None if {value} is None else {inner})"
    if get_origin(hint) is tuple:
        inner = _outward(get_args(hint)[0], "x", names)
        return value if inner == "x" else f"[{inner} for x in {value}]"
    if dataclasses.is_dataclass(hint):
        return f"{_bind(names, 'to', hint, lambda v: _late(to_datum, v))}({value})"
    return value


def _inward(hint: Any, value: str, names: _Names) -> str:
    optional = _optional(hint)
    if optional is not None:
        inner = _inward(optional, value, names)
        return value if inner == value else f"(None if {value} is None else {inner})"
    if get_origin(hint) is tuple:
        inner = _inward(get_args(hint)[0], "x", names)
        return f"tuple({value})" if inner == "x" else f"tuple([{inner} for x in {value}])"
    if dataclasses.is_dataclass(hint):
        return f"{_bind(names, 'of', hint, lambda v: _late(from_datum, v))}({value})"
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return f"{_bind(names, 'enum', hint, lambda v: {member.value: member for member in v})}[{value}]"
    return value


def _optional(hint: Any) -> Any | None:
    if get_origin(hint) not in (Union, UnionType):
        return None
    (inner,) = (arg for arg in get_args(hint) if arg is not type(None))
    return inner


def _bind(names: _Names, prefix: str, hint: Any, make: Callable[[Any], Any]) -> str:
    name = f"{prefix}_{hint.__name__}"
    names.setdefault(name, make(hint))
    return name


def _late(factory: Callable[[type[Any]], Callable[[Any], Any]], cls: type[Any]) -> Callable[[Any], Any]:
    """The function of a nested class; looked up at the first call where the class is recursive."""

    def looked_up(value: Any) -> Any:
        return factory(cls)(value)

    hints = typing.get_type_hints(cls).values()
    recursive = any(get_origin(h) is tuple and get_args(h)[0] is cls for h in hints)
    return looked_up if recursive else factory(cls)
