"""Histories nobody planned: users, arms and time do what a seed says."""

from __future__ import annotations

import random
from typing import Any

from octolog.domain.arm import ArmRegistered, ArmRetired
from octolog.domain.assignment import AttemptAssignment
from octolog.domain.contract import Step
from octolog.domain.ids import ArmId, TaskId
from octolog.domain.values import Limits, RetryPolicy
from octolog.testing import (
    amend,
    attempt,
    call_intended,
    call_used,
    cancel,
    capability,
    failure,
    heartbeat,
    started,
    step,
    submit,
    success,
)
from streams.topics import CONTRACTS, RESULTS
from tests.replay.log import Decided, World

_TAGS = ("work", "plan", "judge")


def wander(seed: int, *, actions: int) -> World:
    """A world after so many actions."""
    chance = random.Random(seed)
    world = World(Decided(window=chance.choice((1, 2, 64)), lease_ms=5_000))
    for _ in range(actions):
        _act(world, chance)
    return world


def _act(world: World, chance: random.Random) -> None:
    what = chance.randrange(100)
    task = f"task-{chance.randrange(8)}"
    if what < 14:
        _submit(world, chance, task)
    elif what < 55 and world.held:
        _report(world, chance, chance.choice(world.held))
    elif what < 60:
        world.send(cancel(task, reason=chance.choice(("a", "b"))))
    elif what < 66:
        limits = Limits(max_tokens=chance.choice((None, 1, 2_000, 5_000)))
        world.send(amend(limits, task_id=task, reason=chance.choice(("x", "y"))))
    elif what < 72:
        tags = chance.sample(_TAGS, chance.randrange(1, 4))
        arm = capability(f"arm-{chance.choice('abc')}", *tags, cost_tier=chance.randrange(1, 6))
        world.arm(ArmRegistered(arm, "tester"))
    elif what < 74:
        world.arm(ArmRetired(ArmId(f"arm-{chance.choice('abc')}"), "gone", "tester"))
    elif what < 78:
        world.send_bytes(chance.choice((CONTRACTS, RESULTS)), task.encode(), chance.randbytes(9))
    elif what < 82:
        world.send(success(attempt(task, chance.randrange(1, 4), arm="arm-a")))
    elif what < 86:
        world.restart()
    else:
        world.pass_time(chance.choice((10, 700, 2_500, 9_000)))


def _submit(world: World, chance: random.Random, task: str) -> None:
    steps: tuple[Step, ...] = ()
    if chance.random() < 0.4:
        steps = (
            step("one", required_capabilities=("work",)),
            step("two", budget=Limits(max_tokens=chance.choice((None, 400)))),
            step("three", "one", "two", required_capabilities=(chance.choice(_TAGS),)),
        )
    contract: dict[str, Any] = {
        "goal": chance.choice(("do it", "do more", "")),
        "priority": chance.randrange(1, 11),
        "steps": steps,
        "budget": Limits(max_tokens=chance.choice((None, 500, 3_000))),
        "retry": RetryPolicy(max_attempts=chance.randrange(1, 4), base_ms=500),
        "timeout_ms": chance.choice((None, 3_000)),
    }
    if chance.random() < 0.2:
        world.send(
            submit(f"{task}.{chance.randrange(3)}", root=task, parent_task_id=TaskId(task), **contract)
        )
    else:
        world.send(submit(task, **contract))


def _report(world: World, chance: random.Random, held: AttemptAssignment) -> None:
    what = chance.randrange(10)
    if what == 0:
        world.send(started(held))
    elif what == 1:
        world.send(heartbeat(held))
    elif what == 2:
        world.send(call_intended(held, chance.randrange(1, 4), tokens=chance.randrange(300), calls=1))
    elif what == 3:
        world.send(call_used(held, chance.randrange(1, 4), tokens=chance.randrange(300), calls=1))
    else:
        if chance.random() < 0.8:
            world.held.remove(held)
        if what == 4:
            world.send(failure(held, retryable=chance.random() < 0.7, tokens_used=50))
        elif what == 5:
            plan = (step("p"), step("q", "p"))
            world.send(success(held, plan=plan))
        else:
            world.send(success(held, tokens_used=chance.randrange(400)))
