"""The budget ledger of a tree: double entry, in integers.

An assignment *reserves* an allowance from what is free; a result *settles* what was used and *releases* the
rest. `free = limit - settled - reserved` never goes below zero while arms keep to their allowances, whatever
runs at once. An arm that overspends is found at its next report, and the tree fails.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias

from octolog.domain.values import NO_LIMITS, NOTHING, Amounts, Limits, Resource

WARNING_PERCENT: Final = 80
"""Share of a limit at which the tree is warned. Source: both seeds."""

Vector: TypeAlias = tuple[int, int, int, int]
"""Tokens, milliseconds, micro-dollars, calls."""

Bounds: TypeAlias = tuple[int | None, int | None, int | None, int | None]

RESOURCES: Final = (Resource.TOKENS, Resource.TIME, Resource.COST, Resource.CALLS)
ZERO: Final[Vector] = (0, 0, 0, 0)


def vector(amounts: Amounts) -> Vector:
    """Amounts as a tuple, in the order of `RESOURCES`."""
    if amounts is NOTHING:
        return ZERO
    return amounts.tokens, amounts.time_ms, amounts.cost_micros, amounts.calls


def amounts(vector: Vector) -> Amounts:
    """The inverse of `vector`."""
    return NOTHING if vector == ZERO else Amounts(*vector)


def bounds(limits: Limits) -> Bounds:
    """Limits as a tuple, in the order of `RESOURCES`."""
    return limits.max_tokens, limits.max_time_ms, limits.max_cost_micros, limits.max_llm_calls


def add(a: Vector, b: Vector) -> Vector:
    """Sum, component by component."""
    return a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]


def subtract(a: Vector, b: Vector) -> Vector:
    """Difference, component by component."""
    return a[0] - b[0], a[1] - b[1], a[2] - b[2], a[3] - b[3]


def reserved_by(allowance: Limits) -> Vector:
    """What an allowance takes out of the free budget: its finite parts."""
    if allowance is NO_LIMITS:
        return ZERO
    tokens, time_ms, cost, calls = bounds(allowance)
    return tokens or 0, time_ms or 0, cost or 0, calls or 0


@dataclass(slots=True)
class Account:
    """The budget of a task inside a tree, for all its attempts and everything below it.

    Attributes:
        limits: What they may use together.
        settled: Charged by attempts that ended.
        reserved: Held by allowances of open attempts.
    """

    limits: Limits
    settled: Vector = ZERO
    reserved: Vector = ZERO

    def free(self) -> Bounds:
        """What is neither settled nor reserved; None where there is no limit."""
        return _free(self.limits, self.settled, self.reserved)

    def capped(self, allowance: Limits, want: Limits, sharers: int) -> Limits | None:
        """An allowance, cut to what is free here; None: wait until another attempt below releases some.

        Args:
            allowance: What the tree would grant.
            want: The task's own limits; a part that is None gets an equal share of what is free here.
            sharers: Tasks that share what is free.
        """
        parts: list[int | None] = []
        rows = zip(
            self.free(), bounds(allowance), bounds(want), bounds(self.limits), self.reserved, strict=True
        )
        for free, asked, wanted, limit, held in rows:
            if free is None or limit is None:
                parts.append(asked)
                continue
            most = limit if wanted is not None else max(1, free // sharers)
            ask = most if asked is None else min(asked, most)
            if ask > free and held > 0:
                return None
            parts.append(max(0, min(ask, free)))
        return Limits(*parts)


def _free(limits: Limits, settled: Vector, reserved: Vector) -> Bounds:
    tokens, time_ms, cost, calls = bounds(limits)
    taken = add(settled, reserved)
    return (
        None if tokens is None else tokens - taken[0],
        None if time_ms is None else time_ms - taken[1],
        None if cost is None else cost - taken[2],
        None if calls is None else calls - taken[3],
    )


@dataclass(slots=True)
class Ledger:
    """Limits and entries of one tree.

    Attributes:
        limits: What the tree may use.
        settled: Charged by attempts that ended.
        reserved: Held by allowances of open attempts.
        running: Used, or announced, by open attempts so far.
        warned: Resources that were warned about, in order.
        exhausted: The resource that is spent, if one is.
    """

    limits: Limits = NO_LIMITS
    settled: Vector = ZERO
    reserved: Vector = ZERO
    running: Vector = ZERO
    warned: list[Resource] = field(default_factory=list[Resource])
    exhausted: Resource | None = None

    @property
    def used(self) -> Vector:
        """Settled and running together."""
        return self.settled if self.running == ZERO else add(self.settled, self.running)

    def free(self) -> Bounds:
        """What is neither settled nor reserved; None where there is no limit."""
        return _free(self.limits, self.settled, self.reserved)

    def grant(self, want: Limits, sharers: int, lanes: int = 0) -> Limits | None:
        """The allowance for an attempt; None: wait until another attempt releases some.

        Args:
            want: The task's own limits; a part that is None gets an equal share of what is free.
            sharers: Tasks that still need an attempt, this one included.
            lanes: In a tree with programs: those and the open attempts, each of which may want as much again when
                it ends; 0: a tree whose tasks are all known.
        """
        if self.limits is NO_LIMITS:
            return want
        parts: list[int | None] = []
        for index, (free, wanted) in enumerate(zip(self.free(), bounds(want), strict=True)):
            if free is None:
                parts.append(wanted)
                continue
            share = (free + self.reserved[index]) // lanes if lanes else free // max(1, sharers)
            ask = max(1, share) if wanted is None else wanted
            if ask > free and self.reserved[index] > 0:
                return None
            parts.append(max(0, min(ask, free)))
        return Limits(*parts)

    def is_strained(self) -> bool:
        """False while no resource is at the warning share of its limit; then there is nothing to say of any."""
        limits = self.limits
        if limits is NO_LIMITS:
            return False
        tokens, time_ms, cost, calls = self.used
        return (
            _is_near(tokens, limits.max_tokens)
            or _is_near(time_ms, limits.max_time_ms)
            or _is_near(cost, limits.max_cost_micros)
            or _is_near(calls, limits.max_llm_calls)
        )

    def overdrawn(self) -> tuple[Resource, int, int] | None:
        """The first resource used beyond its limit, with use and limit."""
        for resource, used, limit in self._limited():
            if used > limit:
                return resource, used, limit
        return None

    def warnings_due(self) -> list[tuple[Resource, int, int]]:
        """Resources at or above the warning share that were not warned about yet, with use and limit."""
        return [
            (resource, used, limit)
            for resource, used, limit in self._limited()
            if _is_near(used, limit) and used > 0 and resource not in self.warned
        ]

    def _limited(self) -> list[tuple[Resource, int, int]]:
        if self.limits is NO_LIMITS:
            return []
        rows = zip(RESOURCES, self.used, bounds(self.limits), strict=True)
        return [(resource, used, limit) for resource, used, limit in rows if limit is not None]


def _is_near(used: int, limit: int | None) -> bool:
    return limit is not None and used * 100 >= limit * WARNING_PERCENT
