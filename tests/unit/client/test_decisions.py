"""What a client hears of its requests, from a log in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import pytest

from octolog.client.decisions import Outcome, Sent, Submitted, answer_to, outcome_of
from octolog.domain import facts as f
from octolog.domain.chain import GENESIS, Link
from octolog.domain.contract import CancelTask, SubmitTask, TaskContract
from octolog.domain.digest import contract_digest
from octolog.domain.ids import ArmId, AttemptId, TaskId
from octolog.domain.values import NOTHING, Category
from octolog.ports import LogRecord, Positions
from schemas.codec import Codec
from schemas.registry import MemorySchemaTopic, TopicSchemaIds
from streams.topics import CONTRACTS, TASKS

ROOT = TaskId("root")
CONTRACT = TaskContract(ROOT, "g")
SENT = Sent(ROOT, CONTRACTS, 0, 7, 1_000)
OURS = Submitted(ROOT, CONTRACTS, 0, 7, 1_000, ROOT, True, contract_digest(CONTRACT))
CODEC = Codec(TopicSchemaIds(MemorySchemaTopic()))


@dataclass
class Log:
    """One partition of facts that cannot wait: a follower sees what is there, and then that nothing comes.

    Attributes:
        records: What is there.
        late: What is written between the two questions after offsets, by a clock that a test holds.
    """

    records: list[LogRecord] = field(default_factory=list)
    late: list[LogRecord] = field(default_factory=list)

    def ends(self, topics: Sequence[str]) -> Positions:
        end = len(self.records)
        self.records += self.late
        self.late = []
        return {(TASKS, 0): end}

    def at_time(self, topics: Sequence[str], timestamp_ms: int) -> Positions:
        later = [record.offset for record in self.records if record.timestamp_ms >= timestamp_ms]
        return {(TASKS, 0): later[0] if later else len(self.records)}

    def read(self, start: Positions, *, until: Positions | None = None) -> Iterator[list[LogRecord]]:
        yield self.records[start[TASKS, 0] :]
        while True:
            yield []

    def close(self) -> None:
        """Nothing is open."""


def recorded(*facts: f.Fact, cause_offset: int = 7, root: TaskId = ROOT, first: int = 0) -> list[LogRecord]:
    found = []
    for offset, fact in enumerate(facts, start=first):
        link = Link(
            root_task_id=root,
            seq=offset,
            position=offset,
            cause_topic=CONTRACTS,
            cause_offset=cause_offset,
            registry_offset=0,
            window=1,
            lease_ms=1_000,
            rules=1,
            prev_hash=GENESIS,
        )
        value, _ = CODEC.encode_fact(fact, link)
        found.append(LogRecord(TASKS, 0, offset, 1_000, root.encode(), value))
    return found


def heard(*facts: f.Fact, task: Submitted | TaskId = OURS, cause_offset: int = 7) -> Outcome | None:
    log = Log(recorded(*facts, cause_offset=cause_offset))
    return outcome_of(log, CODEC, task, ROOT, timeout_s=0.0)


def submitted(contract: TaskContract = CONTRACT) -> f.TaskSubmitted:
    return f.TaskSubmitted(1_000, contract, contract_digest(contract), "me")


def completed(task_id: TaskId = ROOT, output: str = "", attempt: str | None = None) -> f.TaskCompleted:
    return f.TaskCompleted(1_000, task_id, None if attempt is None else AttemptId(attempt), output, None)


def ended(task_id: TaskId, attempt: str, output: str) -> f.AttemptEnded:
    return f.AttemptEnded(
        at_ms=1_000,
        task_id=task_id,
        attempt_id=AttemptId(attempt),
        arm_id=ArmId("noop"),
        outcome=f.Outcome.SUCCESS,
        settled=NOTHING,
        unknown=NOTHING,
        output=output,
        output_blob=None,
        confidence=1.0,
        execution_time_ms=1,
        error=None,
        error_code=None,
        retryable=False,
        task_error=None,
        provenance=None,
    )


def failed(task_id: TaskId = ROOT) -> f.TaskFailed:
    return f.TaskFailed(1_000, task_id, "NO_ARM", Category.INTERNAL, "why", None, (), NOTHING)


def rejected() -> f.RequestRejected:
    return f.RequestRejected(
        1_000, ROOT, SubmitTask.schema_name, "INVALID_BUDGET", Category.VALIDATION, "budget", "is wrong", "me"
    )


def test_a_completed_task_has_its_output() -> None:
    assert heard(submitted(), completed(output='{"a":1}')) == Outcome(ROOT, "completed", result={"a": 1})


def test_a_step_completes_with_what_its_attempt_gave_back() -> None:
    step = TaskId("root/a")
    found = heard(submitted(), ended(step, "x", "[1]"), completed(step, attempt="x"), task=step)
    assert found == Outcome(step, "completed", result=[1])


def test_a_task_whose_tree_fails_has_failed() -> None:
    found = heard(submitted(), failed(), task=TaskId("root/a"))
    assert found is not None
    assert (found.status, found.code, found.error) == ("failed", "NO_ARM", "why")


def test_a_cancelled_tree_says_why() -> None:
    found = heard(submitted(), f.TaskCancelled(1_000, ROOT, "enough", "me", (), NOTHING))
    assert found is not None
    assert (found.status, found.error) == ("cancelled", "enough")


def test_a_rejection_of_this_very_request_is_its_outcome() -> None:
    found = heard(rejected())
    assert found == Outcome(ROOT, "rejected", error="budget: is wrong", code="INVALID_BUDGET")


def test_a_rejection_of_somebody_elses_request_is_not() -> None:
    assert heard(rejected(), cause_offset=6) is None


def test_a_repeat_of_a_contract_has_the_outcome_of_the_first() -> None:
    again = replace(OURS, offset=9, minted=False)
    assert heard(submitted(), completed(output="1"), task=again) == Outcome(ROOT, "completed", result=1)


def test_another_contract_of_the_same_id_is_a_clash_whatever_became_of_it() -> None:
    other = submitted(replace(CONTRACT, goal="other"))
    found = heard(other, completed(output="1"), task=replace(OURS, minted=False))
    assert found is not None
    assert (found.status, found.code) == ("rejected", "DUPLICATE_TASK_ID")


def test_another_trees_facts_are_passed_over() -> None:
    other = recorded(completed(output="1"), root=TaskId("other"))
    log = Log([*other, *recorded(completed(output="2"), first=1)])
    assert outcome_of(log, CODEC, OURS, ROOT, 0.0) == Outcome(ROOT, "completed", result=2)


def test_a_task_that_is_not_over_in_time_has_no_outcome() -> None:
    assert heard(submitted()) is None


def test_a_fact_written_while_the_start_is_looked_for_is_not_missed() -> None:
    assert outcome_of(Log(late=_earlier(completed(output="3"))), CODEC, OURS, ROOT, 0.0) is not None


def test_the_answer_to_a_request_is_the_first_fact_it_caused() -> None:
    log = Log([*recorded(submitted(), cause_offset=1), *recorded(rejected(), first=1)])
    found = answer_to(log, CODEC, SENT, 0.0)
    assert found is not None
    assert isinstance(found.fact, f.RequestRejected)


def test_a_request_that_changed_nothing_has_no_answer() -> None:
    assert answer_to(Log(recorded(submitted(), cause_offset=1)), CODEC, SENT, 0.0) is None


@pytest.mark.parametrize("command", [CancelTask(ROOT, "", "me"), SubmitTask(ROOT, CONTRACT, "me")])
def test_requests_keep_their_form_on_the_wire(command: object) -> None:
    assert CODEC.decode(CODEC.encode(command)) == command


def _earlier(*facts: f.Fact) -> list[LogRecord]:
    """Facts by a broker whose clock stands before the request's: no question after a time finds them."""
    return [record._replace(timestamp_ms=999) for record in recorded(*facts)]
