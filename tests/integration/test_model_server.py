"""Templates on a model, through everything: a broker, a task processor, the arms' process, an endpoint.

The endpoint of the default run answers from a script; `-m slow` asks a real llama.cpp server. Run as a module, this is
the arms' process: `python -m tests.integration.test_model_server BOOTSTRAP FOLDER MODEL_URL`.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from arms.chat.conversation import Conversation
from arms.chat.messages import Message, Reply, Role
from arms.chat.tools import Tool
from arms.handler import Handler
from arms.limits import LimitReached
from arms.model import ModelSettings, OpenAIModel
from octolog.app.arms.host import run_arms
from octolog.app.audit.verification import verify_log
from octolog.app.connection import Connection
from octolog.app.processes import StateFile, die_with_parent
from octolog.client import Client
from octolog.domain import facts as f
from octolog.domain.ids import ArmId
from octolog.domain.operators import RecoveryKind
from octolog.domain.reports import ContextRecalled, HandlerMetrics, ModelCallIntended, ResourceUsed
from octolog.testing import submit
from schemas.xml.reader import read_program
from streams.topics import RESOURCES, TASKS
from tests.chaos.engine import ROOT, Facts, Processor, engine_settings, send
from tests.chaos.own_log import own_log
from tests.integration.llama import NAME, WINDOW_TOKENS, Missing, llama
from tests.integration.test_memory_service import MEMORY, running
from tests.unit.arms.doubles import RecordingMeter, assignment
from tests.unit.arms.model_server import Asked, Says, serving

pytest.importorskip("pydantic_ai.models.openai", reason="the extra `model` is not installed")
pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

ONE = """<task type="atomic"><description>One task.</description><instructions>{}</instructions>{}</task>"""
TYPED = "<output_format type='string[]'/>"
TWO_HALVES = """<task type="sequential"><description>Halves.</description><steps>
  <task type="atomic" name="first"><description>1</description><instructions>first half</instructions></task>
  <task type="atomic" name="second"><description>2</description>
    <instructions>second half after {{first}}</instructions></task></steps></task>"""
TASKS_BY_NAME = {
    "plain": ONE.format("say hello", ""),
    "typed": ONE.format("list the files", TYPED),
    "mistyped": ONE.format("count the files", TYPED),
    "asking": ONE.format("ask somebody", ""),
    "large": ONE.format("write a whole book", ""),
    "hopeless": ONE.format("write all books", ""),
    "known": ONE.format("paint the eastern lighthouse", ""),
}
KNOWN = "To paint the eastern lighthouse, take the lighthouse keeper's red paint."
SPAWN = ("7", "spawn_subtask", '{"goal":"Know it","instructions":"what is {{it}}?","inputs":{"it":"gold"}}')


def script(asked: Asked) -> Says:
    """What the scripted model says; the same to the same question."""
    prompt, last = asked.prompt, asked.messages[-1]
    if "Split it into smaller tasks" in prompt:
        return Says(TWO_HALVES if "a whole book" in prompt else "<task type='sequential'><steps>")
    if "was not accepted" in prompt:
        return Says('{"content":["a.txt"],"dataUsage":"the folder, counted again"}')
    match prompt.split("\n")[0]:
        case (
            "write a whole book" | "write all books"
        ):  # never done: it calls a tool that there is not, each time anew
            return Says(calls=((f"c{len(asked.messages)}", "look", json.dumps({"n": len(asked.messages)})),))
        case "list the files":
            return Says('{"content":["a.txt"],"dataUsage":"the folder"}')
        case "count the files":
            return Says('{"content":"three","dataUsage":"the folder"}')
        case "ask somebody" if last["role"] == "user":
            return Says("I ask.", calls=(SPAWN,))
        case "ask somebody":
            return Says(f"I was told: {last['content']}")
        case "what is gold?":
            return Says("a metal")
        case "paint the eastern lighthouse":
            return Says("red" if KNOWN in prompt else "nobody knows")
        case other:
            return Says(other)


def arms_main(bootstrap: str, folder: str, url: str) -> None:
    """Host the template arm as a node does."""
    die_with_parent()
    settings = engine_settings(Path(folder), bootstrap)
    settings = settings.model_copy(update={"arms": "template", "llm_base_url": url, "llm_model": NAME})
    run_arms(settings, "arms", StateFile(Path(folder) / "arms.json"))


@dataclass(frozen=True)
class Ended:
    """What became of the tasks.

    Attributes:
        facts: By name of the task, in order.
        calls: Model calls announced, and settled.
        requests: How many the endpoint was asked.
        recalled: What memory gave to attempts.
        metrics: What their handlers counted.
        ok: Whether the whole log can be decided again.
    """

    facts: dict[str, list[f.Fact]]
    calls: tuple[list[ModelCallIntended], list[ResourceUsed]]
    requests: int
    recalled: list[ContextRecalled]
    metrics: list[HandlerMetrics]
    ok: bool

    def of(self, name: str, kind: type[Any]) -> list[Any]:
        """Facts of one task."""
        return [fact for fact in self.facts[name] if isinstance(fact, kind)]

    def output(self, name: str) -> dict[str, Any]:
        """What a task gave."""
        end = self.of(name, f.TaskCompleted)[-1]
        assert "/" not in end.task_id
        found: dict[str, Any] = json.loads(end.output)
        return found


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory, kafka_jars: None) -> Iterator[Ended]:
    """All tasks, run at once."""
    folder = tmp_path_factory.mktemp("templates")
    with own_log(folder) as (log, bootstrap):
        yield _run(log, bootstrap, folder)


def _run(log: Connection, bootstrap: str, folder: Path) -> Ended:
    said = folder / "arms.log"
    with ExitStack() as stack:
        server, out = stack.enter_context(serving(script)), stack.enter_context(said.open("wb"))
        arms = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.test_model_server", bootstrap, str(folder), server.url],
            cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=out, stderr=out,
        )  # fmt: skip
        processor = Processor(bootstrap, folder / "state")
        try:
            stack.enter_context(_memory(bootstrap, folder))
            send(log, [_submitted(name, document) for name, document in TASKS_BY_NAME.items()])
            facts = Facts(log).wait_until_over(
                TASKS_BY_NAME, 180, tell=lambda: processor.output() + said.read_text()
            )
            assert facts.decided_twice() == []
            found: dict[str, list[f.Fact]] = {name: [] for name in TASKS_BY_NAME}
            for recorded in _records(log, TASKS):
                found[recorded.link.root_task_id].append(recorded.fact)
            reports = list(_records(log, RESOURCES))
            intended = [report for report in reports if isinstance(report, ModelCallIntended)]
            used = [report for report in reports if isinstance(report, ResourceUsed)]
            recalled = [report for report in reports if isinstance(report, ContextRecalled)]
            metrics = [report for report in reports if isinstance(report, HandlerMetrics)]
            calls = intended, used
            return Ended(found, calls, len(server.asked), recalled, metrics, verify_log(log).ok)
        finally:
            processor.stop()
            arms.terminate()
            arms.wait(60)


@contextmanager
def _memory(bootstrap: str, folder: Path) -> Iterator[None]:
    """A node's memory, which knows one thing, and says where it is."""
    settings = engine_settings(folder, bootstrap).model_copy(update={"embedding_model": "hashing"})
    with running(settings) as node, Client(settings) as client:
        told = client.remember(
            KNOWN, entity_type="fact", source="judge", task_id="T-0", confidence=0.9, validated=True
        )
        node.wait_for(MEMORY, told.sent.partition, told.sent.offset)
        StateFile(settings.run_dir / "memory.json").write(state="ready", url=node.url)
        yield


def _submitted(name: str, document: str) -> Any:
    program = tuple(
        replace(operator, assigned_arm=ArmId("template"), max_turns=2) for operator in read_program(document)
    )
    return submit(name, operators=program)


def _records(log: Connection, topic: str) -> Iterator[Any]:
    reader, codec = log.reader(), log.codec()
    ends = reader.ends([topic])
    for batch in reader.read(dict.fromkeys(ends, 0), until=ends):
        for record in batch:
            yield codec.decode(record.value)


def test_a_template_is_answered_by_the_model_and_says_which_data_was_used(ended: Ended) -> None:
    output = ended.output("plain")
    assert output["content"] == "say hello"
    assert output["notes"]["dataUsageDerived"] is True


def test_a_declared_type_is_answered_in_it(ended: Ended) -> None:
    assert ended.output("typed") == {
        "content": '["a.txt"]',
        "notes": {"dataUsage": "the folder"},
        "parsedContent": ["a.txt"],
    }


def test_an_answer_of_another_type_is_asked_for_otherwise(ended: Ended) -> None:
    [started] = ended.of("mistyped", f.RecoveryStarted)
    assert started.kind is RecoveryKind.ALTERNATIVE
    assert started.error.violations == ("content: expected array of strings, actual text",)
    assert json.loads(started.output)["content"] == "three"
    assert ended.output("mistyped")["notes"]["dataUsage"] == "the folder, counted again"


def test_a_task_that_exhausts_its_turns_is_divided_and_completes(ended: Ended) -> None:
    [started] = ended.of("large", f.RecoveryStarted)
    assert started.kind is RecoveryKind.DECOMPOSITION
    assert (started.error.resource, started.error.used, started.error.limit) == ("turns", 2, 2)
    assert len(ended.of("large", f.ProgramAdopted)) == 1
    assert ended.output("large")["content"] == "second half after first half"


def test_malformed_divisions_are_counted_and_then_the_task_fails(ended: Ended) -> None:
    assert len(ended.of("hopeless", f.RecoveryStarted)) == 2
    failed = ended.of("hopeless", f.TaskFailed)[-1]
    assert (failed.code, failed.task_error.location) == ("XML_PARSE_ERROR", "1:32")


def test_a_model_asks_for_a_subtask_and_goes_on_with_its_answer(ended: Ended) -> None:
    assert [fact.request.goal for fact in ended.of("asking", f.SubtaskRequested)] == ["Know it"]
    assert ended.output("asking")["content"] == "I was told: a metal"


def test_38_a_task_with_a_fresh_context_is_given_what_memory_knows_and_the_log_says_what(
    ended: Ended,
) -> None:
    assert ended.output("known")["content"] == "red"
    [told] = [told for told in ended.recalled if told.root_task_id == "known"]
    assert KNOWN in told.context
    assert (told.with_history, told.truncated) == (False, False)
    [memory] = told.memories
    assert (ended.of("known", f.AttemptEnded)[-1].provenance.data_sources) == (f"memory:{memory.memory_id}",)
    assert {told.context for told in ended.recalled if told.root_task_id == "typed"} == {""}


def test_33_every_handlers_turns_and_context_are_in_the_log(ended: Ended) -> None:
    attempts = {call.attempt_id for call in ended.calls[0]}
    assert sorted(told.attempt_id for told in ended.metrics) == sorted(attempts)
    again = sum(told.metrics.turns_used for told in ended.metrics) - ended.requests
    assert again == 1, "what goes on after a subtask begins with the turn from before it"
    [large] = [told for told in ended.metrics if (told.task_id, told.stopped_by) == ("large", "turns")]
    assert (large.metrics.turns_used, large.metrics.turns_limit, large.warnings) == (
        2,
        2,
        ("turns: 2 of 2 used",),
    )


def test_every_model_call_was_announced_and_settled_once(ended: Ended) -> None:
    intended, used = ended.calls
    places = [(call.attempt_id, call.call_number) for call in intended]
    assert len(set(places)) == len(places) == ended.requests
    assert sorted((call.attempt_id, call.call_number) for call in used) == sorted(places)


def test_every_decision_can_be_made_again(ended: Ended) -> None:
    assert ended.ok


# ------------------------------------------------------------------------------------- a real llama.cpp


@pytest.fixture(scope="module")
def real() -> Iterator[str]:
    """Where a real server is."""
    try:
        with llama() as url:
            yield url
    except Missing as reason:
        sys.stderr.write(f"no llama.cpp server: {reason}\n")
        pytest.skip(f"no llama.cpp server: {reason}")


def talk(url: str, prompt: str, **options: Any) -> tuple[Reply | Exception, RecordingMeter, Handler]:
    """One turn with the real model."""
    given, meter = assignment(), RecordingMeter()
    handler = Handler(given, meter)

    async def turn() -> Reply | Exception:
        model = OpenAIModel(ModelSettings(url, NAME))
        try:
            return await Conversation(handler, model, [Message(Role.USER, prompt)], **options).turn()
        except LimitReached as error:
            return error
        finally:
            await model.close()

    return asyncio.run(turn()), meter, handler


@pytest.mark.slow
def test_what_a_real_server_counts_is_what_the_handler_settles(real: str) -> None:
    reply, meter, handler = talk(real, "Say hello.", schema={"enum": ["hello"]}, max_tokens=32)
    assert isinstance(reply, Reply)
    assert json.loads(reply.text) == "hello"
    intended, used = meter.records
    assert isinstance(intended, ModelCallIntended)
    assert isinstance(used, ResourceUsed)
    assert (used.input_tokens, used.output_tokens) == (reply.input_tokens, reply.output_tokens)
    assert 0 < used.used.tokens <= intended.at_most.tokens
    assert handler.known_tokens == handler.used.context_tokens == used.used.tokens


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wanted", "kind"),
    [({"type": "boolean"}, bool), ({"type": "integer", "minimum": 0, "maximum": 9}, int)],
)
def test_a_real_server_answers_by_a_schema(real: str, wanted: dict[str, Any], kind: type) -> None:
    schema = {
        "type": "object",
        "properties": {"content": wanted, "dataUsage": {"enum": ["none"]}},
        "required": ["content", "dataUsage"],
    }
    reply, _, _ = talk(real, "Is water wet?", schema=schema, max_tokens=64)
    assert isinstance(reply, Reply)
    assert isinstance(json.loads(reply.text)["content"], kind)


@pytest.mark.slow
def test_an_answer_that_a_real_server_cuts_is_an_exhausted_output(real: str) -> None:
    error, meter, _ = talk(real, "Count to a thousand.", max_tokens=8)
    assert isinstance(error, LimitReached)
    assert (error.resource, error.used, error.limit) == ("output", 8, 8)
    assert isinstance(meter.records[-1], ResourceUsed)


@pytest.mark.slow
def test_a_prompt_beyond_a_real_servers_window_is_an_exhausted_context(real: str) -> None:
    error, meter, handler = talk(real, "one two three four " * 1_000)
    assert isinstance(error, LimitReached)
    assert (error.resource, error.limit) == ("context", WINDOW_TOKENS)
    assert error.used > WINDOW_TOKENS
    assert isinstance(meter.records[-1], ResourceUsed)
    assert handler.used.calls == 0


@pytest.mark.slow
def test_a_real_server_takes_tools_and_a_history_with_their_results(real: str) -> None:
    given, meter = assignment(), RecordingMeter()
    handler = Handler(given, meter)
    look = Tool("look", "Looks.", {"type": "object", "properties": {}}, lambda _: "nothing there")

    async def turns() -> None:
        model = OpenAIModel(ModelSettings(real, NAME))
        conversation = Conversation(
            handler, model, [Message(Role.USER, "Look.")], tools=[look], max_tokens=200
        )
        try:
            with suppress(LimitReached):  # it may never stop talking; that is not what is tested
                await conversation.turn()
                conversation.messages.append(Message(Role.USER, "Go on."))
                await conversation.turn()
        finally:
            await model.close()

    asyncio.run(turns())
    assert any(isinstance(record, ResourceUsed) and record.used.tokens for record in meter.records)


if __name__ == "__main__":
    arms_main(*sys.argv[1:])
