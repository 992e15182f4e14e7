"""Recorded histories replay byte for byte, whatever was changed since."""

from __future__ import annotations

import pytest

from octolog.domain.routing import RoutingIndex
from octolog.domain.task import attempts
from tests.replay.history import FOLDER, lines_of, replayed
from tests.replay.scenarios import SCENARIOS

HISTORIES = sorted(path.stem for path in FOLDER.glob("*.jsonl"))


def _recorded(name: str) -> list[str]:
    return (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()


def test_every_scenario_has_its_history() -> None:
    assert sorted(SCENARIOS) == HISTORIES


@pytest.mark.parametrize("name", HISTORIES)
def test_a_recorded_history_replays_byte_for_byte(name: str) -> None:
    recorded = _recorded(name)
    assert lines_of(replayed(recorded)) == recorded


@pytest.mark.parametrize("name", HISTORIES)
def test_a_scenario_told_today_is_the_history_recorded(name: str) -> None:
    assert lines_of(SCENARIOS[name]()) == _recorded(name)


def test_histories_hold_every_kind_of_fact() -> None:
    kinds = {type(fact.fact).__name__ for tell in SCENARIOS.values() for fact in tell().facts()}
    assert len(kinds) == 28, sorted(kinds)


def test_another_delay_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "delay_ms", lambda *_: 1_000)
    recorded = _recorded("retry_until_it_works")
    assert lines_of(replayed(recorded)) != recorded


def test_another_route_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    best_first = RoutingIndex.route
    monkeypatch.setattr(RoutingIndex, "route", lambda self, need: best_first(self, need)[::-1])
    recorded = _recorded("plan_in_the_contract")
    assert lines_of(replayed(recorded)) != recorded
