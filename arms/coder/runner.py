"""Runs inside the box: pytest with a plugin that tells, in one line of JSON, how each test went.

The tests run in this very process, so what it tells is as honest as they are.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from typing import Any

import pytest

__all__: list[str] = []

_MOST_PASSED = 1_000
_MOST_FAILED = 300
_MESSAGE_CHARS = 400


class _Told:
    def __init__(self, root: str) -> None:
        self.root = root
        self.outcomes: dict[str, str] = {}
        self.failures: list[dict[str, Any]] = []

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.outcomes[report.nodeid] = "error"
            self._failed(report, report.nodeid.partition("::")[0], 1, "collection")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        expected = hasattr(report, "wasxfail")
        if report.failed:
            self.outcomes[report.nodeid] = "failed" if report.when == "call" else "error"
            path, line, _ = report.location
            self._failed(report, path, (line or 0) + 1, report.nodeid.rpartition("::")[2])
        elif report.skipped:
            self.outcomes[report.nodeid] = "xfailed" if expected else "skipped"
        elif report.when == "call":
            self.outcomes[report.nodeid] = "xpassed" if expected else "passed"

    def _failed(self, report: Any, path: str, line: int, rule: str) -> None:
        crash = getattr(report.longrepr, "reprcrash", None)
        message = crash.message if crash is not None else str(report.longrepr or "")
        if crash is not None and os.path.realpath(crash.path).startswith(self.root + os.sep):
            path, line = os.path.relpath(os.path.realpath(crash.path), self.root), crash.lineno
        if crash is None and message:
            message = message.strip().rpartition("\n")[2]
        text = " ".join(message.split())[:_MESSAGE_CHARS]
        self.failures.append({"line": line, "message": text, "path": path, "rule": rule})


def _main() -> None:
    root = os.path.realpath(sys.argv[1])
    split = sys.argv.index("--")
    settings, paths = sys.argv[2:split], sys.argv[split + 1 :]
    say = os.dup(1)  # pytest takes descriptor 1 for itself
    sys.path.insert(0, root)
    told = _Told(root)
    problem = ""
    options = ["-q", "--no-header", "-p", "no:cacheprovider", "--rootdir", root, *settings, "--", *paths]
    try:
        code = int(pytest.main(options, plugins=[told]))
    except BaseException as error:  # noqa: BLE001 -- whatever a conftest raises is told, not a traceback
        code, problem = 3, f"{type(error).__name__}: {error}"[:_MESSAGE_CHARS]
    report = {
        "counts": dict(sorted(Counter(told.outcomes.values()).items())),
        "exit_code": code,
        "failures": told.failures[:_MOST_FAILED],
        "passed": sorted(name for name, how in told.outcomes.items() if how == "passed")[:_MOST_PASSED],
        "problem": problem,
    }
    sys.stdout.flush()
    with os.fdopen(say, "w") as stream:
        stream.write("\n" + json.dumps(report) + "\n")


if __name__ == "__main__":
    _main()
