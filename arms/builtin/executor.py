"""The executor: runs allowed commands and scripts in a box, and asks allowed hosts; refuses everything else."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any, Final

from arms.arm import Answer, Arm, Fail, Retry, arm
from arms.builtin.reviewers import review_examples
from arms.executor.arguments import check_command
from arms.executor.http import check_request, send
from arms.executor.policy import ExecutorPolicy, Forbidden, workspace_of
from arms.outcome import canonical_json
from arms.sandbox.box import Box, NotConfined, Ran, run
from arms.sandbox.python import run_script
from arms.sandbox.walls import missing, sentence
from arms.work import Work

__all__ = ["ACTIONS", "INPUT", "execute", "make_executor"]

ACTIONS: Final = ("shell", "http", "python")
MAX_SCRIPT_CHARS: Final = 100_000
_TIMEOUT_S: Final = (1, 30, 300)  # least, default, most; facts: executor request
_SYSTEM_PATH: Final = "/usr/local/bin:/usr/bin:/bin"
INPUT: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "action": {"enum": list(ACTIONS)},
        "args": {"type": "array", "items": {"type": "string"}},
        "body": {"type": "string"},
        "code": {"type": "string", "maxLength": MAX_SCRIPT_CHARS},
        "command": {"type": "string"},
        "headers": {"type": "object"},
        "method": {"enum": ["GET", "POST"]},
        "timeout": {"type": "integer", "minimum": _TIMEOUT_S[0], "maximum": _TIMEOUT_S[2]},
        "url": {"type": "string"},
        "workspace": {"type": "string"},
    },
}


def make_executor(policy: ExecutorPolicy, *, walls: Mapping[str, str] | None = None) -> Arm:
    """Make an executor of a policy.

    Args:
        policy: What it may do.
        walls: What holds on this machine, as `arms.sandbox.box.detect` says; None: not looked at yet.
    """

    @arm(
        "executor",
        name="Executor",
        description=_description(policy, walls),
        capabilities=_tags(policy, walls),
        cost_tier=3,
        timeout_seconds=_TIMEOUT_S[2],
        max_concurrent_tasks=1,
        version="2",
        input_schema=INPUT,
    )
    def executor(work: Work) -> Answer:
        """Do the action in the context; without one, check the examples in the context's `paths`."""
        if "action" not in work.context and "paths" in work.context:
            return review_examples(work)
        work.wait(work.handler.permitted())
        return execute(policy.under(work.assignment.policy), work.context)

    return executor


def execute(policy: ExecutorPolicy, asked: Mapping[str, Any]) -> Answer:
    """Do what was asked for, if it is allowed.

    Args:
        policy: What is allowed.
        asked: `action`, and what it takes: `command` and `args`; `code` and `args`; `url`, `method`, `headers` and
            `body`. For all: `timeout` in seconds. For commands and scripts: `workspace`.

    Raises:
        Forbidden: It is not allowed; nothing was started.
        NotConfined: This machine cannot confine programs; nothing was started.
        Retry: It did not end in time; it was killed.
    """
    timeout_s = _timeout(asked.get("timeout", _TIMEOUT_S[1]))
    match asked.get("action"):
        case "shell":
            return _shell(policy, asked, timeout_s)
        case "python":
            return _python(policy, asked, timeout_s)
        case "http":
            return _http(policy, asked, timeout_s)
        case other:
            raise Forbidden(f"action {str(other)[:40]!r} is not one of {', '.join(ACTIONS)}", "INVALID_INPUT")


def _shell(policy: ExecutorPolicy, asked: Mapping[str, Any], timeout_s: int) -> Answer:
    workspace = workspace_of(policy, asked.get("workspace"))
    line = check_command(policy, asked.get("command"), asked.get("args", []), workspace)
    program = shutil.which(line.name, path=_SYSTEM_PATH)
    if program is None:
        raise Fail(f"command {line.name} is not installed on this machine", "NOT_FOUND")
    box = Box(
        readable=() if workspace is None else (workspace,),
        environment=line.environment,
        limits=replace(policy.limits, wall_s=float(timeout_s)),
    )
    ran = _confined(
        lambda: run((program, *line.arguments), box, cwd=None if workspace is None else str(workspace))
    )
    sources = line.paths or (() if workspace is None else (str(workspace),))
    return _answer("shell", [line.name, *line.arguments], ran, timeout_s, sources)


def _python(policy: ExecutorPolicy, asked: Mapping[str, Any], timeout_s: int) -> Answer:
    if not policy.python:
        raise Forbidden("action python is not allowed by the policy", "COMMAND_NOT_ALLOWED")
    workspace = workspace_of(policy, asked.get("workspace"))
    code, arguments = asked.get("code"), asked.get("args", [])
    if not isinstance(code, str) or not code.strip() or len(code) > MAX_SCRIPT_CHARS:
        raise Forbidden(f"`code` is a script of 1 to {MAX_SCRIPT_CHARS} characters", "INVALID_INPUT")
    if not isinstance(arguments, list) or not all(
        isinstance(each, str) and "\0" not in each for each in arguments
    ):
        raise Forbidden("`args` is a list of texts", "INVALID_INPUT")
    readable = () if workspace is None else (workspace,)
    cwd = None if workspace is None else str(workspace)
    ran = _confined(
        lambda: run_script(
            code, arguments, timeout_s=float(timeout_s), readable=readable, limits=policy.limits, cwd=cwd
        )
    )
    return _answer("python", ["python", "-c", code, *arguments], ran, timeout_s, tuple(map(str, readable)))


def _http(policy: ExecutorPolicy, asked: Mapping[str, Any], timeout_s: int) -> Answer:
    method = asked.get("method", "GET")
    request = check_request(policy, method, asked.get("url"), asked.get("headers", {}), asked.get("body", ""))
    response = send(request, timeout_s=timeout_s, most_bytes=policy.response_bytes)
    ok = response.status < 400  # noqa: PLR2004 -- HTTP's first error
    argv = [
        request.method,
        request.url,
        *(f"{name}: {value}" for name, value in request.headers),
        request.body,
    ]
    output = {
        "action": "http",
        "duration_ms": response.duration_ms,
        "exit_code": 0 if ok else 1,
        "headers": dict(response.headers),
        "status_code": response.status,
        "stderr": "",
        "stderr_truncated": False,
        "stdout": response.body.decode(errors="replace"),
        "stdout_truncated": response.truncated,
        "success": ok,
    }
    return _with_provenance(output, argv, (request.url,))


def _confined(start: Any) -> Ran:
    try:
        ran: Ran = start()
    except NotConfined as error:
        raise Fail(
            f"this machine cannot confine programs, so none is run: {error}", "NOT_CONFINED"
        ) from error
    return ran


def _answer(action: str, argv: list[str], ran: Ran, timeout_s: int, sources: tuple[str, ...]) -> Answer:
    if ran.timed_out:
        raise Retry(f"{argv[0]} was killed: not finished after {timeout_s} s", "EXECUTION_TIMEOUT")
    output = {
        "action": action,
        "duration_ms": ran.duration_ms,
        "exit_code": ran.exit_code,
        "stderr": ran.stderr.decode(errors="replace"),
        "stderr_truncated": ran.stderr_truncated,
        "stdout": ran.stdout.decode(errors="replace"),
        "stdout_truncated": ran.stdout_truncated,
        "success": ran.exit_code == 0,
    }
    return _with_provenance(output, argv, sources)


def _with_provenance(output: dict[str, Any], argv: list[str], sources: tuple[str, ...]) -> Answer:
    command = canonical_json(argv)
    proof = {"command_hash": sha256(command).hexdigest(), "data_sources": list(sources)}
    return Answer(output | {"provenance": proof}, data_sources=sources, command=command.decode())


def _timeout(value: object) -> int:
    least, _, most = _TIMEOUT_S
    if type(value) is not int or not least <= value <= most:
        raise Forbidden(f"`timeout` is {least} to {most} seconds", "INVALID_INPUT")
    return value


def _tags(policy: ExecutorPolicy, walls: Mapping[str, str] | None) -> tuple[str, ...]:
    # Examples in documents are parsed without any wall, so this tag stays where no program may be run.
    tags = ["python_execution"]
    if policy.commands and not (walls and missing(walls)):
        tags.append("shell_execution")
    if policy.hosts:
        tags.append("http_requests")
    return tuple(sorted(tags))


def _description(policy: ExecutorPolicy, walls: Mapping[str, str] | None) -> str:
    allowed = ", ".join(sorted(policy.commands)) or "none"
    hosts = ", ".join(policy.hosts) or "none"
    text = (
        f"Runs commands ({allowed}) and Python scripts; asks hosts ({hosts}); checks examples in documents."
    )
    if walls is None:
        return text
    if missing(walls):
        return f"{text} This machine cannot confine programs, so none is run: {missing(walls)}"
    return f"{text} Sandbox: {sentence(walls)}."
