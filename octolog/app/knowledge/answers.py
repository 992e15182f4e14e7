"""The named questions the projections answer; the query service and a closed node answer the same ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, Final

from octolog.domain.errors import NotFound
from octolog.domain.ids import TaskId
from projections.analytics import queries as analytics
from projections.analytics.sink import AnalyticsProjection
from projections.duck import Store
from projections.provenance import queries as provenance
from projections.provenance.gather import gather
from projections.provenance.openlineage import openlineage
from projections.provenance.picture import draw
from projections.provenance.prov_json import prov_json
from projections.registry import queries as registry


def _custody(store: Store, task_id: str) -> Any:
    return _plain(provenance.provenance(store, TaskId(task_id)))


def _lineage(store: Store, task_id: str, form: str, *, personal: bool = True) -> Any:
    """A task's lineage as `prov-json`, `openlineage` or `svg`."""
    found = gather(store, TaskId(task_id), personal=personal)
    match form:
        case "prov-json":
            return prov_json(found)
        case "openlineage":
            return openlineage(found, f"urn:octolog:{version('octolog')}")
        case "svg":
            return draw(found)
        case _:
            raise NotFound(f"lineage has no form {form[:40]}; there is prov-json, openlineage, svg")


def _plain(value: Any) -> Any:
    return (
        dataclasses.asdict(value)
        if dataclasses.is_dataclass(value) and not isinstance(value, type)
        else value
    )


def _made(store: Store) -> dict[str, Any]:
    """Which version filled the tables, and why they cannot be gone on with, if so."""
    rows = store.rows("SELECT version FROM meta.projections WHERE name = ?", [AnalyticsProjection.name])
    version_found = rows[0]["version"] if rows else None
    return {"version": version_found, "stale": AnalyticsProjection.made_otherwise(store) or ""}


ANSWERS: Final[dict[str, Callable[..., Any]]] = {
    "tables": analytics.relations,
    "task": lambda store, task_id: analytics.task(store, TaskId(task_id)),
    "tasks": lambda store, limit=50, status=None: analytics.tasks(store, limit, status),
    "trees": lambda store, limit=50, status=None: analytics.trees(store, limit, status),
    "timeline": lambda store, root: analytics.timeline(store, TaskId(root)),
    "steps": lambda store, root: analytics.cost_and_time_per_step(store, TaskId(root)),
    "dead_letters": lambda store, limit=50: analytics.dead_letters(store, limit),
    "arms": lambda store: [_plain(arm) for arm in registry.arms(store)],
    "custody": _custody,
    "lineage": _lineage,
    "made": _made,
    "root_of": lambda store, task_id: analytics.root_of(store, TaskId(task_id)),
}
