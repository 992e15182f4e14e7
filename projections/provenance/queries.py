"""The chain of custody and the lineage of a task, read from the store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from octolog.domain.ids import ArmId, AttemptId, TaskId
from projections.analytics.queries import Row, root_of, timeline
from projections.duck import Store
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

PROCESSOR: Final = "task-processor"
"""Who decides: the one writer of facts."""

_FACTS: Final = (
    (
        Action.RECEIVED,
        "TaskSubmitted",
        "task_submitted",
        "contract_task_id",
        "'from ' || submitted_by",
        "",
        "",
    ),
    (
        Action.PLANNED,
        "TaskSubmitted",
        "task_submitted",
        "contract_task_id",
        "if(len(contract_steps) > 0, len(contract_steps) || ' steps', len(contract_operators) || ' operators')",
        "",
        "",
    ),
    (Action.PLANNED, "TaskPlanned", "task_planned", "task_id", "len(steps) || ' steps'", "", "attempt_id"),
    (
        Action.BEGAN,
        "OperatorStarted",
        "operator_started",
        "task_id",
        "concat_ws(' ', lower(type), 'for input ' || nullif(input_name, ''))",
        "",
        "",
    ),
    (
        Action.RECOVERED,
        "RecoveryStarted",
        "recovery_started",
        "task_id",
        "'recovery ' || number || ' by ' || lower(kind) || ': ' || error_message",
        "",
        "attempt_id",
    ),
    (
        Action.ADOPTED,
        "ProgramAdopted",
        "program_adopted",
        "task_id",
        "len(operators) || ' operators from ' || recovery_task_id",
        "",
        "attempt_id",
    ),
    (
        Action.ASKED,
        "SubtaskRequested",
        "subtask_requested",
        "task_id",
        "'subtask ' || number || ': ' || request_goal",
        "",
        "attempt_id",
    ),
    (
        Action.ASSIGNED,
        "AttemptAssigned",
        "attempt_assigned",
        "task_id",
        "'attempt ' || number || ', ' || policy",
        "arm_id",
        "attempt_id",
    ),
    (Action.STARTED, "LeaseRenewed", "lease_renewed", "task_id", "'by ' || instance_id", "", "attempt_id"),
    (
        Action.RETRIED,
        "RetryScheduled",
        "retry_scheduled",
        "task_id",
        "'attempt ' || next_number || ' in ' || delay_ms || ' ms'",
        "",
        "",
    ),
    (Action.RETURNED, "TaskCompleted", "task_completed", "task_id", "''", "", "attempt_id"),
    (Action.FAILED, "TaskFailed", "task_failed", "task_id", "code || ': ' || message", "", ""),
    (
        Action.CANCELLED,
        "TaskCancelled",
        "task_cancelled",
        "task_id",
        "concat_ws(': ', requested_by, nullif(reason, ''))",
        "",
        "",
    ),
)
"""Action, record, table, and SQL for the task, the detail, the arm and the attempt."""

_ONLY: Final = {
    (Action.STARTED, "LeaseRenewed"): "AND started",
    (Action.PLANNED, "TaskSubmitted"): "AND (len(contract_steps) > 0 OR len(contract_operators) > 0)",
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
SELECT told.log_timestamp AS at, told.contract_task_id AS task_id, told.contract_goal AS detail,
       told.submitted_by AS actor, CAST(NULL AS BIGINT) AS seq, CAST(NULL AS BLOB) AS hash,
       told.log_topic, told.log_partition, told.log_offset
FROM submit_task AS told JOIN task_submitted AS fact
  ON fact.link_root_task_id = told.root_task_id AND fact.contract_task_id = told.contract_task_id
 AND fact.link_cause_topic = told.log_topic AND fact.link_cause_offset = told.log_offset
WHERE told.root_task_id = ?
"""
"""The very commands that the facts name as their cause; a repeat of a command is not one of them."""

_ENDED: Final = """
SELECT happened_at AS at, task_id, concat_ws(': ', outcome, error_code, error) AS detail, arm_id AS actor,
       link_seq AS seq, hash, log_topic, log_partition, log_offset, arm_id, attempt_id, provenance_command_hash,
       provenance_data_sources, provenance_input_hash, provenance_model_version, provenance_tests_passed,
       coalesce(provenance_output_hash, output_blob_sha256,
                CASE WHEN output <> '' THEN sha256(output) END) AS output_hash, outcome
FROM attempt_ended WHERE link_root_task_id = ?
"""


def provenance(store: Store, task_id: TaskId) -> Custody:
    """Everything that was done to a task, its steps and subtasks, with its lineage.

    Raises:
        NotFound: When no such task is in the store.
    """
    root = root_of(store, task_id)
    nodes = store.rows("SELECT * FROM task_nodes WHERE root_task_id = ?", [root])
    family = descent(task_id, {node["task_id"]: node["parent_task_id"] for node in nodes})
    related = Family(nodes)
    every = list(_entries(store, root))
    entries = [entry for entry in every if entry.task_id in family]
    links = [ChainLink(row["seq"], row["prev_hash"], row["hash"]) for row in timeline(store, root)]
    outputs = {entry.task_id: entry.output_hash for entry in every if entry.action is Action.EXECUTED}
    return Custody(
        root_task_id=root,
        task_id=task_id,
        entries=numbered([*_origin(task_id, related, every), *entries]),
        inputs=(
            *_inputs(task_id, related, family, entries, outputs),
            *_recalled(store, root, family),
            *_workers(store, root, family),
        ),
        used_by=tuple(_used_by(store, task_id, related, family, outputs.get(task_id))),
        facts=len(links),
        faults=chain_faults(links),
    )


custody = provenance


def _entries(store: Store, root: TaskId) -> Iterator[Entry]:
    for row in store.rows(_SUBMITTED, [root]):
        yield _entry(row, Action.SUBMITTED, "SubmitTask")
    for action, record, table, task, detail, arm, attempt in _FACTS:
        where = _ONLY.get((action, record), "")
        rows = store.rows(
            f"""SELECT happened_at AS at, {task} AS task_id, {detail} AS detail, '{PROCESSOR}' AS actor,
                       link_seq AS seq, hash, log_topic, log_partition, log_offset,
                       {arm or "NULL"} AS arm_id, {attempt or "NULL"} AS attempt_id
                FROM {table} WHERE link_root_task_id = ? {where}""",  # noqa: S608 -- constants of this module
            [root],
        )
        yield from (_entry(row, action, record) for row in rows)
    for row in store.rows(_ENDED, [root]):
        yield from _ended(row)


def _ended(row: Row) -> Iterator[Entry]:
    """An arm's result, and the checks it names; or an end without one."""
    if row["provenance_command_hash"] is None:
        yield replace(_entry(row, Action.STOPPED, "AttemptEnded"), actor=PROCESSOR)
        return
    executed = replace(
        _entry(row, Action.EXECUTED, "AttemptEnded"),
        command_hash=row["provenance_command_hash"],
        data_sources=tuple(row["provenance_data_sources"] or ()),
        input_hash=row["provenance_input_hash"],
        output_hash=row["output_hash"],
        model=row["provenance_model_version"],
    )
    yield executed
    tests = tuple(row["provenance_tests_passed"] or ())
    if tests:
        yield replace(executed, action=Action.VALIDATED, detail=", ".join(tests), tests_passed=tests)


def _entry(row: Row, action: Action, record: str) -> Entry:
    arm, attempt, digest = row.get("arm_id"), row.get("attempt_id"), row["hash"]
    return Entry(
        number=0,
        action=action,
        at=row["at"],
        actor=row["actor"],
        task_id=TaskId(row["task_id"]),
        record=record,
        detail=row["detail"] or "",
        seq=row["seq"],
        fact_hash=None if digest is None else bytes(digest).hex(),
        log=f"{row['log_topic']}/{row['log_partition']}/{row['log_offset']}",
        arm_id=None if arm is None else ArmId(arm),
        attempt_id=None if attempt is None else AttemptId(attempt),
    )


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


def _recalled(store: Store, root: TaskId, family: frozenset[TaskId]) -> Iterator[Source]:
    """What semantic memory gave attempts."""
    rows = store.rows(
        """SELECT DISTINCT memory.memory_id AS name, task_id
           FROM context_recalled, unnest(memories) AS listed(memory) WHERE root_task_id = ? ORDER BY ALL""",
        [root],
    )
    yield from (Source("memory", row["name"], row["task_id"]) for row in rows if row["task_id"] in family)


def _workers(store: Store, root: TaskId, family: frozenset[TaskId]) -> Iterator[Source]:
    """The arms that held the tasks, and the models that answered them."""
    rows = store.rows(
        """SELECT 'arm' AS kind, arm_id AS name, task_id FROM attempt_assigned WHERE link_root_task_id = $root
           UNION SELECT 'model', model, task_id FROM usage_recorded WHERE link_root_task_id = $root AND model <> ''
           UNION SELECT 'model', provenance_model_version, task_id FROM attempt_ended
           WHERE link_root_task_id = $root AND provenance_model_version <> '' ORDER BY ALL""",
        {"root": root},
    )
    yield from (Source(row["kind"], row["name"], row["task_id"]) for row in rows if row["task_id"] in family)


def _used_by(
    store: Store, task_id: TaskId, related: Family, family: frozenset[TaskId], output_hash: str | None
) -> Iterator[Source]:
    for user in related.users_of(task_id):
        yield Source("task", user, task_id, output_hash)
    memories = store.rows(
        """SELECT memory_memory_id AS name, task_id FROM memory_recorded
           WHERE list_contains($family, task_id) ORDER BY ALL""",
        {"family": sorted(family)},
    )
    yield from (Source("memory", row["name"], TaskId(row["task_id"])) for row in memories)
    if memories:
        yield from _given_memories(store, sorted(row["name"] for row in memories), family)


def _given_memories(store: Store, names: list[str], family: frozenset[TaskId]) -> Iterator[Source]:
    """Tasks, of any tree, that memory gave what was made here."""
    rows = store.rows(
        """SELECT DISTINCT told.task_id, memory.memory_id FROM context_recalled AS told,
                  unnest(told.memories) AS listed(memory)
           WHERE list_contains($names, memory.memory_id) ORDER BY ALL""",
        {"names": names},
    )
    yield from (
        Source("task", row["task_id"], row["memory_id"]) for row in rows if row["task_id"] not in family
    )
