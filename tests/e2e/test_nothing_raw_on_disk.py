"""Personal data and secrets given to a whole node: afterwards no byte of its home holds a raw value, decoded or not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import duckdb
import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition
from typer.testing import CliRunner

from octolog.app.connection import Connection
from octolog.app.settings import Settings, load_settings
from octolog.cli.application import build
from octolog.client import Client
from projections.duck import FILE_NAME

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.timeout(300)]

# One of each by the user, others by a file that only an arm reads. None is anybody's; the key is written in two.
GIVEN: Final = {
    "ssn": "219-09-8734",
    "email": "ilse.raven@mailhouse.example",
    "card": "4539 1488 0343 6467",
    "iban": "DE44 5001 0517 5407 3249 31",
    "phone": "+49 30 90182077",
    "github": "ghp_" + "k3J9x0Qw7Zr2Tn5Vb8Yc1Lm4Pd6Sf0Ga3HuE",
    "password": "vex-Marble-4471",
}
IN_FILE: Final = {"ssn": "318-22-7719", "email": "otto.finch@depot.example", "card": "5425 2334 3010 9903"}
LET_THROUGH: Final = "wanted.raw@control.example"
"""Sent with OCTOLOG_PII=off: the scan has to find it, or it would find nothing anywhere."""


class Node:
    """A node with two arms, and what was said to it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.said: list[str] = []

    @property
    def settings(self) -> Settings:
        return load_settings(home=self.home)

    def run(self, *arguments: str, given: str | None = None) -> Any:
        result = CliRunner().invoke(build(), [*arguments, "--json", "--home", str(self.home)], input=given)
        self.said += [result.stdout, result.stderr]
        return json.loads(result.stdout)


def sentence(values: dict[str, str]) -> str:
    return "; ".join(f"password: {value}" if kind == "password" else value for kind, value in values.items())


@pytest.fixture(scope="module")
def used(kafka_jars: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node that did work on raw values, still running."""
    folder = tmp_path_factory.mktemp("documents")
    (folder / "contacts.md").write_text(
        f"# Contacts\n\nThe depot's ledger names {sentence(IN_FILE)} as paid.\n"
    )
    node = Node(tmp_path_factory.mktemp("node"))
    try:
        node.run("up", "--detach", "--arms", "guardian,retriever", "--partitions", "2")
        use(node, folder)
        yield node
    finally:
        node.run("down")


def use(node: Node, folder: Path) -> None:
    raw = sentence(GIVEN)
    contract = {
        "goal": f"Check this: {raw}",
        "context": {"text": raw, "customer": {"ssn": 219098734, "password": GIVEN["password"]}},
        "constraints": [raw],
        "acceptance_criteria": [f"names {GIVEN['email']}"],
        "assigned_arm": "guardian",
    }
    checked = node.run("submit", "-", "--wait", "--timeout", "120", given=json.dumps(contract))
    assert checked.get("status") == "completed", checked
    assert checked["redacted"] == {
        "card": 3, "email": 4, "github_token": 3, "iban": 3, "password": 4, "phone": 3, "ssn": 4,
    }  # fmt: skip
    search = {
        "goal": "Find the ledger of the depot",
        "context": {"path": str(folder), "query": "depot ledger contacts", "min_score": 0},
        "assigned_arm": "retriever",
    }
    found = node.run("submit", "-", "--wait", "--timeout", "120", given=json.dumps(search))
    assert found.get("status") == "completed", found
    assert "[REDACTED_SSN]" in json.dumps(found["result"]), (
        "the arm read the file, and its output was redacted"
    )
    nobody = {
        "goal": f"call {GIVEN['phone']}",
        "required_capabilities": ["nobody_has_this"],
        "task_id": "waits",
    }
    node.run("submit", "-", given=json.dumps(nobody))
    clash = {**nobody, "goal": f"another goal for {GIVEN['email']}"}
    assert (
        node.run("submit", "-", "--wait", "--timeout", "120", given=json.dumps(clash))["status"] == "rejected"
    )
    assert node.run("task", "cancel", "waits", "--reason", raw)["redacted"]["ssn"] == 1
    assert "error" in node.run("submit", "-", given=json.dumps({"goal": [raw]}))
    with Client(node.settings.model_copy(update={"pii": "off"})) as client:
        client.wait(client.submit({"goal": f"Write to {LET_THROUGH}", "assigned_arm": "guardian"}), 120)
    under_a_policy(node)
    by_other_ways(node, raw)
    node.run("query", "SELECT count(*) FROM contract_submit_task")


def under_a_policy(node: Node) -> None:
    """The same for what is sent under a named policy, whose attempts need tokens."""
    policy = {"name": "strict", "description": f"for {GIVEN['email']}", "allowed_arms": ["guardian"]}
    put = node.run("policy", "put", "-", given=json.dumps(policy))
    assert (put["name"], put["topic"]) == ("strict", "octolog.arms")
    (kept,) = [each for each in node.run("policy", "list")["policies"] if each["name"] == "strict"]
    assert (kept["version"], kept["token_lifetime_seconds"]) == (1, 300)
    assert kept["description"] == "for [REDACTED_EMAIL]"
    goal = {"goal": "Check the text", "context": {"text": f"of {GIVEN['iban']}"}, "security_policy": "strict"}
    done = node.run("submit", "-", "--wait", "--timeout", "120", given=json.dumps(goal))
    assert done.get("status") == "completed", done
    unknown = {**goal, "security_policy": "nobody-put-this"}
    refused = node.run("submit", "-", "--wait", "--timeout", "120", given=json.dumps(unknown))
    assert refused["status"] == "rejected", refused
    (key,) = node.run("policy", "keys")["keys"]
    assert key["revoked"] is False
    voided = node.run("policy", "revoke", "key", key["key_id"], "--reason", f"asked by {GIVEN['email']}")
    assert voided["subject"] == key["key_id"]
    again = node.run("submit", "-", "--wait", "--timeout", "120", given=json.dumps(goal))
    assert again.get("status") == "completed", again
    assert [each["revoked"] for each in node.run("policy", "keys")["keys"]] == [True, False]
    verified = node.run("replay", "--verify")
    assert not verified.get("problems"), verified


def by_other_ways(node: Node, raw: str) -> None:
    """Through memory, the registry, templates and the blob store."""
    with Client(node.settings) as client:
        known = client.remember(
            f"The customer of {raw}",
            entity_type="fact",
            source="guardian",
            task_id="waits",
            confidence=0.9,
            validated=True,
            metadata={"contact": GIVEN["email"]},
        )
        assert client.forget_memory(known.memory_id, reason=f"asked by {GIVEN['email']}").redacted == {
            "email": 1
        }
        arm = {
            "arm_id": "clerk",
            "name": "Clerk",
            "description": raw,
            "capabilities": ["filing"],
            "cost_tier": 1,
        }
        assert client.register_arm(arm).redacted["ssn"] == 1
        client.retire_arm("clerk", reason=raw)
        large = {
            "goal": "Check the text",
            "context": {"text": raw, "fill": "x" * 300_000},
            "assigned_arm": "guardian",
        }
        outcome = client.wait(client.submit(large), 120)
        assert "[REDACTED_EMAIL]" in json.dumps(outcome.result)


def raw_forms() -> list[str]:
    """Every value, and every number without what separates its digits."""
    values = [*GIVEN.values(), *IN_FILE.values()]
    return [*values, *(value.replace(" ", "").replace("-", "") for value in values if value[-1].isdigit())]


def leaks(where: str, content: bytes) -> list[str]:
    return [f"{value} in {where}" for value in raw_forms() if value.encode() in content]


def records_of(settings: Settings) -> Iterator[tuple[str, bytes]]:
    """Every record of every topic, decompressed by the client: key, value and headers."""
    with Connection(settings) as connection:
        asked = {"isolation.level": "read_uncommitted", "enable.partition.eof": True}
        consumer = Consumer({**connection.kafka.consumer("scan"), **asked})
    try:
        topics = consumer.list_topics(timeout=30).topics.items()
        places = [TopicPartition(name, number, 0) for name, topic in topics for number in topic.partitions]
        consumer.assign(places)
        open_ones = {(place.topic, place.partition) for place in places}
        while open_ones:
            message = consumer.poll(60)
            assert message is not None, f"not read to their ends: {sorted(open_ones)}"
            error = message.error()
            if error is not None:
                assert error.code() == KafkaError._PARTITION_EOF, error
                open_ones.discard((message.topic() or "", message.partition() or 0))
                continue
            headers = repr(message.headers()).encode()
            yield (
                f"{message.topic()}/{message.partition()}@{message.offset()}",
                b" ".join((message.key() or b"", message.value() or b"", headers)),
            )
    finally:
        consumer.close()


def test_behaviour_25_no_record_of_any_topic_holds_a_raw_value(used: Node) -> None:
    found: list[str] = []
    topics: set[str] = set()
    control = 0
    for where, content in records_of(used.settings):
        topics.add(where.split("/")[0])
        control += LET_THROUGH.encode() in content
        found += leaks(where, content)
    assert found == []
    assert control >= 2, "the scan sees what was let through, in the contract and in the facts"
    assert {"octolog.contracts", "octolog.tasks", "octolog.results", "octolog.assignments.guardian"} <= topics


def test_what_was_said_to_the_user_never_repeats_a_raw_value(used: Node) -> None:
    assert leaks("what was said", "\n".join(used.said).encode()) == []


def test_behaviour_25_no_byte_on_disk_holds_a_raw_value_after_the_node_stopped(used: Node) -> None:
    used.run("down")
    files = [path for path in used.home.rglob("*") if path.is_file()]
    assert any(path.suffix == ".log" and path.stat().st_size for path in files), (
        "segments or logs were written"
    )
    found = [leak for path in files for leak in leaks(str(path.relative_to(used.home)), path.read_bytes())]
    assert found == []
    with duckdb.connect(str(used.settings.knowledge_dir / FILE_NAME), read_only=True) as store:
        names = store.execute("SELECT schema_name, table_name FROM duckdb_tables()").fetchall()
        tables = [f'"{schema}"."{table}"' for schema, table in names]
        rows = {name: repr(store.execute(f"SELECT * FROM {name}").fetchall()) for name in tables}
    assert [leak for name, text in rows.items() for leak in leaks(name, text.encode())] == []
    assert any(LET_THROUGH in text for text in rows.values()), "the scan sees what was let through"
