"""The chain of custody and the lineage of a task, read from the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from typing import Final

from octolog.domain.ids import TaskId
from projections.analytics.queries import tree_with
from projections.analytics.tree import Row, Tree
from projections.duck import Snapshot, Store
from projections.provenance.fold import (
    Action,
    ChainLink,
    Custody,
    Entry,
    Source,
    chain_faults,
    descent,
    numbered,
)
from projections.provenance.lineage import Family
from projections.provenance.links import PROCESSOR, entry_of, fact_row
from projections.provenance.tokens import is_of_token, token_entries


def _parts(fact: Row) -> str:
    return f"{len(fact['steps'])} steps" if fact["steps"] else f"{fact['operators']} operators"


def _began(fact: Row) -> str:
    return " ".join(
        (fact["type"].lower(), *([f"for input {fact['input_name']}"] if fact["input_name"] else []))
    )


def _joined(*said: str | None) -> str:
    return ": ".join(one for one in said if one is not None)


_FACTS: Final[tuple[tuple[Action, str, str, Callable[[Row], str]], ...]] = (
    (Action.RECEIVED, "TaskSubmitted", "task_submitted", lambda fact: f"from {fact['submitted_by']}"),
    (Action.PLANNED, "TaskSubmitted", "task_submitted", _parts),
    (Action.PLANNED, "TaskPlanned", "task_planned", lambda fact: f"{len(fact['steps'])} steps"),
    (Action.BEGAN, "OperatorStarted", "operator_started", _began),
    (
        Action.RECOVERED,
        "RecoveryStarted",
        "recovery_started",
        lambda fact: f"recovery {fact['number']} by {fact['kind'].lower()}: {fact['error_message']}",
    ),
    (
        Action.ADOPTED,
        "ProgramAdopted",
        "program_adopted",
        lambda fact: f"{fact['operators']} operators from {fact['recovery_task_id']}",
    ),
    (
        Action.ASKED,
        "SubtaskRequested",
        "subtask_requested",
        lambda fact: f"subtask {fact['number']}: {fact['request_goal']}",
    ),
    (
        Action.ASSIGNED,
        "AttemptAssigned",
        "attempt_assigned",
        lambda fact: f"attempt {fact['number']}, {fact['policy']}",
    ),
    (Action.STARTED, "LeaseRenewed", "lease_renewed", lambda fact: f"by {fact['instance_id']}"),
    (
        Action.RETRIED,
        "RetryScheduled",
        "retry_scheduled",
        lambda fact: f"attempt {fact['next_number']} in {fact['delay_ms']} ms",
    ),
    (Action.RETURNED, "TaskCompleted", "task_completed", lambda _: ""),
    (Action.FAILED, "TaskFailed", "task_failed", lambda fact: f"{fact['code']}: {fact['message']}"),
    (
        Action.CANCELLED,
        "TaskCancelled",
        "task_cancelled",
        lambda fact: _joined(fact["requested_by"], fact["reason"] or None),
    ),
)
"""Action, record, table, and what it says in one line."""

_ONLY: Final[dict[tuple[Action, str], Callable[[Row], bool]]] = {
    (Action.STARTED, "LeaseRenewed"): lambda fact: bool(fact["started"]),
    (Action.PLANNED, "TaskSubmitted"): lambda fact: bool(fact["steps"] or fact["operators"]),
}
"""Which facts of the table count, where not all do."""

_WITH_CONTRACT: Final = (Action.PLANNED, "TaskSubmitted")
_MADE_BY: Final = {
    "PLANNED": Action.PLANNED,
    "DECOMPOSITION": Action.RECOVERED,
    "ALTERNATIVE": Action.RECOVERED,
    "DECOMPOSED": Action.ADOPTED,
    "SUBTASK": Action.ASKED,
}
"""What a task was made as -> what was done to the task around it, that made it."""

_SUBMITTED: Final = """
SELECT log_timestamp AS at, contract_task_id AS task_id, contract_goal AS detail, submitted_by AS actor,
       CAST(NULL AS BIGINT) AS seq, CAST(NULL AS BLOB) AS hash, log_topic, log_partition, log_offset
FROM submit_task
WHERE log_partition BETWEEN ? AND ? AND log_offset BETWEEN ? AND ? AND log_offset IN ({offsets})
"""
"""The very commands that the facts name as their cause; a repeat of a command is not one of them.

Offsets are written out, and the tree is no condition: ids would be one more column of words to read.
"""


def provenance(store: Store, task_id: TaskId) -> Custody:
    """Everything that was done to a task, its steps and subtasks, with its lineage.

    Raises:
        NotFound: When no such task is in the store.
    """
    with store.snapshot() as now:
        tree, nodes = tree_with(now, task_id, chain=True)
        return _custody(now, task_id, tree, nodes)


custody = provenance


def _custody(now: Snapshot, task_id: TaskId, tree: Tree, nodes: list[Row]) -> Custody:
    family = descent(task_id, {node["task_id"]: node["parent_task_id"] for node in nodes})
    related = Family(nodes)
    every = list(_entries(now, tree))
    entries = [entry for entry in every if entry.task_id in family]
    links = [
        ChainLink(row["seq"], row["prev_hash"], row["hash"]) for rows in tree.facts.values() for row in rows
    ]
    outputs = {entry.task_id: entry.output_hash for entry in every if entry.action is Action.EXECUTED}
    return Custody(
        root_task_id=tree.root,
        task_id=task_id,
        entries=numbered([*_origin(task_id, related, every), *entries]),
        inputs=(
            *_inputs(task_id, related, family, entries, outputs),
            *_recalled(now, tree, family),
            *_workers(tree, family),
        ),
        used_by=tuple(_used_by(now, tree, task_id, related, family, outputs.get(task_id))),
        facts=len(links),
        faults=chain_faults(links),
    )


def _entries(now: Snapshot, tree: Tree) -> Iterator[Entry]:
    for row in _commands(now, tree):
        yield entry_of(row, Action.SUBMITTED, "SubmitTask")
    for action, record, table, detail in _FACTS:
        counts = _ONLY.get((action, record))
        for fact in tree.of(table):
            if counts is None or counts(fact):
                yield entry_of(fact_row(fact, PROCESSOR, detail(fact)), action, record)
    for fact in tree.of("attempt_ended"):
        yield from _ended(tree, fact)
    if any(map(is_of_token, tree.of("attempt_ended"))):
        yield from token_entries(now, tree)


def _commands(now: Snapshot, tree: Tree) -> list[Row]:
    facts = {
        (row["cause_topic"], row["log_partition"], row["cause_offset"], row["task_id"])
        for row in tree.of("task_submitted")
    }
    if not facts:
        return []
    partitions = [partition for _, partition, _, _ in facts]
    offsets = [offset for _, _, offset, _ in facts]
    sql = _SUBMITTED.format(offsets=", ".join(map(str, offsets)))
    values = [min(partitions), max(partitions), min(offsets), max(offsets)]
    return [
        row
        for row in now.rows(sql, values)
        if (row["log_topic"], row["log_partition"], row["log_offset"], row["task_id"]) in facts
    ]


def _ended(tree: Tree, fact: Row) -> Iterator[Entry]:
    """An arm's result, and the checks it names; or an end without one."""
    row = fact_row(fact, fact["arm_id"], _joined(fact["outcome"], fact["error_code"], fact["error"]))
    if fact["provenance_command_hash"] is None:
        yield replace(entry_of(row, Action.STOPPED, "AttemptEnded"), actor=PROCESSOR)
        return
    executed = replace(
        entry_of(row, Action.EXECUTED, "AttemptEnded"),
        command_hash=fact["provenance_command_hash"],
        data_sources=tuple(fact["provenance_data_sources"] or ()),
        input_hash=fact["provenance_input_hash"],
        output_hash=_output_hash(tree, fact),
        model=fact["model"],
    )
    yield executed
    tests = tuple(fact["provenance_tests_passed"] or ())
    if tests:
        yield replace(executed, action=Action.VALIDATED, detail=", ".join(tests), tests_passed=tests)


def _output_hash(tree: Tree, fact: Row) -> str | None:
    for told in (fact["provenance_output_hash"], fact["output_blob_sha256"]):
        if told is not None:
            return str(told)
    output = tree.outputs.get(fact["attempt_id"])
    return sha256(output.encode()).hexdigest() if output else None


def _origin(task_id: TaskId, related: Family, entries: list[Entry]) -> list[Entry]:
    """What a plan or a program made has no submission of its own: its chain begins with that of the task above it.

    Then follows, from the outside in, what made it and the tasks around it: the plan or program, a recovery, the
    program that one gave, an arm's request.
    """
    path = list(related.around(task_id))
    if len(path) == 1:
        return []
    top = TaskId(path[-1]["task_id"])
    found = [e for e in entries if e.task_id == top and e.action in (Action.SUBMITTED, Action.RECEIVED)]
    if any(node["made_as"] != "PLANNED" for node in path[:-1]):
        found += [e for e in entries if e.task_id == top and (e.action, e.record) == _WITH_CONTRACT]
    for node in path[:-1]:
        made = _MADE_BY.get(node["made_as"])
        before = [e for e in entries if e.action is made and e.task_id == node["parent_task_id"]]
        told = {e.seq: e for e in before if e.seq is not None and e.seq <= node["seq"]}
        found += [told[max(told)]] if told and told[max(told)] not in found else []
    return found


def _inputs(
    task_id: TaskId,
    related: Family,
    family: frozenset[TaskId],
    entries: list[Entry],
    outputs: dict[TaskId, str | None],
) -> Iterator[Source]:
    """What the task was given, those it is made of included where they answered it; of those what is outside."""
    needed = {(need, task_id) for need in related.given_to(task_id)}
    needed |= {(need, by) for by in family for need in related.prerequisites(by) if need not in family}
    for need, by in sorted(needed):
        yield Source("task", need, by, outputs.get(need))
    executed = [entry for entry in entries if entry.action is Action.EXECUTED]
    read = {(source, entry.task_id) for entry in executed for source in entry.data_sources}
    yield from (Source("data", source, by) for source, by in sorted(read))


def _recalled(now: Snapshot, tree: Tree, family: frozenset[TaskId]) -> Iterator[Source]:
    """What semantic memory gave attempts."""
    span = tree.beside.get("context_recalled")
    if span is None:
        return
    rows = now.rows(
        """SELECT DISTINCT memory.memory_id AS name, task_id
           FROM context_recalled, unnest(memories) AS listed(memory)
           WHERE log_offset BETWEEN ? AND ? AND root_task_id = ? ORDER BY ALL""",
        [*span, tree.root],
    )
    yield from (Source("memory", row["name"], row["task_id"]) for row in rows if row["task_id"] in family)


def _workers(tree: Tree, family: frozenset[TaskId]) -> Iterator[Source]:
    """The arms that held the tasks, and the models that answered them."""
    told = {("arm", fact["arm_id"], fact["task_id"]) for fact in tree.of("attempt_assigned")}
    told |= {
        ("model", fact["model"], fact["task_id"])
        for table in ("usage_recorded", "attempt_ended")
        for fact in tree.of(table)
        if fact["model"]
    }
    yield from (Source(*one) for one in sorted(told) if one[2] in family)


def _used_by(
    now: Snapshot,
    tree: Tree,
    task_id: TaskId,
    related: Family,
    family: frozenset[TaskId],
    output_hash: str | None,
) -> Iterator[Source]:
    for user in related.users_of(task_id):
        yield Source("task", user, task_id, output_hash)
    memories = _recorded(now, tree, family)
    yield from (Source("memory", row["name"], TaskId(row["task_id"])) for row in memories)
    if memories:
        yield from _given_memories(now, sorted(row["name"] for row in memories), family)


def _recorded(now: Snapshot, tree: Tree, family: frozenset[TaskId]) -> list[Row]:
    """Memories made of what the tasks answered."""
    span = tree.beside.get("memory_recorded")
    if span is None:
        return []
    return now.rows(
        """SELECT memory_memory_id AS name, task_id FROM memory_recorded
           WHERE log_offset BETWEEN $first AND $last AND list_contains($family, task_id) ORDER BY ALL""",
        {"first": span[0], "last": span[1], "family": sorted(family)},
    )


def _given_memories(now: Snapshot, names: list[str], family: frozenset[TaskId]) -> Iterator[Source]:
    """Tasks, of any tree, that memory gave what was made here."""
    rows = now.rows(
        """SELECT DISTINCT told.task_id, memory.memory_id FROM context_recalled AS told,
                  unnest(told.memories) AS listed(memory)
           WHERE list_contains($names, memory.memory_id) ORDER BY ALL""",
        {"names": names},
    )
    yield from (
        Source("task", row["task_id"], row["memory_id"]) for row in rows if row["task_id"] not in family
    )
