"""How the template arm asks the node's memory."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from octolog.app.arms.recall import MAX_NOTE_CHARS, MIN_SIMILARITY, NodeMemory, asked
from octolog.app.processes import StateFile
from octolog.app.settings import Settings
from octolog.domain.errors import StoreUnavailable
from octolog.domain.reports import RecalledMemory


def hit(content: str = "known", similarity: float | None = 0.9) -> dict[str, Any]:
    return {
        "memory_id": "m-1",
        "partition": 2,
        "recorded_at": 7,
        "similarity": similarity,
        "content": content,
    }


class Answering(NodeMemory):
    """A memory whose process answers from a script; an error is raised."""

    def __init__(self, home: Path, *answers: list[dict[str, Any]] | StoreUnavailable) -> None:
        settings = Settings(home=home)
        super().__init__(settings)
        StateFile(settings.run_dir / "memory.json").write(url="http://127.0.0.1:1")
        self.answers, self.asked = list(answers), list[str]()

    def _once(self, text: str) -> list[dict[str, Any]]:
        self.asked.append(text)
        answer = self.answers.pop(0)
        if isinstance(answer, StoreUnavailable):
            raise answer
        return answer


def test_outside_a_node_there_is_nobody_to_ask(tmp_path: Path) -> None:
    assert asyncio.run(NodeMemory(Settings(home=tmp_path)).relevant("do it", "")) is None


def test_a_node_whose_memory_is_not_up_yet_is_a_failure_that_may_pass(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    StateFile(settings.run_dir / "memory.json").write(state="starting")
    with pytest.raises(StoreUnavailable, match="octolog status") as caught:
        asyncio.run(NodeMemory(settings).relevant("do it", ""))
    assert caught.value.retryable


def test_what_it_finds_is_named_with_its_place_in_the_log(tmp_path: Path) -> None:
    found = asyncio.run(Answering(tmp_path, [hit("two\n lines")]).relevant("do it", ""))
    assert found is not None
    [match] = found.matches
    assert (match.path, match.note) == ("memory:m-1", "two lines")
    assert match.found == RecalledMemory("m-1", 2, 7, 0.9)
    assert (bool(found.context), found.truncated) == (True, False)


@pytest.mark.parametrize("similarity", [None, MIN_SIMILARITY - 0.01])
def test_what_shares_some_words_alone_is_left_out(tmp_path: Path, similarity: float | None) -> None:
    found = asyncio.run(Answering(tmp_path, [hit(similarity=similarity)]).relevant("do it", ""))
    assert found is not None
    assert (found.context, found.matches) == ("", ())


def test_a_long_memory_is_cut_and_that_is_said(tmp_path: Path) -> None:
    found = asyncio.run(Answering(tmp_path, [hit("x" * (MAX_NOTE_CHARS + 1))]).relevant("do it", ""))
    assert found is not None
    assert found.truncated
    assert found.matches[0].note == "x" * MAX_NOTE_CHARS + " [cut]"


def test_a_failed_question_is_asked_once_more_and_then_surfaces(tmp_path: Path) -> None:
    away = StoreUnavailable("away")
    memory = Answering(tmp_path, away, [hit()])
    assert asyncio.run(memory.relevant("do it", "")) is not None
    memory = Answering(tmp_path, away, away, [hit()])
    with pytest.raises(StoreUnavailable):
        asyncio.run(memory.relevant("do it", ""))
    assert memory.asked == ["do it", "do it"]


def test_it_is_asked_with_what_the_last_steps_gave_the_latest_first() -> None:
    history = {
        "history": [
            {"content": "first", "notes": {"dataUsage": "a"}, "step": "one"},
            {"notes": {"dataUsage": "b"}, "step": "two"},
            {"content": "third", "notes": {}, "step": "three"},
        ]
    }
    assert asked("do it", json.dumps(history)) == "do it\nthird\nb\nfirst\na"
    assert asked("do it", "") == asked("do it", '{"history":[]}') == "do it"
    assert (
        len(asked("x" * 10_000, json.dumps({"history": [{"content": "y" * 10_000, "notes": {}}]}))) == 8_000
    )
