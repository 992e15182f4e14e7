"""The order in which a partition's ready tasks are given to arms: priority, then age, within a window per arm.

The scheduler holds nothing that the facts do not say: it is filled from the same facts live and at a restore,
and a task's age is the number, in its partition, of the fact that made it ready. So both release alike.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import TypeAlias

from octolog.domain.arm import BreakerState
from octolog.domain.facts import Candidate
from octolog.domain.ids import ArmId, TaskId
from octolog.domain.quick import quick
from octolog.domain.registry import ArmState, Registry
from octolog.domain.routing import Requirement, RoutingIndex
from octolog.domain.security import Security
from octolog.domain.task.state import Spec

_Entry: TypeAlias = tuple[int, int, int, TaskId, TaskId]
"""Priority, position of the fact that made it ready, ordinal among those, root, task."""

_Key: TypeAlias = tuple[ArmId | None, tuple[str, ...], int | None, str, str]
"""The parts of a requirement, in order: quicker to look up by than the requirement itself."""


@quick
@dataclass(frozen=True, slots=True)
class Release:
    """A ready task whose turn it is.

    Attributes:
        root_id: Its tree.
        task_id: The task.
        candidates: Arms that can take it, best first; empty when none can.
        requirement: What it asks of an arm.
    """

    root_id: TaskId
    task_id: TaskId
    candidates: tuple[Candidate, ...]
    requirement: Requirement


@dataclass(slots=True)
class _Queue:
    """Ready tasks that ask the same of an arm.

    Attributes:
        need: What they ask.
        entries: A heap of them.
        route: Arms that can take them, best first; None: the present registry was not asked yet.
    """

    need: Requirement
    entries: list[_Entry] = field(default_factory=list[_Entry])
    route: tuple[Candidate, ...] | None = None


@dataclass(slots=True)
class Scheduler:
    """Ready tasks by requirement, and attempts in flight by arm.

    Attributes:
        window: Attempts an arm may hold from one partition.
        waiting: Ready tasks not given to an arm.
    """

    window: int
    waiting: int = 0
    _queues: dict[_Key, _Queue] = field(default_factory=dict[_Key, _Queue])
    _in_flight: dict[ArmId, int] = field(default_factory=dict[ArmId, int])
    _routes_of: dict[ArmId, ArmState] | None = None
    _routes_under: Security | None = None
    _index: RoutingIndex = field(default_factory=lambda: RoutingIndex(Registry()))

    def ready(
        self, root_id: TaskId, task_id: TaskId, spec: Spec, security: str, position: int, ordinal: int
    ) -> None:
        """A task became ready by the fact at `position`; `security` names the policy of its tree."""
        key = (
            spec.assigned_arm,
            spec.required_capabilities,
            spec.max_cost_tier,
            spec.routing_policy,
            security,
        )
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = _Queue(Requirement(*key))
        heapq.heappush(queue.entries, (spec.priority, position, ordinal, root_id, task_id))
        self.waiting += 1

    def assigned(self, arm_id: ArmId) -> None:
        """An attempt went out to an arm."""
        self._in_flight[arm_id] = self._in_flight.get(arm_id, 0) + 1

    def ended(self, arm_id: ArmId) -> None:
        """An attempt of an arm ended."""
        self._in_flight[arm_id] = self._in_flight.get(arm_id, 1) - 1

    def next(self, registry: Registry) -> Release | None:
        """Take the next task an arm has room for; None when there is none."""
        best: tuple[_Queue, tuple[Candidate, ...]] | None = None
        for queue in self._queues.values():
            if queue.entries and (best is None or queue.entries[0] < best[0].entries[0]):
                room = self._with_room(queue, registry)
                if room:
                    best = queue, room
        if best is None:
            return None
        queue, room = best
        entry = heapq.heappop(queue.entries)
        self.waiting -= 1
        return Release(entry[3], entry[4], room, queue.need)

    def unroutable(self, registry: Registry) -> list[Release]:
        """Ready tasks that no arm of the registry can take, by priority, then age; they stay queued.

        Sorted over all queues: their own order depends on what this process saw, and a restored one saw less.
        """
        waiting = [
            (entry, queue.need)
            for queue in self._queues.values()
            if queue.entries and not self._route(queue, registry)
            for entry in queue.entries
        ]
        waiting.sort(key=lambda pair: pair[0])
        return [Release(entry[3], entry[4], (), need) for entry, need in waiting]

    def _with_room(self, queue: _Queue, registry: Registry) -> tuple[Candidate, ...]:
        """All candidates, led by the best that has room; empty when none has."""
        candidates = self._route(queue, registry)
        for index, candidate in enumerate(candidates):
            window = self.window
            if registry.breakers and registry.arms[candidate.arm_id].breaker is BreakerState.HALF_OPEN:
                window = 1  # a probe; the next when it has ended
            if self._in_flight.get(candidate.arm_id, 0) < window:
                if not index:
                    return candidates
                return (candidate, *candidates[:index], *candidates[index + 1 :])
        return ()

    def _route(self, queue: _Queue, registry: Registry) -> tuple[Candidate, ...]:
        # A heartbeat moves the offset and leaves the arms as they are, the same object.
        if self._routes_of is not registry.arms or self._routes_under is not registry.security:
            self._routes_under = registry.security
            self._routes_of, self._index = registry.arms, RoutingIndex(registry)
            for other in self._queues.values():
                other.route = None
        if queue.route is None:
            queue.route = self._index.route(queue.need)
        return queue.route
