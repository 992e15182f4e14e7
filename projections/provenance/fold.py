"""From the facts of a tree to the chain of custody of one of its tasks. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from octolog.domain.chain import GENESIS
from octolog.domain.ids import ArmId, AttemptId, TaskId


class Action(StrEnum):
    """What was done to a task."""

    SUBMITTED = "SUBMITTED"
    RECEIVED = "RECEIVED"
    PLANNED = "PLANNED"
    BEGAN = "BEGAN"
    ASSIGNED = "ASSIGNED"
    PERMITTED = "PERMITTED"
    STARTED = "STARTED"
    ADMITTED = "ADMITTED"
    REFUSED = "REFUSED"
    EXECUTED = "EXECUTED"
    STOPPED = "STOPPED"
    REVOKED = "REVOKED"
    VALIDATED = "VALIDATED"
    RETRIED = "RETRIED"
    RECOVERED = "RECOVERED"
    ADOPTED = "ADOPTED"
    ASKED = "ASKED"
    RETURNED = "RETURNED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True)
class Entry:
    """One link of the chain of custody.

    Attributes:
        number: From 1, gapless.
        action: What was done.
        at: When, by the broker's clock, UTC.
        actor: Who did it: a user, an arm, or the task processor.
        task_id: To which task.
        record: Name of the record that says so.
        detail: What else it says, one line.
        seq: The fact's number in its tree; None for a command, which is no fact.
        fact_hash: The fact's SHA-256, lowercase hex; None likewise.
        log: `topic/partition/offset` of the record.
        arm_id: The arm that holds the task, if one does.
        attempt_id: The attempt.
        command_hash: SHA-256 of the command executed, by the arm's account.
        data_sources: What was read, by the arm's account.
        input_hash: SHA-256 of goal, context and inputs.
        output_hash: SHA-256 of the output.
        model: Model that answered.
        tests_passed: Checks the output passed.
        token_hash: SHA-256 of the capability token that the attempt had to show; the token itself is nowhere.
    """

    number: int
    action: Action
    at: datetime
    actor: str
    task_id: TaskId
    record: str
    detail: str
    seq: int | None
    fact_hash: str | None
    log: str
    arm_id: ArmId | None = None
    attempt_id: AttemptId | None = None
    command_hash: str | None = None
    data_sources: tuple[str, ...] = ()
    input_hash: str | None = None
    output_hash: str | None = None
    model: str | None = None
    tests_passed: tuple[str, ...] = ()
    token_hash: str | None = None


@dataclass(frozen=True, slots=True)
class ChainLink:
    """A fact's place in its tree's hash chain, as it lies in the store."""

    seq: int
    prev_hash: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class Source:
    """Something a task used, or that used it.

    Attributes:
        kind: `task`, `data`, `memory`, `arm` or `model`.
        name: A task id, a URL or path, a memory id, an arm's id, a model's name.
        by: The task through which it came in or went out.
        output_hash: SHA-256 of a task's output.
    """

    kind: str
    name: str
    by: TaskId
    output_hash: str | None = None


@dataclass(frozen=True, slots=True)
class Custody:
    """Everything that was done to a task, its steps and subtasks, in order.

    Attributes:
        root_task_id: Its tree.
        task_id: The task.
        entries: The chain, numbered from 1.
        inputs: Lineage up: tasks whose outputs it was given, what was read, what memory gave it, and the arms and
            models that worked on it.
        used_by: Lineage down: tasks that were given its output, memories made of it, and tasks that were given those.
        facts: Facts of the whole tree in the store.
        faults: What is wrong with the tree's hash chain as it lies in the store; empty: nothing.
    """

    root_task_id: TaskId
    task_id: TaskId
    entries: tuple[Entry, ...]
    inputs: tuple[Source, ...]
    used_by: tuple[Source, ...]
    facts: int
    faults: tuple[str, ...]


_ORDER: Final = {action: rank for rank, action in enumerate(Action)}


def numbered(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """The chain in order: the command that began it first, then by fact; several of one fact as `Action` has them."""
    ordered = sorted(entries, key=lambda e: (-1 if e.seq is None else e.seq, _ORDER[e.action], e.task_id))
    return tuple(replace(entry, number=number) for number, entry in enumerate(ordered, 1))


def descent(task_id: TaskId, parents: dict[TaskId, TaskId | None]) -> frozenset[TaskId]:
    """A task with every task below it.

    Args:
        task_id: Where to begin.
        parents: Every task of the tree -> the one it is part of.
    """
    children: dict[TaskId | None, list[TaskId]] = {}
    for child, parent in parents.items():
        children.setdefault(parent, []).append(child)
    found, open_ = {task_id}, [task_id]
    while open_:
        for child in children.get(open_.pop(), []):
            if child not in found:
                found.add(child)
                open_.append(child)
    return frozenset(found)


def chain_faults(links: Sequence[ChainLink]) -> tuple[str, ...]:
    """Facts that are missing, doubled, or do not follow from the one before; at most ten, one line each.

    Whether a hash is its fact's own is `replay --verify`'s to say: it has the bytes.
    """
    faults: list[str] = []
    expected, head = 0, GENESIS
    for link in sorted(links, key=lambda link: link.seq):
        if link.seq > expected:
            faults.append(f"facts {expected} to {link.seq - 1} are missing")
        elif link.seq < expected:
            faults.append(f"fact {link.seq} is there twice")
        elif link.prev_hash != head:
            faults.append(f"fact {link.seq} does not follow from the one before it")
        expected, head = link.seq + 1, link.hash
    return tuple(faults[:10])
