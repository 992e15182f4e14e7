"""Detection and redaction: spans, styles, JSON, and time that grows with the text alone."""

from __future__ import annotations

import gc
import json
import logging
import string
import subprocess
import sys
import time
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octolog.safety import Kind, Severity, Style, detect, find_injections, redact, redact_json, sum_counts
from octolog.safety.logs import RedactingFormatter, redact_event

SSN, EMAIL, CARD = "123-45-6789", "test@example.com", "4111 1111 1111 1111"


def kinds(text: str, key: str = "") -> list[str]:
    return [found.kind.value for found in detect(text, key=key)]


def test_behaviour_25_ssn_and_email_are_two_detections_and_neither_value_is_left() -> None:
    done = redact(f"My SSN is {SSN} and email is {EMAIL}")
    assert done.counts == {"email": 1, "ssn": 1}
    assert done.text == "My SSN is [REDACTED_SSN] and email is [REDACTED_EMAIL]"


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        (SSN, Severity.HIGH),
        (CARD, Severity.HIGH),
        (EMAIL, Severity.MEDIUM),
        ("(212) 555-0199", Severity.MEDIUM),
        ("10.20.30.40", Severity.LOW),
        ("AKIA" + "IOSFODNN7EXAMPLE", Severity.CRITICAL),
        ("password = 'hunter22'", Severity.CRITICAL),
    ],
)
def test_severities_are_those_of_seed_a(text: str, severity: Severity) -> None:
    (found,) = detect(text)
    assert found.severity is severity


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        (Style.MASK, f"pay [REDACTED_CARD] of {'[REDACTED_EMAIL]'}"),
        (Style.REMOVE, "pay  of "),
        (Style.TOKEN, "pay [CARD:1] of [EMAIL:2]"),
        (Style.PARTIAL, "pay ***************1111 of ****************"),
    ],
)
def test_a_style_decides_what_stands_in_the_place(style: Style, expected: str) -> None:
    assert redact(f"pay {CARD} of {EMAIL}", style).text == expected


def test_a_hash_is_equal_for_equal_values_and_for_no_others() -> None:
    first, second, third = (redact(value, Style.HASH).text for value in (EMAIL, EMAIL, "other@example.com"))
    assert first == second != third
    assert EMAIL not in first


def test_the_word_before_a_number_makes_it_one() -> None:
    assert kinds("the number 219099998") == []
    assert kinds("ssn 219099998") == ["ssn"]
    assert kinds("219099998", key="socialSecurityNumber") == ["ssn"]
    assert kinds("2019-05-04") == []
    assert kinds("born 2019-05-04") == ["date_of_birth"]


def test_invisible_characters_do_not_hide_a_value() -> None:
    text = "mail te\u200bst@exam\u2060ple.com"
    assert redact(text).text == "mail [REDACTED_EMAIL]"


def test_values_that_touch_become_one_place() -> None:
    text = "https://user:s3cret-pw@10.1.2.3/x?mail=a@b.example"
    found = detect(text)
    assert all(a.end <= b.start for a, b in pairwise(found))
    assert "s3cret-pw" not in redact(text).text


def test_every_value_of_a_json_document_is_judged_with_its_key() -> None:
    given = {
        "contact": {"email": EMAIL, "phones": ["5551234567", 5551234567]},
        "password": "plain word 9",
        "n": [1, 2.50, 1e300, -0.0, True, None, 12345678901234567890],
        "note": "nothing here",
        SSN: "as a key",
    }
    done = redact_json(json.dumps(given))
    assert json.loads(done.text) == {
        "contact": {"email": "[REDACTED_EMAIL]", "phones": ["[REDACTED_PHONE]", "[REDACTED_PHONE]"]},
        "password": "[REDACTED_PASSWORD]",
        "n": [1, 2.5, 1e300, -0.0, True, None, 12345678901234567890],
        "note": "nothing here",
        "[REDACTED_SSN]": "as a key",
    }
    assert done.counts == {"email": 1, "password": 1, "phone": 2, "ssn": 1}


def test_two_keys_that_hide_two_values_stay_two() -> None:
    done = redact_json('{"a@b.example": 1, "c@d.example": 2}')
    assert sorted(json.loads(done.text).values()) == [1, 2]


def test_a_json_document_without_findings_is_unchanged_to_the_byte() -> None:
    text = '{"b": [1.0, 2e3],\n "a": "ü\\u00e9"}'
    assert redact_json(text).text == text


def test_a_redacted_document_is_canonical() -> None:
    text = redact_json('{"b": 1.50, "a": "x@y.example"}').text
    assert text == '{"a":"[REDACTED_EMAIL]","b":1.50}'


OCTOLOGS_OWN = [
    "attempt 6ba7b810-9dad-51d1-80b4-00c04fd430c8 of 01931f2e-7c1a-7b3e-8f00-123456789012 ended",
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "octolog.tasks/3@123456789012 at 1732287909123, 2026-11-22T15:05:09.123456Z",
    '{"confidence":0.9020000000000001,"execution_time_ms":1234567,"tokens_used":100000}',
    "README.md:12: [guide](docs/guide.md#step-2) is broken; main.py:4111:1: bare except",
    "https://github.com/owner/repo/blob/9fceb02d0ae598e95dc970b74767f19372d61af8/a.py#L120-L140",
    "lease_ms=30000 window=128 OCTOLOG_BOOTSTRAP_SERVERS=127.0.0.1:9092",
]


@pytest.mark.parametrize("text", OCTOLOGS_OWN)
def test_what_octolog_writes_itself_is_left_alone(text: str) -> None:
    assert redact(text).text == text


PIECES = [
    SSN, EMAIL, CARD, "GB29NWBK60161331926819", "+44 20 7946 0958", "born 1980-01-02", "10.1.2.3", "ssn", "password=",
    "api_key: ", '"', "'", " ", "-", ".", "x", "1", "12", "[", "]", "[REDACTED_SSN]", "@", "://a:b@c.d", "\u200b", "é",
]  # fmt: skip
PARTS = st.sampled_from(PIECES) | st.text(string.printable, max_size=6)


@settings(max_examples=300, deadline=None)
@given(st.lists(PARTS, max_size=14), st.sampled_from(list(Style)))
def test_spans_never_overlap_and_redacting_twice_changes_nothing(pieces: list[str], style: Style) -> None:
    text = "".join(pieces)
    found = detect(text)
    assert all(0 <= each.start < each.end <= len(text) for each in found)
    assert all(a.end <= b.start for a, b in pairwise(found))
    once = redact(text, style).text
    assert redact(once, style).text == once


NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
KEYS = st.sampled_from([*PIECES, "ssn", "phone", "a"])
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=8) | st.sampled_from(PIECES),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(JSON)
def test_a_json_document_stays_one_and_redacting_it_twice_changes_nothing(value: Any) -> None:
    once = redact_json(json.dumps(value, ensure_ascii=False)).text
    json.loads(once)
    assert redact_json(once).text == once


HOSTILE = {
    "digits": "1",
    "digit groups": "1 ",
    "digits and dashes": "1-",
    "at signs": "a@",
    "domains": "a@a.",
    "colons": "a:",
    "jwt starts": "-eyJ",
    "key starts": "-----BEGIN PRIVATE KEY-----",
    "assignments": "password=",
    "announcements": "ssn born passport ",
    "iban starts": "GB12 ",
    "placeholders": "[REDACTED_",
    "quotes": '"',
    "instructions": "ignore all ",
    "comments": "<!-- ",
    "urls": "://a:",
    "phones": "+1 202 555 01",
    "brackets": "(234) ",
}


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_time_grows_no_faster_than_the_text(unit: str) -> None:
    """Sixteen times the text may take at most forty times as long; were it quadratic, 256 times."""

    def seconds(chars: int) -> float:
        text = (unit * (chars // len(unit) + 1))[:chars]
        best = float("inf")
        for _ in range(3):
            gc.collect()
            started = time.thread_time()
            detect(text)
            find_injections(text)
            best = min(best, time.thread_time() - started)
        return best

    small = max(seconds(16_000), 0.002)
    assert seconds(256_000) <= 40 * small


def test_log_lines_go_out_redacted_with_their_traceback() -> None:
    try:
        raise ValueError(f"no account for {EMAIL}")
    except ValueError:
        record = logging.getLogger("x").makeRecord(
            "x", logging.ERROR, __file__, 1, "failed for %s", (SSN,), __import__("sys").exc_info()
        )
    line = RedactingFormatter("%(levelname)s %(message)s").format(record)
    assert EMAIL not in line
    assert SSN not in line
    assert "ValueError: no account for [REDACTED_EMAIL]" in line


def test_a_structlog_event_goes_out_redacted() -> None:
    event = {
        "event": f"mail to {EMAIL}",
        "offset": 17,
        "detail": {"ssn": "219099998"},
        "error": ValueError(CARD),
    }
    assert redact_event(None, "info", event) == {
        "event": "mail to [REDACTED_EMAIL]",
        "offset": 17,
        "detail": {"ssn": "[REDACTED_SSN]"},
        "error": "ValueError: [REDACTED_CARD]",
    }


def test_counts_add_up() -> None:
    assert sum_counts([{"email": 1}, {"email": 2, "ssn": 1}]) == {"email": 3, "ssn": 1}
    assert set(Kind) == {Kind(name) for name in map(str, Kind)}


def test_a_process_that_dies_prints_no_raw_value_of_its_own_or_of_its_threads() -> None:
    code = """
import threading
from octolog.app.node.crash import redact_crashes
redact_crashes()
def die():
    raise ValueError("mail ilse.raven@mailhouse.example")
thread = threading.Thread(target=die, name="worker"); thread.start(); thread.join()
die()
"""
    died = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert died.returncode == 1
    assert died.stderr.count("ValueError: mail [REDACTED_EMAIL]") == 2
    assert "ilse.raven" not in died.stderr.replace(code, "")
    assert "in worker: " in died.stderr
