"""What is remembered of a tree: memories that its arms proposed, once the results they came with were accepted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, cast

from octolog.domain import facts as f
from octolog.domain.chain import Link
from octolog.domain.ids import AttemptId, TaskId, uuid5
from octolog.domain.json_text import canonical, parse
from octolog.domain.memory import MemoryRecorded, SemanticMemory
from octolog.domain.reports import ExecutionResult
from octolog.domain.task.state import Node, NodeStatus, Tree, TreeStatus

MAX_PROPOSING_TASKS: Final = 256
"""Tasks of one tree whose proposals may wait at a time: they are part of its state. Those of others are dropped."""

CONSTRAINT: Final = "remember"
"""A root's constraint: with `true`, what its tree completes with is accepted where no judge has a say."""


def proposed(tree: Tree, node: Node, result: ExecutionResult, at_ms: int) -> Iterator[f.Fact]:
    """Keep what a success proposes; a judge's, and those of a result that is none yet, are not kept."""
    is_judge = node.flow is not None and node.flow.judges is not None
    is_final = not result.question and result.subtask is None
    if is_final and not is_judge and len(tree.proposed) < MAX_PROPOSING_TASKS:
        yield f.MemoriesProposed(at_ms, node.task_id, result.attempt_id, result.arm_id, result.memories)


def accepted(tree: Tree, at_ms: int) -> Iterator[f.Fact]:
    """Accept the proposals whose results were accepted by now."""
    for task_id, waiting in list(tree.proposed.items()):
        by = _accepted_with(tree, task_id)
        if by is not None:
            ids = tuple(memory_id(waiting.attempt_id, number) for number in range(len(waiting.memories)))
            yield f.MemoriesAccepted(at_ms, task_id, waiting.attempt_id, waiting.arm_id, by, ids)


def memories(tree: Tree, fact: f.MemoriesAccepted, link: Link) -> Iterator[MemoryRecorded]:
    """The records of accepted proposals; the tree as before the fact."""
    waiting = tree.proposed[fact.task_id]
    for number, (name, proposal) in enumerate(zip(fact.memory_ids, waiting.memories, strict=True)):
        told = {
            "accepted_with": fact.accepted_with,
            "attempt_id": fact.attempt_id,
            "fact": f"{link.root_task_id}/{link.seq}",
            "number": number,
            "position": link.position,
        }
        memory = SemanticMemory(
            memory_id=name,
            entity_type=proposal.entity_type,
            content=proposal.content,
            source=fact.arm_id,
            timestamp_ms=fact.at_ms,
            confidence=proposal.confidence,
            metadata_json=canonical(told),
            tags=proposal.tags,
        )
        yield MemoryRecorded(link.root_task_id, fact.task_id, memory)


def memory_id(attempt_id: AttemptId, number: int) -> str:
    """The id of an attempt's proposal: the same one whenever it is recorded."""
    return uuid5(f"memory of attempt {attempt_id}#{number}")


def _accepted_with(tree: Tree, task_id: TaskId) -> TaskId | None:
    """The task whose accepted result a task's own is, or is part of; None: there is none yet."""
    here = tree.nodes.get(task_id)
    if here is not None and here.status is not NodeStatus.COMPLETED:
        return None
    while here is not None:
        if here.status is NodeStatus.COMPLETED and _was_judged(here):
            return here.task_id
        here = tree.nodes.get(here.parent) if here.parent is not None else None
    root = tree.nodes.get(tree.root_id)  # tasks of programs leave the tree when they have ended
    if root is None or tree.status is not TreeStatus.COMPLETED:
        return None
    return root.task_id if _was_judged(root) or _asks(root) else None


def _was_judged(node: Node) -> bool:
    """Whether a judge, or a person in its place, let the task's result stand."""
    flow = node.flow
    if flow is None or flow.rule is None or not flow.accepted:
        return False
    return flow.rule.judge and bool(node.spec.acceptance_criteria)


def _asks(root: Node) -> bool:
    if (
        root.flow is not None
        and root.flow.rule is not None
        and root.flow.rule.judge
        and root.spec.acceptance_criteria
    ):
        return False
    try:
        constraints = parse(root.spec.constraints_json)
    except ValueError:
        return False
    return isinstance(constraints, dict) and cast("dict[str, object]", constraints).get(CONSTRAINT) is True
