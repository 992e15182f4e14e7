"""What an executor may do. Everything not named here is refused."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from arms.arm import Fail
from arms.sandbox.box import DEFAULT_LIMITS, Limits
from octolog.domain.security import ANY, SecurityPolicy

__all__ = ["DEFAULT_COMMANDS", "ExecutorPolicy", "Forbidden", "confined_path", "workspace_of"]

DEFAULT_COMMANDS: Final = ("cat", "echo", "find", "grep", "head", "ls", "tail", "wc")
"""Commands that read and print, and can do nothing else by the options allowed them."""


class Forbidden(Fail):
    """What was asked for is not allowed; nothing was started."""

    def __init__(self, message: str, code: str = "FORBIDDEN") -> None:
        super().__init__(message, code)


@dataclass(frozen=True, slots=True)
class ExecutorPolicy:
    """What an executor may do.

    Attributes:
        commands: Commands it may run; `git` is known too, but not allowed by default.
        hosts: `host` or `host:port` that it may ask over HTTP; without a port: 80 and 443. None by default.
        workspaces: Folders in or under which a task may name its workspace. None by default: commands then run in an
            empty scratch folder.
        python: It may run scripts.
        limits: The most a program may use; the task's timeout takes the place of `wall_s`.
        response_bytes: Kept of an HTTP response's body.
    """

    commands: tuple[str, ...] = DEFAULT_COMMANDS
    hosts: tuple[str, ...] = ()
    workspaces: tuple[Path, ...] = ()
    python: bool = True
    limits: Limits = DEFAULT_LIMITS
    response_bytes: int = 64_000

    def under(self, policy: SecurityPolicy | None) -> ExecutorPolicy:
        """What remains of it under a task's security policy, which can take away and never add."""
        if policy is None:
            return self
        commands, hosts = _both(self.commands, policy.commands), _both(self.hosts, policy.network)
        # A script is a command of any kind: a policy that lists commands allows it by the name `python`.
        python = self.python and (ANY in policy.commands or "python" in policy.commands)
        return replace(self, commands=commands, hosts=hosts, python=python)


def _both(mine: tuple[str, ...], allowed: tuple[str, ...]) -> tuple[str, ...]:
    return mine if ANY in allowed else tuple(name for name in mine if name in allowed)


def workspace_of(policy: ExecutorPolicy, asked: object) -> Path | None:
    """The folder a task works in, its links resolved; None: it named none.

    Raises:
        Forbidden: It is no folder, or under none of the policy's.
    """
    if asked is None or asked == "":
        return None
    if not isinstance(asked, str) or "\0" in asked:
        raise Forbidden("`workspace` is the path of a folder", "INVALID_INPUT")
    folder = Path(os.path.realpath(asked))
    roots = [Path(os.path.realpath(root)) for root in policy.workspaces]
    if not any(folder.is_relative_to(root) for root in roots):
        allowed = ", ".join(map(str, policy.workspaces)) or "none"
        raise Forbidden(
            f"workspace {asked} is not allowed; allowed folders: {allowed}", "WORKSPACE_NOT_ALLOWED"
        )
    if not folder.is_dir():
        raise Forbidden(f"workspace {asked} is no folder on this machine", "NOT_FOUND")
    return folder


def confined_path(path: str, workspace: Path | None) -> str:
    """Where a path leads once every link in it is followed, if that is inside the workspace.

    Raises:
        Forbidden: It leads outside, or there is no workspace.
    """
    if workspace is None:
        raise Forbidden(f"path {path!r}: the task names no workspace to read", "ARGUMENT_NOT_ALLOWED")
    resolved = Path(os.path.realpath(os.path.join(workspace, path)))  # noqa: PTH118 -- an absolute path replaces it
    if not resolved.is_relative_to(workspace):
        raise Forbidden(f"path {path!r} leads outside the workspace", "ARGUMENT_NOT_ALLOWED")
    return str(resolved)
