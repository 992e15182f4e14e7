"""Every record class against its `.avsc` file, and every file against its class: the wire has one truth."""

from __future__ import annotations

import dataclasses
import typing
from enum import StrEnum
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin

import pytest

from octolog.domain.chain import HASH_BYTES, Link
from schemas import catalog

RECORDS: Final = sorted(catalog.RECORDS.items())
PRIMITIVES: Final[dict[type[Any], tuple[str, ...]]] = {
    bool: ("boolean",),
    int: ("int", "long"),
    float: ("double", "float"),
    str: ("string",),
    bytes: ("bytes",),
}
INSTANT: Final = {"type": "long", "logicalType": "timestamp-millis"}

by_record = pytest.mark.parametrize(("name", "cls"), RECORDS, ids=[name for name, _ in RECORDS])


def body(name: str) -> list[dict[str, Any]]:
    """The fields a class must have: those of the file, without what every fact carries around itself."""
    fields: list[dict[str, Any]] = catalog.file_schema(name)["fields"]
    return fields[1:-1] if catalog.RECORDS[name] in catalog.FACTS else fields


def mismatch(hint: Any, avro: Any) -> str | None:
    """Why a Python type and an Avro type are not the same; None when they are."""
    if isinstance(hint, typing.NewType):
        return mismatch(hint.__supertype__, avro)
    if get_origin(hint) in (Union, UnionType):
        (inner,) = (arg for arg in get_args(hint) if arg is not type(None))
        if not isinstance(avro, list) or avro[0] != "null" or len(avro) != 2:
            return f"{hint} is optional, {avro} is no [null, X]"
        return mismatch(inner, avro[1])
    if get_origin(hint) is tuple:
        items, ellipsis = get_args(hint)
        if ellipsis is not ... or not isinstance(avro, dict) or avro["type"] != "array":
            return f"{hint} and {avro}"
        return mismatch(items, avro["items"])
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return enum_mismatch(hint, avro)
    if dataclasses.is_dataclass(hint):
        return None if avro == getattr(hint, "schema_name", None) else f"{hint} and {avro}"
    if hint is int and avro == INSTANT:
        return None
    if hint is bytes and isinstance(avro, str) and "." in avro:
        return None if catalog.file_schema(avro)["type"] == "fixed" else f"{hint} and {avro}"
    return None if avro in PRIMITIVES.get(hint, ()) else f"{hint} and {avro}"


def enum_mismatch(cls: type[StrEnum], avro: Any) -> str | None:
    if not isinstance(avro, str) or "." not in avro:
        return f"{cls} and {avro}"
    schema = catalog.file_schema(avro)
    symbols = [member.value for member in cls]
    if schema["type"] != "enum" or schema["symbols"] != symbols:
        return f"{cls} has {symbols}, {avro} has {schema.get('symbols')}"
    return None


def plain_default(value: Any) -> Any:
    """A Python default as the JSON that stands in the file."""
    if isinstance(value, tuple):
        return [plain_default(item) for item in value]
    if dataclasses.is_dataclass(value):
        return {f.name: plain_default(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return value.value if isinstance(value, StrEnum) else value


def default_of(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return plain_default(field.default_factory())
    return dataclasses.MISSING if field.default is dataclasses.MISSING else plain_default(field.default)


@by_record
def test_a_record_has_the_fields_of_its_schema_in_its_order(name: str, cls: type[Any]) -> None:
    """Python wants fields without a default first; among themselves both kinds keep their order."""
    ours = dataclasses.fields(cls)
    theirs = [field["name"] for field in body(name)]
    required = [f.name for f in ours if default_of(f) is dataclasses.MISSING]
    optional = [f.name for f in ours if default_of(f) is not dataclasses.MISSING]
    assert {f.name for f in ours} == set(theirs)
    assert required == [field for field in theirs if field in required]
    assert optional == [field for field in theirs if field in optional]


@by_record
def test_every_field_has_the_type_of_its_schema(name: str, cls: type[Any]) -> None:
    hints = typing.get_type_hints(cls)
    wrong = {field["name"]: mismatch(hints[field["name"]], field["type"]) for field in body(name)}
    assert {key: reason for key, reason in wrong.items() if reason} == {}


@by_record
def test_every_default_is_that_of_its_schema(name: str, cls: type[Any]) -> None:
    """A field that may be null defaults to it on the wire, also where a class asks its maker to say so."""
    ours = {f.name: default_of(f) for f in dataclasses.fields(cls)}
    for field in body(name):
        theirs = field.get("default", dataclasses.MISSING)
        own = ours[field["name"]]
        if isinstance(field["type"], list) and own is dataclasses.MISSING:
            own = None
        assert own == theirs, field["name"]


@by_record
def test_a_schema_bears_its_full_name_and_says_what_everything_is(name: str, cls: type[Any]) -> None:
    schema = catalog.file_schema(name)
    assert f"{schema['namespace']}.{schema['name']}" == name == cls.schema_name
    assert schema["doc"].strip()
    assert [field["name"] for field in schema["fields"] if not field.get("doc", "").strip()] == []


@by_record
def test_a_field_that_is_a_moment_says_so_and_no_other_does(name: str, cls: type[Any]) -> None:
    """A moment is milliseconds since the epoch; a duration in milliseconds is a plain number."""
    moments = {field["name"] for field in body(name) if field["type"] in (INSTANT, ["null", INSTANT])}
    assert all(moment.endswith("_ms") for moment in moments)
    assert {"at_ms", "due_ms", "deadline_ms", "timestamp_ms"} & {f["name"] for f in body(name)} <= moments


@pytest.mark.parametrize("name", sorted(cls.schema_name for cls in catalog.FACTS))
def test_a_fact_is_wrapped_in_its_link_and_its_hash(name: str) -> None:
    fields = catalog.file_schema(name)["fields"]
    assert (fields[0]["name"], fields[0]["type"]) == ("link", Link.schema_name)
    assert (fields[-1]["name"], fields[-1]["type"]) == ("hash", "octolog.task.Hash")


def test_a_hash_on_the_wire_is_as_long_as_one() -> None:
    assert catalog.file_schema("octolog.task.Hash")["size"] == HASH_BYTES


def test_no_record_but_a_fact_carries_a_link() -> None:
    linked = {
        name
        for name in catalog.RECORDS
        if any(f["name"] == "link" for f in catalog.file_schema(name)["fields"])
    }
    assert linked == {cls.schema_name for cls in catalog.FACTS}


def test_every_file_is_a_record_with_a_class_or_an_enum_or_a_fixed_that_one_uses() -> None:
    used: set[str] = set()

    def collect(node: Any) -> None:
        match node:
            case str() if "." in node:
                used.add(node)
            case list():
                for item in node:
                    collect(item)
            case dict():
                collect(node.get("items"))
            case _:
                pass

    for name in catalog.RECORDS:
        for field in catalog.file_schema(name)["fields"]:
            collect(field["type"])
    for name in catalog.all_names():
        if catalog.file_schema(name)["type"] == "record":
            assert name in catalog.RECORDS, f"{name}.avsc has no class"
        else:
            assert name in used, f"nothing uses {name}.avsc"
    assert set(catalog.RECORDS) <= set(catalog.all_names())


def test_a_record_of_a_topic_has_one_topic() -> None:
    homes = [cls for group in catalog.TOPIC_RECORDS.values() for cls in group]
    assert len(homes) == len(set(homes))


@pytest.mark.parametrize(
    ("hint", "avro"),
    [
        (int, "string"),
        (str, "octolog.task.Outcome"),
        (str | None, "string"),
        (str, ["null", "string"]),
        (tuple[str, ...], {"type": "array", "items": "long"}),
        (Link, "octolog.task.Candidate"),
        (float, "long"),
        (bytes, "octolog.task.Outcome"),
        (str, INSTANT),
    ],
)
def test_a_type_that_differs_is_found_out(hint: Any, avro: Any) -> None:
    assert mismatch(hint, avro)
