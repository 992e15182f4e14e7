"""What a history shows, held against the interpreter's own reading of the operators page."""

from __future__ import annotations

import json
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octolog.domain.evaluator import history
from octolog.domain.evaluator.state import History
from tests.simulation import texts

NAMES = st.text("abc.-_", min_size=1, max_size=12)
CONTENTS = st.text(st.sampled_from('ab"\\\n\x01é\ud800'), max_size=60)
OUTPUTS = st.builds(
    lambda content, usage: json.dumps({"content": content, "notes": {"dataUsage": usage}}), CONTENTS, CONTENTS
)


@pytest.mark.parametrize("full", [True, False])
@given(steps=st.lists(st.tuples(NAMES, OUTPUTS), max_size=12), most=st.integers(20, 400))
def test_what_is_shown_is_what_the_reference_shows(
    full: bool, steps: list[tuple[str, str]], most: int
) -> None:
    with patch.object(history, "MAX_CHARS", most), patch.object(texts, "HISTORY_CHARS", most):
        kept = History()
        for name, output in steps:
            history.push(kept, name, output)
        entries, cut = history.shown(kept, full=full)
        wanted = texts.history([texts.Kept(*each) for each in steps], full=full)
    assert ([texts.parsed(entry) for entry in entries], cut) == wanted
    assert sum(len(entry) + 1 for entry in entries) <= most


def test_names_and_braces_count_and_what_cannot_be_shown_is_forgotten() -> None:
    kept = History()
    for number in range(5_000):
        history.push(kept, f"step-{number:04}", '"x"')
    entries, cut = history.shown(kept, full=True)
    assert cut
    assert history.MAX_CHARS - 100 < sum(len(entry) + 1 for entry in entries) <= history.MAX_CHARS
    assert len(kept.steps) < 2_500, "steps that no reader is shown leave the state"
