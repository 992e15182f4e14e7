"""What is printed, and how."""

from __future__ import annotations

import io
import json
import math
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from octolog.cli.moment import parse_moment
from octolog.cli.output import cell, json_text, one_line, table, visible, write_rich
from octolog.domain.errors import Refused
from octolog.domain.values import Limits


def test_what_json_has_no_form_for_gets_one() -> None:
    value = {
        "at": datetime(2026, 1, 31, 12, tzinfo=UTC),
        "naive": datetime(2026, 1, 31, 12),  # noqa: DTZ001 -- the store's timestamps have no zone, and are in UTC
        "bytes": b"\x00\xff",
        "money": Decimal("0.5"),
        "limits": Limits(max_tokens=1),
    }
    assert json.loads(json_text(value)) == {
        "at": "2026-01-31T12:00:00.000+00:00",
        "naive": "2026-01-31T12:00:00.000Z",
        "bytes": "00ff",
        "money": 0.5,
        "limits": {"max_tokens": 1, "max_time_ms": None, "max_cost_micros": None, "max_llm_calls": None},
    }


def test_numbers_that_json_lacks_become_null() -> None:
    assert json.loads(json_text([math.nan, {"a": math.inf}, 1.5])) == [None, {"a": None}, 1.5]


def test_text_for_a_terminal_has_no_control_characters_left() -> None:
    assert visible("a\x1b[31mb\x9bc\td\n") == "a\\x1b[31mb\\x9bc\td\n"
    assert one_line("a\n\r\x1bb") == "a \\x1bb"


def test_a_cell_is_one_line_and_bounded() -> None:
    assert cell("a\nb") == "a b"
    assert cell("x" * 100) == "x" * 79 + "…"
    assert cell(None) == ""
    assert cell(["a", "b"]) == "a, b"
    assert cell({"a": 1}) == '{"a": 1}'


def test_a_table_in_a_pipe_is_never_cut() -> None:
    out = io.StringIO()
    write_rich(table([{"goal": "y" * 500, "markup": "[bold]no[/bold]"}], limit=1_000), out, terminal=False)
    assert "y" * 500 in out.getvalue()
    assert "[bold]no[/bold]" in out.getvalue()


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        (None, None),
        ("0", 0),
        ("120", 120),
        ("2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31 12:00", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T13:00:00+01:00", datetime(2026, 1, 31, 12, tzinfo=UTC)),
    ],
)
def test_a_moment_is_an_offset_or_a_time(text: str | None, moment: int | datetime | None) -> None:
    assert parse_moment(text) == moment


@pytest.mark.parametrize("text", ["", "-1", "yesterday", "1.5", "٣"])
def test_anything_else_is_no_moment(text: str) -> None:
    with pytest.raises(Refused, match="neither an offset nor a time"):
        parse_moment(text)
