"""A single value as the row that its columns would hold, without a columnar reader: for a few records of many kinds."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from io import BytesIO
from typing import Any

import fastavro

from schemas import catalog
from schemas.blocks import WIRE_HEADER_BYTES
from schemas.codec import parsed_schema


def flat_row(record: str, value: bytes) -> dict[str, Any]:
    """The leaves of a record by their names as `BlockSchema` has them; timestamps are milliseconds.

    Args:
        record: Its full name.
        value: The record in the schema that octolog has now; what its header says is passed over.

    Returns:
        Leaves in a record that is null are left out.
    """
    source = BytesIO(value)
    source.seek(WIRE_HEADER_BYTES)
    datum: Any = fastavro.schemaless_reader(source, _parsed(record), None)
    row: dict[str, Any] = {}
    _flatten(datum, "", row)
    return row


def _flatten(datum: Mapping[str, Any], prefix: str, row: dict[str, Any]) -> None:
    for name, value in datum.items():
        if isinstance(value, dict):  # a record: no schema has a map, and a list's items stay in it
            _flatten(value, f"{prefix}{name}_", row)
        else:
            row[prefix + name] = value


@cache
def _parsed(record: str) -> Any:
    return parsed_schema(catalog.schema_json(record))
