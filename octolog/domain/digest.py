"""Digests of contracts, stable across versions of octolog: a field at its default does not enter."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from operator import attrgetter
from typing import Any, Final, cast

from octolog.domain.contract import TaskContract

_CANONICAL: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)

_SCALARS: Final = frozenset({str, int, float, bool, type(None)})


def contract_digest(contract: TaskContract) -> str:
    """SHA-256 of a contract's canonical form, lowercase hex. Two contracts with one digest ask for the same."""
    return sha256(_CANONICAL.encode(_plain(contract)).encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        items = cast("tuple[object, ...]", value)
        return [item if type(item) in _SCALARS else _plain(item) for item in items]
    known = _fields(type(value))  # type: ignore[arg-type]  # mypy takes a class for unhashable
    if known is None:
        return value
    names, values_of, defaults = known
    return {
        name: found if type(found) in _SCALARS else _plain(found)
        for name, found, default in zip(names, values_of(value), defaults, strict=True)
        if found is not default and found != default
    }


@cache
def _fields(
    cls: type[Any],
) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]], tuple[Any, ...]] | None:
    """Names of a dataclass's fields, what reads them all, and their defaults; None for any other class."""
    if not dataclasses.is_dataclass(cls):
        return None
    fields = dataclasses.fields(cls)
    names = tuple(field.name for field in fields)
    # One name alone would give its value bare.
    values_of = attrgetter(*names) if len(names) > 1 else lambda value: (getattr(value, names[0]),)
    return names, values_of, tuple(field.default for field in fields)
