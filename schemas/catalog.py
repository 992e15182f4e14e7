"""Every record type, by its schema's full name: the `.avsc` file, and the class that stands for it.

The files under `schemas/avro/` are the source of truth; `tests/contract/test_schema_binding.py` checks the
classes against them, both ways.
"""

from __future__ import annotations

import dataclasses
import json
from functools import cache
from importlib.resources import files
from typing import Any, Final, TypeAlias, cast, get_args

from octolog.domain import (
    arm,
    assignment,
    audit,
    contract,
    facts,
    memory,
    operators,
    reports,
    security,
    tasksystem,
    upkeep,
    values,
)
from octolog.domain.chain import Link
from octolog.domain.templates import records as templates

Schema: TypeAlias = dict[str, Any]

_MODULES: Final = (
    values,
    contract,
    reports,
    facts,
    arm,
    assignment,
    operators,
    upkeep,
    memory,
    tasksystem,
    audit,
    templates,
    security,
)


def _records() -> dict[str, type[Any]]:
    found: dict[str, type[Any]] = {Link.schema_name: Link}
    for module in _MODULES:
        for value in vars(module).values():
            if isinstance(value, type) and dataclasses.is_dataclass(value) and hasattr(value, "schema_name"):
                found[cast("Any", value).schema_name] = value
    return found


RECORDS: Final = _records()
"""Full name of every record, nested ones too -> its class."""

FACTS: Final = frozenset(get_args(facts.Fact))
"""Classes whose wire form carries a link and a hash."""

TOPIC_RECORDS: Final[dict[str, tuple[type[Any], ...]]] = {
    "octolog.contracts": get_args(contract.ContractCommand),
    "octolog.results": (reports.AttemptStarted, reports.AttemptHeartbeat, reports.ExecutionResult),
    "octolog.resources": (
        reports.ModelCallIntended,
        reports.ResourceUsed,
        reports.HandlerMetrics,
        reports.ContextRecalled,
    ),
    "octolog.timers": (upkeep.TimerFired,),
    "octolog.tasks": get_args(facts.Fact),
    "octolog.assignments": get_args(assignment.ArmCommand),
    "octolog.arms": get_args(arm.ArmEvent) + get_args(security.SecurityEvent),
    "octolog.memory": get_args(memory.MemoryEvent),
    "octolog.episodes": get_args(memory.EpisodeEvent),
    "octolog.snapshots": (upkeep.TreeSnapshot, upkeep.SnapshotCompleted),
    "octolog.dead-letters": (upkeep.DeadLetter,),
    "octolog.templates": get_args(templates.TemplateEvent),
    "octolog.checkpoints": get_args(audit.AuditEvent),
}
"""Which records a topic may carry; anything else in it is a dead letter. Every arm's assignment topic
is listed once, under its common prefix."""

TOP_LEVEL: Final = tuple(sorted({cls.schema_name for group in TOPIC_RECORDS.values() for cls in group}))
"""Full names of the records that are values of their own; each is a subject."""


@cache
def file_schema(name: str) -> Schema:
    """The `.avsc` file of `name` as written, with references by full name. Raises KeyError for no such file."""
    path = files("schemas").joinpath("avro", *name.split(".")[:-1], f"{name.rsplit('.', 1)[1]}.avsc")
    if not path.is_file():
        raise KeyError(name)
    return cast("Schema", json.loads(path.read_text(encoding="utf-8")))


@cache
def all_names() -> tuple[str, ...]:
    """Full names of every named type under `schemas/avro/`, sorted."""
    base = files("schemas").joinpath("avro")
    names = []
    stack = [(base, "")]
    while stack:
        folder, prefix = stack.pop()
        for entry in folder.iterdir():
            if entry.is_dir():
                stack.append((entry, f"{prefix}{entry.name}."))
            elif entry.name.endswith(".avsc"):
                names.append(prefix + entry.name.removesuffix(".avsc"))
    return tuple(sorted(names))


def self_contained(name: str) -> Schema:
    """The schema of `name` with every named type written out at its first use, as one document."""
    seen: set[str] = set()

    def expand(node: Any) -> Any:
        if isinstance(node, str):
            if "." not in node or node in seen:
                return node
            seen.add(node)
            return expand(file_schema(node))
        if isinstance(node, list):
            return [expand(item) for item in node]
        if node["type"] == "record":
            fields = [{**field, "type": expand(field["type"])} for field in node["fields"]]
            return {**node, "fields": fields}
        if node["type"] == "array":
            return {**node, "items": expand(node["items"])}
        return node

    return cast("Schema", expand(name))


@cache
def schema_json(name: str) -> str:
    """`self_contained(name)` as compact JSON: the text registered under the subject `name`."""
    return json.dumps(self_contained(name), separators=(",", ":"), ensure_ascii=False)
