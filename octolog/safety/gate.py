"""The gate before the log: texts and JSON values go through it, and what it found is counted.

```python
gate = Gate(PiiMode.REDACT)
goal = gate.text("goal", "Write to alice@example.com")  # "Write to [REDACTED_EMAIL]"
gate.counts  # {"email": 1}
```
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from enum import Enum, StrEnum
from functools import cache
from typing import Any, Final, TypeVar, cast

from octolog.domain.contract import SubmitTask
from octolog.domain.errors import InvalidContract
from octolog.domain.security import SecurityPolicy
from octolog.safety.injection import blocked_by
from octolog.safety.kinds import SECRETS, SEVERITY, Kind, Severity
from octolog.safety.redact import Counts, Redacted, in_words, redact, redact_json, sum_counts

__all__ = ["Gate", "PiiMode", "mode_under", "screen"]

R = TypeVar("R")

_IDS: Final = frozenset({"task_id", "root_task_id", "parent_task_id", "step_id"})
_KEPT: Final = frozenset({
    # Names and hashes that other records refer to.
    "arm_id", "assigned_arm", "attempt_id", "command_hash", "depends_on", "error_code", "input_hash", "instance_id",
    "media_type", "model", "model_version", "name", "output_hash", "output_type", "required_capabilities",
    "routing_policy", "security_policy", "sha256", "variable", "version", "digest", "memory_id", "superseded_by",
    # Where things are, and what may be asked: an address is meant here.
    "endpoint", "health_check_url", "network", "commands", "allowed_arms", "allowed_tags", "subject", "key_id",
    # Who asked: the log has to say it, under oath if need be.
    "amended_by", "approved_by", "denied_by", "put_by", "registered_by", "requested_by", "retired_by", "revoked_by",
    "submitted_by", "withdrawn_by",
})  # fmt: skip
"""Fields that go through as they are; every other text is judged, those of later schemas too."""


class PiiMode(StrEnum):
    """What happens to personal data and secrets on their way into the log: setting `OCTOLOG_PII`."""

    REDACT = "redact"
    REJECT = "reject"
    OFF = "off"


_STRICT: Final = (PiiMode.OFF, PiiMode.REDACT, PiiMode.REJECT)


def mode_under(mode: PiiMode, policy: SecurityPolicy | None) -> PiiMode:
    """What holds for an attempt: the stricter of its host's mode and its policy's."""
    if policy is None or not policy.pii_mode:
        return mode
    return max(mode, PiiMode(policy.pii_mode), key=_STRICT.index)


class Gate:
    """Lets texts through without what must not be in a log that cannot forget.

    Args:
        mode: Redact, reject, or let everything through.
    """

    def __init__(self, mode: PiiMode = PiiMode.REDACT) -> None:
        self._mode = mode
        self._counts: list[Counts] = []

    @property
    def counts(self) -> Counts:
        """What was found so far, by kind."""
        return sum_counts(self._counts)

    def text(self, field: str, text: str, *, key: str = "") -> str:
        """A text as it may be logged.

        Raises:
            InvalidContract: PII_FOUND or SECRET_FOUND; the mode is `reject`. The message holds no value.
        """
        return text if self._mode is PiiMode.OFF or not text else self._judged(field, redact(text, key=key))

    def json(self, field: str, text: str) -> str:
        """A JSON text as it may be logged.

        Raises:
            InvalidContract: As `text`; or VALIDATION, when it is no JSON.
        """
        if self._mode is PiiMode.OFF or not text:
            return text
        try:
            return self._judged(field, redact_json(text))
        except (ValueError, RecursionError):
            raise InvalidContract("VALIDATION", field, "is no JSON") from None

    def identifier(self, field: str, name: str) -> None:
        """Refuse an id that is a finding itself: what refers to it could not be redacted consistently.

        Raises:
            InvalidContract: PII_FOUND or SECRET_FOUND.
        """
        if self._mode is not PiiMode.OFF:
            counts = {
                kind: n for kind, n in redact(name).counts.items() if SEVERITY[Kind(kind)] > Severity.LOW
            }
            if counts:
                raise _refusal(field, counts, "an id is written into every record; choose another")

    def _judged(self, field: str, done: Redacted) -> str:
        if not done.counts:
            return done.text
        if self._mode is PiiMode.REJECT:
            raise _refusal(field, done.counts, "take it out, or set OCTOLOG_PII=redact")
        self._counts.append(done.counts)
        return done.text


def _refusal(field: str, counts: Counts, remedy: str) -> InvalidContract:
    code = "SECRET_FOUND" if any(kind in SECRETS for kind in counts) else "PII_FOUND"
    return InvalidContract(code, field, f"holds {in_words(counts)}; {remedy}")


def screen(record: R, gate: Gate, *, block_injection: bool = True, new_ids: bool = True) -> R:
    """A record as it may be logged: every text in it, however deep, has gone through the gate.

    Args:
        record: A command or a report: a dataclass.
        gate: Judges the texts.
        block_injection: Refuse a submitted goal that tells its reader to drop its instructions.
        new_ids: Refuse ids that are findings; False for a report, whose ids are in the log already.

    Raises:
        InvalidContract: INJECTION_BLOCKED, or what the gate refuses.
    """
    if block_injection and isinstance(record, SubmitTask):
        for field, goal in _goals(record):
            _refuse_injection(field, goal)
    return cast("R", _record(record, gate, "", new_ids=new_ids))


def _record(record: Any, gate: Gate, at: str, *, new_ids: bool) -> Any:
    changed: dict[str, Any] = {}
    for name in _judged_fields(type(record)):  # type: ignore[arg-type]  # mypy takes a class for unhashable
        value = getattr(record, name)
        if not value or isinstance(value, int | float):
            continue
        judged = _value(name, value, gate, _path(at, name), new_ids=new_ids)
        if judged is not value:
            changed[name] = judged
    return dataclasses.replace(record, **changed) if changed else record


@cache
def _judged_fields(cls: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(cls) if field.name not in _KEPT)


def _value(name: str, value: Any, gate: Gate, at: str, *, new_ids: bool) -> Any:
    match value:
        case Enum():
            return value
        case str() if name in _IDS:
            if new_ids:
                gate.identifier(at, value)
            return value
        case str() if name.endswith("_json"):
            return gate.json(at.removesuffix("_json"), value)
        case str():
            return gate.text(at, value)
        case tuple():
            items = value
            judged = tuple(
                _value(name, item, gate, f"{at}[{n}]", new_ids=new_ids) for n, item in enumerate(items)
            )
            return value if all(a is b for a, b in zip(judged, items, strict=True)) else judged
        case _ if dataclasses.is_dataclass(value):
            return _record(value, gate, at, new_ids=new_ids)
        case _:
            return value


def _path(at: str, name: str) -> str:
    if at in {"", "contract"}:  # messages name the fields of a contract without it, as its author wrote them
        return name
    return f"{at}.{name}"


def _goals(command: SubmitTask) -> Iterable[tuple[str, str]]:
    contract = command.contract
    yield "goal", contract.goal
    for part in ("steps", "operators"):
        for index, step in enumerate(getattr(contract, part)):
            yield f"{part}[{index}].goal", step.goal


def _refuse_injection(field: str, goal: str) -> None:
    found = blocked_by(goal)
    if found is not None:
        raise InvalidContract(
            "INJECTION_BLOCKED", field, f"{found.pattern.replace('_', ' ')}: {_WHY_BLOCKED}"
        )


_WHY_BLOCKED: Final = (
    "tells whoever reads it to drop its instructions; quote it, if it is what the task is about"
)
