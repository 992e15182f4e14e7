"""Schema ids in the `_schemas` topic: the format that registries share, and what its records mean."""

from __future__ import annotations

import json

import pytest

from octolog.domain.errors import IncompatibleSchema, UndecodableRecord
from schemas.registry import MemorySchemaTopic, RegisteredSchema, TopicSchemaIds, schema_text
from schemas.registry.records import SchemaErased, SchemaStored, decode
from tests.unit.schemas.schema_topic import A2, A, B, lines, stored

# ----------------------------------------------------------------------------- format


def test_a_schema_record_has_the_bytes_that_the_registries_write() -> None:
    topic = MemorySchemaTopic()
    TopicSchemaIds(topic).register("t.A", A)
    assert lines(topic) == [
        (
            '{"keytype":"SCHEMA","subject":"t.A","version":1,"magic":1}',
            '{"subject":"t.A","version":1,"id":1,"schema":' + json.dumps(A) + ',"deleted":false}',
        )
    ]


def test_a_new_subject_asks_a_later_registry_for_full_transitive() -> None:
    topic = MemorySchemaTopic()
    ids = TopicSchemaIds(topic)
    ids.register("t.A", A)
    ids.register("t.A", A2)
    assert lines(topic, "CONFIG") == [
        ('{"keytype":"CONFIG","subject":"t.A","magic":0}', '{"compatibilityLevel":"FULL_TRANSITIVE"}')
    ]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (None, None),
        (b"", b""),
        (b"not json", b"{}"),
        (b"[]", b"{}"),
        (b'{"keytype":"NOOP","magic":0}', None),
        (b'{"keytype":"CONFIG","subject":null,"magic":0}', b'{"compatibilityLevel":"FULL"}'),
        (b'{"keytype":"MODE","magic":0}', b'{"mode":"READWRITE"}'),
        (b'{"keytype":"DELETE_SUBJECT","subject":"t.A","magic":0}', None),
        (b'{"keytype":"SCHEMA","subject":"t.A","version":1,"magic":1}', b"not json"),
        (b'{"keytype":"SCHEMA","subject":"t.A","version":1,"magic":1}', b'{"subject":"t.A","version":1}'),
        (b'{"keytype":"SCHEMA","subject":"t.A","version":"one","magic":1}', None),
        (
            b'{"keytype":"SCHEMA","subject":":.other:t.A","version":1,"magic":1}',
            b'{"subject":":.other:t.A","version":1,"id":1,"schema":"\\"int\\"","deleted":false}',
        ),
    ],
)
def test_a_record_that_says_nothing_about_schemas_is_passed_over(
    key: bytes | None, value: bytes | None
) -> None:
    assert decode(key, value) is None
    topic = MemorySchemaTopic()
    topic.append([(key or b"", value)])
    assert TopicSchemaIds(topic).register("t.A", A) == 1


def test_confluents_own_record_is_read_with_all_its_fields() -> None:
    key = b'{"keytype":"SCHEMA","subject":"t.A","version":3,"magic":1}'
    value = {
        "subject": "t.A",
        "version": 3,
        "id": 7,
        "md5": "x",
        "schema": A,
        "deleted": False,
        "ruleSet": None,
    }
    assert decode(key, json.dumps(value).encode()) == SchemaStored("t.A", 3, 7, A)
    assert decode(key, b"null") == decode(key, None) == SchemaErased("t.A", 3)


def test_the_text_is_what_apache_avro_for_java_prints() -> None:
    # Printed by org.apache.avro 1.12.2, `new Schema.Parser().parse(file).toString()`, from `given`.
    given_schema = {
        "namespace": "octolog.t", "name": "Outer", "doc": 'é / "', "type": "record", "custom": {"b": 1, "a": 2},
        "aliases": ["Old"],
        "fields": [
            {"doc": "d", "name": "inner", "type": {"name": "octolog.u.Inner", "type": "record", "fields": [
                {"name": "state", "doc": "x", "type": {
                    "type": "enum", "name": "State", "default": "UNKNOWN", "symbols": ["A", "UNKNOWN"], "doc": "s"}},
                {"name": "again", "type": ["null", "octolog.u.State"], "default": None},
                {"name": "self", "type": ["null", "octolog.u.Inner"], "default": None}]}},
            {"name": "at", "type": {"logicalType": "timestamp-millis", "type": "long"}, "order": "descending"},
            {"name": "list", "type": {"items": {"type": "string"}, "type": "array"}, "default": []},
            {"name": "st", "type": "octolog.u.State", "aliases": ["state_old"]},
            {"name": "fx", "type": {"size": 4, "name": "Fx", "type": "fixed"}},
            {"name": "fx2", "type": ["null", "octolog.t.Fx"], "default": None},
        ],
    }  # fmt: skip
    assert schema_text(given_schema) == (
        r'{"type":"record","name":"Outer","namespace":"octolog.t","doc":"é / \"","fields":[{"name":"inner",'
        r'"type":{"type":"record","name":"Inner","namespace":"octolog.u","fields":[{"name":"state","type":'
        r'{"type":"enum","name":"State","doc":"s","symbols":["A","UNKNOWN"],"default":"UNKNOWN"},"doc":"x"},'
        r'{"name":"again","type":["null","State"],"default":null},{"name":"self","type":["null","Inner"],'
        r'"default":null}]},"doc":"d"},{"name":"at","type":{"type":"long","logicalType":"timestamp-millis"},'
        r'"order":"descending"},{"name":"list","type":{"type":"array","items":"string"},"default":[]},'
        r'{"name":"st","type":"octolog.u.State","aliases":["state_old"]},{"name":"fx","type":{"type":"fixed",'
        r'"name":"Fx","size":4}},{"name":"fx2","type":["null","Fx"],"default":null}],"custom":{"b":1,"a":2},'
        r'"aliases":["Old"]}'
    )
    assert schema_text(schema_text(given_schema)) == schema_text(given_schema)


# ------------------------------------------------------------------------- the fold


def test_the_same_schema_laid_out_otherwise_has_the_same_id_and_is_not_written_again() -> None:
    topic = MemorySchemaTopic()
    ids = TopicSchemaIds(topic)
    assert ids.register("t.A", A) == 1
    otherwise = {"fields": [{"type": "int", "name": "x"}], "namespace": "t", "name": "A", "type": "record"}
    assert ids.register("t.A", otherwise) == TopicSchemaIds(topic).register("t.A", json.dumps(otherwise)) == 1
    assert len(lines(topic)) == 1


def test_all_missing_schemas_are_written_at_once_and_numbered_from_the_highest_id_ever_taken() -> None:
    topic = MemorySchemaTopic()
    ids = TopicSchemaIds(topic)
    assert ids.register_all({"t.A": A, "t.B": B}) == {"t.A": 1, "t.B": 2}
    topic.append([(b'{"keytype":"SCHEMA","subject":"t.B","version":1,"magic":1}', None)])
    topic.compact()
    topic.append([stored("other", 1, 40, '"string"', schemaType="PROTOBUF")])
    assert ids.register("t.A", A2) == TopicSchemaIds(topic).register("t.A", A2) == 41


def test_a_text_known_under_another_subject_keeps_its_id() -> None:
    topic = MemorySchemaTopic()
    topic.append([stored("some-topic-value", 1, 9, A)])  # another application's TopicNameStrategy
    ids = TopicSchemaIds(topic)
    assert ids.register("t.A", A) == 9
    assert ids.all() == (RegisteredSchema("some-topic-value", 1, 9, A), RegisteredSchema("t.A", 1, 9, A))


def test_another_process_sees_an_id_as_soon_as_it_is_taken() -> None:
    topic = MemorySchemaTopic()
    ours, theirs = TopicSchemaIds(topic), TopicSchemaIds(topic)
    with pytest.raises(UndecodableRecord, match="schema id 1 is not in the _schemas topic"):
        theirs.by_id(1)
    ours.register("t.A", A)
    assert theirs.by_id(1) == ("t.A", A)


def test_a_deleted_version_still_decodes_and_is_registered_as_a_new_version_with_its_id() -> None:
    topic = MemorySchemaTopic()
    topic.append([stored("t.A", 1, 3, A)])
    topic.append(
        [(b'{"keytype":"DELETE_SUBJECT","subject":"t.A","magic":0}', b'{"subject":"t.A","version":1}')]
    )
    ids = TopicSchemaIds(topic)
    assert ids.all() == ()
    assert ids.by_id(3) == ("t.A", A)
    assert ids.register("t.A", A) == 3
    assert ids.all() == (RegisteredSchema("t.A", 2, 3, A),)


@pytest.mark.parametrize("more", [{"schemaType": "PROTOBUF"}, {"references": [{"name": "n"}]}])
def test_a_schema_that_does_not_stand_alone_is_not_decoded_with(more: dict[str, object]) -> None:
    topic = MemorySchemaTopic()
    topic.append([stored("foreign", 1, 5, "syntax = 'proto3';", **more)])
    ids = TopicSchemaIds(topic)
    with pytest.raises(UndecodableRecord, match="schema id 5"):
        ids.by_id(5)
    assert ids.all() == ()


@pytest.mark.parametrize(
    ("subject", "schema"),
    [("t.B", A), ("t.A", "{"), ("t.A", '"string"'), ("t.A", '{"type":"record","name":"t.A"}'), ("t.A", "[]")],
)
def test_what_is_no_record_of_the_subjects_name_is_refused(subject: str, schema: str) -> None:
    topic = MemorySchemaTopic()
    with pytest.raises(IncompatibleSchema):
        TopicSchemaIds(topic).register(subject, schema)
    assert topic.read_from(0) == ()
