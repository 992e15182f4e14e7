"""The command tree: what every command has, what needs no node, and how quickly help is there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from octolog.cli.application import build
from octolog.cli.reference import _commands, _parameters, reference

ROOT = Path(__file__).parents[3]
NAMES = [name.removeprefix("octolog ").split() for name, _ in _commands(build(), "octolog")]


def octolog(home: Path, *arguments: str, given: str | bytes | None = None) -> Result:
    return CliRunner().invoke(build(), arguments, input=given, env={"OCTOLOG_HOME": str(home)})


@pytest.mark.parametrize("name", NAMES, ids=" ".join)
def test_every_command_explains_itself_and_takes_json(name: list[str], tmp_path: Path) -> None:
    result = octolog(tmp_path, *name, "--help")
    assert result.exit_code == 0
    assert "--json" in result.output
    assert "--home" in result.output


def test_every_command_of_the_stable_surface_is_there() -> None:
    surface = """up down status doctor metrics submit replay query tables demo
        provenance-show provenance-export provenance-draw
        task-show task-list task-watch task-result task-cancel task-approve task-deny
        blobs-gc blobs-verify approvals approve deny budget-show budget-amend prices-show
        arms-list arms-register arms-show arms-retire arms-run arms-bridge arms-check
        policy-keys policy-list policy-put policy-revoke policy-show policy-withdraw
        template-register template-list template-show template-validate template-match template-retire
        audit-disk audit-export audit-keys audit-prove audit-rotate-key audit-verify
        memory-reembed memory-search memory-show
        dlq-list dlq-show dlq-redrive
        topics-apply topics-list schemas-list schemas-check schemas-publish projections-list projections-rebuild"""
    assert sorted("-".join(name) for name in NAMES) == sorted(surface.split())


def test_every_option_says_what_it_does() -> None:
    for name, function in _commands(build(), "octolog"):
        assert function.__doc__, name
        for parameter in _parameters(function):
            assert parameter.annotation.__metadata__, f"{name}: {parameter.name}"


def test_the_reference_page_is_what_the_commands_say() -> None:
    page = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    assert page == reference(), "run `python -m octolog.cli.reference > docs/reference/cli.md`"


HEAVY = (
    *(
        "confluent_kafka",
        "duckdb",
        "polars",
        "pyarrow",
        "pydantic",
        "pydantic_settings",
        "rich",
        "click",
        "httpx",
    ),
    *("lxml", "psutil", "yaml", "asyncio", "aiohttp", "fastavro", "faust", "cryptography"),
    *(
        "octolog.app.settings",
        "octolog.client",
        "octolog.domain.shard",
        "octolog.domain.facts",
        "streams",
        "arms",
    ),
)
"""What takes long to load, and is of no use to somebody who reads the help."""


def test_help_loads_no_kafka_no_duckdb_and_no_models() -> None:
    script = (
        "import sys; from octolog.cli.application import build; build()(['--help'], standalone_mode=False);"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr.strip() == "[]"
    assert "Usage" in done.stdout


def test_what_asks_a_node_for_its_memories_loads_no_http_client_with_a_command_line_of_its_own() -> None:
    script = (
        "import sys, octolog.app.memory.rebuild, octolog.app.knowledge.states; print('httpx' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False"


def test_the_command_line_is_there_as_a_module_too() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "octolog", "--version"], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.startswith("octolog ")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("{", "MALFORMED_JSON: contract"),
        ('{"goal": "g", "nme": 1}', "UNKNOWN_FIELD: nme"),
        ('{"goal": "g", "budget": {"max_cost_dollars": NaN}}', "budget.max_cost_dollars: NaN"),
        ('{"goal": "g", "budget": {"max_tokens": -5}}', "INVALID_BUDGET: budget.max_tokens: -5"),
        ('{"goal": "' + "x" * 10_000_000 + '"}', "TOO_LARGE: contract"),
        (b"\xff\xfe", "MALFORMED_JSON: contract: is no UTF-8"),
        ("", "MALFORMED_JSON"),
    ],
    ids=["malformed", "unknown", "nan", "negative", "huge", "binary", "empty"],
)
def test_a_bad_contract_is_refused_before_any_kafka_is_asked_for(
    given: str | bytes, told: str, tmp_path: Path
) -> None:
    result = octolog(tmp_path, "submit", "-", given=given)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("octolog: ")
    assert told in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_bad_contract_in_a_file_is_refused_alike(tmp_path: Path) -> None:
    file = tmp_path / "contract.json"
    file.write_text('{"goal": ""}')
    result = octolog(tmp_path, "submit", str(file), "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["error"]["field"] == "goal"


@pytest.mark.parametrize("file", ["missing.json", "."])
def test_a_file_that_cannot_be_read_is_named(file: str, tmp_path: Path) -> None:
    result = octolog(tmp_path, "submit", str(tmp_path / file))
    assert result.exit_code == 1
    assert str(tmp_path / file) in result.stderr


def test_a_bad_arm_is_refused_before_any_kafka_is_asked_for(tmp_path: Path) -> None:
    result = octolog(tmp_path, "arms", "register", "-", given='{"arm_id": "x"}')
    assert result.exit_code == 1
    assert "INVALID_CAPABILITY" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("submit", "-"),
        ("topics", "list"),
        ("topics", "apply"),
        ("schemas", "publish"),
        ("replay",),
        ("replay", "--verify"),
        ("dlq", "list"),
        ("dlq", "redrive", "--all"),
        ("template", "list"),
        ("template", "show", "x"),
        ("template", "match", "x"),
        ("template", "retire", "x"),
        ("task", "watch", "x"),
        ("task", "cancel", "x"),
        ("task", "show", "x", "--at", "5"),
        ("projections", "rebuild", "analytics"),
    ],
    ids=" ".join,
)
def test_without_a_node_every_command_says_how_to_get_one(arguments: tuple[str, ...], tmp_path: Path) -> None:
    result = octolog(tmp_path, *arguments, given='{"goal": "g"}')
    assert result.exit_code == 1
    assert "octolog up" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [("task", "list"), ("tables",), ("query", "SELECT 1"), ("arms", "list"), ("provenance", "x")]
)
def test_with_nothing_projected_a_question_says_so(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("octolog.cli.asking._PATIENCE_S", 0.0)
    result = octolog(tmp_path, *arguments, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["error"]["kind"] == "NotFound"


def test_the_status_of_a_home_without_a_node_is_an_answer_and_a_failure(tmp_path: Path) -> None:
    result = octolog(tmp_path, "status", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["running"] is False


def test_stopping_nothing_is_no_failure(tmp_path: Path) -> None:
    result = octolog(tmp_path, "down", "--json")
    assert (result.exit_code, json.loads(result.stdout)["stopped"]) == (0, False)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("dlq", "redrive"), "--all"),
        (("dlq", "redrive", "1", "--all"), "--all"),
        (("projections", "rebuild", "nope"), "analytics"),
        (("task", "show", "x", "--at", "yesterday"), "neither an offset nor a time"),
        (("replay", "--to", "never", "--verify"), "octolog up"),
        (("demo", "no-such-folder"), "no folder"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(
    arguments: tuple[str, ...], told: str, tmp_path: Path
) -> None:
    result = octolog(tmp_path, *arguments)
    assert result.exit_code == 1
    assert told in result.stderr


def test_settings_that_cannot_work_are_named(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        build(), ["status"], env={"OCTOLOG_HOME": str(tmp_path), "OCTOLOG_PARTITIONS": "0"}
    )
    assert result.exit_code == 1
    assert "partitions" in result.stderr


def test_the_schemas_pass_their_own_check_without_a_node(tmp_path: Path) -> None:
    result = octolog(tmp_path, "schemas", "check", "--json")
    assert (result.exit_code, json.loads(result.stdout)["violations"]) == (0, [])


def test_every_subject_is_listed_with_its_topic(tmp_path: Path) -> None:
    rows = json.loads(octolog(tmp_path, "schemas", "list", "--json").stdout)["schemas"]
    assert {"octolog.contract.SubmitTask", "octolog.task.TaskCompleted"} <= {row["subject"] for row in rows}
    assert all(row["topic"].startswith("octolog.") for row in rows)
