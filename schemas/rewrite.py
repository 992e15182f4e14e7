"""A record written anew under the schema octolog has now, whatever schema and habits its writer had."""

from __future__ import annotations

import json
from functools import cache
from io import BytesIO
from typing import Any

import fastavro

from octolog.domain.chain import Link
from schemas import catalog
from schemas.blocks import WIRE_HEADER_BYTES
from schemas.codec import RecordedFact
from schemas.mapping import to_datum

_NO_HEADER = bytes(WIRE_HEADER_BYTES)


def rewritten(record: Any) -> bytes:
    """What `Codec.decode` gave, as a value of the catalog's schema; its header is left zero.

    A fact keeps the hash it came with: this is for readers that want one shape, never for the log.
    """
    fact = record.fact if isinstance(record, RecordedFact) else record
    datum = to_datum(type(fact))(fact)
    if isinstance(record, RecordedFact):
        datum |= {"link": to_datum(Link)(record.link), "hash": record.hash}
    out = BytesIO()
    out.write(_NO_HEADER)
    fastavro.schemaless_writer(out, _parsed(fact.schema_name), datum)
    return out.getvalue()


@cache
def _parsed(name: str) -> Any:
    return fastavro.parse_schema(json.loads(catalog.schema_json(name)))
