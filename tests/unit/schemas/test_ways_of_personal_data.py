"""Every way on which words get into the log or out of it is known, and says what it does about personal data.

A module that begins to append records, or to write what is read elsewhere, fails here until it is listed. Into the
log words go through `octolog.safety`; out of it, to others, through `schemas.personal`.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[3]
PACKAGES: Final = ("octolog", "schemas", "streams", "projections", "arms", "blobs")

_WRITING: Final = frozenset(
    {
        "write_text",
        "write_bytes",
        "writestr",
        "write_parquet",
        "write_csv",
        "write_table",
        "new_file",
        "new_stream",
    }
)
_OPENING: Final = frozenset({"open", "fdopen", "ZipFile"})

THROUGH_PERSONAL: Final = {
    "octolog/app/audit/bundle.py": "audit bundles: `--redact` passes every record through `redacted`",
    "octolog/cli/provenance.py": "lineage as PROV-JSON, OpenLineage and SVG: `shown`, by projections.provenance.gather",
}
"""Exports to others: whoever reads them may not be the one who may read the log."""

TO_WHO_ASKS: Final = {
    "octolog/app/knowledge/server.py": "rows to the SQL that was asked, on this machine",
    "octolog/cli/query.py": "the same rows, into the file that was named",
    "octolog/cli/result.py": "a task's own result, into the file that was named",
    "octolog/cli/demo.py": "the demonstration's own report",
    "octolog/cli/command.py": "the prompt of a terminal",
}
"""What the log has, to who has the home's files anyway, and asks for it by name."""

OF_THE_NODE: Final = {
    "octolog/app/audit/export.py": "the program inside a bundle, no record",
    "octolog/app/knowledge/service.py": "projections: files of the home",
    "octolog/app/knowledge/files.py": "projections: files of the home",
    "octolog/app/node/control.py": "logs: by octolog.safety.logs",
    "octolog/app/node/identity.py": "the node's name",
    "octolog/app/processes.py": "who runs, on which port",
    "octolog/app/node/supervisor.py": "logs: by octolog.safety.logs",
    "octolog/app/worker.py": "logs: by octolog.safety.logs",
    "octolog/cli/projections.py": "projections: files of the home",
    "streams/notary/keys.py": "keys",
    "projections/columnar.py": "columns, to the process of the node that stores them",
    "projections/episodes/embedded.py": "which file is in use",
    "projections/memory/edge.py": "which collection is in use",
    "arms/coder/runner.py": "a sandbox's own folder",
    "arms/coder/solution.py": "a sandbox's own folder",
    "arms/sandbox/box.py": "a sandbox's own folder",
    "arms/sandbox/launch.py": "a sandbox's own folder",
    "schemas/check.py": "schemas",
    "arms/bridge/published.py": "the wire contract of HTTP arms",
    "blobs/folder.py": "large values: what the record before them was screened for",
    "blobs/store.py": "large values: what the record before them was screened for",
}
"""What never leaves the machine by itself."""

SCREENED: Final = {
    "octolog/client/sender.py": "octolog.client: every command passes the gate before it is sent",
    "arms/host/outbox.py": "arms.outcome: results pass the gate before they are queued",
}
OF_THE_ENGINE: Final = {
    "octolog/app/memory/service.py": "which model, and who was refused: names of arms and models",
    "octolog/app/node/tokens.py": "keys and policies",
    "octolog/client/redrive.py": "the bytes of a dead letter, back to where they were",
    "streams/dead_letters.py": "the bytes of a record that lies in the log",
    "streams/kafka/pipeline.py": "Kafka",
    "streams/kafka/publisher.py": "Kafka",
    "streams/kafka/schema_topic.py": "schemas",
    "streams/kafka/transaction.py": "Kafka",
    "streams/notary/notary.py": "checkpoints",
    "streams/registry_keeper.py": "health of arms",
    "streams/runner.py": "facts: words of screened inputs",
}


@cache
def _sources() -> dict[str, ast.Module]:
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


def _name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _writes(module: ast.Module) -> bool:
    calls = [node for node in ast.walk(module) if isinstance(node, ast.Call)]
    return any(_name(call) in _WRITING or (_name(call) in _OPENING and _to_write(call)) for call in calls)


def _to_write(call: ast.Call) -> bool:
    given = [*call.args, *(word.value for word in call.keywords if word.arg == "mode")]
    modes = [arg.value for arg in given if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
    return any(set(mode) <= set("rwaxbt+") and set(mode) & set("wax") for mode in modes if mode)


def _appends(module: ast.Module) -> bool:
    calls = [node for node in ast.walk(module) if isinstance(node, ast.Call)]
    return any(
        isinstance(call.func, ast.Attribute) and _name(call) in ("publish", "produce") for call in calls
    )


def _imports(module: ast.Module) -> set[str]:
    found = set[str]()
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def test_every_way_out_is_known() -> None:
    found = {name for name, module in _sources().items() if _writes(module)}
    known = {**THROUGH_PERSONAL, **TO_WHO_ASKS, **OF_THE_NODE}
    assert found - set(known) == set(), "say in this test what it does about personal data"
    assert set(known) - found == set(), "these write nothing any more"


def test_every_way_in_is_known() -> None:
    found = {name for name, module in _sources().items() if _appends(module)}
    known = {**SCREENED, **OF_THE_ENGINE}
    assert found - set(known) == set(), "say in this test what screens the words that it appends"
    assert set(known) - found == set(), "these append nothing any more"


@pytest.mark.parametrize("export", THROUGH_PERSONAL)
def test_an_export_reaches_the_one_place_that_knows_personal_fields(export: str) -> None:
    sources = _sources()
    reached, left = set[str](), {export}
    while left:
        name = left.pop()
        reached.add(name)
        wanted = {f"{module.replace('.', '/')}.py" for module in _imports(sources[name])}
        left |= (wanted & set(sources)) - reached
    assert "schemas/personal.py" in reached


@pytest.mark.parametrize("gate", ["octolog/client/__init__.py", "arms/outcome.py"])
def test_what_sends_screens(gate: str) -> None:
    assert any(name.startswith("octolog.safety") for name in _imports(_sources()[gate]))
