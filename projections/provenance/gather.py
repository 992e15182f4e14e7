"""The lineage of a task from the store: up to everything it used, down to everything made of it, across trees."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from hashlib import sha256
from typing import Any, Final

from octolog.domain.ids import TaskId
from projections.analytics.queries import root_of
from projections.analytics.tree import Row
from projections.duck import Store
from projections.provenance.fold import descent
from projections.provenance.graph import How, Kind, Lineage, Ref, Thing
from projections.provenance.lineage import Family
from schemas.personal import REDACTED, shown

_ATTEMPTS: Final = """
SELECT given.attempt_id, given.task_id, given.number, given.arm_id, given.happened_at AS begun_at,
       given.link_seq AS assigned_seq, given.policy, ended.*
FROM attempt_assigned AS given LEFT JOIN (
    SELECT attempt_id AS id, happened_at AS ended_at, outcome, output, output_blob_sha256, output_blob_media_type,
           error_code, error, settled_tokens AS tokens, settled_calls AS calls,
           settled_cost_micros / 1e6 AS cost_dollars, link_seq AS ended_seq, lower(hex(hash)) AS fact_sha256,
           concat_ws('/', log_topic, log_partition, log_offset) AS log, provenance_command_hash AS command_sha256,
           provenance_input_hash AS input_sha256, provenance_output_hash, provenance_model_version AS model,
           provenance_data_sources AS sources, provenance_tests_passed AS tests_passed
    FROM attempt_ended WHERE link_root_task_id = $root) AS ended ON ended.id = given.attempt_id
WHERE given.link_root_task_id = $root ORDER BY given.link_seq
"""
_CALLED: Final = """
SELECT DISTINCT attempt_id, model FROM usage_recorded
WHERE link_root_task_id = $root AND model <> '' ORDER BY ALL
"""
_COMPLETED: Final = """
SELECT task_id, attempt_id, happened_at AS at, output, output_blob_sha256, output_blob_media_type
FROM task_completed WHERE link_root_task_id = $root
"""
_SUBMITTED: Final = """
SELECT contract_task_id AS task_id, submitted_by FROM task_submitted WHERE link_root_task_id = $root
"""
_RECORDED: Final = """
SELECT memory_memory_id AS memory_id, memory_entity_type AS entity_type, memory_confidence AS confidence,
       root_task_id, task_id, log_timestamp AS at, concat_ws('/', log_topic, log_partition, log_offset) AS log
FROM memory_recorded WHERE list_contains($names, {column}) ORDER BY log_partition, log_offset
"""
_RECALLED: Final = """
SELECT told.root_task_id, told.task_id, told.attempt_id, told.arm_id, told.log_timestamp AS at, memory.memory_id
FROM context_recalled AS told, unnest(told.memories) AS listed(memory) WHERE {where} ORDER BY ALL
"""
_SUPERSEDED: Final = """
SELECT memory_id, superseded_by, log_timestamp AS at FROM memory_superseded
WHERE list_contains($names, memory_id) OR list_contains($names, superseded_by) ORDER BY log_partition, log_offset
"""
_FORGOTTEN: Final = """
SELECT memory_id, max(log_timestamp) AS at FROM memory_forgotten
WHERE list_contains($names, memory_id) GROUP BY memory_id ORDER BY ALL
"""


def gather(store: Store, task_id: TaskId, *, personal: bool = True) -> Lineage:
    """The graph around a task.

    Args:
        store: What is known.
        task_id: A task of any kind; those below it are in the graph with all they did, those that gave it
            something or were given its output by name.
        personal: False: without what can be personal data.

    Raises:
        NotFound: When no such task is in the store.
    """
    root = root_of(store, task_id)
    return _Gathering(store, root, task_id, personal=personal).run()


class _Gathering:
    def __init__(self, store: Store, root: TaskId, task_id: TaskId, *, personal: bool) -> None:
        self._store = store
        self._shown = partial(shown, personal=personal)
        self._lineage = Lineage(root, task_id)
        tasks = store.rows("SELECT * FROM tasks WHERE root_task_id = ? ORDER BY seq, task_id", [root])
        nodes = store.rows("SELECT * FROM task_nodes WHERE root_task_id = ?", [root])
        self._tasks = {TaskId(row["task_id"]): row for row in tasks}
        self._related = Family(nodes)
        self._family = descent(task_id, {TaskId(n["task_id"]): n["parent_task_id"] for n in nodes})
        self._sources: dict[str, str] = {}

    def run(self) -> Lineage:
        for task_id in self._tasks:
            if task_id in self._family:
                self._task(task_id)
        self._people()
        attempts = list(self._rows(_ATTEMPTS))
        for row in attempts:
            self._attempt(row)
        self._outputs(attempts)
        self._given()
        self._memories()
        return self._lineage

    def _rows(self, sql: str, **values: Any) -> Iterator[Row]:
        """Rows of the tree's tasks that the graph is about."""
        for row in self._ask(sql, root=self._lineage.root_task_id, **values):
            if TaskId(row.get("task_id", "")) in self._family or "task_id" not in row:
                yield row

    def _ask(self, sql: str, **values: Any) -> list[Row]:
        return self._store.rows(sql, values)

    def _task(self, task_id: TaskId) -> Ref:
        """A task; its place under the one above it when that is in the graph."""
        row = self._tasks[task_id]
        goal = self._shown("octolog.contract.TaskContract", "goal", row["goal"] or "")
        told = {name: row[name] for name in ("status", "made_as", "step_id", "input_name", "error_code")}
        operator = row["operator"] or None
        ref = self._lineage.add(
            Thing(
                Ref(Kind.TASK, task_id),
                _label(row, goal),
                row["submitted_at"],
                row["ended_at"],
                _told(goal=goal, operator=operator, **told),
            )
        )
        parent = row["parent_task_id"]
        if task_id in self._family and parent in self._family:
            self._lineage.relate(How.PART_OF, ref, Ref(Kind.TASK, parent))
        return ref

    def _people(self) -> None:
        for row in self._rows(_SUBMITTED):
            name = self._shown("octolog.contract.SubmitTask", "submitted_by", row["submitted_by"])
            person = self._lineage.add(Thing(Ref(Kind.PERSON, name), name))
            self._lineage.relate(How.ASKED_BY, Ref(Kind.TASK, row["task_id"]), person)

    def _attempt(self, row: Row) -> None:
        error = self._shown("octolog.task.AttemptEnded", "error", row["error"] or "") or None
        names = ("number", "policy", "tokens", "calls", "cost_dollars", "assigned_seq", "ended_seq", "log")
        kept = (*names, "fact_sha256", "command_sha256", "input_sha256", "error_code")
        details = _told(
            outcome=row["outcome"] or "OPEN",
            error=error,
            tests_passed=list(row["tests_passed"] or ()) or None,
            **{name: row[name] for name in kept},
        )
        label = f"{row['arm_id']}, attempt {row['number']}"
        ref = Ref(Kind.ATTEMPT, row["attempt_id"])
        self._lineage.add(Thing(ref, label, row["begun_at"], row["ended_at"], details))
        self._lineage.relate(How.ATTEMPT_AT, ref, Ref(Kind.TASK, row["task_id"]))
        arm = self._lineage.add(Thing(Ref(Kind.ARM, row["arm_id"]), row["arm_id"]))
        self._lineage.relate(How.DONE_BY, ref, arm, row["begun_at"])
        if row["model"]:
            self._model(ref, row["model"])
        for source in row["sources"] or ():
            name = self._source(source)
            used = self._lineage.add(Thing(Ref(Kind.SOURCE, name), name))
            self._lineage.relate(How.USED, ref, used, row["ended_at"])

    def _model(self, attempt: Ref, model: str) -> None:
        found = self._lineage.add(Thing(Ref(Kind.MODEL, model), model))
        self._lineage.relate(How.ANSWERED_BY, attempt, found)

    def _source(self, source: str) -> str:
        """What was read, by name; without personal data numbered, so that equal ones stay equal."""
        name = self._shown("octolog.result.ProvenanceMetadata", "data_sources", source)
        if name != REDACTED:
            return name
        return self._sources.setdefault(source, f"{REDACTED} {len(self._sources) + 1}")

    def _outputs(self, attempts: list[Row]) -> None:
        known = {row["attempt_id"]: row for row in attempts}
        for row in self._rows(_CALLED):
            if row["attempt_id"] in known:
                self._model(Ref(Kind.ATTEMPT, row["attempt_id"]), row["model"])
        for row in self._rows(_COMPLETED):
            made = known.get(row["attempt_id"])
            output = self._output(row, made)
            maker = Ref(Kind.TASK, row["task_id"]) if made is None else Ref(Kind.ATTEMPT, made["attempt_id"])
            self._lineage.relate(How.MADE_BY, output, maker, row["at"])

    def _output(self, row: Row, made: Row | None = None) -> Ref:
        digest = row["output_blob_sha256"] or (made or {}).get("provenance_output_hash")
        text = row["output"] or (made or {}).get("output") or ""
        digest = digest or sha256(text.encode()).hexdigest()
        media = row["output_blob_media_type"]
        label = f"output of {row['task_id']}"
        ref = Ref(Kind.OUTPUT, row["task_id"])
        return self._lineage.add(Thing(ref, label, row["at"], None, _told(sha256=digest, media_type=media)))

    def _given(self) -> None:
        """What tasks were given of each other, inside the family and across its border."""
        completed = {row["task_id"]: row for row in self._ask(_COMPLETED, root=self._lineage.root_task_id)}
        pairs = {(user, need) for user in self._family for need in self._related.given_to(user)}
        pairs |= {(user, self._lineage.task_id) for user in self._related.users_of(self._lineage.task_id)}
        for user, need in sorted(pairs):
            if need not in completed:
                continue
            by, giver = self._task(user), self._task(need)
            output = self._output(completed[need])
            self._lineage.relate(How.USED, by, output, completed[need]["at"])
            if need not in self._family:
                self._lineage.relate(How.MADE_BY, output, giver, completed[need]["at"])
            mine = Ref(Kind.OUTPUT, user)
            if mine in self._lineage.things:
                self._lineage.relate(How.DERIVED_FROM, mine, output)

    # Memories

    def _memories(self) -> None:
        """Up: what attempts were given from memory, and who had recorded that. Down: the same of what was made here."""
        given = self._ask(
            _RECALLED.format(where="told.root_task_id = $root"), root=self._lineage.root_task_id
        )
        given = [row for row in given if row["task_id"] in self._family]
        self._record(self._ask(_RECORDED.format(column="task_id"), names=sorted(self._family)))
        mine = sorted(thing.ref.name for thing in self._lineage.of(Kind.MEMORY))
        self._record(
            self._ask(
                _RECORDED.format(column="memory_memory_id"), names=sorted({r["memory_id"] for r in given})
            )
        )
        where = "list_contains($names, memory.memory_id)"
        later = self._ask(_RECALLED.format(where=where), names=mine) if mine else []
        for row in (*given, *later):
            memory = self._memory(row["memory_id"])
            inside = Ref(Kind.ATTEMPT, row["attempt_id"]) in self._lineage.things
            user = Ref(Kind.ATTEMPT, row["attempt_id"]) if inside else self._outside(row["task_id"])
            self._lineage.relate(How.USED, user, memory, row["at"])
        self._changed()

    def _record(self, rows: Iterable[Row]) -> None:
        for row in rows:
            told = _told(entity_type=row["entity_type"], confidence=row["confidence"], log=row["log"])
            memory = self._memory(row["memory_id"], row["at"], told)
            task = TaskId(row["task_id"])
            recorder = self._task(task) if task in self._tasks else self._outside(task)
            self._lineage.relate(How.RECORDED_BY, memory, recorder, row["at"])
            output = Ref(Kind.OUTPUT, task)
            if output in self._lineage.things:
                self._lineage.relate(How.DERIVED_FROM, memory, output, row["at"])

    def _memory(self, memory_id: str, at: Any = None, details: Any = None) -> Ref:
        return self._lineage.add(Thing(Ref(Kind.MEMORY, memory_id), memory_id, at, None, details or {}))

    def _outside(self, task_id: str) -> Ref:
        """A task of another tree: by name alone."""
        return self._lineage.add(Thing(Ref(Kind.TASK, task_id), task_id, details={"elsewhere": True}))

    def _changed(self) -> None:
        names = sorted(thing.ref.name for thing in self._lineage.of(Kind.MEMORY))
        for row in self._ask(_SUPERSEDED, names=names) if names else ():
            new, old = self._memory(row["superseded_by"]), self._memory(row["memory_id"])
            self._lineage.relate(How.SUPERSEDES, new, old, row["at"])
        for row in self._ask(_FORGOTTEN, names=names) if names else ():
            memory = self._lineage.things[Ref(Kind.MEMORY, row["memory_id"])]
            gone = Thing(
                memory.ref, memory.label, memory.begun_at, row["at"], {**memory.details, "forgotten": True}
            )
            self._lineage.things[memory.ref] = gone


def _label(row: Row, goal: str) -> str:
    name = row["step_id"] or goal or row["task_id"]
    return f"{name} ({row['input_name']})" if row["input_name"] else name


def _told(**details: Any) -> dict[str, Any]:
    return {name: value for name, value in details.items() if value is not None and value != ""}
