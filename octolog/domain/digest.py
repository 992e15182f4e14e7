"""Digests of contracts, stable across versions of octolog: a field at its default does not enter."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from functools import cache, partial
from hashlib import sha256
from operator import attrgetter
from typing import Any, Final

from octolog.domain.contract import TaskContract

_JSON: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def contract_digest(contract: TaskContract) -> str:
    """SHA-256 of a contract's canonical form, lowercase hex. Two contracts with one digest ask for the same."""
    return sha256(_canonical(contract).encode()).hexdigest()


def _canonical(value: Any) -> str:
    """A value as JSON without spaces, names in order; written at once, because every submission is asked for it."""
    cls = value.__class__
    if cls is tuple:
        return f"[{','.join(map(_canonical, value))}]"
    known = None if cls is str else _fields(cls)
    if known is None:
        return _JSON(value)
    labels, values_of, defaults = known
    parts = [
        label + _canonical(found)
        for label, found, default in zip(labels, values_of(value), defaults, strict=True)
        if found is not default and found != default
    ]
    return f"{{{','.join(parts)}}}"


@cache
def _fields(cls: Any) -> tuple[list[str], Callable[[Any], tuple[Any, ...]], list[Any]] | None:
    """Names of a dataclass's fields as JSON, what reads them all, and their defaults; None for any other class."""
    if not dataclasses.is_dataclass(cls):
        return None
    fields = sorted(dataclasses.fields(cls), key=lambda field: field.name)
    names = [field.name for field in fields]
    # One name alone would give its value bare.
    values_of: Callable[[Any], tuple[Any, ...]] = (
        attrgetter(*names) if len(names) > 1 else partial(_only, names[0])
    )
    return [f'"{name}":' for name in names], values_of, [field.default for field in fields]


def _only(name: str, value: Any) -> tuple[Any, ...]:
    return (getattr(value, name),)
