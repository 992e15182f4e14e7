"""Digests of contracts, stable across versions of octolog: a field at its default does not enter."""

from __future__ import annotations

import dataclasses
import json
from functools import cache
from hashlib import sha256
from typing import Any, Final, cast

from octolog.domain.contract import TaskContract

_CANONICAL: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)

_SCALARS: Final = frozenset({str, int, float, bool, type(None)})


def contract_digest(contract: TaskContract) -> str:
    """SHA-256 of a contract's canonical form, lowercase hex. Two contracts with one digest ask for the same."""
    return sha256(_CANONICAL.encode(_plain(contract)).encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value
    if isinstance(value, tuple):
        return [_plain(item) for item in cast("tuple[object, ...]", value)]
    plain: dict[str, Any] = {}
    fields = _fields(type(value))  # type: ignore[arg-type]  # mypy takes a class for unhashable
    if fields is None:
        return value
    for name, default in fields:
        found = getattr(value, name)
        if found is not default and found != default:
            plain[name] = found if type(found) in _SCALARS else _plain(found)
    return plain


@cache
def _fields(cls: type[Any]) -> tuple[tuple[str, Any], ...] | None:
    """Names and defaults of a dataclass; None for any other class."""
    if not dataclasses.is_dataclass(cls):
        return None
    return tuple((field.name, field.default) for field in dataclasses.fields(cls))
