"""Generates the function that reads one class from Avro."""

from __future__ import annotations

from itertools import groupby
from typing import Any, Final, assert_never

from octolog.domain.chain import HASH_BYTES, Link
from schemas import catalog
from schemas.compiled import wire
from schemas.compiled.encoding import usual_bytes
from schemas.compiled.instances import blank
from schemas.compiled.shape import Again, Fixed, Nullable, Record, Scalar, Sequence, Shape, Symbols, shape_of
from schemas.compiled.source import Source
from schemas.compiled.usual import USUAL

_LONG_FORM: Final = {
    "int": "int_",
    "long": "long",
    "timestamp": "moment_at",
    "bytes": "bytes_",
    "string": "text",
}

_WORTH_A_LOOK: Final = (
    3  # so many fields in a row that may be null, empty or false are looked at together first
)


def _runs(fields: tuple[tuple[str, Shape], ...]) -> list[list[tuple[str, Shape]]]:
    """The fields in order, those in a row that one zero byte each may stand for together."""
    runs: list[list[tuple[str, Shape]]] = []
    for may_be_empty, group in groupby(fields, key=lambda field: _empty(field[1]) is not None):
        run = list(group)
        runs.extend([run] if may_be_empty else [[field] for field in run])
    return runs


def _empty(shape: Shape) -> str | None:
    """What a zero byte means where it means nothing much."""
    match shape:
        case Nullable():
            return "None"
        case Sequence():
            return "()"
        case Scalar("boolean"):
            return "False"
        case _:
            return None


class _Decoder:
    """Collects the functions that one record needs. `d` is the bytes, `i` the place of the next one."""

    def __init__(self, cls: type[Any]) -> None:
        self.source = Source(cls.schema_name)
        self._functions: dict[Any, str] = {}

    def record(self, record: Record, out: Source) -> str:
        """Statements that read a record; returns the name of the variable that has it."""
        name = record.cls.__name__
        t = self.source.fresh("t")
        out.line(f"{t} = {self.source.bind(f'blank_{name}', blank(record.cls))}()")
        for run in _runs(record.fields):
            if len(run) < _WORTH_A_LOOK:
                self._each(run, t, out)
                continue
            empty = tuple(f"{t}.{field} = {_empty(shape)}" for field, shape in run)
            zeros = r"\0" * len(run)
            self._either(f'd[i : i + {len(run)}] == b"{zeros}"', (*empty, f"i += {len(run)}"), out)
            with out.deeper():
                self._each(run, t, out)
        out.line(f"{t}.__class__ = {self.source.bind(name, record.cls)}")
        return t

    def _each(self, run: list[tuple[str, Shape]], t: str, out: Source) -> None:
        for field, shape in run:
            self.read(shape, f"{t}.{field}", out)

    def read(self, shape: Shape, target: str, out: Source) -> None:
        """Statements that read one value into `target`."""
        match shape:
            case Scalar(kind):
                self._scalar(kind, target, out)
            case Fixed(size_bytes):
                out.line(f"{target} = d[i : i + {size_bytes}]")
                out.line(f"i += {size_bytes}")
            case Symbols(cls, symbols):
                table = {wire.LONG[number][0]: cls(symbol) for number, symbol in enumerate(symbols)}
                out.line(f"{target} = {self.source.bind(cls.__name__, table)}[d[i]]")
                out.line("i += 1")
            case Nullable(inner):
                self._nullable(inner, target, out)
            case Sequence(items):
                self._either("d[i] == 0", (f"{target} = ()", "i += 1"), out)
                with out.deeper():
                    out.line(f"{target}, i = {self._array(items)}(d, i)")
            case Record(cls):
                self._nested(shape, cls, target, out)
            case Again(cls):
                out.line(f"{target}, i = {self._function(shape_of(cls))}(d, i)")
            case _:
                assert_never(shape)

    def _scalar(self, kind: str, target: str, out: Source) -> None:
        if kind == "boolean":
            out.line(f"{target} = {self._use('FLAG')}[d[i]]")
            out.line("i += 1")
        elif kind == "double":
            out.line(f"({target},) = {self._use('UNPACK')}(d, i)")
            out.line("i += 8")
        elif kind in ("timestamp", "bytes"):
            out.line(f"{target}, i = {self._use(_LONG_FORM[kind])}(d, i)")
        elif kind == "string":
            short: tuple[str, ...] = ("e = i + n", f"{target} = d[i + 1 : e].decode()", "i = e")
            self._either(f"n := {self._use('SPAN')}[d[i]]", short, out)
            with out.deeper():
                out.line(f"{target}, i = {self._use('text')}(d, i)")
        else:
            short = (f"{target} = n", "i += 1")
            self._either(f"(n := {self._use('NUMBER')}[d[i]]) is not None", short, out)
            with out.deeper():
                out.line(f"{target}, i = {self._use(_LONG_FORM[kind])}(d, i)")

    def _nullable(self, inner: Shape, target: str, out: Source) -> None:
        out.line("b = d[i]")
        out.line("i += 1")
        out.line("if b == 0:")
        with out.deeper():
            out.line(f"{target} = None")
        out.line("elif b == 2:")
        with out.deeper():
            self.read(inner, target, out)
        self._else_raise(out)

    def _else_raise(self, out: Source) -> None:
        out.line("else:")
        with out.deeper():
            out.line(f"raise {self._use('no_branch')}(b, i)")

    def _nested(self, record: Record, cls: type[Any], target: str, out: Source) -> None:
        if cls not in USUAL:
            out.line(f"{target} = {self.record(record, out)}")
            return
        usual = self.source.bind(f"usual_{cls.__name__}", USUAL[cls])
        known = self.source.bind(f"bytes_{cls.__name__}", usual_bytes(cls))
        length = len(usual_bytes(cls))
        self._either(f"d[i : i + {length}] == {known}", (f"{target} = {usual}", f"i += {length}"), out)
        with out.deeper():
            out.line(f"{target} = {self.record(record, out)}")

    @staticmethod
    def _either(condition: str, then: tuple[str, ...], out: Source) -> None:
        out.line(f"if {condition}:")
        with out.deeper():
            for line in then:
                out.line(line)
        out.line("else:")

    def _function(self, record: Record) -> str:
        name = f"read_{record.cls.__name__}"
        if name not in self._functions:
            self._functions[name] = name
            body = Source(name)
            with body.deeper():
                t = self.record(record, body)
                body.line(f"return {t}, i")
            self._define(name, body)
        return name

    def _array(self, items: Shape) -> str:
        if items in self._functions:
            return self._functions[items]
        name = self._functions[items] = self.source.fresh("array")
        body = Source(name)
        with body.deeper():
            body.line("out = []")
            body.line("while True:")
            with body.deeper():
                body.line(f"items, end, i = {self._use('count')}(d, i)")
                body.line("if not items:")
                body.line("    return tuple(out), i")
                body.line("for _ in range(items):")
                with body.deeper():
                    self.read(items, "x", body)
                    body.line("out.append(x)")
                body.line("if end is not None and end != i:")
                body.line(f"    raise {self._use('uneven_block')}(end, i)")
        self._define(name, body)
        return name

    def _define(self, name: str, body: Source) -> None:
        self.source.add(f"def {name}(d, i):\n{body}\n")

    def _use(self, name: str) -> str:
        return self.source.bind(name, getattr(wire, name))

    def top(self, cls: type[Any]) -> None:
        """Write `decode`."""
        body = Source("decode")
        with body.deeper():
            results = [self.record(shape_of(cls), body)]
            if cls in catalog.FACTS:
                link = Source("link")
                with link.deeper():
                    results.append(self.record(shape_of(Link), link))
                self.read(Fixed(HASH_BYTES), "hash_", body)
                results.append("hash_")
                link.add(str(body))
                body = link
        with body.deeper():
            body.line("if i != len(d):")
            body.line(f"    raise {self._use('uneven')}(d, i)")
            body.line(f"return {', '.join(results)}")
        self._define("decode", body)


def decoder_source(cls: type[Any]) -> Source:
    """Source of `decode`: `(bytes, start)` to the record; of a fact to `(fact, link, hash)`."""
    decoder = _Decoder(cls)
    decoder.top(cls)
    return decoder.source
