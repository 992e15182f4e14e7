"""Digests of contracts, stable across versions of octolog: a field at its default does not enter."""

from __future__ import annotations

import dataclasses
import json
from hashlib import sha256
from typing import Any, cast

from octolog.domain.contract import TaskContract


def contract_digest(contract: TaskContract) -> str:
    """SHA-256 of a contract's canonical form, lowercase hex. Two contracts with one digest ask for the same."""
    text = json.dumps(_plain(contract), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in cast("tuple[object, ...]", value)]
    if not dataclasses.is_dataclass(value):
        return value
    return {
        field.name: _plain(getattr(value, field.name))
        for field in dataclasses.fields(value)
        if getattr(value, field.name) != field.default
    }
