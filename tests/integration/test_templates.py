"""Templates in a real log: immutable, whoever registers at once; and documents submitted as contracts."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner, Result

from octolog.app.connection import Connection
from octolog.app.settings import Settings, load_settings
from octolog.cli.application import build
from octolog.client import Client
from octolog.domain.contract import SubmitTask
from octolog.domain.errors import NotFound, Refused
from octolog.domain.operators import OperatorInput
from octolog.domain.tasksystem import TaskType
from octolog.domain.templates.errors import DocumentRefused
from schemas.xml import BUILTINS, read_program
from streams.topics import CONTRACTS, TEMPLATES
from tests.conftest import KafkaUnderTest
from tests.unit.documents.hostile import HOSTILE

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

XML = Path(__file__).parents[1] / "data" / "xml" / "valid"
TEMPLATE = """<task name="{name}" version="{version}" description="{description}">
  <instructions>{instructions}</instructions><system/><model>default</model>
  <inputs><input name="text"/></inputs>
</task>"""


@pytest.fixture(scope="module")
def settings(kafka: KafkaUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home = tmp_path_factory.mktemp("templates")
    found = load_settings(home=home, bootstrap_servers=kafka.bootstrap_servers)
    with Connection(found) as connection:
        connection.ensure_topics()
    return found


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    with Client(settings) as client:
        yield client


@pytest.fixture
def name() -> str:
    return f"t-{uuid4().hex[:12]}"


def template(name: str, version: str = "1", description: str = "", instructions: str = "Do {{text}}") -> str:
    return TEMPLATE.format(name=name, version=version, description=description, instructions=instructions)


def octolog(settings: Settings, *arguments: str, given: str | None = None) -> Result:
    where = ["--home", str(settings.home), "--bootstrap-servers", str(settings.bootstrap_servers)]
    return CliRunner().invoke(build(), [*arguments, *where], input=given)


def told(settings: Settings, *arguments: str, given: str | None = None) -> dict[str, Any]:
    result = octolog(settings, *arguments, "--json", given=given)
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def submitted(client: Client, partition: int, offset: int) -> SubmitTask:
    place = CONTRACTS, partition
    with Connection(client._connection.settings) as connection:
        for batch in connection.reader().read({place: offset}, until={place: offset + 1}):
            for record in batch:
                found = connection.codec().decode(record.value)
                assert isinstance(found, SubmitTask)
                return found
    raise AssertionError(f"nothing at {place}@{offset}")


def records_of(settings: Settings, name: str) -> int:
    with Connection(settings) as connection:
        reader = connection.reader()
        ends = reader.ends([TEMPLATES])
        batches = reader.read(dict.fromkeys(ends, 0), until=ends)
        return sum(record.key == name.encode() for batch in batches for record in batch)


def test_the_same_again_writes_nothing_and_other_content_is_refused(
    client: Client, name: str, settings: Settings
) -> None:
    first = client.templates.register(template(name))
    again = client.templates.register(template(name).replace("\n", "\r\n"))
    assert (first.new, again.new, again.kept.offset) == (True, False, first.kept.offset)
    with pytest.raises(Refused, match="give the change a new version"):
        client.templates.register(template(name, instructions="Do something else"))
    assert records_of(settings, name) == 1
    client.templates.register(template(name, "2", instructions="Do something else"))
    assert client.templates.find(name).template is not None
    assert client.templates.find(name).version == "2"
    assert client.templates.find(f"{name}@1").version == "1"


def test_of_two_who_register_one_version_at_once_one_is_told_that_the_other_came_first(
    settings: Settings, name: str
) -> None:
    outcomes: list[object] = []
    ready = threading.Barrier(4)

    def register(number: int) -> None:
        with Client(settings) as client:
            client.templates.table()  # connected before the start
            ready.wait(60)
            try:
                outcomes.append(
                    client.templates.register(template(name, instructions=f"variant {number}")).new
                )
            except Refused:
                outcomes.append("refused")

    threads = [threading.Thread(target=register, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert sorted(map(str, outcomes)) == ["True", "refused", "refused", "refused"]


def test_a_retired_version_is_not_used_and_stays_taken(client: Client, name: str) -> None:
    client.templates.register(template(name))
    client.templates.retire(f"{name}@1", reason="wrong")
    with pytest.raises(NotFound):
        client.templates.find(name)
    with pytest.raises(Refused, match="retired: wrong"):
        client.templates.find(f"{name}@1")
    with pytest.raises(Refused, match="new version"):
        client.templates.register(template(name))


@pytest.mark.parametrize("taken", BUILTINS)
def test_a_name_of_our_own_templates_cannot_be_taken(client: Client, taken: str) -> None:
    with pytest.raises(Refused, match="octolog's own"):
        client.templates.register(template(taken))
    assert client.templates.find(taken).name == taken


def test_a_secret_in_a_template_is_taken_out_before_it_is_logged(client: Client, name: str) -> None:
    done = client.templates.register(template(name, instructions="Mail to jane.doe@example.com"))
    assert "jane.doe" not in done.kept.template.xml
    assert dict(done.redacted) == {"email": 1}


def test_the_commands_register_list_show_and_match(settings: Settings, name: str, tmp_path: Path) -> None:
    wanted = f"Untangle the ropes of {name.replace('-', '')}"
    file = tmp_path / "t.xml"
    file.write_text(template(name, description=wanted), encoding="utf-8")
    assert told(settings, "template", "register", str(file))["new"] is True
    assert told(settings, "template", "register", str(file))["new"] is False
    rows = told(settings, "template", "list")["templates"]
    assert [row["state"] for row in rows if row["name"] in BUILTINS] == ["octolog's own"] * len(BUILTINS)
    (mine,) = [row for row in rows if row["name"] == name]
    shown = told(settings, "template", "show", f"{name}@1")
    assert (shown["digest"], shown["xml"]) == (mine["digest"], file.read_text(encoding="utf-8"))
    assert shown["registered_at_ms"] > 1_600_000_000_000
    for how, scored_by in ((), "meaning"), (("--by-words",), "words"):
        best = told(settings, "template", "match", wanted, "--top-k", "1", *how)
        assert best["scored_by"] == scored_by
        assert [(match["name"], match["score"]) for match in best["matches"]] == [(name, 1.0)]
    assert file.read_text(encoding="utf-8") in octolog(settings, "template", "show", name).stdout
    assert told(settings, "template", "retire", name, "--reason", "done")["version"] == "1"
    assert name not in {row["name"] for row in told(settings, "template", "list")["templates"]}
    refused = octolog(settings, "template", "show", "nobody")
    assert (refused.exit_code, refused.stderr.count("\n")) == (1, 1)


@pytest.mark.parametrize("kind", ["two-steps", "map", "reduce", "readability"])
def test_a_document_in_xml_lies_in_the_log_as_the_program_it_is(
    kind: str, settings: Settings, client: Client
) -> None:
    path = XML / f"{kind}.xml"
    said = told(settings, "submit", str(path))
    assert said["topic"] == CONTRACTS
    contract = submitted(client, said["partition"], said["offset"]).contract
    assert contract.task_id == said["task_id"]
    if kind != "readability":
        assert contract.operators == read_program(path.read_bytes())
    assert contract.operators[0].type is not TaskType.UNKNOWN


def test_inputs_context_and_id_given_on_the_command_line_are_in_the_contract(
    settings: Settings, client: Client, tmp_path: Path
) -> None:
    context = tmp_path / "context.json"
    context.write_text('{"repo": "octolog"}')
    task_id = f"task-{uuid4()}"
    more = ("--input", "code=a {{b}}", "--context", str(context), "--task-id", task_id)
    said = told(settings, "submit", str(XML / "readability.xml"), *more)
    contract = submitted(client, said["partition"], said["offset"]).contract
    assert contract.task_id == task_id
    assert json.loads(contract.context_json) == {"code": "a {{b}}", "repo": "octolog"}
    assert contract.operators[0].inputs == (OperatorInput("code", variable="code"),)


def test_a_contract_in_json_may_name_a_template(settings: Settings, client: Client, name: str) -> None:
    client.templates.register(template(name, description="Do it"))
    for asked in (name, f"{name}@1"):
        given = json.dumps({"template": asked, "inputs": {"text": "this"}})
        said = told(settings, "submit", "-", given=given)
        contract = submitted(client, said["partition"], said["offset"]).contract
        assert (contract.goal, contract.operators[0].instructions) == ("Do it", "Do {{text}}")
    by_client = client.submit({"template": name, "inputs": {"text": "this"}})
    assert by_client.topic == CONTRACTS
    with pytest.raises(NotFound, match="no template"):
        client.submit({"template": f"{name}-missing"})


def test_a_hostile_document_gets_nothing_into_the_log_by_a_client(settings: Settings, client: Client) -> None:
    with Connection(settings) as connection:
        before = connection.reader().ends([CONTRACTS, TEMPLATES])
        for name in ("bomb", "external-entity", "deep-tasks", "same-step", "too-many-made"):
            for hand_in in (
                client.submit,
                client.templates.register,
                lambda xml: client.submit({"goal": "g", "xml": xml}),
            ):
                with pytest.raises(DocumentRefused):
                    hand_in(HOSTILE[name])
        assert connection.reader().ends([CONTRACTS, TEMPLATES]) == before
