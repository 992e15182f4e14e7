r"""Straight-line code for every record: dataclass to Avro and Avro to dataclass, with nothing between.

A general Avro library walks a schema for every record, and finds a union's branch by trying. Here the walk is
done once per class and leaves a Python function behind. `docs/decisions/0005-compiled-codec.md` has the figures.

`python -m schemas.compiled octolog.task.AttemptEnded` prints what is made for a record. How to read it:

- `encode` returns one `join` of pieces in the order of the schema. `LONG[...]` is a table of numbers as bytes,
  so `LONG[len(e1 := r.task_id.encode())], e1` is a string: its length, then itself. `b"\0" if (v1 := r.x) is
  None else b"\2" + ...` is a nullable field. `write_X` writes a nested record, `array1` a list.
- `decode` goes through the bytes `d` with the place `i`. `SPAN[d[i]]` and `NUMBER[d[i]]` answer for a length or
  number of one byte, else a function of `schemas.compiled.wire` does. A record starts as a `blank_X` and
  becomes an `X` when its fields are set (`schemas.compiled.instances`).
- Going past the end is found at once (`IndexError`) or, for a slice, at the end: `i` never goes back, so it then
  is not `len(d)`. Every other exception from `decode` also means: no record of this schema.
- `usual_X` is a value that most records carry, and `bytes_X` its bytes (`schemas.compiled.usual`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from schemas.compiled.decoding import decoder_source
from schemas.compiled.encoding import body_source, encoder_source
from schemas.compiled.instances import maker
from schemas.compiled.source import per_class

__all__ = ["body_encoder", "decoder", "encoder", "maker", "source_of"]


@per_class
def encoder(cls: type[Any]) -> Callable[[Any, Any], bytes]:
    """The function that writes a `cls`.

    Of a fact it takes `(fact, link)` and returns the encoding without the hash at its end; of any other record
    `(record, head)`, and returns the head with the encoding behind it.

    Raises:
        IncompatibleSchema: When the schema has a part that no code is generated for.
    """
    return encoder_source(cls).function("encode")


@per_class
def body_encoder(cls: type[Any]) -> Callable[[Any, bytes], bytes]:
    """The function that writes a fact behind the bytes of its link: `(fact, head)` to head and encoding, no hash.

    Raises:
        IncompatibleSchema: When the schema has a part that no code is generated for.
    """
    return body_source(cls).function("encode")


@per_class
def decoder(cls: type[Any]) -> Callable[[bytes, int], Any]:
    """The function that reads a `cls` from bytes, from a place in them to their end.

    Of a fact it returns `(fact, link, hash)`. Any exception it raises means: no record of this schema.

    Raises:
        IncompatibleSchema: When the schema has a part that no code is generated for.
    """
    return decoder_source(cls).function("decode")


def source_of(cls: type[Any]) -> str:
    """The generated source for a class, both ways."""
    return f"{encoder_source(cls)}\n{decoder_source(cls)}"
