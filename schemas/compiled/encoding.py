"""Generates the function that writes one class as Avro."""

from __future__ import annotations

from typing import Any, assert_never

from octolog.domain.chain import Link
from schemas import catalog
from schemas.compiled import wire
from schemas.compiled.shape import Again, Fixed, Nullable, Record, Scalar, Sequence, Shape, Symbols, shape_of
from schemas.compiled.source import Source, per_class
from schemas.compiled.usual import USUAL


class _Encoder:
    """Collects the functions that one record needs; `pieces` are expressions, joined in the end."""

    def __init__(self, cls: type[Any]) -> None:
        self.source = Source(cls.schema_name)
        self.source.bind("join", b"".join)
        self._functions: dict[Any, str] = {}

    def define(self, head: str, record: Record, value: str, pieces: list[str]) -> None:
        """Write `def <head>:` returning `pieces` and those of `record`."""
        body = Source(head)
        pieces = [*pieces, *self.record(record, value, body)]
        self.source.line(f"def {head}:")
        with self.source.deeper():
            for line in str(body).splitlines():
                self.source.line(line)
            self.source.line("return join((")
            with self.source.deeper():
                for piece in pieces:
                    self.source.line(f"{piece},")
            self.source.line("))")
        self.source.line("")

    def record(self, record: Record, value: str, before: Source) -> list[str]:
        """The pieces of every field of the record that `value` names."""
        return [p for name, shape in record.fields for p in self.pieces(shape, f"{value}.{name}", before)]

    def pieces(self, shape: Shape, value: str, before: Source) -> list[str]:
        """Expressions whose bytes follow each other; `before` gets the statements they need."""
        match shape:
            case Scalar("string"):
                e = self.source.fresh("e")
                return [f"LONG[len({e} := {value}.encode())]", e] if self._uses("LONG") else []
            case Scalar("bytes"):
                e = self.source.fresh("e")
                return [f"LONG[len({e} := octets({value}))]", e] if self._uses("LONG", "octets") else []
            case Record(cls) if cls not in USUAL:
                v = self.source.fresh("v")
                before.line(f"{v} = {value}")
                return self.record(shape, v, before)
            case _:
                return [self._single(shape, value)]

    def _single(self, shape: Shape, value: str) -> str:
        match shape:
            case Scalar("string" | "bytes"):
                return " + ".join(self.pieces(shape, value, self.source))
            case Scalar("double" | "timestamp" as kind):
                function = {"double": "PACK", "timestamp": "moment"}[kind]
                return f"{function}({value})" if self._uses(function) else ""
            case Scalar(kind):
                table = {"boolean": "BOOL", "int": "INT", "long": "LONG"}[kind]
                return f"{table}[{value}]" if self._uses(table) else ""
            case Fixed(size_bytes):
                return f"exactly({value}, {size_bytes})" if self._uses("exactly") else ""
            case Symbols(cls, symbols):
                numbers = {symbol: wire.LONG[number] for number, symbol in enumerate(symbols)}
                return f"{self.source.bind(cls.__name__, numbers)}[{value}]"
            case Nullable(inner):
                v = self.source.fresh("v")
                return rf'b"\0" if ({v} := {value}) is None else b"\2" + {self._single(inner, v)}'
            case Sequence(items):
                v = self.source.fresh("v")
                return rf'b"\0" if ({v} := {value}) == () else {self._array(items)}({v})'
            case Record(cls):
                return self._nested(shape, cls, value)
            case Again(cls):
                return f"{self._function(shape_of(cls))}({value})"
            case _:
                assert_never(shape)

    def _nested(self, record: Record, cls: type[Any], value: str) -> str:
        function = self._function(record)
        if cls not in USUAL:
            return f"{function}({value})"
        usual = self.source.bind(f"usual_{cls.__name__}", USUAL[cls])
        known = self.source.bind(f"bytes_{cls.__name__}", usual_bytes(cls))
        v = self.source.fresh("v")
        return f"{known} if ({v} := {value}) is {usual} else {function}({v})"

    def _function(self, record: Record) -> str:
        name = f"write_{record.cls.__name__}"
        if name not in self._functions:
            self._functions[name] = name
            self.define(f"{name}(r)", record, "r", [])
        return name

    def _array(self, items: Shape) -> str:
        if items in self._functions:
            return self._functions[items]
        name = self._functions[items] = self.source.fresh("array")
        self._uses("size")
        body = Source(name)
        pieces = self.pieces(items, "x", body)
        lines = [
            f"def {name}(items):",
            "    out = [size(items)]",
            "    for x in items:",
            *(f"        {line}" for line in str(body).splitlines()),
            f"        out += ({', '.join(pieces)},)",
            r'    out.append(b"\0")',
            "    return join(out)",
            "",
        ]
        for line in lines:
            self.source.line(line)
        return name

    def _uses(self, *names: str) -> bool:
        for name in names:
            self.source.bind(name, getattr(wire, name))
        return True


def body_source(cls: type[Any]) -> Source:
    """Source of `encode`: `(record, head)` to head and Avro; of a fact without link and hash."""
    encoder = _Encoder(cls)
    encoder.define("encode(r, head)", shape_of(cls), "r", ["head"])
    return encoder.source


def encoder_source(cls: type[Any]) -> Source:
    """Source of `encode`: `(record, head)` to head and Avro; of a fact `(fact, link)` to Avro without hash."""
    if cls not in catalog.FACTS:
        return body_source(cls)
    encoder = _Encoder(cls)
    before = Source("link")
    link = encoder.record(shape_of(Link), "link", before)
    encoder.define("encode(r, link)", shape_of(cls), "r", link)
    return encoder.source


@per_class
def usual_bytes(cls: type[Any]) -> bytes:
    """The Avro of `USUAL[cls]`."""
    encoded: bytes = encoder_source(cls).function("encode")(USUAL[cls], b"")
    return encoded
