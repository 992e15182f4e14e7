"""The JSON on the wire. `docs/reference/http-arm.md` tells of it, `http-arm.openapi.json` defines it.

What a service answers is read strictly where it counts (types, bounds, whose result it is) and tolerantly where it
does not: fields that are not known are passed over, so that either side may be newer than the other.
"""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import asdict
from typing import Any, Final, Literal, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from arms.arm import Fail
from octolog.domain.assignment import AttemptAssignment, Continuation
from octolog.domain.memory import MAX_PROPOSALS
from octolog.domain.rules import MAX_PLANNED_STEPS, MAX_REASON_CHARS
from octolog.domain.values import TaskError, TaskErrorType
from octolog.edge.contract import StepEdge
from octolog.edge.operators import OperatorEdge
from octolog.edge.requests import MemoryEdge, SubtaskEdge

__all__ = [
    "API_VERSION",
    "MAX_ASKED_BYTES",
    "RUNNING",
    "USES",
    "BadAnswer",
    "ErrorDetail",
    "ExecuteResponse",
    "passed_over",
    "read_error",
    "read_response",
    "request_of",
]

API_VERSION: Final = "v1"
RUNNING: Final = "ATTEMPT_RUNNING"
"""Code with status 409: the same attempt is being worked on; ask again."""

USES: Final = ("plan", "operators", "subtask", "question", "memories")
"""What an answer may ask for besides its output, where `uses` in `GET /arm` names it."""

MAX_ASKED_BYTES: Final = 512 * 1024
"""Longest JSON of all that together: with an output of 256 kB it still lies in one record of 1 MB."""

_PARTS: Final = {"subtask": ("subtask", "continuation")}
_SHA256: Final = r"^[0-9a-f]{64}$"
_CODE: Final = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_MICROS: Final = 1_000_000
_RETRYABLE: Final = frozenset({"rate_limit", "timeout", "internal", "external"})
_MESSAGE_CHARS: Final = 500


class BadAnswer(Fail):
    """The service answered, but not with what the protocol asks for."""

    def __init__(self, message: str) -> None:
        error = TaskError(TaskErrorType.INVALID_OUTPUT, message, violations=(message,))
        super().__init__(message, "INVALID_OUTPUT", task_error=error)


class _Wire(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class ProvenanceJson(_Wire):
    """Where an answer comes from; every field may be left out."""

    arm_id: str | None = None
    command_hash: str | None = Field(default=None, pattern=_SHA256)
    data_sources: list[str] = []
    model_version: str | None = None
    tests_passed: list[str] = []


class UsageJson(_Wire):
    """What models used for it."""

    model: str = ""
    input_tokens: int = Field(default=0, ge=0, lt=2**40)
    output_tokens: int = Field(default=0, ge=0, lt=2**40)
    cost_dollars: float = Field(default=0.0, ge=0, le=_MICROS, allow_inf_nan=False)
    calls: int = Field(default=0, ge=0, le=1_000_000)
    price_version: str = ""


class ExecuteResponse(_Wire):
    """Seed A's ExecutionResult, as a service gives it; what it may ask for besides is last."""

    status: Literal["success", "failure", "partial"]
    output: Any = None
    confidence: float = Field(default=1.0, ge=0, le=1, allow_inf_nan=False)
    execution_time_ms: int = Field(default=0, ge=0)
    tokens_used: int = Field(default=0, ge=0)
    error: str | None = None
    error_code: str | None = Field(default=None, pattern=_CODE.pattern)
    retryable: bool = False
    provenance: ProvenanceJson = ProvenanceJson()
    usage: UsageJson | None = None
    attempt_id: str | None = None
    task_id: str | None = None
    arm_id: str | None = None
    plan: list[StepEdge] = Field(default_factory=list, max_length=MAX_PLANNED_STEPS)
    operators: list[OperatorEdge] = Field(default_factory=list)
    subtask: SubtaskEdge | None = None
    continuation: dict[str, Any] = {}
    question: str = Field(default="", max_length=MAX_REASON_CHARS)
    memories: list[MemoryEdge] = Field(default_factory=list, max_length=MAX_PROPOSALS)

    @property
    def asks(self) -> tuple[str, ...]:
        """What it asks for, in the names of `USES`."""
        return tuple(name for name in USES if getattr(self, name))


class ErrorDetail(_Wire):
    """Why a request was refused, or what went wrong."""

    code: str = Field(pattern=_CODE.pattern)
    message: str
    category: str = ""
    retryable: bool | None = None
    retry_after_seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False)

    @property
    def may_pass(self) -> bool:
        """Whether the same attempt may succeed later: what it says, else by its category."""
        return self.category.lower() in _RETRYABLE if self.retryable is None else self.retryable


class _ErrorDocument(_Wire):
    error: ErrorDetail


_Model = TypeVar("_Model", bound=_Wire)


def request_of(given: AttemptAssignment, timeout_s: float) -> dict[str, Any]:
    """What a service is asked: the contract in seed A's names, and what belongs to this attempt."""
    limits = given.allowance
    request: dict[str, Any] = {
        "api_version": API_VERSION,
        "attempt_id": given.attempt_id,
        "attempt_number": given.number,
        "root_task_id": given.root_task_id,
        "arm_id": given.arm_id,
        "timeout_seconds": round(timeout_s, 3),
        "capability_token": given.capability_token,
        "contract": {
            "task_id": given.task_id,
            "goal": given.goal,
            "constraints": orjson.loads(given.constraints_json),
            "context": orjson.loads(given.context_json),
            "acceptance_criteria": list(given.acceptance_criteria),
            "budget": {
                "max_tokens": limits.max_tokens,
                "max_time_seconds": None if limits.max_time_ms is None else limits.max_time_ms / 1000,
                "max_cost_dollars": None
                if limits.max_cost_micros is None
                else limits.max_cost_micros / _MICROS,
                "max_llm_calls": limits.max_llm_calls,
            },
            "assigned_arm": given.arm_id,
            "priority": given.priority,
            "security_policy": given.security_policy,
        },
        "inputs": {each.step_id: orjson.loads(each.output or "null") for each in given.inputs},
    }
    if given.instructions or given.system:
        request["prompt"] = {
            "instructions": given.instructions,
            "system": given.system,
            "model": given.model,
            "output_type": given.output_type,
            "max_turns": given.max_turns,
        }
    for name in ("recovery", "feedback"):
        more = getattr(given, name)
        if more is not None:
            request[name] = asdict(more)
    if given.continuation is not None:
        request["continuation"] = _continuation(given.continuation)
    return request


def _continuation(given: Continuation) -> dict[str, Any]:
    """What the subtask gave, and what the service wanted to find again."""
    return {
        "subtask_task_id": given.subtask_task_id,
        "number": given.number,
        "goal": given.goal,
        "content": given.content,
        "notes": orjson.loads(given.notes_json),
        "kept": orjson.loads(given.continuation_json),
    }


def passed_over(document: Any, uses: Container[str]) -> tuple[str, ...]:
    """Names of `USES` that an answer has and its service did not announce: nobody reads them."""
    return tuple(
        name for name in USES if isinstance(document, dict) and name in document and name not in uses
    )


def read_response(
    document: Any, *, attempt_id: str, task_id: str, uses: Container[str] = ()
) -> ExecuteResponse:
    """A service's answer, checked.

    Args:
        document: Parsed JSON.
        attempt_id: The attempt that was asked for.
        task_id: Its task.
        uses: What the service announced that it asks for; the rest of `USES` is passed over, like all unknown fields.

    Raises:
        BadAnswer: It is none, contradicts itself, or belongs to another attempt.
    """
    if isinstance(document, dict):
        unread = {part for name in USES if name not in uses for part in _PARTS.get(name, (name,))}
        document = {name: value for name, value in document.items() if name not in unread}
    found = _read(ExecuteResponse, document, "the answer")
    for name, wanted in (("attempt_id", attempt_id), ("task_id", task_id)):
        given = getattr(found, name)
        if given is not None and given != wanted:
            raise BadAnswer(f"the answer's {name} is {given[:80]!r}; asked was {wanted!r}")
    if found.status == "success" and found.error is not None:
        raise BadAnswer("the answer is a success with an error; one of the two is wrong")
    if found.status != "success" and not found.error:
        raise BadAnswer(f"the answer is a {found.status} without an error; say what went wrong")
    if found.arm_id is not None and found.provenance.arm_id not in (None, found.arm_id):
        raise BadAnswer("the answer's provenance.arm_id differs from its arm_id")
    _check_asked(found, document)
    return found


def _check_asked(found: ExecuteResponse, document: Any) -> None:
    asks = found.asks
    if found.continuation and found.subtask is None:
        raise BadAnswer("the answer has a continuation without a subtask")
    if not asks:
        return
    if found.status != "success":
        raise BadAnswer(f"the answer is a {found.status} with a {asks[0]}; only a success asks for anything")
    first = [name for name in asks if name != "memories"]
    if len(first) > 1:
        raise BadAnswer(f"the answer has {' and '.join(first)}; one of them at a time")
    size_bytes = len(orjson.dumps([document.get(name) for name in (*USES, "continuation")]))
    if size_bytes > MAX_ASKED_BYTES:
        raise BadAnswer(f"the answer asks for things in {size_bytes} bytes; at most {MAX_ASKED_BYTES}")


def read_error(document: Any) -> ErrorDetail | None:
    """The error document of a refusal; None when it is no such document."""
    try:
        return _ErrorDocument.model_validate(document).error
    except ValidationError:
        return None


def _read(model: type[_Model], document: Any, what: str) -> _Model:
    if not isinstance(document, dict):
        raise BadAnswer(f"{what} is no JSON object")
    try:
        return model.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise BadAnswer(f"{what}'s {place}: {first['msg']}"[:_MESSAGE_CHARS]) from None
