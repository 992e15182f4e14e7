"""What `octolog template` and `octolog submit task.xml` do without a log: judge, refuse, and name the place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from octolog.cli.application import build

XML = Path(__file__).parents[2] / "data" / "xml"
READABILITY = str(XML / "valid" / "readability.xml")


def octolog(home: Path, *arguments: str, given: str | bytes | None = None, **env: str) -> Result:
    return CliRunner().invoke(build(), arguments, input=given, env={"OCTOLOG_HOME": str(home), **env})


def test_a_valid_template_is_called_so(tmp_path: Path) -> None:
    result = octolog(tmp_path, "template", "validate", READABILITY)
    assert (result.exit_code, result.stdout) == (0, "a valid template\n")


def test_warnings_are_told_and_do_not_decide(tmp_path: Path) -> None:
    xml = '<task><instructions>i</instructions><system/><model>gpt-4</model><inputs><input name="a"/></inputs></task>'
    result = octolog(tmp_path, "template", "validate", "-", "--json", given=xml)
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert (document["valid"], document["errors"], len(document["warnings"])) == (True, [], 1)


@pytest.mark.parametrize("path", sorted((XML / "invalid").glob("*.xml")), ids=lambda path: path.stem)
def test_every_invalid_document_ends_in_one_line_and_in_json_with_its_place(
    path: Path, tmp_path: Path
) -> None:
    result = octolog(tmp_path, "template", "validate", str(path), "--json")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    document: dict[str, Any] = json.loads(result.stdout)
    assert document["valid"] is False
    first = document["errors"][0]
    assert first["type"] in {"XML_PARSE_ERROR", "VALIDATION_ERROR"}
    assert first.get("path" if first["type"] == "VALIDATION_ERROR" else "location")
    for arguments in (("submit", str(path)), ("template", "register", str(path))):
        refused = octolog(tmp_path, *arguments)
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert first["type"] in refused.stderr
        assert refused.stderr.count("\n") == len(document["errors"])


THREE_FAULTS = """<task type="sequential" priority="0">
  <description/>
  <inputs><input name="a"/></inputs>
  <steps>
    <task type="atomic"><description/><context_management>
      <inherit_context>full</inherit_context><fresh_context>enabled</fresh_context>
    </context_management><model>nobody</model></task>
  </steps>
</task>"""


def test_all_faults_of_a_document_are_told_in_one_go_each_with_its_place(tmp_path: Path) -> None:
    result = octolog(tmp_path, "template", "validate", "-", given=THREE_FAULTS)
    errors, warnings = result.stdout.splitlines()[:3], result.stdout.splitlines()[3:]
    assert result.exit_code == 1
    assert [line.split(": ")[:4:3] for line in errors] == [
        ["error", "/task/@priority"],
        ["error", "/task/steps/task/context_management/fresh_context"],
        ["error", "/task/steps/task/model"],
    ]
    assert [line.split(": ")[1] for line in errors] == ["1:1", "6:46", "7:26"]
    assert "write inherit_context none" in errors[1]
    assert [line for line in warnings if not line.startswith("warning: ")] == []
    assert len(warnings) == 1
    assert result.stderr.startswith("octolog: 1:1: VALIDATION_ERROR: /task/@priority")
    assert result.stderr.endswith("(and 2 more)\n")


def test_submitting_a_document_tells_all_faults_too(tmp_path: Path) -> None:
    plain = octolog(tmp_path, "submit", "-", given=THREE_FAULTS)
    assert (plain.exit_code, plain.stdout, plain.stderr.count("\n")) == (1, "", 3)
    contract = json.dumps({"xml": THREE_FAULTS})
    for given in (THREE_FAULTS, contract):
        document = json.loads(octolog(tmp_path, "submit", "-", "--json", given=given).stdout)
        assert document["error"]["field"] == "/task/@priority"
        assert [(error["line"], error["column"]) for error in document["errors"]] == [
            (1, 1),
            (6, 46),
            (7, 26),
        ]


def test_a_site_names_its_own_models(tmp_path: Path) -> None:
    path = str(XML / "invalid" / "unknown-model.xml")
    assert octolog(tmp_path, "template", "validate", path, OCTOLOG_MODELS="a, no-such-model").exit_code == 0


def test_an_endpoint_that_does_not_answer_offers_no_model(tmp_path: Path) -> None:
    path = str(XML / "invalid" / "unknown-model.xml")
    result = octolog(tmp_path, "template", "validate", path, OCTOLOG_LLM_BASE_URL="http://127.0.0.1:9/v1")
    assert result.exit_code == 1
    assert "no-such-model" in result.stderr


def test_a_document_too_long_is_refused_before_it_is_read(tmp_path: Path) -> None:
    huge = tmp_path / "huge.xml"
    with huge.open("wb") as file:
        file.write(b"<task>")
        file.truncate(100_000_000)
    for command in (("submit",), ("template", "validate"), ("template", "register")):
        result = octolog(tmp_path, *command, str(huge))
        assert result.exit_code == 1
        assert "; at most 1" in result.stderr, command


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--input", "code"), 2, "NAME=VALUE"),
        (("--input", "code=1", "--input", "code=2"), 2, "twice"),
        (("--input", "nobody=1"), 1, "no input of this task; it has code"),
        (("--task-id", "no such id"), 1, "INVALID_TASK_ID"),
        (("--context", "missing.json"), 1, "no file missing.json"),
        (("--input", "code=1"), 1, "octolog up"),
    ],
)
def test_what_is_added_to_a_document_is_checked_before_any_log_is_asked_for(
    arguments: tuple[str, ...], code: int, told: str, tmp_path: Path
) -> None:
    result = octolog(tmp_path, "submit", READABILITY, *arguments)
    assert result.exit_code == code
    assert told in result.stderr
