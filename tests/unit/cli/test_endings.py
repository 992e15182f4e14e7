"""How commands end: exit codes, one line, one JSON document, and never a traceback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from octolog.cli.command import Call, command
from octolog.domain.errors import BrokerUnavailable, InvalidContract, OctologError


def run(tmp_path: Path, work: Callable[[Call], None], *arguments: str) -> tuple[int, str, str]:
    app = typer.Typer(pretty_exceptions_enable=False)

    def act(call: Call) -> None:
        work(call)

    command(app)(act)
    result = CliRunner().invoke(app, ["--home", str(tmp_path), *arguments])
    return result.exit_code, result.stdout, result.stderr


def raising(error: BaseException) -> Callable[[Call], None]:
    def work(_: Call) -> None:
        raise error

    return work


def test_an_answer_is_text_or_one_json_document(tmp_path: Path) -> None:
    def work(call: Call) -> None:
        call.show({"n": 1}, lambda: "one")

    assert run(tmp_path, work) == (0, "one\n", "")
    assert run(tmp_path, work, "--json") == (0, '{"n": 1}\n', "")


@pytest.mark.parametrize(
    "error",
    [BrokerUnavailable("no node\nruns here"), InvalidContract("CODE", "a.b", "is wrong"), OctologError()],
)
def test_what_is_refused_ends_with_1_and_one_line(tmp_path: Path, error: OctologError) -> None:
    code, out, err = run(tmp_path, raising(error))
    assert (code, out) == (1, "")
    assert err.startswith("octolog: ")
    assert err.count("\n") == 1


def test_a_refusal_as_json_names_code_and_field(tmp_path: Path) -> None:
    code, out, err = run(tmp_path, raising(InvalidContract("CODE", "a.b", "is wrong")), "--json")
    assert code == 1
    assert json.loads(out) == {
        "error": {
            "kind": "InvalidContract",
            "code": "CODE",
            "field": "a.b",
            "message": "is wrong",
            "retryable": False,
        }
    }
    assert err == "octolog: CODE: a.b: is wrong\n"


def test_what_can_be_tried_again_says_so(tmp_path: Path) -> None:
    _, out, _ = run(tmp_path, raising(BrokerUnavailable("away")), "--json")
    assert json.loads(out)["error"]["retryable"] is True


def test_a_fault_of_ours_is_one_line_and_its_traceback_is_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OCTOLOG_DEBUG", raising=False)
    code, out, err = run(tmp_path, raising(ZeroDivisionError("division\nby zero")), "--json")
    assert code == 1
    assert json.loads(out)["error"]["kind"] == "ZeroDivisionError"
    log = tmp_path / "logs" / "cli.log"
    assert (
        err == f"octolog: unexpected ZeroDivisionError: division by zero; see {log} or set OCTOLOG_DEBUG=1\n"
    )
    assert "Traceback" in log.read_text()


def test_who_debugs_sees_the_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCTOLOG_DEBUG", "1")
    code, _, err = run(tmp_path, raising(ZeroDivisionError()))
    assert code == 1
    assert "Traceback" in err


def test_ctrl_c_ends_with_130(tmp_path: Path) -> None:
    assert run(tmp_path, raising(KeyboardInterrupt())) == (130, "", "")


def test_wrong_usage_ends_with_2(tmp_path: Path) -> None:
    code, out, _ = run(tmp_path, lambda _: None, "--no-such-option")
    assert (code, out) == (2, "")


def test_a_failed_answer_is_shown_with_its_reason(tmp_path: Path) -> None:
    def work(call: Call) -> None:
        call.fail({"status": "failed"}, "it failed", lambda: "the table")

    assert run(tmp_path, work) == (1, "the table\n", "octolog: it failed\n")
    assert run(tmp_path, work, "--json") == (1, '{"status": "failed"}\n', "octolog: it failed\n")


def test_control_characters_of_the_log_never_reach_the_terminal(tmp_path: Path) -> None:
    def work(call: Call) -> None:
        call.show({}, lambda: "\x1b[2Jgone\x07")

    assert run(tmp_path, work)[1] == "\\x1b[2Jgone\\x07\n"
    assert run(tmp_path, raising(OctologError("\x1b[2J")))[2] == "octolog: \\x1b[2J\n"


def octolog(*arguments: str, home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "octolog.cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
        env={**os.environ, "OCTOLOG_HOME": str(home)},
    )


def test_ctrl_c_while_a_command_waits_for_input_ends_with_130(tmp_path: Path) -> None:
    process = octolog("submit", "-", home=tmp_path)
    assert process.stdin is not None
    process.stdin.write("{")  # it reads on until the end of its input
    process.stdin.flush()
    while not _at_work(process):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err


def _at_work(process: subprocess.Popen[str]) -> bool:
    """True once the compiled half of pydantic is mapped: the command reads its input then, or will soon."""
    assert process.poll() is None
    return "pydantic_core" in Path(f"/proc/{process.pid}/maps").read_text()


def test_a_reader_that_goes_away_ends_quietly(tmp_path: Path) -> None:
    process = octolog("schemas", "list", "--json", home=tmp_path)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    assert (process.wait(60), err) == (141, "")
    process.stderr.close()
    assert process.stdin is not None
    process.stdin.close()
