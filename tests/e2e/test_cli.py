"""The command line against a node of its own, as a person or a script uses it."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from octolog.app.connection import Connection
from octolog.app.settings import load_settings
from octolog.cli.application import build
from tests.unit.bridge.notices import noticing

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.timeout(300)]


@dataclass(frozen=True, slots=True)
class Said:
    """What a command said.

    Attributes:
        code: Its exit code.
        out: Its stdout.
        err: Its stderr.
    """

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """Its one JSON document."""
        found: dict[str, Any] = json.loads(self.out)
        return found


class Node:
    """A running node and the commands to it."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def run(self, *arguments: str, given: str | None = None) -> Said:
        result = CliRunner().invoke(build(), [*arguments, "--home", str(self.home)], input=given)
        return Said(result.exit_code, result.stdout, result.stderr)

    def json(self, *arguments: str, given: str | None = None, code: int = 0) -> dict[str, Any]:
        said = self.run(*arguments, "--json", given=given)
        assert said.code == code, said
        return said.document

    def process(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "octolog.cli", *arguments, "--home", str(self.home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def submitted(self, **contract: Any) -> dict[str, Any]:
        return self.json("submit", "-", given=json.dumps({"goal": "g", **contract}))

    def contracts_end(self) -> int:
        rows = self.json("topics", "list")["topics"]
        return int(next(row["end_offsets"] for row in rows if row["topic"] == "octolog.contracts"))


@pytest.fixture(scope="module")
def node(kafka_jars: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = Node(tmp_path_factory.mktemp("node"))
    try:
        started = node.json("up", "--detach", "--arms", "noop", "--partitions", "2")
        assert started["already_running"] is False
        yield node
    finally:
        node.run("down")
    assert node.json("status", code=1)["running"] is False


def no_arm(task_id: str) -> dict[str, Any]:
    return {"goal": "nobody can", "task_id": task_id, "required_capabilities": ["nobody_has_this"]}


def fresh(name: str) -> str:
    return f"{name}-{uuid4().hex[:8]}"


def test_a_node_that_runs_is_found_and_not_started_again(node: Node) -> None:
    assert node.json("up", "--detach")["already_running"] is True


def test_the_status_names_every_process(node: Node) -> None:
    said = node.json("status")
    assert said["running"] is True
    names = {part["name"] for part in said["components"]}
    assert {"kafka", "arms", "knowledge", "memory", "processor-0"} <= names
    assert all(part["pid"] for part in said["components"])


def test_submitting_and_waiting_gives_place_status_and_result(node: Node) -> None:
    contract = {"goal": "g", "assigned_arm": "noop", "budget": {"max_tokens": 5}}
    said = node.json("submit", "-", "--wait", given=json.dumps(contract))
    assert list(said) == ["task_id", "topic", "partition", "offset", "status", "result"]
    assert (said["topic"], said["status"]) == ("octolog.contracts", "completed")
    assert said["result"]["attempt_id"]


def test_a_contract_submitted_again_has_the_first_ones_outcome(node: Node) -> None:
    contract = json.dumps({"goal": "g", "assigned_arm": "noop", "task_id": fresh("again")})
    first = node.json("submit", "-", "--wait", given=contract)
    second = node.json("submit", "-", "--wait", given=contract)
    assert second["result"] == first["result"]
    assert second["offset"] > first["offset"]


def test_another_contract_under_the_same_id_is_rejected(node: Node) -> None:
    task_id = fresh("clash")
    node.submitted(task_id=task_id, assigned_arm="noop")
    other = json.dumps({"goal": "other", "task_id": task_id, "required_capabilities": ["nobody_has_this"]})
    said = node.run("submit", "-", "--wait", "--json", given=other)
    assert said.code == 1
    assert (said.document["status"], said.document["code"]) == ("rejected", "DUPLICATE_TASK_ID")
    assert said.err.count("\n") == 1


def test_nothing_refused_is_produced(node: Node) -> None:
    before = node.contracts_end()
    bad = ["{", '{"goal": 1}', '{"goal": "g", "budget": {"max_tokens": -1}}', '{"goal": "g", "x": NaN}']
    for document in (*bad, json.dumps({"goal": "x" * 10_000_000})):
        assert node.run("submit", "-", given=document).code == 1
    assert node.contracts_end() == before


def test_a_task_can_be_shown_cancelled_and_shown_as_it_was(node: Node) -> None:
    task_id = fresh("cancel")
    node.submitted(**no_arm(task_id))
    assert node.json("task", "show", task_id)["status"] == "READY"
    assert node.json("task", "cancel", task_id, "--reason", "enough")["status"] == "cancelled"
    again = node.json("task", "cancel", task_id, "--timeout", "1")
    assert again["status"] == "requested"
    then = node.json("task", "show", task_id, "--at", "2026-01-01", code=1)
    assert then["error"]["kind"] == "NotFound"
    now = node.json("replay", "--task", task_id)
    assert now["status"] == "CANCELLED"
    before = node.json("task", "show", task_id, "--at", str(now["last_offset"] - 1))
    assert (before["status"], before["as_of_offset"]) == ("OPEN", now["last_offset"] - 1)
    waited = node.run("submit", "-", "--wait", "--json", given=json.dumps(no_arm(task_id)))
    assert (waited.code, waited.document["status"], waited.document["error"]) == (1, "cancelled", "enough")


@pytest.mark.parametrize("request_name", ["cancel", "approve", "deny"])
def test_a_request_about_no_task_is_refused(node: Node, request_name: str) -> None:
    said = node.run("task", request_name, fresh("none"), "--json")
    assert said.code == 1
    assert said.document["error"]["code"] == "TASK_NOT_FOUND"


def test_a_subtask_joins_the_tree_of_its_parent(node: Node) -> None:
    root = node.submitted(**no_arm(fresh("root")))
    child = node.submitted(parent_task_id=root["task_id"], root_task_id=root["task_id"], assigned_arm="noop")
    assert child["partition"] == root["partition"]
    found = node.json("task", "show", child["task_id"])
    assert (found["root_task_id"], found["parent_task_id"]) == (root["task_id"], root["task_id"])
    said = node.run("task", "cancel", child["task_id"])
    assert (said.code, "NOT_A_ROOT" in said.err) == (1, True)
    assert node.json("task", "cancel", root["task_id"])["status"] == "cancelled"


def test_a_wait_that_is_too_short_fails_and_can_be_tried_again(node: Node) -> None:
    task_id = fresh("slow")
    said = node.json("submit", "-", "--wait", "--timeout", "0.5", given=json.dumps(no_arm(task_id)), code=1)
    assert (said["error"]["kind"], said["error"]["retryable"]) == ("NotOver", True)
    node.json("task", "cancel", task_id)


def test_ctrl_c_while_waiting_ends_with_130_and_the_task_goes_on(node: Node) -> None:
    task_id = fresh("interrupt")
    process = node.process("submit", "-", "--wait")
    assert process.stdin is not None
    process.stdin.write(json.dumps(no_arm(task_id)))
    process.stdin.close()
    process.stdin = None
    assert node.json("task", "watch", task_id, "--timeout", "1", code=1)["error"]["kind"] == "Unavailable"
    deadline = time.monotonic() + 60
    while node.run("task", "show", task_id).code and time.monotonic() < deadline:
        pass
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in err) == (130, False)
    assert node.json("task", "cancel", task_id)["status"] == "cancelled"


def test_a_watch_ends_with_the_tree(node: Node) -> None:
    done = node.json("submit", "-", "--wait", given='{"goal": "g", "assigned_arm": "noop"}')
    said = node.json("task", "watch", done["task_id"])
    assert (said["status"], len(said["tasks"])) == ("completed", 1)
    # The watch reads the log; the list is of the projections, which follow it.
    deadline = time.monotonic() + 60
    while done["task_id"] not in {row["root_task_id"] for row in node.json("task", "list")["tasks"]}:
        assert time.monotonic() < deadline, "the tree is not listed within 60 s"


def test_a_watch_of_a_tree_that_does_not_complete_exits_with_1_and_says_why(node: Node) -> None:
    failing = {**no_arm(fresh("fails")), "routing_policy": "cost_first_or_fail"}
    refused = {**no_arm(fresh("refused")), "security_policy": "no-such-policy"}
    for contract, status in ((failing, "failed"), (refused, "rejected")):
        submitted = node.json("submit", "-", "--wait", given=json.dumps(contract), code=1)
        watched = node.json("task", "watch", contract["task_id"], code=1)
        told = {name: watched[name] for name in ("status", "code", "error")}
        assert told == {name: submitted[name] for name in ("status", "code", "error")}
        assert told["status"] == status
    cancelled = fresh("cancels")
    node.json("submit", "-", given=json.dumps(no_arm(cancelled)))
    node.json("task", "cancel", cancelled, "--reason", "no need")
    said = node.run("task", "watch", cancelled)
    assert (said.code, said.out.splitlines()[-1]) == (1, f"{cancelled} cancelled")
    assert said.err == f"octolog: {cancelled} cancelled: CANCELLED: no need\n"


def test_a_service_has_a_subtask_done_asks_a_person_and_answers_with_a_plan(
    node: Node, tmp_path: Path
) -> None:
    context = {"text": "closed on Friday", "places": ["door", "lift"], "arm": "noop"}
    asked = {"task_id": fresh("notice"), "goal": "Give it out", "assigned_arm": "http-notice"}
    with noticing() as url, (tmp_path / "bridge.log").open("w") as log:
        bridge = subprocess.Popen(
            [sys.executable, "-m", "octolog.cli", "arms", "bridge", url, "--home", str(node.home)],
            stdout=log,
            stderr=log,
        )
        try:
            node.json("submit", "-", given=json.dumps({**asked, "context": context}))
            deadline = time.monotonic() + 120
            while not (waiting := node.json("approvals")["approvals"]) and time.monotonic() < deadline:
                time.sleep(0.05)
            questions = {each["task_id"]: each["question"] for each in waiting}
            assert questions == {asked["task_id"]: "Shall 2 notices be put up?"}
            sql = f"SELECT status FROM tasks WHERE task_id = '{asked['task_id']}/subtask-1'"
            assert node.json("query", sql)["rows"] == [{"status": "COMPLETED"}]
            node.json("approve", asked["task_id"])
            tree = node.json("task", "watch", asked["task_id"], "--timeout", "120")["tasks"]
        finally:
            bridge.terminate()
            assert bridge.wait(60) == 0, (tmp_path / "bridge.log").read_text()
    ended = {row["task"].removeprefix(asked["task_id"]): row["status"] for row in tree}
    assert ended == dict.fromkeys(["", "/place-1", "/place-2"], "completed")


def test_the_log_verifies_and_folds_to_the_same_state_twice(node: Node) -> None:
    node.json("submit", "-", "--wait", given='{"goal": "g", "assigned_arm": "noop"}')
    said = node.json("replay", "--verify")
    assert (said["ok"], said["lost_count"], said["difference_count"]) == (True, 0, 0)
    assert said["facts"] > 0
    end = str(10**9)
    assert node.json("replay", "--to", end)["digest"] == node.json("replay")["digest"]


def test_answers_come_in_every_format(node: Node, tmp_path: Path) -> None:
    sql = "SELECT 1 AS n, 'a,b' AS t, [1, 2] AS l, TIMESTAMP '2026-01-31 12:00:00' AS at"
    row = {"n": 1, "t": "a,b", "l": [1, 2], "at": "2026-01-31T12:00:00.000Z"}
    assert node.json("query", sql) == {"columns": list(row), "rows": [row], "truncated": False}
    csv = node.run("query", sql, "--format", "csv").out
    assert csv == 'n,t,l,at\n1,"a,b","[1, 2]",2026-01-31T12:00:00.000Z\n'
    file = tmp_path / "rows.parquet"
    assert node.run("query", sql, "--format", "parquet", "--out", str(file)).code == 0
    assert pyarrow.parquet.read_table(io.BytesIO(file.read_bytes())).to_pylist()[0]["t"] == "a,b"
    assert "a,b" in node.run("query", sql).out


def test_a_query_that_writes_is_refused_and_a_long_answer_is_cut(node: Node) -> None:
    assert node.json("query", "DROP TABLE trees", code=1)["error"]["kind"] == "Refused"
    said = node.run("query", "SELECT * FROM range(10)", "--max-rows", "3", "--json")
    assert (said.document["truncated"], len(said.document["rows"])) == (True, 3)
    assert "--max-rows" in said.err


def test_custody_is_told_in_order(node: Node) -> None:
    done = node.json("submit", "-", "--wait", given='{"goal": "g", "assigned_arm": "noop"}')
    entries = node.json("provenance", done["task_id"])["entries"]
    assert [entry["number"] for entry in entries] == list(range(1, len(entries) + 1))
    assert entries[0]["action"] == "SUBMITTED"


def test_an_arm_is_registered_shown_and_retired(node: Node) -> None:
    arm = {
        "arm_id": "word-counter",
        "name": "W",
        "description": "d",
        "capabilities": ["counting"],
        "cost_tier": 1,
    }
    assert node.json("arms", "register", "-", given=json.dumps(arm))["topic"] == "octolog.arms"
    deadline = time.monotonic() + 60
    while (shown := node.run("arms", "show", "word-counter", "--json")).code and time.monotonic() < deadline:
        pass
    assert shown.document["capabilities"] == ["counting"]
    topics = {row["topic"] for row in node.json("topics", "list")["topics"]}
    assert "octolog.assignments.word-counter" in topics
    node.json("arms", "retire", "word-counter", "--reason", "gone")
    while node.json("arms", "show", "word-counter")["retired"] is False and time.monotonic() < deadline:
        pass
    assert node.json("arms", "show", "word-counter")["retired"] is True
    assert "word-counter" not in {row["arm_id"] for row in node.json("arms", "list")["arms"]}
    assert node.run("arms", "retire", "no-such-arm").code == 1


def test_a_dead_letter_is_redriven_once(node: Node) -> None:
    known = {row["offset"] for row in node.json("dlq", "list")["dead_letters"]}
    with Connection(load_settings(home=node.home)) as connection:
        publisher = connection.publisher()
        publisher.publish("octolog.contracts", "bad", b"\x01no avro", headers={"from": "a test"})
        publisher.flush(10)
    offset = _new_letter(node, known)
    shown = node.json("dlq", "show", str(offset))
    assert (shown["value_hex"], shown["key"]) == (b"\x01no avro".hex(), "bad")
    assert shown["headers"] == [["from", "a test"]]
    first = node.json("dlq", "redrive", str(offset))["redriven"][0]
    again = node.json("dlq", "redrive", str(offset))["redriven"][0]
    assert (first["status"], again["status"]) == ("redriven", "already redriven")
    assert again["place"] == first["place"]
    refused_again = _new_letter(node, known | {offset})
    marked = node.json("dlq", "show", str(refused_again))
    assert ["octolog_redriven_from", f"octolog.dead-letters/0@{offset}"] in marked["headers"]
    assert (marked["key"], marked["value_hex"]) == (shown["key"], shown["value_hex"])
    assert node.run("dlq", "show", "100000").code == 1


def _new_letter(node: Node, known: set[int]) -> int:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for row in node.json("dlq", "list")["dead_letters"]:
            if row["offset"] not in known:
                return int(row["offset"])
    raise AssertionError("no new dead letter within 60 s")


def test_applying_topics_again_creates_none_and_another_size_is_refused(node: Node) -> None:
    assert node.json("topics", "apply", "--partitions", "2") == {"created": []}
    said = node.run("topics", "apply", "--partitions", "3")
    assert (said.code, "partition must never change" in said.err) == (1, True)


def test_publishing_schemas_again_gives_the_same_ids(node: Node) -> None:
    first = node.json("schemas", "publish")["schemas"]
    assert node.json("schemas", "publish")["schemas"] == first
    assert len({row["id"] for row in first}) == len(first)


def test_a_rebuilt_projection_says_the_same_and_goes_on(node: Node) -> None:
    done = node.json("submit", "-", "--wait", given='{"goal": "g", "assigned_arm": "noop"}')
    node.json("task", "show", done["task_id"])
    question = "SELECT root_task_id, status, submitted_at FROM trees ORDER BY root_task_id"
    before = node.json("query", question)
    assert node.json("projections", "rebuild", "analytics")["records"] > 0
    deadline = time.monotonic() + 60
    while (said := node.run("query", question, "--json")).code and time.monotonic() < deadline:
        time.sleep(0.2)  # the node brings its projector back
    assert said.document == before
    later = node.json("submit", "-", "--wait", given='{"goal": "g", "assigned_arm": "noop"}')
    while node.run("task", "show", later["task_id"]).code and time.monotonic() < deadline:
        pass
    assert node.json("task", "show", later["task_id"])["status"] == "COMPLETED"
    assert node.json("projections", "list")["projections"]


def test_a_cluster_that_is_away_is_one_line(tmp_path: Path) -> None:
    environment = {**os.environ, "OCTOLOG_HOME": str(tmp_path), "OCTOLOG_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    done = subprocess.run(
        [sys.executable, "-m", "octolog.cli", "topics", "list", "--json"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["retryable"] is True
    assert "Traceback" not in done.stderr
