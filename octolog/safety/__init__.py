"""Personal data, secrets and injected instructions: found, judged and taken out, before anything is logged.

A log that cannot forget must not be told. Everything here is a function of its text: no clock, no network, no file.

| module | does |
|---|---|
| `kinds` | what can be found, its severity, its placeholder |
| `detect` | places in a text, never overlapping |
| `redact` | texts and JSON documents without them |
| `gate` | what the client and the arms let through: redact, reject or off |
| `injection` | fourteen patterns of injected instructions, and what lowers them |
| `logs` | the same for log lines |
| `tokens` | capability tokens: what they say, and whether one holds |
"""

from octolog.safety.detect import detect
from octolog.safety.gate import Gate, PiiMode, mode_under, screen
from octolog.safety.injection import Injection, blocked_by, find_injections
from octolog.safety.kinds import SECRETS, SEVERITY, Found, Kind, Severity, placeholder
from octolog.safety.redact import (
    NOTHING_FOUND,
    Counts,
    Redacted,
    Style,
    in_words,
    redact,
    redact_json,
    sum_counts,
)

__all__ = [
    "NOTHING_FOUND",
    "SECRETS",
    "SEVERITY",
    "Counts",
    "Found",
    "Gate",
    "Injection",
    "Kind",
    "PiiMode",
    "Redacted",
    "Severity",
    "Style",
    "blocked_by",
    "detect",
    "find_injections",
    "in_words",
    "mode_under",
    "placeholder",
    "redact",
    "redact_json",
    "screen",
    "sum_counts",
]
