"""What the views and the named questions answer, held against the core's own state and the records themselves."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from octolog.domain import facts as f
from octolog.domain.arm import Health
from octolog.domain.chain import GENESIS
from octolog.domain.errors import NotFound
from octolog.domain.ids import ArmId, TaskId
from octolog.domain.task.state import Tree, TreeStatus
from projections.analytics import queries
from projections.analytics.views import fact_tables
from projections.provenance.fold import Action, ChainLink, chain_faults, descent
from projections.provenance.queries import provenance
from projections.registry.queries import arm, arms
from projections.sql.queries import run_query
from schemas import catalog
from schemas.codec import Codec, RecordedFact
from tests.unit.projections.followed import Followed, hold_every_prefix, state_of

PLANNED, LATE_PLAN, RETRIED, FAILED, CANCELLED, PROGRAM = (
    TaskId(f"task-{n:06d}") for n in (1, 20, 6, 7, 8, 10)
)


@pytest.fixture(scope="module")
def decoded(known: Any) -> list[RecordedFact]:
    codec = Codec(known.ids)
    return [codec.decode(record.value) for record in known.records if record.topic == "octolog.tasks"]


@pytest.fixture(scope="module")
def followed(decoded: list[RecordedFact]) -> dict[TaskId, Followed]:
    trees: dict[TaskId, Followed] = {}
    for recorded in decoded:
        root = recorded.link.root_task_id
        trees.setdefault(root, Followed(root)).take(recorded.fact)
    return trees


@pytest.fixture(scope="module")
def folded(followed: dict[TaskId, Followed]) -> dict[TaskId, Tree]:
    return {root: tree.tree for root, tree in followed.items()}


def test_every_task_has_the_state_the_core_gives_it(known: Any, followed: dict[TaskId, Followed]) -> None:
    rows = {row["task_id"]: row for row in known.store.rows("SELECT * FROM tasks")}
    states = {task_id: state for tree in followed.values() for task_id, state in tree.states().items()}
    assert {task_id: state_of(row) for task_id, row in rows.items()} == states
    assert {row["status"] for row in rows.values()} >= {"COMPLETED", "FAILED", "CANCELLED"}


def test_every_prefix_of_a_tree_has_the_states_the_core_gives_it(
    known: Any, decoded: list[RecordedFact]
) -> None:
    """Not only ends: the view must be right in the middle of a run too."""
    records = [record for record in known.records if record.topic == "octolog.tasks"]
    for root in (PLANNED, LATE_PLAN, RETRIED, CANCELLED, PROGRAM):
        mine = [
            (record, recorded.fact)
            for record, recorded in zip(records, decoded, strict=True)
            if recorded.link.root_task_id == root
        ]
        hold_every_prefix(root, mine, known.ids)


def test_trees_add_up_what_was_settled(known: Any, folded: dict[TaskId, Tree]) -> None:
    rows = {row["root_task_id"]: row for row in queries.trees(known.store, 10_000)}
    accepted = {root: tree for root, tree in folded.items() if tree.status is not TreeStatus.ABSENT}
    assert rows.keys() == accepted.keys()
    for root, tree in accepted.items():
        tokens, time_ms, cost_micros, _ = tree.ledger.settled
        row = rows[root]
        assert (row["status"], row["tokens"], row["time_ms"]) == (str(tree.status), tokens, time_ms)
        assert row["cost_dollars"] == pytest.approx(cost_micros / 1e6)


def test_every_fact_has_its_table_in_the_timeline() -> None:
    assert {table.record for table in fact_tables()} == {fact.schema_name for fact in catalog.FACTS}


def test_a_timeline_is_every_fact_of_the_tree_in_order(known: Any, decoded: list[RecordedFact]) -> None:
    mine = [recorded for recorded in decoded if recorded.link.root_task_id == LATE_PLAN]
    rows = queries.timeline(known.store, LATE_PLAN)
    assert [(row["seq"], row["fact"], row["hash"]) for row in rows] == [
        (recorded.link.seq, type(recorded.fact).__name__, recorded.hash) for recorded in mine
    ]
    assert all(row["summary"] is not None for row in rows)


def test_a_task_answers_with_its_attempts_steps_and_output(known: Any) -> None:
    row = queries.task(known.store, RETRIED)
    assert (row["status"], row["attempts"], row["error"]) == ("COMPLETED", 2, None)
    assert [tried["outcome"] for tried in row["tried"]] == ["FAILURE", "SUCCESS"]
    assert row["tried"][0]["error_code"] == "EXECUTION_TIMEOUT"
    assert row["output"]["output"].startswith('{"summary"')
    planned = queries.task(known.store, PLANNED)
    assert [step["step_id"] for step in planned["steps"]] == ["gather", "judge", "write"]
    assert planned["tree"]["tokens"] == sum(step["tokens"] for step in planned["steps"]) > 0


def test_a_failed_task_says_why(known: Any) -> None:
    row = queries.task(known.store, FAILED)
    assert (row["status"], row["error_code"], row["error"]) == ("FAILED", "EXECUTION_TIMEOUT", "no answer")


def test_an_unknown_task_is_not_found(known: Any) -> None:
    with pytest.raises(NotFound, match="no task nowhere"):
        queries.task(known.store, TaskId("nowhere"))
    with pytest.raises(NotFound, match="no task nowhere"):
        provenance(known.store, TaskId("nowhere"))


def test_tasks_are_listed_newest_first_and_by_status(known: Any) -> None:
    every = known.store.rows("SELECT * FROM tasks ORDER BY submitted_at DESC, root_task_id, task_id")
    assert queries.tasks(known.store, 7) == every[:7]
    failed = queries.tasks(known.store, 1_000, "failed")
    assert failed == [row for row in every if row["status"] == "FAILED"] != []
    assert {row["status"] for row in queries.trees(known.store, 5, "cancelled")} == {"CANCELLED"}


def test_cost_per_arm_and_day_is_the_sum_of_settlements(known: Any, decoded: list[RecordedFact]) -> None:
    tokens: Counter[str] = Counter()
    for recorded in decoded:
        if isinstance(recorded.fact, f.AttemptEnded):
            tokens[recorded.fact.arm_id] += recorded.fact.settled.tokens
    rows = known.store.rows("SELECT arm_id, sum(tokens) AS tokens FROM cost_per_arm_day GROUP BY arm_id")
    assert {row["arm_id"]: row["tokens"] for row in rows} == dict(tokens)


def test_step_latency_is_from_assignment_to_end(
    known: Any, decoded: list[RecordedFact], followed: dict[TaskId, Followed]
) -> None:
    names = {task_id: state.step_id for tree in followed.values() for task_id, state in tree.states().items()}
    given: dict[str, int] = {}
    taken: dict[tuple[str, str], list[int]] = defaultdict(list)
    for recorded in decoded:
        fact = recorded.fact
        if isinstance(fact, f.AttemptAssigned):
            given[fact.attempt_id] = fact.at_ms
        if isinstance(fact, f.AttemptEnded):
            taken[names[fact.task_id], fact.arm_id].append(fact.at_ms - given[fact.attempt_id])
    rows = known.store.rows("SELECT * FROM step_latency")
    assert {(row["step_id"], row["arm_id"]): (row["attempts"], row["max_ms"]) for row in rows} == {
        key: (len(values), max(values)) for key, values in taken.items()
    }
    assert all(row["p50_ms"] <= row["p95_ms"] <= row["max_ms"] for row in rows)


def test_budget_burn_ends_at_the_ledger_and_knows_the_limits_of_its_time(
    known: Any, folded: dict[TaskId, Tree]
) -> None:
    amended = TaskId("task-000005")
    rows = known.store.rows("SELECT * FROM budget_burn WHERE root_task_id = ? ORDER BY seq", [amended])
    assert [row["tokens"] for row in rows] == sorted(row["tokens"] for row in rows)
    assert rows[-1]["tokens"] == folded[amended].ledger.settled[0]
    assert {row["tokens_limit"] for row in rows} == {80_000}
    assert rows[-1]["tokens_share"] == pytest.approx(rows[-1]["tokens"] / 80_000)
    free = known.store.rows("SELECT * FROM budget_burn WHERE root_task_id = ?", [LATE_PLAN])
    assert {row["tokens_share"] for row in free} == {None}


def test_failures_hold_attempts_tasks_and_refused_requests(known: Any, decoded: list[RecordedFact]) -> None:
    bad = (f.Outcome.FAILURE, f.Outcome.CANCELLED, f.Outcome.LOST, f.Outcome.TIMED_OUT)
    expected = Counter(
        "ATTEMPT"
        if isinstance(fact, f.AttemptEnded)
        else "TASK"
        if isinstance(fact, f.TaskFailed)
        else "REQUEST"
        for fact in (recorded.fact for recorded in decoded)
        if isinstance(fact, f.TaskFailed | f.RequestRejected)
        or (isinstance(fact, f.AttemptEnded) and fact.outcome in bad)
    )
    rows = known.store.rows("SELECT kind, count(*) AS n FROM failures GROUP BY kind")
    assert {row["kind"]: row["n"] for row in rows} == expected
    assert len(expected) == 3


def test_dead_letters_are_listed(known: Any) -> None:
    (row,) = queries.dead_letters(known.store)
    assert (row["source_topic"], row["source_offset"], row["reason"], row["value"]) == (
        "octolog.results",
        7,
        "2 bytes",
        b"\0\1",
    )


def test_cost_and_time_per_step_come_in_the_order_of_work(known: Any) -> None:
    rows = queries.cost_and_time_per_step(known.store, PLANNED)
    assert [row["step_id"] for row in rows] == ["gather", "write", "judge"]
    assert [row["arms"] for row in rows] == [["retriever"], ["coder"], ["judge"]]
    assert all(row["tokens"] > 0 and row["cost_dollars"] > 0 for row in rows)


def test_every_relation_is_listed_with_its_columns(known: Any) -> None:
    rows = {row["name"]: row for row in queries.relations(known.store)}
    assert rows["tasks"]["kind"] == "view"
    assert rows["attempt_ended"]["kind"] == "table"
    assert "happened_at TIMESTAMP" in rows["attempt_ended"]["columns"]


# Provenance


def test_24_custody_is_numbered_without_a_gap_from_submission_to_return(known: Any) -> None:
    custody = provenance(known.store, LATE_PLAN)
    assert [entry.number for entry in custody.entries] == list(range(1, len(custody.entries) + 1))
    own = [str(entry.action) for entry in custody.entries if entry.task_id == LATE_PLAN]
    assert own == ["SUBMITTED", "RECEIVED", "ASSIGNED", "STARTED", "EXECUTED", "PLANNED", "RETURNED"]
    assert custody.entries[-1].action is Action.RETURNED
    assert custody.faults == ()
    assert custody.facts == len(queries.timeline(known.store, LATE_PLAN))


def test_custody_names_arm_command_sources_model_hashes_and_the_fact(
    known: Any, decoded: list[RecordedFact]
) -> None:
    ended = next(
        r for r in decoded if isinstance(r.fact, f.AttemptEnded) and r.fact.task_id == f"{PLANNED}/judge"
    )
    assert isinstance(ended.fact, f.AttemptEnded)
    proof = ended.fact.provenance
    assert proof is not None
    custody = provenance(known.store, TaskId(f"{PLANNED}/judge"))
    (executed,) = (entry for entry in custody.entries if entry.action is Action.EXECUTED)
    assert (executed.actor, executed.command_hash, executed.data_sources) == (
        "judge",
        proof.command_hash,
        proof.data_sources,
    )
    assert (executed.model, executed.input_hash, executed.output_hash) == (
        proof.model_version,
        proof.input_hash,
        proof.output_hash,
    )
    assert (executed.seq, executed.fact_hash) == (ended.link.seq, ended.hash.hex())
    (validated,) = (entry for entry in custody.entries if entry.action is Action.VALIDATED)
    assert validated.tests_passed == ("schema",)


def test_a_steps_custody_begins_with_the_submission_and_the_plan_it_came_with(known: Any) -> None:
    for root in (PLANNED, LATE_PLAN):
        custody = provenance(known.store, TaskId(f"{root}/write"))
        assert [str(entry.action) for entry in custody.entries] == [
            "SUBMITTED",
            "RECEIVED",
            "PLANNED",
            "ASSIGNED",
            "STARTED",
            "EXECUTED",
            "RETURNED",
        ]


def test_lineage_goes_up_to_prerequisites_and_data_and_down_to_users(known: Any) -> None:
    custody = provenance(known.store, TaskId(f"{PLANNED}/write"))
    up = {(source.kind, source.name) for source in custody.inputs}
    assert up == {
        ("task", f"{PLANNED}/gather"),
        ("data", "docs/runbook.md"),
        ("data", "https://incidents.example/1"),
        ("arm", "coder"),
        ("model", "model-1"),
    }
    assert [(source.kind, source.name) for source in custody.used_by] == [("task", f"{PLANNED}/judge")]
    gathered = provenance(known.store, TaskId(f"{PLANNED}/gather")).entries
    (made,) = (entry.output_hash for entry in gathered if entry.action is Action.EXECUTED)
    assert made is not None
    assert {source.output_hash for source in custody.inputs if source.kind == "task"} == {made}


def test_retries_and_stops_are_in_the_chain(known: Any) -> None:
    retried = [str(entry.action) for entry in provenance(known.store, RETRIED).entries]
    assert retried.count("ASSIGNED") == 2
    assert "RETRIED" in retried
    stopped = provenance(known.store, CANCELLED).entries
    assert [str(entry.action) for entry in stopped][-2:] == ["STOPPED", "CANCELLED"]


def test_a_fact_missing_from_the_store_is_a_fault(known: Any) -> None:
    assert provenance(known.store, RETRIED).faults == ()
    known.store.execute("BEGIN")
    known.store.execute("DELETE FROM attempt_assigned WHERE link_root_task_id = ?", [RETRIED])
    sql = "SELECT seq, prev_hash, hash FROM timeline WHERE root_task_id = ?"
    links = [ChainLink(*link) for link in known.store.execute(sql, [RETRIED]).fetchall()]
    known.store.execute("ROLLBACK")
    assert chain_faults(links)[0] == "facts 1 to 1 are missing"


def test_a_broken_chain_is_named_at_its_place() -> None:
    first, second, other = (bytes([n]) * 32 for n in (1, 2, 3))
    good = [ChainLink(0, GENESIS, first), ChainLink(1, first, second)]
    assert chain_faults(good) == ()
    assert chain_faults(good[1:]) == ("facts 0 to 0 are missing",)
    assert chain_faults([good[0], ChainLink(1, other, second)]) == (
        "fact 1 does not follow from the one before it",
    )
    assert chain_faults([good[0], *good]) == ("fact 0 is there twice",)


def test_descent_ends_even_if_tasks_were_each_others_parents() -> None:
    a, b, c = TaskId("a"), TaskId("b"), TaskId("c")
    assert descent(a, {a: b, b: a, c: None}) == {a, b}


# Registry


def test_arms_are_what_routing_knows_with_what_their_attempts_say(
    known: Any, decoded: list[RecordedFact]
) -> None:
    rows = {row.capability.arm_id: row for row in arms(known.store)}
    ended = [r.fact for r in decoded if isinstance(r.fact, f.AttemptEnded) and r.fact.arm_id == "planner"]
    planner = rows[ArmId("planner")]
    assert planner.attempts == len(ended)
    assert planner.succeeded == sum(fact.outcome is f.Outcome.SUCCESS for fact in ended)
    judged = [fact for fact in ended if fact.outcome is not f.Outcome.CANCELLED]
    assert planner.success_rate == pytest.approx(planner.succeeded / len(judged))
    assert planner.success_rate is not None
    assert 0 < planner.success_rate < 1
    assert rows[ArmId("judge")].instances > 0
    assert planner.health is Health.HEALTHY
    assert known.history._registry.arms[ArmId("coder")].capability == rows[ArmId("coder")].capability


def test_an_unknown_arm_is_not_found(known: Any) -> None:
    assert arm(known.store, ArmId("judge")).capability.capabilities == ("judging",)
    with pytest.raises(NotFound, match="no arm nobody"):
        arm(known.store, ArmId("nobody"))


# The page that describes them


def test_the_reference_names_every_table_and_view(known: Any) -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "tables.md").read_text(encoding="utf-8")
    assert [row["name"] for row in queries.relations(known.store) if f"`{row['name']}`" not in page] == []


def test_the_references_examples_run(known: Any) -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "tables.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    statements = [text for text in block.split(";") if text.strip()]
    assert len(statements) == 5
    for statement in statements:
        result = run_query(known.store, statement.replace("'T-1'", f"'{PLANNED}'"))
        assert result.table.num_rows > 0
