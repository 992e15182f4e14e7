"""Schema ids: the `_schemas` topic's format, races between writers, and the border to a registry by URL."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from octolog.domain.errors import IncompatibleSchema, SettingsError, Unavailable, UndecodableRecord
from schemas.registry import (
    HttpSchemaIds,
    MemorySchemaTopic,
    RegisteredSchema,
    SchemaIds,
    TopicRecord,
    TopicSchemaIds,
    schema_text,
)
from schemas.registry.records import SchemaErased, SchemaStored, decode


def record(name: str, *fields: str) -> str:
    return schema_text(
        {"type": "record", "name": name, "fields": [{"name": f, "type": "int"} for f in fields]}
    )


A, A2, B = record("t.A", "x"), record("t.A", "x", "y"), record("t.B", "x")


def lines(topic: MemorySchemaTopic, keytype: str = "SCHEMA") -> list[tuple[str, str]]:
    kept = [(r.key or b"", r.value or b"") for r in topic.read_from(0)]
    return [(k.decode(), v.decode()) for k, v in kept if json.loads(k)["keytype"] == keytype]


def as_a_registry_reads(topic: MemorySchemaTopic) -> tuple[dict[int, str], dict[tuple[str, int], int]]:
    """Karapace's reader (`InMemoryDatabase.insert_schema_version`): the last record wins, by id and by version."""
    texts: dict[int, str] = {}
    versions: dict[tuple[str, int], int] = {}
    for _, value in lines(topic):
        entry = json.loads(value)
        texts[entry["id"]] = entry["schema"]
        versions[entry["subject"], entry["version"]] = entry["id"]
    return texts, versions


class Raced:
    """A topic on which somebody else writes between our reading and our writing."""

    def __init__(self, topic: MemorySchemaTopic, other: Callable[[], None]) -> None:
        self._topic, self._others = topic, [other]

    def read_from(self, offset: int) -> tuple[TopicRecord, ...]:
        return self._topic.read_from(offset)

    def append(self, records: Sequence[tuple[bytes, bytes]]) -> None:
        while self._others:
            self._others.pop()()
        self._topic.append(records)


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


def stored(subject: str, version: int, schema_id: int, schema: str, **more: object) -> tuple[bytes, bytes]:
    key = {"keytype": "SCHEMA", "subject": subject, "version": version, "magic": 1}
    value = {"subject": subject, "version": version, "id": schema_id, "schema": schema, "deleted": False}
    return json.dumps(key, separators=(",", ":")).encode(), json.dumps(value | more).encode()


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


# -------------------------------------------------------------------------- two writers


@pytest.mark.parametrize(("theirs", "expected"), [(("t.B", B), 2), (("t.A", A2), 2), (("t.A", A), 1)])
def test_who_lost_a_race_takes_a_new_id_and_the_winner_keeps_its_own(
    theirs: tuple[str, str], expected: int
) -> None:
    topic = MemorySchemaTopic()
    won: list[int] = []
    ours = TopicSchemaIds(Raced(topic, lambda: won.append(TopicSchemaIds(topic).register(*theirs))))
    assert (ours.register("t.A", A), won) == (expected, [1])
    for compacted in (False, True):
        if compacted:
            topic.compact()
        texts, versions = as_a_registry_reads(topic)
        fresh = TopicSchemaIds(topic)
        assert fresh.by_id(1) == theirs
        assert fresh.by_id(expected) == ("t.A", A)
        assert (texts[1], texts[expected]) == (theirs[1], A)
        assert {(s.subject, s.version): s.schema_id for s in fresh.all()} == versions


def test_a_loser_that_died_before_it_could_yield_is_overruled_by_the_next_writer() -> None:
    topic = MemorySchemaTopic()
    TopicSchemaIds(topic).register("t.A", A)
    topic.append([stored("t.A", 1, 1, A2)])  # wrote with what it knew before, and died
    assert as_a_registry_reads(topic)[0][1] == A2
    assert TopicSchemaIds(topic).register("t.A", A) == 1
    assert TopicSchemaIds(topic).by_id(1) == ("t.A", A)
    topic.compact()
    assert as_a_registry_reads(topic) == ({1: A}, {("t.A", 1): 1})


_names = st.sampled_from(["t.A", "t.B", "t.C"])
_schemas = st.builds(lambda name, field: (name, record(name, field)), _names, st.sampled_from("xyz"))


@given(st.lists(st.lists(_schemas, min_size=1, max_size=3), min_size=1, max_size=5))
def test_however_writers_race_every_id_given_out_means_one_schema_for_all_readers(
    writers: list[list[tuple[str, str]]],
) -> None:
    topic = MemorySchemaTopic()
    given_out: list[tuple[int, tuple[str, str]]] = []

    def write(left: list[list[tuple[str, str]]]) -> None:
        """Register what the first of `left` has, while all others of `left` come in between."""
        if left:
            ids = TopicSchemaIds(Raced(topic, lambda: write(left[1:])))
            given_out.extend((ids.register(*schema), schema) for schema in left[0])

    write(writers)
    before = {schema_id: TopicSchemaIds(topic).by_id(schema_id) for schema_id, _ in given_out}
    topic.compact()
    texts, versions = as_a_registry_reads(topic)
    fresh = TopicSchemaIds(topic)
    for schema_id, schema in given_out:
        assert before[schema_id] == fresh.by_id(schema_id) == schema
        assert texts[schema_id] == schema[1]
        assert fresh.register(*schema) == schema_id
    assert {(s.subject, s.version): s.schema_id for s in fresh.all()} == versions


def test_a_topic_that_keeps_nothing_is_reported_and_not_tried_for_ever() -> None:
    class Deaf(MemorySchemaTopic):
        def append(self, records: Sequence[tuple[bytes, bytes | None]]) -> None:
            pass

    with pytest.raises(Unavailable, match="does not keep what is written"):
        TopicSchemaIds(Deaf()).register("t.A", A)


# ------------------------------------------------------------------- a registry by URL


def client(
    answer: Callable[[httpx.Request], httpx.Response], url: str = "http://registry:8081", **more: str
) -> tuple[HttpSchemaIds, list[float]]:
    waits: list[float] = []
    return HttpSchemaIds(url, transport=httpx.MockTransport(answer), sleep=waits.append, **more), waits


def test_a_prefix_in_the_url_is_kept_and_the_schema_is_asked_for_once() -> None:
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(f"{request.method} {request.url.path}")
        return httpx.Response(200, json={"id": 7} if request.method == "POST" else {"schema": A})

    ids, _ = client(answer, "http://registry:8080/apis/ccompat/v7")
    assert [ids.register("t.A", A) for _ in range(2)] == [7, 7]
    assert [ids.by_id(7) for _ in range(2)] == [("t.A", A)] * 2
    assert seen == ["POST /apis/ccompat/v7/subjects/t.A/versions", "GET /apis/ccompat/v7/schemas/ids/7"]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_registry_that_is_away_for_a_moment_is_asked_again(status: int) -> None:
    answers: list[httpx.Response | Exception] = [httpx.Response(status), httpx.ConnectError("refused")]
    answers.append(httpx.Response(200, json={"id": 1}))

    def answer(request: httpx.Request) -> httpx.Response:
        reply = answers.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply

    ids, waits = client(answer)
    assert ids.register("t.A", A) == 1
    assert waits == [0.2, 0.4]


def test_a_registry_that_stays_away_is_unavailable_within_bounds_and_no_password_is_shown() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectTimeout("timed out")

    ids, waits = client(answer, "http://me:s3cret@registry:8081/api")
    with pytest.raises(Unavailable, match="registry at http://registry:8081/api does not answer") as caught:
        ids.by_id(1)
    assert waits == [0.2, 0.4, 0.8, 1.6]
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (409, {"error_code": 409, "message": "reader type\nmismatch"}, IncompatibleSchema),
        (422, {"error_code": 42201, "message": "invalid"}, IncompatibleSchema),
        (401, {}, SettingsError),
        (403, {}, SettingsError),
        (404, {}, SettingsError),
        (200, {"unexpected": 1}, SettingsError),
    ],
)
def test_a_refusal_to_register_is_one_of_our_errors(
    status: int, body: dict[str, object], error: type[Exception]
) -> None:
    ids, waits = client(lambda _: httpx.Response(status, json=body))
    with pytest.raises(error) as caught:
        ids.register("t.A", A)
    assert "\n" not in str(caught.value)
    assert waits == []


@pytest.mark.parametrize(
    "reply",
    [
        httpx.Response(404, json={"error_code": 40403, "message": "Schema not found"}),
        httpx.Response(200, json={"schema": "message M {}", "schemaType": "PROTOBUF"}),
        httpx.Response(200, json={"schema": A, "references": [{"name": "x"}]}),
        httpx.Response(200, json={"schema": '"string"'}),
        httpx.Response(200, json={"schema": "{"}),
    ],
)
def test_an_id_that_means_no_avro_record_is_undecodable(reply: httpx.Response) -> None:
    with pytest.raises(UndecodableRecord):
        client(lambda _: reply)[0].by_id(1)


def test_a_404_of_something_that_is_no_registry_is_a_matter_of_settings_not_of_the_record() -> None:
    ids, _ = client(lambda _: httpx.Response(404, text="<html>nginx</html>"))
    with pytest.raises(SettingsError, match="OCTOLOG_SCHEMA_REGISTRY_URL"):
        ids.by_id(1)


@pytest.mark.parametrize(
    ("url", "user_info", "variable", "expected"),
    [
        ("http://registry", None, None, None),
        ("http://me:a%40b@registry", None, None, "me:a@b"),
        ("http://registry", None, "env:c:d", "env:c:d"),
        ("http://me:a@registry", "arg:e", "env:c", "arg:e"),
    ],
)
def test_credentials_come_from_the_argument_then_the_variable_then_the_url(
    url: str,
    user_info: str | None,
    variable: str | None,
    expected: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OCTOLOG_SCHEMA_REGISTRY_USER_INFO", raising=False)
    if variable:
        monkeypatch.setenv("OCTOLOG_SCHEMA_REGISTRY_USER_INFO", variable)
    sent: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers.get("authorization"))
        return httpx.Response(200, json={"schema": A})

    HttpSchemaIds(url, user_info=user_info, transport=httpx.MockTransport(answer)).by_id(1)
    assert sent == [expected and f"Basic {base64.b64encode(expected.encode()).decode()}"]


@pytest.mark.parametrize(
    ("url", "user_info"), [("registry:8081", None), ("ftp://registry", None), ("http://registry", "nocolon")]
)
def test_settings_that_cannot_work_are_refused_at_once(url: str, user_info: str | None) -> None:
    with pytest.raises(SettingsError):
        HttpSchemaIds(url, user_info=user_info)


def test_both_adapters_are_the_port() -> None:
    ports: list[SchemaIds] = [TopicSchemaIds(MemorySchemaTopic()), HttpSchemaIds("http://registry")]
    assert len(ports) == 2
