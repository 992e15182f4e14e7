"""The named questions the projections answer; the query service and a closed node answer the same ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Final

from octolog.domain.ids import TaskId
from projections.analytics import queries as analytics
from projections.duck import Store
from projections.provenance import queries as provenance
from projections.registry import queries as registry


def _custody(store: Store, task_id: str) -> Any:
    return _plain(provenance.provenance(store, TaskId(task_id)))


def _plain(value: Any) -> Any:
    return (
        dataclasses.asdict(value)
        if dataclasses.is_dataclass(value) and not isinstance(value, type)
        else value
    )


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
    "root_of": lambda store, task_id: analytics.root_of(store, TaskId(task_id)),
}
