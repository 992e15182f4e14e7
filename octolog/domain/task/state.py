"""What a task tree is now.

States are changed in place, and by `evolve` alone: `decide` only reads. Whoever must keep an old state
copies it first (`copy.deepcopy`). See docs/decisions/0004-deciders-are-generators.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha1
from typing import Final

from octolog.domain.evaluator.program import Loaded
from octolog.domain.evaluator.state import Op, Spawn
from octolog.domain.ids import ArmId, AttemptId, TaskId
from octolog.domain.memory import MemoryProposal
from octolog.domain.orchestration.state import Flow
from octolog.domain.task.ledger import ZERO, Account, Ledger, Vector
from octolog.domain.values import DEFAULT_RETRY, NO_LIMITS, BlobRef, Limits, RetryPolicy

STATE_VERSION: Final = 3
"""Raise it with every change of the classes below: snapshots of another version are not read."""


class TreeStatus(StrEnum):
    """The tree as a whole."""

    ABSENT = "ABSENT"
    OPEN = "OPEN"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class NodeStatus(StrEnum):
    """One task of the tree."""

    BLOCKED = "BLOCKED"
    READY = "READY"
    ASSIGNED = "ASSIGNED"
    RUNNING = "RUNNING"
    BACKOFF = "BACKOFF"
    WAITING = "WAITING"
    HELD = "HELD"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


@dataclass(slots=True)
class Spec:
    """What a task asks for, from its contract or step; never changes.

    Attributes:
        goal: What shall be achieved.
        step_id: Its name in its parent's plan; empty for the root and for subtasks.
        constraints_json: Hard constraints.
        context_json: Background.
        acceptance_criteria: What the result is held against.
        assigned_arm: This arm only.
        required_capabilities: Tags the arm must have.
        max_cost_tier: Highest tier allowed.
        routing_policy: How the arm is chosen.
        want: The task's own limits.
        priority: 1 (first) to 10.
        timeout_ms: Longest run of an attempt; None: the arm's own.
        retry: How transient failures are repeated.
        context_blob: Claim check of a large background.
    """

    goal: str
    step_id: str = ""
    constraints_json: str = "{}"
    context_json: str = "{}"
    acceptance_criteria: tuple[str, ...] = ()
    assigned_arm: ArmId | None = None
    required_capabilities: tuple[str, ...] = ()
    max_cost_tier: int | None = None
    routing_policy: str = "cost_first"
    want: Limits = NO_LIMITS
    priority: int = 5
    timeout_ms: int | None = None
    retry: RetryPolicy = DEFAULT_RETRY
    context_blob: BlobRef | None = None


@dataclass(slots=True)
class Node:
    """One task of the tree.

    Attributes:
        task_id: Its id.
        parent: The task it is part of; None for the root.
        spec: What it asks for.
        depth: 0 for the root.
        status: Where it stands.
        depends_on: Tasks that must be completed first.
        dependents: Tasks that wait for it.
        waiting_on: Prerequisites still open.
        children: Its steps and subtasks.
        open_children: Those still open.
        planned: True when its output is its children's.
        attempts: Attempts begun.
        current: The open attempt.
        deferred: True once it was said that no arm can take it.
        due_ms: End of a delay, in BACKOFF.
        output: Its output, canonical JSON.
        output_blob: Claim check of a large output.
        output_of: The attempt that made it.
        op: Its place in a program, where it is a task of one.
        spawn: The subtasks its arm asked for, once it did.
        flow: Its orchestration, where there is any.
        account: The budget of its own that it and all below it share, where it has one.
    """

    task_id: TaskId
    parent: TaskId | None
    spec: Spec
    depth: int
    status: NodeStatus
    depends_on: tuple[TaskId, ...] = ()
    dependents: list[TaskId] = field(default_factory=list[TaskId])
    waiting_on: int = 0
    children: list[TaskId] = field(default_factory=list[TaskId])
    open_children: int = 0
    planned: bool = False
    attempts: int = 0
    current: AttemptId | None = None
    deferred: bool = False
    due_ms: int = 0
    output: str = ""
    output_blob: BlobRef | None = None
    output_of: AttemptId | None = None
    op: Op | None = None
    spawn: Spawn | None = None
    flow: Flow | None = None
    account: Account | None = None


@dataclass(slots=True)
class Attempt:
    """An attempt in progress.

    Attributes:
        attempt_id: Its id.
        task_id: The task.
        number: From 1.
        arm_id: Who works on it.
        reserved: What its allowance holds.
        assigned_ms: When it was assigned.
        started_ms: When work began, if announced.
        renewed_ms: When the arm last showed that it holds it.
        lease_ms: How long the arm may stay silent.
        timeout_ms: How long it may run.
        used: Real use so far.
        intents: Announced model calls without an outcome: number, at most.
        calls_seen: Numbers of the calls whose real use is known.
    """

    attempt_id: AttemptId
    task_id: TaskId
    number: int
    arm_id: ArmId
    reserved: Vector
    assigned_ms: int
    started_ms: int | None
    renewed_ms: int
    lease_ms: int
    timeout_ms: int
    used: Vector = ZERO
    intents: dict[int, Vector] = field(default_factory=dict[int, Vector])
    calls_seen: list[int] = field(default_factory=list[int])

    @property
    def lease_ends_ms(self) -> int:
        """When silence ends the attempt."""
        return self.renewed_ms + self.lease_ms

    @property
    def timeout_ends_ms(self) -> int | None:
        """When the attempt has run too long; None until its start is known."""
        return None if self.started_ms is None else self.started_ms + self.timeout_ms


@dataclass(slots=True)
class Proposed:
    """Memories that a task's last success proposed; nobody accepted its result yet.

    Attributes:
        attempt_id: The attempt.
        arm_id: Whose it is.
        memories: What it proposed.
    """

    attempt_id: AttemptId
    arm_id: ArmId
    memories: tuple[MemoryProposal, ...]


_NOT_OVER: Final = (TreeStatus.ABSENT, TreeStatus.OPEN)


@dataclass(slots=True)
class Tree:
    """A root task with everything below it.

    Attributes:
        root_id: The root's task id.
        status: The tree as a whole.
        security_policy: Name of the policy in force.
        ledger: The tree's budget.
        nodes: Every task, in the order they joined; a program's tasks leave when they have ended.
        programs: Programs in evaluation, by the task of their root.
        attempts: Open attempts, in the order they were assigned.
        unassigned: Tasks that still need an attempt.
        seen: Fingerprints of commands that had their effect; a repeat of one has none.
        flows: Tasks with an orchestration so far.
        unasked: Tasks that wait for an approval that nobody asked for yet.
        nested_budgets: Budgets inside the tree bound all that is below them.
        accounts: Tasks with an account so far.
        proposed: Memories proposed and not accepted yet, by task.
    """

    root_id: TaskId
    status: TreeStatus = TreeStatus.ABSENT
    security_policy: str = "default"
    ledger: Ledger = field(default_factory=Ledger)
    nodes: dict[TaskId, Node] = field(default_factory=dict[TaskId, Node])
    attempts: dict[AttemptId, Attempt] = field(default_factory=dict[AttemptId, Attempt])
    unassigned: int = 0
    seen: set[bytes] = field(default_factory=set[bytes])
    programs: dict[TaskId, Loaded] = field(default_factory=dict[TaskId, Loaded])
    flows: int = 0
    unasked: list[TaskId] = field(default_factory=list[TaskId])
    nested_budgets: bool = False
    accounts: int = 0
    proposed: dict[TaskId, Proposed] = field(default_factory=dict[TaskId, Proposed])

    @property
    def closed(self) -> bool:
        """True once the root has its outcome."""
        return self.status not in _NOT_OVER


NEEDS_ATTEMPT: Final = (NodeStatus.BLOCKED, NodeStatus.READY, NodeStatus.BACKOFF)
"""A held task is left out: what it may need stays free for those that can go on."""


def set_status(tree: Tree, node: Node, status: NodeStatus) -> None:
    """Change where a task stands, and the count of those that need an attempt. For `evolve` alone."""
    tree.unassigned += (status in NEEDS_ATTEMPT) - (node.status in NEEDS_ATTEMPT)
    node.status = status


def join(tree: Tree, node: Node) -> None:
    """Add a task. For `evolve` alone."""
    tree.nodes[node.task_id] = node
    tree.unassigned += node.status in NEEDS_ATTEMPT


def make_ready(tree: Tree, node: Node) -> None:
    """Nothing more stands before the task's next attempt, unless a person does. For `evolve` alone."""
    if node.flow is not None and node.flow.gate is not None:
        set_status(tree, node, NodeStatus.HELD)
        tree.unasked.append(node.task_id)
    else:
        set_status(tree, node, NodeStatus.READY)


def flow_of(tree: Tree, node: Node) -> Flow:
    """The task's orchestration, made where it has none yet. For `evolve` alone."""
    if node.flow is None:
        node.flow = Flow()
        tree.flows += 1
    return node.flow


def absent(root_id: TaskId) -> Tree:
    """The tree before its first fact."""
    return Tree(root_id)


def fingerprint(kind: str, *parts: str) -> bytes:
    """Eight bytes that tell whether a command had its effect already."""
    return sha1("\0".join((kind, *parts)).encode(), usedforsecurity=False).digest()[:8]
