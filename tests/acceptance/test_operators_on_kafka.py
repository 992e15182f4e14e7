"""Every operator through a real broker: a processor in a process of its own, an arm on its topic, facts in the log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from uuid import uuid4

import pytest

from octolog.app.audit.verification import verify_log
from octolog.app.connection import Connection
from octolog.domain import facts as f
from octolog.domain.assignment import AttemptAssignment
from octolog.domain.operators import Program, SubtaskRequest
from octolog.domain.reports import ExecutionResult
from octolog.domain.values import TaskError, TaskErrorType
from octolog.testing import failure, submit, success
from schemas.codec import RecordedFact
from schemas.xml.reader import read_program
from streams.topics import TASKS
from tests.acceptance.evaluation import broken, said
from tests.acceptance.programs import CONTEXT, FIVE, ONE, SQUARES, THREE, TWO_HALVES, calculate
from tests.chaos.engine import Answering, Facts, Processor, send
from tests.chaos.own_log import own_log

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("kafka_jars"), pytest.mark.timeout(300)]

PROGRAMS = {
    "atomic": ONE.format("", "plain", ""),
    "subtask": ONE.format(' subtype="subtask"', "asks", ""),
    "sequential": FIVE.format(CONTEXT.format("false", "true", "notes_only")),
    "broken-sequential": FIVE.format("").replace(">three<", ">fail<"),
    "map": THREE.format(""),
    "reduce": SQUARES,
    "half-character": TWO_HALVES.replace(">first half<", ">odd<"),
    "decomposed": ONE.format("", "too large", ""),
    "contexts": """<task type="sequential"><description/>
<context_management><accumulate_data>true</accumulate_data></context_management><steps>
  <task type="atomic" name="one"><description/><instructions>one</instructions></task>
  <task type="map" name="all"><description/><steps>{}{}{}</steps></task>
</steps></task>""".format(
        *(
            f'<task type="atomic"><description/>{block}<instructions>knows</instructions></task>'
            for block in (
                "",
                "<context_management><fresh_context>enabled</fresh_context></context_management>",
                "<context_management><inherit_context>none</inherit_context></context_management>",
            )
        )
    ),
}


def answer(of: AttemptAssignment) -> ExecutionResult:
    """What the arm says to each of the programs above."""
    if of.recovery is not None:
        program = tuple(replace(op, required_capabilities=(of.arm_id,)) for op in read_program(TWO_HALVES))
        return success(of, said("split"), operators=program)
    match of.instructions.split():
        case ["square" | "add", *_]:
            return calculate(of)
        case ["odd"]:
            return success(of, '"\\ud800"')
        case ["fail"]:
            return failure(of, "asked to fail")
        case ["too", "large"]:
            return broken(of, TaskError(TaskErrorType.RESOURCE_EXHAUSTION, "too large", resource="turns"))
        case ["knows"]:
            return success(of, said(f"{of.context_mode} {of.context_json}"))
        case ["asks"] if of.continuation is None:
            return success(of, said("later"), subtask=SubtaskRequest("help", "helping"))
        case ["asks"]:
            assert of.continuation is not None
            return success(of, said(f"told: {of.continuation.content}"))
        case _:
            return success(of, said(of.instructions))


@dataclass(frozen=True)
class Ended:
    """What became of the programs.

    Attributes:
        facts: By name of the program, in order.
        ok: Whether the whole log can be decided again.
    """

    facts: dict[str, list[f.Fact]]
    ok: bool

    def output(self, name: str) -> str:
        """What a program gave."""
        [end] = [x for x in self.facts[name] if isinstance(x, f.TaskCompleted) and "/" not in x.task_id]
        return end.output


def addressed(program: Program, arm: str) -> Program:
    """The program with every atomic task for this test's arm."""
    return tuple(replace(operator, required_capabilities=(arm,)) for operator in program)


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ended]:
    """All programs, run at once."""
    folder = tmp_path_factory.mktemp("operators")
    with own_log(folder) as (log, bootstrap):
        yield _run(log, Processor(bootstrap, folder / "state"))


def _run(log: Connection, processor: Processor) -> Ended:
    arm = f"arm-{uuid4().hex[:8]}"
    answering = Answering(log, arm, answer)
    try:
        commands = [
            submit(f"{name}-{arm}", operators=addressed(read_program(document), arm))
            for name, document in PROGRAMS.items()
        ]
        send(log, commands)
        ledger = Facts(log).wait_until_over([c.root_task_id for c in commands], 120, tell=processor.output)
        assert ledger.decided_twice() == []
        assert ledger.gaps == []
        found: dict[str, list[f.Fact]] = {name: [] for name in PROGRAMS}
        for recorded in _facts(log):
            found[recorded.link.root_task_id.removesuffix(f"-{arm}")].append(recorded.fact)
        report = verify_log(log)
        return Ended(found, report.ok)
    finally:
        answering.finish()
        processor.stop()


def _facts(log: Connection) -> Iterator[RecordedFact]:
    reader, codec = log.reader(), log.codec()
    ends = reader.ends([TASKS])
    for batch in reader.read(dict.fromkeys(ends, 0), until=ends):
        for record in batch:
            yield codec.decode(record.value)


def test_an_atomic_program(ended: Ended) -> None:
    assert ended.output("atomic") == said("plain")


def test_a_sequence_gives_its_last_steps_output(ended: Ended) -> None:
    assert ended.output("sequential") == said("five")
    done = [x.task_id.rsplit("/")[-1] for x in ended.facts["sequential"] if isinstance(x, f.TaskCompleted)]
    assert done[:5] == ["one", "two", "three", "four", "five"]


def test_a_failed_step_stops_its_sequence(ended: Ended) -> None:
    failed = [x for x in ended.facts["broken-sequential"] if isinstance(x, f.TaskFailed)][-1]
    details = json.loads(failed.details_json)
    assert (details["failed_step"], details["total_steps"], len(details["partial_results"])) == (2, 5, 2)
    begun = [x for x in ended.facts["broken-sequential"] if isinstance(x, f.AttemptAssigned)]
    assert len(begun) == 3


def test_a_map_answers_in_the_order_of_its_inputs(ended: Ended) -> None:
    assert [one["content"] for one in json.loads(ended.output("map"))] == ["9", "16", "25"]


def test_a_reduce_sums_squares(ended: Ended) -> None:
    assert ended.output("reduce") == said("50")


def test_a_fresh_context_inherits_nothing_of_what_stands_around_it(ended: Ended) -> None:
    assert [one["content"] for one in json.loads(ended.output("contexts"))] == [
        'HISTORY {"history":[{"notes":{"dataUsage":"none"},"step":"one"}]}',
        "FRESH {}",
        "MINIMAL {}",
    ]


def test_a_task_too_large_is_decomposed(ended: Ended) -> None:
    assert ended.output("decomposed") == said("second half after first half")
    assert [type(x) for x in ended.facts["decomposed"]].count(f.ProgramAdopted) == 1


def test_a_task_goes_on_after_its_subtask(ended: Ended) -> None:
    assert ended.output("subtask") == said("told: helping")


def test_what_no_record_can_carry_is_replaced_before_it_is_passed_on(ended: Ended) -> None:
    assert ended.output("half-character") == said("second half after \ufffd")


def test_every_decision_can_be_made_again(ended: Ended) -> None:
    assert ended.ok
