"""What the template arm asks of memory, and what becomes of it."""

from __future__ import annotations

from typing import Any

import pytest

from arms.builtin.template import make_template
from arms.template.memory import Match, Remembered
from octolog.domain.errors import StoreUnavailable
from octolog.domain.operators import ContextMode
from octolog.domain.reports import ContextRecalled, ModelCallIntended, RecalledMemory
from octolog.domain.rules import MAX_RECALLED_CHARS, check_report
from octolog.domain.values import TaskErrorType
from tests.unit.arms.doubles import RecordingMeter
from tests.unit.arms.model_server import Says
from tests.unit.arms.template_runs import SPAWN, Ran, resumed, run

pytest.importorskip("pydantic_ai.models.openai", reason="the extra `model` is not installed")


FOUND = RecalledMemory("m-1", 0, 7, 0.75)
KNOWN = Remembered("Known before.", (Match("/notes/a.md", "same task", FOUND),))
TEXT = "Known before.\n- /notes/a.md: same task"


class Library:
    """A memory that keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    async def relevant(self, task: str, history_json: str) -> Remembered | None:
        self.asked.append((task, history_json))
        return KNOWN


@pytest.mark.parametrize(
    ("mode", "asked"),
    [
        (ContextMode.INHERIT, []),
        (ContextMode.ACCUMULATE, [("Do it", '{"history": []}')]),
        (ContextMode.FRESH, [("Do it", "")]),
        (ContextMode.UNKNOWN, []),
    ],
)
def test_38_the_context_mode_says_whether_memory_is_asked_and_with_what(
    mode: ContextMode, asked: list[tuple[str, str]]
) -> None:
    library = Library()
    ran = run(
        [Says("done")],
        make_template(memory=library),
        instructions="Do it",
        context={"history": []},
        context_mode=mode,
    )
    assert library.asked == asked
    assert (f"From memory:\n{TEXT}" in ran.server.asked[0].prompt) == bool(asked)
    assert [(told.context, told.with_history) for told in ran.meter.recollections] == [
        (TEXT, bool(history)) for _, history in asked
    ]
    assert ran.result.provenance.data_sources == (("memory:m-1",) if asked else ())


class Speaking(Library):
    """A memory that says what it is made of."""

    def __init__(self, said: Remembered | None) -> None:
        super().__init__()
        self.said = said

    async def relevant(self, task: str, history_json: str) -> Remembered | None:
        return self.said


def remembering(said: Remembered | None, **fields: Any) -> Ran:
    fields = {"instructions": "Do it", "context_mode": ContextMode.FRESH} | fields
    return run([Says("done")], make_template(memory=Speaking(said)), **fields)


def test_what_memory_gave_is_in_the_log_before_the_model_hears_of_it() -> None:
    order: list[str] = []

    class Watching(RecordingMeter):
        async def recalled(self, record: ContextRecalled) -> None:
            order.append("recalled")

        async def intended(self, record: ModelCallIntended) -> None:
            order.append("intended")

    run([Says("done")], make_template(memory=Library()), Watching(), context_mode=ContextMode.FRESH)
    assert order == ["recalled", "intended"]


def test_what_is_given_is_bounded_and_both_model_and_log_are_told_that_it_was_cut() -> None:
    ran = remembering(Remembered("x" * 20_000))
    [told] = ran.meter.recollections
    assert (len(told.context), told.truncated) == (MAX_RECALLED_CHARS, True)
    check_report(told)
    assert f"From memory (not all of it):\n{told.context}" in ran.server.asked[0].prompt


@pytest.mark.parametrize("nothing", [None, Remembered("")])
def test_where_there_is_no_memory_or_it_has_nothing_the_model_is_told_as_ever(
    nothing: Remembered | None,
) -> None:
    plain = run([Says("done")], instructions="Do it", context_mode=ContextMode.FRESH)
    ran = remembering(nothing)
    assert ran.server.asked[0].body == plain.server.asked[0].body
    assert [told.context for told in ran.meter.recollections] == ([] if nothing is None else [""])


def test_constraints_can_forbid_to_ask_memory() -> None:
    ran = remembering(KNOWN, constraints_json='{"memory":false}')
    assert (ran.meter.recollections, "From memory" in ran.server.asked[0].prompt) == ([], False)


def test_memory_that_does_not_answer_is_a_failure_that_may_pass() -> None:
    class Away(Library):
        async def relevant(self, task: str, history_json: str) -> Remembered | None:
            raise StoreUnavailable("the node's memory does not answer")

    ran = run([Says("done")], make_template(memory=Away()), context_mode=ContextMode.FRESH)
    assert (ran.result.error_code, ran.result.retryable) == ("CONTEXT_UNAVAILABLE", True)
    assert (ran.error.type, ran.error.reason) == (TaskErrorType.TASK_FAILURE, "context_retrieval_failure")
    assert ran.server.asked == []


def test_after_a_subtask_the_conversation_still_knows_what_memory_gave_it() -> None:
    arm = make_template(memory=Library())
    first = run([Says(calls=(SPAWN,))], arm, goal="Do it", context_mode=ContextMode.FRESH)
    library = Library()
    second = run(
        [Says("found")],
        make_template(memory=library),
        goal="Do it",
        context_mode=ContextMode.FRESH,
        **resumed(first, "gold"),
    )
    assert second.server.asked[0].messages[0] == first.server.asked[0].messages[0]
    assert (library.asked, second.meter.recollections) == ([], []), "it is not asked again"
    assert second.result.provenance.data_sources == ("memory:m-1",)
