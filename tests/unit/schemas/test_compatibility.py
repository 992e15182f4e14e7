"""How schemas may look and change: every kind of break is caught, every harmless change passes."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from octolog.domain.errors import IncompatibleSchema, Refused
from schemas import check as command
from schemas.check import check, freeze, released_schemas
from schemas.compatibility import Violation, dialect_violations, full_transitive_violations

NAME = "octolog.task.Probe"
Edit = Callable[[dict[str, Any]], object]


def base() -> dict[str, Any]:
    limits = {
        "type": "record", "name": "octolog.contract.Limits", "fields": [
            {"name": "max_turns", "type": "int", "doc": "Turns."},
            {"name": "note", "type": ["null", "string"], "default": None, "doc": "Note."},
        ],
    }  # fmt: skip
    outcome = {
        "type": "enum", "name": "octolog.task.Outcome",
        "symbols": ["UNKNOWN", "SUCCESS", "FAILURE"], "default": "UNKNOWN",
    }  # fmt: skip
    fields = [
        {"name": "task_id", "type": "string", "doc": "Task."},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}, "doc": "When, UTC."},
        {"name": "limits", "type": limits, "doc": "Limits."},
        {"name": "outcome", "type": outcome, "doc": "Outcome."},
        {"name": "earlier", "type": ["null", "octolog.contract.Limits"], "default": None, "doc": "Before."},
        {"name": "all_limits", "type": {"type": "array", "items": "octolog.contract.Limits"}, "doc": "All."},
        {
            "name": "digest",
            "type": {"type": "fixed", "name": "octolog.task.Hash", "size": 32},
            "doc": "SHA-256.",
        },
        {"name": "cost", "type": "long", "default": 0, "doc": "Micro-dollars."},
    ]
    return {"type": "record", "name": NAME, "fields": fields}


def at(schema: dict[str, Any], name: str) -> dict[str, Any]:
    return next(field for field in schema["fields"] if field["name"] == name)


def limits_of(schema: dict[str, Any]) -> dict[str, Any]:
    return at(schema, "limits")["type"]  # type: ignore[no-any-return]  # JSON


def edited(edit: Edit) -> str:
    schema = copy.deepcopy(base())
    edit(schema)
    return json.dumps(schema)


def drop(name: str) -> Edit:
    return lambda s: s["fields"].remove(at(s, name))


def add(**field: object) -> Edit:
    return lambda s: s["fields"].append({"doc": "New.", **field})


def change(which: str, /, **more: object) -> Edit:
    return lambda s: at(s, which).update(more)


def in_limits(edit: Edit) -> Edit:
    return lambda s: edit(limits_of(s))


def outcome(**more: object) -> Edit:
    return lambda s: at(s, "outcome")["type"].update(more)


# ------------------------------------------------------------------- full transitive


def test_the_schema_itself_passes() -> None:
    assert full_transitive_violations(NAME, json.dumps(base()), {"0.1.0": json.dumps(base())}) == ()
    assert dialect_violations(json.dumps(base())) == ()


NOT_OLD = "old values cannot be read"
NOT_NEW = "released readers cannot read new values"
INT_STRING = "reader type: string not compatible with writer type: int"
STRING_INT = "reader type: int not compatible with writer type: string"


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (
            drop("task_id"),
            ["task_id: removed, but released without a default: the released schema cannot do without it"],
        ),
        (
            in_limits(drop("max_turns")),
            ["limits.max_turns: removed, but released without a default: the released schema cannot do without it"],
        ),
        (add(name="arm", type="string"), ["arm: new without a default: old values do not have it"]),
        (
            in_limits(add(name="max_s", type="int")),
            ["limits.max_s: new without a default: old values do not have it"],
        ),
        (
            change("task_id", name="id"),
            [
                "id: new without a default: old values do not have it",
                "task_id: removed, but released without a default: the released schema cannot do without it",
            ],
        ),
        (change("cost", type="int"), [f"cost: {NOT_OLD}: reader type: int not compatible with writer type: long"]),
        (
            change("cost", type="double", default=0.0),
            [f"cost: {NOT_NEW}: reader type: long not compatible with writer type: double"],
        ),
        (
            in_limits(change("max_turns", type="string")),
            [f"limits.max_turns: {NOT_OLD}: {INT_STRING}", f"limits.max_turns: {NOT_NEW}: {STRING_INT}"],
        ),
        (
            change("task_id", type=["null", "string"], default=None),
            [f"task_id: {NOT_NEW}: reader type: string not compatible with writer type: null"],
        ),
        (
            in_limits(change("note", type="string", default="")),
            [f"limits.note: {NOT_OLD}: reader type: string not compatible with writer type: null"],
        ),
        (change("task_id", type="bytes"), ["task_id: type changed from string to bytes"]),
        (change("at", type="long"), ["at: logical type changed from timestamp-millis to None"]),
        (
            change("all_limits", type={"type": "array", "items": "string"}),
            [
                f"all_limits[]: {NOT_OLD}: reader type: string not compatible with writer type: record",
                f"all_limits[]: {NOT_NEW}: reader type: record not compatible with writer type: string",
            ],
        ),
        (
            lambda s: at(s, "digest")["type"].update(size=20),
            [f"digest: {NOT_OLD}: expected: 32, found: 20", f"digest: {NOT_NEW}: expected: 20, found: 32"],
        ),
        (
            outcome(symbols=["UNKNOWN", "SUCCESS"]),
            ["outcome: enum symbols removed: FAILURE; old values would read as UNKNOWN"],
        ),
        (
            lambda s: (outcome(symbols=["UNKNOWN", "SUCCESS"])(s), at(s, "outcome")["type"].pop("default")),
            [f"outcome: {NOT_OLD}: the reader lacks enum symbols FAILURE and has no default for them"],
        ),
        (
            outcome(name="octolog.task.Result"),
            [
                f"outcome: {NOT_OLD}: octolog.task.Result is not octolog.task.Outcome",
                f"outcome: {NOT_NEW}: octolog.task.Outcome is not octolog.task.Result",
            ],
        ),
        (
            outcome(name="octolog.result.Outcome"),
            ["outcome: type renamed from octolog.task.Outcome to octolog.result.Outcome"],
        ),
    ],
)  # fmt: skip
def test_a_change_that_a_released_reader_or_writer_cannot_live_with_is_caught_at_its_place(
    edit: Edit, expected: list[str]
) -> None:
    found = full_transitive_violations(NAME, edited(edit), {"0.1.0": json.dumps(base())})
    assert [f"{v.path}: {v.reason}" for v in found] == expected
    assert {v.release for v in found} == {"0.1.0"}


@pytest.mark.parametrize(
    "edit",
    [
        add(name="arm", type=["null", "string"], default=None),
        add(name="tries", type="int", default=0),
        in_limits(add(name="tags", type={"type": "array", "items": "string"}, default=[])),
        drop("cost"),
        drop("earlier"),
        in_limits(drop("note")),
        outcome(symbols=["UNKNOWN", "SUCCESS", "FAILURE", "CANCELLED"]),
        change("task_id", doc="Said better."),
        lambda s: s["fields"].append(s["fields"].pop(0)),
    ],
)
def test_a_change_that_all_readers_and_writers_can_live_with_passes(edit: Edit) -> None:
    new = edited(edit)
    assert new != json.dumps(base())
    assert full_transitive_violations(NAME, new, {"0.1.0": json.dumps(base())}) == ()
    assert dialect_violations(new) == ()


def test_an_added_symbol_needs_the_released_enum_to_have_a_default() -> None:
    old = edited(lambda s: at(s, "outcome")["type"].pop("default"))
    new = edited(outcome(symbols=["UNKNOWN", "SUCCESS", "FAILURE", "CANCELLED"]))
    (violation,) = full_transitive_violations(NAME, new, {"0.1.0": old})
    assert (
        violation.reason == f"{NOT_NEW}: the reader lacks enum symbols CANCELLED and has no default for them"
    )


def test_every_release_counts_not_the_last_alone() -> None:
    released = {"0.1.0": json.dumps(base()), "0.2.0": edited(drop("cost"))}
    new = edited(change("cost", type="string", default=""))
    assert full_transitive_violations(NAME, new, {"0.2.0": released["0.2.0"]}) == ()
    assert {v.release for v in full_transitive_violations(NAME, new, released)} == {"0.1.0"}


def test_types_that_contain_themselves_are_compared_to_an_end() -> None:
    def tree(leaf: str) -> str:
        children = {"name": "children", "doc": "c", "type": {"type": "array", "items": "t.Node"}}
        fields = [children, {"name": "leaf", "doc": "l", "type": leaf}]
        return json.dumps({"type": "record", "name": "t.Node", "fields": fields})

    assert full_transitive_violations("t.Node", tree("int"), {"0.1.0": tree("int")}) == ()
    assert [v.path for v in full_transitive_violations("t.Node", tree("string"), {"0.1.0": tree("int")})] == [
        "leaf",
        "leaf",
    ]
    assert [v.reason for v in dialect_violations(tree("int"))] == [
        "t.Node contains itself; readers by column cannot follow"
    ]
    assert dialect_violations(tree("int"), frozenset({"t.Node"})) == ()


# --------------------------------------------------------------------------- dialect

_UNION = 'the only union is ["null", X]'
_ENUM = {"type": "enum", "name": "octolog.task.Mood", "symbols": ["UNKNOWN", "GOOD"], "default": "UNKNOWN"}


@pytest.mark.parametrize(
    ("edit", "place", "reason"),
    [
        (change("cost", type={"type": "map", "values": "int"}, default={}), "cost", "no map"),
        (add(name="m", type={"type": "array", "items": {"type": "map", "values": "int"}}), "m[]", "no map"),
        (add(name="u", type=["null", "int", "string"], default=None), "u", _UNION),
        (add(name="u", type=["int", "string"], default=0), "u", _UNION),
        (add(name="u", type=["int", "null"], default=0), "u", _UNION),
        (add(name="u", type=["null", _ENUM], default=None), "u", "an enum is never nullable"),
        (
            add(name="u", type=["null", "octolog.task.Outcome"], default=None),
            "u",
            "an enum is never nullable",
        ),
        (add(name="u", type=["null", "Outcome"], default=None), "u", "an enum is never nullable"),
        (add(name="u", type=["null", "int"]), "u", 'a nullable field needs "default": null'),
        (add(name="u", type="int", doc=" "), "u", "a field needs a doc"),
        (add(name="u", type={"type": "int", "logicalType": "date"}), "u", "logical type date on int"),
        (
            add(name="u", type={"type": "long", "logicalType": "timestamp-micros"}),
            "u",
            "logical type timestamp-micros on long",
        ),
        (
            add(name="u", type={"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}),
            "u",
            "logical type decimal on bytes",
        ),
        (add(name="u", type=["null", NAME], default=None), "u", f"{NAME} contains itself"),
    ],
)
def test_what_a_columnar_reader_cannot_take_is_refused(edit: Edit, place: str, reason: str) -> None:
    found = dialect_violations(edited(edit))
    assert [(v.subject, v.path) for v in found if v.reason.startswith(reason)] == [(NAME, place)]
    assert "\n" not in "".join(map(str, found))


def test_a_union_inside_an_array_or_a_nested_record_is_found() -> None:
    edit = in_limits(add(name="x", type={"type": "array", "items": ["null", "int", "long"]}))
    assert [str(v) for v in dialect_violations(edited(edit))] == [f"octolog.contract.Limits.x[]: {_UNION}"]


@pytest.mark.parametrize("default", [None, "SUCCESS"])
def test_every_enum_falls_back_to_unknown(default: str | None) -> None:
    edit: Edit = outcome(default=default) if default else lambda s: at(s, "outcome")["type"].pop("default")
    assert [str(v) for v in dialect_violations(edited(edit))] == [
        'octolog.task.Outcome: an enum needs "default": "UNKNOWN", one of its symbols'
    ]


@pytest.mark.parametrize(
    "schema",
    [
        "{",
        '"string"',
        json.dumps(_ENUM),
        edited(change("cost", type="t.Missing")),
        edited(outcome(symbols=["a-b"])),
    ],
)
def test_what_avro_does_not_take_is_a_violation_and_no_traceback(schema: str) -> None:
    (violation,) = dialect_violations(schema)
    assert "\n" not in str(violation)


# ---------------------------------------------------------------- releases and command


def test_a_subject_that_disappears_is_caught() -> None:
    renamed = edited(lambda s: s.update(name="octolog.task.Sample"))
    found = check({"octolog.task.Sample": renamed}, {"0.1.0": {NAME: json.dumps(base())}})
    assert found == (Violation(NAME, "", "removed or renamed; logs hold its values, so it stays", "0.1.0"),)


def test_a_release_is_kept_self_contained_and_never_edited(tmp_path: Path) -> None:
    (file,) = freeze("0.1.0", tmp_path, {NAME: json.dumps(base())})
    assert file == tmp_path / "0.1.0" / f"{NAME}.avsc"
    assert check({NAME: json.dumps(base())}, released_schemas(tmp_path)) == ()
    before = file.read_bytes()
    freeze("0.1.0", tmp_path, {NAME: json.dumps(base())})
    with pytest.raises(Refused, match="never edited"):
        freeze("0.1.0", tmp_path, {NAME: edited(drop("cost"))})
    with pytest.raises(IncompatibleSchema, match="task_id: removed"):
        freeze("0.2.0", tmp_path, {NAME: edited(drop("task_id"))})
    with pytest.raises(Refused, match="no version"):
        freeze("../evil", tmp_path, {NAME: json.dumps(base())})
    assert [path.name for path in tmp_path.iterdir()] == ["0.1.0"]
    assert file.read_bytes() == before


@pytest.mark.parametrize(("edit", "code", "last"), [
    (drop("cost"), 0, "1 subjects against 0.1.0: no violations"),
    (drop("task_id"), 1, "1 subjects against 0.1.0: 1 violations"),
])  # fmt: skip
def test_the_command_prints_one_line_per_violation_and_says_by_its_exit_code(
    edit: Edit,
    code: int,
    last: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    freeze("0.1.0", tmp_path, {NAME: json.dumps(base())})
    monkeypatch.setattr(command, "released_schemas", lambda: released_schemas(tmp_path))
    monkeypatch.setattr(command, "current_schemas", lambda: {NAME: edited(edit)})
    assert command.main([]) == code
    lines = capsys.readouterr().out.splitlines()
    assert (lines[-1], len(lines)) == (last, 1 + code)
    assert command.main(["--json"]) == code
    assert len(json.loads(capsys.readouterr().out)["violations"]) == code


def test_the_schemas_of_this_version_pass() -> None:
    found = check(command.current_schemas(), released_schemas())
    assert not found, "\n".join(map(str, found))
    assert len(command.current_schemas()) > 1


def test_a_release_that_cannot_be_frozen_is_one_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--freeze", "../evil"]) == 1
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "'../evil' is no version; use the form 1.2.3\n")
