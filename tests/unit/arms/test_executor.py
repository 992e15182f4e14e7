"""The executor: what it refuses, what it runs, what it says about either."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest

from arms.arm import Answer, Retry
from arms.builtin.executor import execute, make_executor
from arms.executor.commands import COMMANDS
from arms.executor.policy import ExecutorPolicy, Forbidden
from arms.handler import Handler
from arms.outcome import Outcomes
from arms.sandbox.box import DEFAULT_LIMITS, Box, NotConfined, Wall, detect, run
from arms.sandbox.walls import WALLS, missing, sentence
from arms.work import Work
from octolog.domain.reports import ResultStatus
from tests.unit.arms.doubles import RecordingMeter, assignment

needs_walls = pytest.mark.skipif(bool(missing(detect())), reason=f"this kernel confines nothing: {detect()}")
DEFAULT = ExecutorPolicy()
HOLDING = dict.fromkeys(WALLS, "")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "a.txt").write_text("alpha\nbeta\n")
    (tmp_path / "b.py").write_text("beta = 1\n")
    return tmp_path


def shell(workspace: Path, command: str, *args: str, **more: Any) -> dict[str, Any]:
    policy = ExecutorPolicy(commands=tuple(COMMANDS), workspaces=(workspace,))
    asked = {"action": "shell", "command": command, "args": list(args), "workspace": str(workspace)}
    return dict(execute(policy, asked | more).output)


def test_27_rm_is_refused_naming_what_is_allowed_and_no_process_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("subprocess.Popen", lambda *_, **__: pytest.fail("a process was started"))
    made = make_executor(DEFAULT)
    given = assignment(arm_id=made.arm_id, context={"action": "shell", "command": "rm", "args": ["-rf", "/"]})
    handler = Handler(given, RecordingMeter())
    with pytest.raises(Forbidden) as caught:
        made(Work(given, handler))
    result = Outcomes(made).of_error(given, caught.value, handler, took_ms=1, ended_ms=1)
    assert (result.status, result.error_code, result.retryable) == (
        ResultStatus.FAILURE,
        "COMMAND_NOT_ALLOWED",
        False,
    )
    assert result.error == "command 'rm' is not allowed; allowed: cat, echo, find, grep, head, ls, tail, wc"


@needs_walls
def test_27_echo_runs_with_exit_code_0_and_says_what_was_run() -> None:
    answer = execute(DEFAULT, {"action": "shell", "command": "echo", "args": ["hello", "world"]})
    output = answer.output
    assert (output["stdout"], output["stderr"], output["exit_code"], output["success"]) == (
        "hello world\n",
        "",
        0,
        True,
    )
    assert (output["stdout_truncated"], output["stderr_truncated"]) == (False, False)
    assert output["duration_ms"] >= 0
    canonical = b'["echo","hello","world"]'
    assert output["provenance"] == {"command_hash": sha256(canonical).hexdigest(), "data_sources": []}
    assert answer.command == canonical.decode()


@needs_walls
@pytest.mark.parametrize(
    ("command", "args", "expected"),
    [
        ("cat", ["a.txt"], "alpha\nbeta\n"),
        ("cat", ["-n", "a.txt"], "     1\talpha\n     2\tbeta\n"),
        ("grep", ["-n", "beta", "a.txt"], "2:beta\n"),
        ("grep", ["-rl", "-e", "beta", "--include=*.py", "."], "./b.py\n"),
        ("find", [".", "-name", "*.py"], "./b.py\n"),
        ("find", [".", "(", "-name", "b*", "-o", "-empty", ")", "-type", "f", "-print"], "./b.py\n"),
        ("head", ["-1", "a.txt"], "alpha\n"),
        ("tail", ["-n", "1", "a.txt"], "beta\n"),
        ("wc", ["-l", "a.txt"], "2 a.txt\n"),
        ("ls", ["-1"], "a.txt\nb.py\n"),
    ],
)
def test_allowed_commands_read_the_workspace(
    command: str, args: list[str], expected: str, workspace: Path
) -> None:
    output = shell(workspace, command, *args)
    assert (output["stdout"], output["exit_code"]) == (expected, 0)
    sources = output["provenance"]["data_sources"]
    assert sources
    assert all(Path(source).is_relative_to(workspace.resolve()) for source in sources)


@needs_walls
def test_a_command_that_fails_is_an_answer_with_its_exit_code(workspace: Path) -> None:
    output = shell(workspace, "grep", "nowhere", "a.txt")
    assert (output["success"], output["exit_code"]) == (False, 1)
    output = shell(workspace, "cat", "gone.txt")
    assert (output["success"], output["exit_code"]) == (False, 1)
    assert "gone.txt" in output["stderr"]


@needs_walls
def test_without_a_workspace_a_command_stands_in_an_empty_folder() -> None:
    assert execute(DEFAULT, {"action": "shell", "command": "ls", "args": []}).output["stdout"] == ""
    with pytest.raises(Forbidden, match="names no workspace"):
        execute(DEFAULT, {"action": "shell", "command": "cat", "args": ["x"]})


@needs_walls
def test_a_script_runs_with_its_arguments_and_an_environment_of_four() -> None:
    code = "import os, sys\nprint(sys.argv[1:], sorted(os.environ))\nopen('kept', 'w').write('x')\nraise SystemExit(3)"
    output = execute(DEFAULT, {"action": "python", "code": code, "args": ["a b"]}).output
    assert output["stdout"] == "['a b'] ['HOME', 'LC_ALL', 'PATH', 'TMPDIR']\n"
    assert (output["exit_code"], output["success"]) == (3, False)


@needs_walls
def test_a_script_that_does_not_end_is_killed_and_may_be_tried_again() -> None:
    with pytest.raises(Retry) as caught:
        execute(DEFAULT, {"action": "python", "code": "import time; time.sleep(99)", "timeout": 1})
    assert caught.value.code == "EXECUTION_TIMEOUT"


@needs_walls
def test_output_is_kept_to_its_bound_and_said_to_be_cut() -> None:
    output = execute(DEFAULT, {"action": "python", "code": "print('x' * 1_000_000)"}).output
    assert (len(output["stdout"]), output["stdout_truncated"]) == (DEFAULT_LIMITS.output_bytes, True)


def test_where_nothing_confines_a_program_none_is_started() -> None:
    too_few: list[frozenset[Wall]] = [
        frozenset({"files", "landlock", "namespaces"}),
        frozenset({"namespaces", "seccomp"}),
    ]
    for without in too_few:
        with pytest.raises(NotConfined, match="left out"):
            run(("/bin/echo", "x"), Box(without=without))


@pytest.mark.parametrize(
    ("lost", "confined"),
    [
        ((), True),
        (("namespaces", "files"), True),
        (("landlock", "seccomp"), True),
        (("files", "landlock"), False),
        (("files", "seccomp"), False),
        (("namespaces", "seccomp"), False),
    ],
)
def test_a_program_is_confined_when_files_network_and_processes_are(
    lost: tuple[str, ...], confined: bool
) -> None:
    walls = HOLDING | dict.fromkeys(lost, "not offered")
    assert (missing(walls) == "") is confined
    assert all(f"{name} (not offered)" in sentence(walls) for name in lost)


def test_tags_and_description_say_what_the_policy_and_the_machine_allow() -> None:
    def about(policy: ExecutorPolicy, walls: dict[str, str] | None = None) -> tuple[tuple[str, ...], str]:
        capability = make_executor(policy, walls=walls).capability
        return capability.capabilities, capability.description

    assert about(DEFAULT)[0] == ("python_execution", "shell_execution")
    assert about(ExecutorPolicy(hosts=("example.com",)))[0] == (
        "http_requests",
        "python_execution",
        "shell_execution",
    )
    assert "Landlock" in about(DEFAULT, HOLDING)[1]
    nowhere = dict.fromkeys(WALLS, "not offered")
    tags, text = about(DEFAULT, nowhere)
    assert tags == ("python_execution",)
    assert "cannot confine programs" in text


class Site(BaseHTTPRequestHandler):
    seen: ClassVar[list[tuple[str, str, str]]] = []

    def do_GET(self) -> None:
        self._answer(302 if self.path == "/away" else 404 if self.path == "/gone" else 200, b"page " * 10)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self._answer(200, b"got " + body)

    def _answer(self, status: int, body: bytes) -> None:
        self.seen.append((self.command, self.path, self.headers["host"]))
        self.send_response(status)
        if status == 302:
            self.send_header("location", "/page")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the base class names it
        """Say nothing."""


@pytest.fixture
def site() -> Iterator[str]:
    Site.seen.clear()
    with HTTPServer(("127.0.0.1", 0), Site) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def ask(site: str, path: str = "/page", **more: Any) -> Answer:
    policy = ExecutorPolicy(hosts=(site,), response_bytes=20)
    return execute(policy, {"action": "http", "url": f"http://{site}{path}"} | more)


def test_an_allowed_host_is_asked_and_its_answer_kept_to_the_bound(site: str) -> None:
    output = ask(site).output
    assert (output["status_code"], output["stdout"], output["stdout_truncated"]) == (
        200,
        "page page page page ",
        True,
    )
    assert Site.seen == [("GET", "/page", site)]
    assert output["provenance"]["data_sources"] == [f"http://{site}/page"]
    posted = ask(site, method="POST", body="{}", headers={"content-type": "application/json"}).output
    assert posted["stdout"] == "got {}"


def test_a_redirect_is_told_and_not_followed(site: str) -> None:
    output = ask(site, "/away").output
    assert (output["status_code"], output["headers"]["location"]) == (302, "/page")
    assert len(Site.seen) == 1


def test_an_http_error_is_an_answer_that_did_not_succeed(site: str) -> None:
    output = ask(site, "/gone").output
    assert (output["status_code"], output["success"], output["exit_code"]) == (404, False, 1)


def test_a_name_that_leads_inside_the_house_is_refused(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    port = int(site.rpartition(":")[2])
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [(2, 1, 6, "", ("127.0.0.1", port))])
    policy = ExecutorPolicy(hosts=(f"rebound.example:{port}",))
    with pytest.raises(Forbidden, match="inside the house"):
        execute(policy, {"action": "http", "url": f"http://rebound.example:{port}/page"})
    assert Site.seen == []


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"headers": {"host": "other"}}, "ARGUMENT_NOT_ALLOWED"),
        ({"headers": {"accept": "a\r\nhost: b"}}, "INVALID_INPUT"),
        ({"body": "x"}, "INVALID_INPUT"),
        ({"method": "PUT"}, "METHOD_NOT_ALLOWED"),
    ],
)
def test_what_a_request_may_not_carry_is_refused(more: dict[str, Any], code: str, site: str) -> None:
    with pytest.raises(Forbidden) as caught:
        ask(site, **more)
    assert caught.value.code == code
    assert Site.seen == []


def test_the_output_is_json_that_a_record_can_hold(site: str) -> None:
    assert json.loads(json.dumps(ask(site).output))["action"] == "http"
