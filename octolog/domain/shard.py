"""One partition's writer: its open trees, its scheduler, its timers. Pure but for the two callables it is given.

An input record goes in; the facts it causes come out through `record`, what arms must be told through `tell`.
The order of facts in a partition, and with it every number and hash, follows from the order of inputs alone,
so `replay --verify` drives the same class with a `record` that compares instead of writes. One module, because
what one partition holds in memory changes together.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

from octolog.domain import facts as f
from octolog.domain.arm import ArmCallCounted
from octolog.domain.assignment import ArmCommand, AttemptRevoked
from octolog.domain.border import Border, FaultIn
from octolog.domain.chain import GENESIS, RULES, Link
from octolog.domain.contract import ContractCommand
from octolog.domain.defaults import LEASE_MS, WINDOW
from octolog.domain.errors import InvalidContract
from octolog.domain.evaluator.places import is_leaf
from octolog.domain.ids import MAX_TASK_ID_LENGTH, ArmId, AttemptId, TaskId
from octolog.domain.memory import MemoryRecorded
from octolog.domain.orchestration.given import made_ready
from octolog.domain.registry import Registry
from octolog.domain.reports import ArmReport, ExecutionResult
from octolog.domain.routing import explain
from octolog.domain.rules import check_report
from octolog.domain.scheduler import Release, Scheduler
from octolog.domain.task.assigning import assignment
from octolog.domain.task.commands import AssignAttempt, DeferRouting, TreeCommand
from octolog.domain.task.decide import decide
from octolog.domain.task.evolve import evolve
from octolog.domain.task.remembering import memories
from octolog.domain.task.state import Attempt, NodeStatus, Tree, TreeStatus, absent
from octolog.domain.upkeep import TimerFired, TimerKind

Input: TypeAlias = ContractCommand | ArmReport | TimerFired

_REFIRE_MS: Final = 1_000
"""A timer that fired but was not consumed yet fires again after this long."""

_ARMS_SIGN: Final = frozenset({"octolog.results", "octolog.resources"})
_TASK_ENDS: Final = (f.TaskCompleted, f.TaskFailed)

# Looked up once: reading a member from its class costs Python 3.11 as much as a call, and some are read per fact.
_ABSENT, _OPEN = TreeStatus.ABSENT, TreeStatus.OPEN
_READY: Final = NodeStatus.READY
_SUCCESS: Final = f.Outcome.SUCCESS
_LEASE, _TIMEOUT = TimerKind.LEASE, TimerKind.TIMEOUT


@dataclass(frozen=True, slots=True)
class ClosedTree:
    """What must be known of a tree that is over: enough to refuse repeats and to continue its chain.

    Attributes:
        status: How it ended; ABSENT for a tree that holds refusals alone.
        seq: Number of its facts.
        head: Hash of the last one.
        seen: Fingerprints of commands that had their effect, eight bytes each, joined.
    """

    status: TreeStatus
    seq: int
    head: bytes
    seen: bytes


class ClosedTrees(Protocol):
    """Trees that are over, by root task id."""

    def get(self, root_id: TaskId) -> ClosedTree | None:
        """The tree, or None when it never was or is open."""


@dataclass(slots=True)
class OpenTree:
    """A tree in memory, with its place in the chain.

    Attributes:
        tree: Its state.
        seq: Number of its facts.
        head: Hash of the last one.
        ready: Ready tasks, with the position and ordinal that give their age.
        parked: Ready tasks that wait for budget of the same tree.
    """

    tree: Tree
    seq: int = 0
    head: bytes = GENESIS
    ready: dict[TaskId, tuple[int, int]] = field(default_factory=dict[TaskId, tuple[int, int]])
    parked: list[TaskId] = field(default_factory=list[TaskId])


class Shard:
    """The state of one partition, and the only writer of its facts.

    Args:
        record: Writes a fact with its link and returns its hash.
        tell: Hands a command to an arm. None: this is a replay; nobody is told, and no timer is kept.
        closed: Trees that are over.
        window: Attempts one arm may hold from this partition.
        lease_ms: How long an arm may stay silent.
        count: Takes what counts for circuit breakers.
        fault_in: Holds a JSON document against a JSON Schema; says what is wrong, with the path.
        remember: Takes the memories of accepted results.
    """

    def __init__(
        self,
        record: Callable[[f.Fact, Link], bytes],
        tell: Callable[[ArmCommand], None] | None,
        closed: ClosedTrees,
        *,
        window: int = WINDOW,
        lease_ms: int = LEASE_MS,
        count: Callable[[ArmCallCounted], None] | None = None,
        fault_in: FaultIn | None = None,
        remember: Callable[[MemoryRecorded], None] | None = None,
    ) -> None:
        self._record, self._tell, self._closed, self._lease_ms = record, tell, closed, lease_ms
        self._border, self._remember = Border(fault_in, count), remember
        self._scheduler = Scheduler(window)
        self._timers: list[tuple[int, int, TimerKind, TaskId, str]] = []
        self._timer_count = 0
        self._cause = ("", 0)
        self._registry = Registry()
        self._newly_ready: list[tuple[TaskId, TaskId]] = []
        self.position = 0
        self.trees: dict[TaskId, OpenTree] = {}
        self.just_closed: dict[TaskId, ClosedTree] = {}
        self.touched: dict[TaskId, None] = {}

    def configure(self, *, window: int, lease_ms: int) -> None:
        """Change the engine's settings from the next input on; every fact records those it was decided with."""
        self._scheduler.window, self._lease_ms = window, lease_ms

    @property
    def waiting(self) -> int:
        """Ready tasks that no arm holds yet."""
        return self._scheduler.waiting

    def react(self, topic: str, offset: int, at_ms: int, command: Input, registry: Registry) -> None:
        """Decide one input and everything that follows from it in this partition.

        Raises:
            InvalidContract: For a report that contradicts itself, or that is about no tree of this log.
        """
        self._cause, self._registry = (topic, offset), registry
        self._newly_ready.clear()
        if not (isinstance(command, TimerFired) and command.kind is TimerKind.REGISTRY):
            self._one_tree(topic, command, at_ms)
        if self._scheduler.waiting:
            self._release(at_ms)
            if self._newly_ready or isinstance(command, TimerFired):
                self._defer(at_ms)

    def _one_tree(self, topic: str, command: Input, at_ms: int) -> None:
        if topic in _ARMS_SIGN:
            check_report(command)  # type: ignore[arg-type]  # the topic carries reports alone
        root_id = command.root_task_id
        if len(root_id) > MAX_TASK_ID_LENGTH:  # too long for a link, so even its refusal could not be written
            raise InvalidContract("INVALID_TASK_ID", "root_task_id", f"{len(root_id)} characters")
        entry = self.trees.get(root_id) or self._reopened(root_id) or OpenTree(absent(root_id))
        if entry.tree.status is _ABSENT:
            if isinstance(command, TimerFired):
                return
            if topic in _ARMS_SIGN:
                raise InvalidContract("TASK_NOT_FOUND", "root_task_id", f"no task {root_id} in this log")
        if type(command) is ExecutionResult:
            command = self._border.judged(command, entry.tree, self._registry)
        self._drive(entry, command, at_ms)

    def _drive(self, entry: OpenTree, command: TreeCommand, at_ms: int) -> bool:
        """Record every fact that follows; True when there was one."""
        before, tree, registry = entry.seq, entry.tree, self._registry
        cause_topic, cause_offset = self._cause
        for fact in decide(tree, command, at_ms, registry):
            link = Link(
                tree.root_id,
                entry.seq,
                self.position,
                cause_topic,
                cause_offset,
                registry.offset,
                RULES,
                self._scheduler.window,
                self._lease_ms,
                entry.head,
            )
            if self._tell is not None and isinstance(fact, f.AttemptEnded) and fact.provenance is None:
                self._tell(_revoked(tree.root_id, fact))
            head = self._record(fact, link)
            if tree.proposed and self._remember is not None and isinstance(fact, f.MemoriesAccepted):
                for memory in memories(tree, fact, link):
                    self._remember(memory)
            self._fold(entry, fact, head, live=True)
            if self._tell is not None and isinstance(fact, f.AttemptAssigned):
                self._tell(assignment(tree, fact, registry.security.policies))
        if entry.seq == before:
            return False
        self._file(entry)
        return True

    def _file(self, entry: OpenTree) -> None:
        """Keep an open tree in memory; of a closed one, only what the index needs."""
        root_id = entry.tree.root_id
        self.touched[root_id] = None
        if entry.tree.status is _OPEN:
            self.trees[root_id] = entry
            self.just_closed.pop(root_id, None)
        else:
            self.trees.pop(root_id, None)
            self.just_closed[root_id] = closed_form(entry)

    def _reopened(self, root_id: TaskId) -> OpenTree | None:
        known = self.just_closed.get(root_id) or self._closed.get(root_id)
        if known is None:
            return None
        seen = {known.seen[i : i + 8] for i in range(0, len(known.seen), 8)}
        return OpenTree(Tree(root_id, known.status, seen=seen), known.seq, known.head)

    def _fold(self, entry: OpenTree, fact: f.Fact, head: bytes, *, live: bool) -> None:
        if isinstance(fact, f.UsageRecorded):  # the most frequent: it makes no task ready, and frees no arm
            evolve(entry.tree, fact)
        else:
            self._fold_and_look(entry, fact, live=live)
        entry.seq += 1
        entry.head = head
        self.position += 1

    def _fold_and_look(self, entry: OpenTree, fact: f.Fact, *, live: bool) -> None:
        """Fold a fact, and look which tasks it made ready and what it means to the scheduler."""
        tree = entry.tree
        node = tree.nodes.get(fact.task_id) if isinstance(fact, _TASK_ENDS) else None
        above, alone = (None, True) if node is None or node.op is None else (node.parent, is_leaf(node))
        evolve(tree, fact)
        match fact:
            case f.LeaseRenewed():
                pass
            case f.AttemptAssigned():
                entry.ready.pop(fact.task_id, None)
            case f.AttemptEnded():
                pass  # what it frees is the scheduler's affair
            case f.TaskCompleted():
                if node is not None and node.dependents:
                    self._mark_ready(entry, node.dependents, live=live)
                if above is not None:  # it may have waited for this alone
                    self._mark_ready(entry, [above], live=live)
            case f.OperatorStarted() | f.RetryDue():
                self._mark_ready(entry, [fact.task_id], live=live)
            case f.TaskSubmitted():
                task_id = fact.contract.task_id
                self._mark_ready(entry, [task_id, *tree.nodes[task_id].children], live=live)
            case f.TaskPlanned():
                self._mark_ready(entry, tree.nodes[fact.task_id].children, live=live)
            case f.RecoveryStarted():
                self._mark_ready(entry, [fact.recovery_task_id], live=live)
            case f.TaskFailed():
                entry.ready.pop(fact.task_id, None)
                if not alone:
                    entry.ready = {task: age for task, age in entry.ready.items() if task in tree.nodes}
            case _ if tree.flows:
                self._mark_ready(entry, made_ready(tree, fact), live=live)
            case _:
                pass
        if live:
            self._take_notice(entry, fact)

    def _take_notice(self, entry: OpenTree, fact: f.Fact) -> None:
        """What a fact means to the scheduler and the timers; after a restore they are filled anew."""
        tree = entry.tree
        match fact:
            case f.AttemptAssigned():
                self._scheduler.assigned(fact.arm_id)
                due_ms = tree.attempts[fact.attempt_id].lease_ends_ms
                self._set_timer(due_ms, _LEASE, tree.root_id, fact.attempt_id)
            case f.AttemptEnded():
                self._scheduler.ended(fact.arm_id)
                self._unpark(entry)
                if fact.outcome is not _SUCCESS or self._registry.breakers:
                    self._border.ended(tree.root_id, fact, self._registry, self.position)
            case f.RetryScheduled():
                self._set_timer(fact.due_ms, TimerKind.RETRY, tree.root_id, fact.task_id)
            case f.LeaseRenewed() if fact.started and fact.attempt_id in tree.attempts:
                ends_ms = tree.attempts[fact.attempt_id].timeout_ends_ms
                self._set_timer(ends_ms or 0, _TIMEOUT, tree.root_id, fact.attempt_id)
            case f.BudgetAmended():
                self._unpark(entry)
            case f.ApprovalRequested(due_ms=int() as due_ms):
                self._set_timer(due_ms, TimerKind.APPROVAL, tree.root_id, fact.task_id)
            case _:
                pass

    def _mark_ready(self, entry: OpenTree, task_ids: Iterable[TaskId], *, live: bool) -> None:
        for ordinal, task_id in enumerate(task_ids):
            node = entry.tree.nodes.get(task_id)
            if node is not None and node.status is _READY and task_id not in entry.ready:
                entry.ready[task_id] = (self.position, ordinal)
                if live:
                    self._enqueue(entry, task_id)
                    self._newly_ready.append((entry.tree.root_id, task_id))

    def _enqueue(self, entry: OpenTree, task_id: TaskId) -> None:
        position, ordinal = entry.ready[task_id]
        tree = entry.tree
        spec = tree.nodes[task_id].spec
        self._scheduler.ready(tree.root_id, task_id, spec, tree.security_policy, position, ordinal)

    def _unpark(self, entry: OpenTree) -> None:
        for task_id in entry.parked:
            if task_id in entry.ready:
                self._enqueue(entry, task_id)
        entry.parked.clear()

    def _release(self, at_ms: int) -> None:
        while self._scheduler.waiting and (release := self._scheduler.next(self._registry)) is not None:
            entry = self.trees.get(release.root_id)
            if entry is None:
                continue  # the tree ended while its task was queued
            self._assign(entry, release, at_ms)

    def _assign(self, entry: OpenTree, release: Release, at_ms: int) -> None:
        arm = self._registry.arms[release.candidates[0].arm_id]
        command = AssignAttempt(
            release.task_id,
            release.candidates[0].arm_id,
            release.candidates,
            self._lease_ms,
            arm.capability.timeout_seconds * 1_000,
            self._border.refusal(entry.tree, release.task_id, arm.capability),
        )
        if not self._drive(entry, command, at_ms) and release.task_id in entry.ready:
            entry.parked.append(release.task_id)

    def _defer(self, at_ms: int) -> None:
        """Say once of every ready task that no arm can take why that is so."""
        for release in self._scheduler.unroutable(self._registry):
            entry = self.trees.get(release.root_id)
            if entry is not None and release.task_id in entry.ready:
                reason = explain(release.requirement, self._registry)
                self._drive(entry, DeferRouting(release.task_id, reason), at_ms)

    # Timers

    def _set_timer(self, due_ms: int, kind: TimerKind, root_id: TaskId, subject: str) -> None:
        if self._tell is None:
            return
        self._timer_count += 1
        heapq.heappush(self._timers, (due_ms, self._timer_count, kind, root_id, subject))

    def next_due_ms(self) -> int | None:
        """When the next timer may be due, milliseconds since the epoch."""
        return self._timers[0][0] if self._timers else None

    def due(self, now_ms: int) -> Iterator[TimerFired]:
        """Timers whose moment came by `now_ms`; each fires again a little later until its input was consumed."""
        while self._timers and self._timers[0][0] <= now_ms:
            _, _, kind, root_id, subject = heapq.heappop(self._timers)
            due_ms = self._really_due(kind, root_id, subject)
            if due_ms is None:
                continue
            if due_ms <= now_ms:
                yield TimerFired(kind, root_id, subject, due_ms)
            self._set_timer(max(due_ms, now_ms + _REFIRE_MS), kind, root_id, subject)

    def _really_due(self, kind: TimerKind, root_id: TaskId, subject: str) -> int | None:
        entry = self.trees.get(root_id)
        if entry is None:
            return None
        if kind is TimerKind.RETRY:
            node = entry.tree.nodes.get(TaskId(subject))
            return node.due_ms if node is not None and node.status is NodeStatus.BACKOFF else None
        if kind is TimerKind.APPROVAL:
            held = entry.tree.nodes.get(TaskId(subject))
            hold = None if held is None or held.flow is None else held.flow.hold
            return None if hold is None else hold.due_ms
        attempt = entry.tree.attempts.get(AttemptId(subject))
        if attempt is None:
            return None
        return attempt.lease_ends_ms if kind is TimerKind.LEASE else attempt.timeout_ends_ms

    # Restore

    def load(self, entry: OpenTree) -> None:
        """Take an open tree from a snapshot."""
        self.trees[entry.tree.root_id] = entry

    def refold(self, fact: f.Fact, link: Link, head: bytes) -> None:
        """Fold a fact read back from the log; one that its tree has folded already changes nothing."""
        self.position = link.position
        entry = self.trees.get(link.root_task_id) or self._reopened(link.root_task_id)
        if entry is None:
            entry = OpenTree(absent(link.root_task_id))
        if link.seq >= entry.seq:
            self._fold(entry, fact, head, live=False)
            self._file(entry)
        self.position = link.position + 1

    def resume(self) -> None:
        """After the last fact was folded: fill the scheduler and the timers from what is open."""
        for root_id, entry in self.trees.items():
            entry.parked.clear()  # they are queued like the rest, and parked again where budget still lacks
            for task_id in entry.ready:
                self._enqueue(entry, task_id)
            for attempt in entry.tree.attempts.values():
                self._resume_attempt(root_id, attempt)
            for node in entry.tree.nodes.values():
                if node.status is NodeStatus.BACKOFF:
                    self._set_timer(node.due_ms, TimerKind.RETRY, root_id, node.task_id)
                elif node.flow is not None and node.flow.hold is not None and node.flow.hold.due_ms:
                    self._set_timer(node.flow.hold.due_ms, TimerKind.APPROVAL, root_id, node.task_id)

    def _resume_attempt(self, root_id: TaskId, attempt: Attempt) -> None:
        self._scheduler.assigned(ArmId(attempt.arm_id))
        self._set_timer(attempt.lease_ends_ms, TimerKind.LEASE, root_id, attempt.attempt_id)
        if attempt.timeout_ends_ms is not None:
            self._set_timer(attempt.timeout_ends_ms, TimerKind.TIMEOUT, root_id, attempt.attempt_id)


def _revoked(root_id: TaskId, fact: f.AttemptEnded) -> AttemptRevoked:
    """What the arm is told when an attempt ends without its own word."""
    return AttemptRevoked(root_id, fact.task_id, fact.attempt_id, fact.arm_id, fact.error or "")


def closed_form(entry: OpenTree) -> ClosedTree:
    """What the index keeps of a tree that is over."""
    return ClosedTree(entry.tree.status, entry.seq, entry.head, b"".join(sorted(entry.tree.seen)))
