"""`octolog arms check`: the example passes every check; each way to go wrong fails the check that is for it."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from arms.bridge import BridgeSettings, health
from arms.bridge.conformance import CHECKS, Checked, Verdict, check_service
from octolog.cli.application import build
from tests.unit.bridge.services import Behaviour, Service, drop, error, example, raw, serving, success


@pytest.fixture(autouse=True)
def busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A health that takes 3 s says how busy this machine is, and nothing of the service."""
    monkeypatch.setattr(health, "SLOW_S", 60.0)


def made(service: Service, **more: Any) -> dict[str, Checked]:
    settings = BridgeSettings(service.url, health_timeout_s=60.0)
    return {one.check: one for one in check_service(settings, timeout_s=60.0, **more)}


def failed(found: dict[str, Checked]) -> set[str]:
    return {name for name, one in found.items() if one.verdict is Verdict.FAIL}


def test_the_example_service_passes_every_check() -> None:
    with serving() as service:
        found = made(service)
    assert list(found) == list(CHECKS)
    assert {one.verdict for one in found.values()} == {Verdict.PASS}, found


_NUMBERS = count()


def anew(_: Any, request: dict[str, Any]) -> Any:
    return 200, success({"attempt_id": None, **request}, output={"words": next(_NUMBERS), "top": []})


def careless(handler: Any, request: dict[str, Any]) -> Any:
    return 200, {
        "attempt_id": request.get("attempt_id"),
        "status": "success",
        "output": {"words": 1, "top": []},
    }


def strict(handler: Any, request: dict[str, Any]) -> Any:
    if "from_a_later_version" in request:
        return 400, error("UNKNOWN_FIELD", category="validation")
    return 200, example.Handler.execute(handler, request)


def other_type(handler: Any, request: dict[str, Any]) -> Any:
    document = example.Handler.execute(handler, request)
    return 200, {**document, "output": "three"}


def spending(handler: Any, request: dict[str, Any]) -> Any:
    return 200, {**example.Handler.execute(handler, request), "tokens_used": 50}


def plain_text(handler: Any, request: dict[str, Any]) -> Any:
    return raw(handler, b"fine", media_type="text/plain")


def falls_over(handler: Any, request: dict[str, Any]) -> Any:
    if len(request.get("contract", {}).get("context", {}).get("filler", "")) > 1_000:
        return 500, error("INTERNAL_ERROR", "out of memory", category="internal")
    return 200, example.Handler.execute(handler, request)


def always_busy(handler: Any, request: dict[str, Any]) -> Any:
    return 503, error("ARM_UNAVAILABLE", category="external", retryable=True)


@pytest.mark.parametrize(
    ("execute", "broken"),
    [
        (anew, {"idempotent", "refuses bad input"}),
        (careless, {"refuses bad input"}),
        (strict, {"tolerates unknown fields"}),
        (other_type, {"output obeys its schema"}),
        (spending, {"model use is declared"}),
        (falls_over, {"oversized input"}),
    ],
    ids=["forgets", "careless", "strict", "other type", "spends", "falls over"],
)
def test_each_way_to_go_wrong_fails_its_check_with_what_to_do(execute: Behaviour, broken: set[str]) -> None:
    with serving(execute) as service:
        found = made(service)
    assert failed(found) == broken
    for name in broken:
        assert found[name].remedy == CHECKS[name].remedy
        assert found[name].seen


@pytest.mark.parametrize("execute", [plain_text, always_busy, lambda handler, _: drop(handler)])
def test_a_service_that_does_no_task_fails_whatever_needs_one(execute: Behaviour) -> None:
    with serving(execute) as service:
        found = made(service)
    assert failed(found) >= {
        "executes a sample", "output obeys its schema", "idempotent", "tolerates unknown fields", "concurrency",
    }  # fmt: skip
    assert found["description"].verdict is Verdict.PASS


def test_a_description_that_is_none_fails_first_and_what_stands_on_it_is_skipped() -> None:
    with serving(arm=(200, {**example.DESCRIPTION, "cost_tier": 6})) as service:
        found = made(service)
    assert found["description"].seen == "INVALID_CAPABILITY: cost_tier: 6 is not between 1 and 5"
    assert found["executes a sample"].verdict is Verdict.SKIP
    for broken in ({"type": 3}, {"$ref": "http://127.0.0.1:1/x"}):
        with serving(description={"output_schema": broken}) as service:
            assert "description" in failed(made(service))


def test_a_cancel_that_fails_and_a_sick_health_are_found() -> None:
    with serving(cancel=(500, {})) as service:
        service.health = (500, {})
        found = made(service)
    assert failed(found) == {"health", "cancellation"}


def test_without_a_sample_the_checks_that_need_one_are_skipped_and_say_what_to_give() -> None:
    with serving(description={"samples": []}) as service:
        found = made(service)
    assert found["executes a sample"].verdict is Verdict.SKIP
    assert "--sample" in found["executes a sample"].seen


def run(*arguments: str) -> Result:
    return CliRunner().invoke(build(), ["arms", "check", *arguments])


def test_the_command_prints_a_table_or_one_document_and_exits_with_1_when_a_check_fails(
    tmp_path: Path,
) -> None:
    with serving() as service:
        good = run(service.url)
        asked = json.loads(run(service.url, "--json").stdout)
    assert good.exit_code == 0, good.stderr
    assert good.stdout.count("pass") >= len(CHECKS)
    assert (asked["passed"], asked["failed"]) == (True, [])
    assert [row["check"] for row in asked["checks"]] == list(CHECKS)
    with serving(other_type) as service:
        bad = run(service.url)
        document = json.loads(run(service.url, "--json").stdout)
    assert bad.exit_code == 1
    assert bad.stderr == "octolog: 1 of 11 checks failed: output obeys its schema\n"
    assert document["failed"] == ["output obeys its schema"]


def test_a_sample_of_ones_own_is_used(tmp_path: Path) -> None:
    file = tmp_path / "sample.json"
    file.write_text(json.dumps({"goal": "mine", "context": {"text": "one two"}}))
    with serving() as service:
        assert run(service.url, "--sample", str(file)).exit_code == 0
        done = [request["contract"] for request in service.asked if "contract" in request]
        assert {contract["context"].get("text") for contract in done if "goal" in contract} == {"one two"}
    file.write_text('{"context": {}}')
    with serving() as service:
        refused = run(service.url, "--sample", str(file))
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert 'needs a "goal"' in refused.stderr


def test_nobody_there_is_one_line_and_exit_code_1() -> None:
    gone = run("http://127.0.0.1:1")
    assert gone.exit_code == 1
    assert "ConnectError" in gone.stdout
    wrong = run("nowhere")
    assert (wrong.exit_code, wrong.stdout) == (1, "")
    assert "is no http or https URL" in wrong.stderr
