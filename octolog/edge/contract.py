"""Contracts as JSON, in seed A's names, and as the domain keeps them: milliseconds, micro-dollars, canonical JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final

from pydantic import AfterValidator, BeforeValidator, Field

from octolog.domain.contract import Step, TaskContract
from octolog.domain.errors import InvalidContract
from octolog.domain.ids import ArmId, TaskId, is_task_id
from octolog.domain.rules import check_contract
from octolog.domain.values import DEFAULT_RETRY, NO_LIMITS, Limits
from octolog.edge.document import parse_object, shown
from octolog.edge.model import Edge, RetryEdge, between, build, object_json, scaled
from octolog.edge.uuid7 import uuid7

MAX_TIME_SECONDS: Final = "2592000"
MAX_COST_DOLLARS: Final = "1000000"
MAX_TIMEOUT_SECONDS: Final = "86400"
"""The domain's bounds in the edge's units; a test holds them together."""

PRIORITY_WORDS: Final = {"critical": 1, "high": 3, "medium": 5, "low": 8}
_CODES: Final = {
    "task_id": "INVALID_TASK_ID",
    "parent_task_id": "INVALID_TASK_ID",
    "root_task_id": "INVALID_TASK_ID",
    "budget": "INVALID_BUDGET",
    "priority": "INVALID_PRIORITY",
    "routing_policy": "INVALID_POLICY",
    "security_policy": "UNKNOWN_POLICY",
    "retry": "INVALID_RETRY",
    "step_id": "INVALID_PLAN",
    "depends_on": "INVALID_PLAN",
}


@dataclass(frozen=True, slots=True)
class Request:
    """A contract as handed in, checked.

    Attributes:
        contract: What to do.
        root_task_id: The tree it names; None: its own, or its parent's.
        minted: True when it came without a task id and got a new one.
    """

    contract: TaskContract
    root_task_id: TaskId | None
    minted: bool


def parse_contract(document: bytes | str | Mapping[str, object]) -> Request:
    """A contract from JSON text or a mapping; without a task id it gets a new UUIDv7.

    Raises:
        InvalidContract: For the first thing that is wrong; nothing was produced.
    """
    edge = build(_Contract, parse_object(document, "contract"), _code_of)
    contract = edge.contract()
    if edge.root_task_id is not None and not is_task_id(edge.root_task_id):
        raise InvalidContract("INVALID_TASK_ID", "root_task_id", f"{shown(edge.root_task_id)} is no task id")
    check_contract(contract)
    root_id = None if edge.root_task_id is None else TaskId(edge.root_task_id)
    return Request(contract, root_id, minted=edge.task_id is None)


def _priority(value: object) -> object:
    if isinstance(value, str):
        if value not in PRIORITY_WORDS:
            raise ValueError(
                f"{shown(value)} is none of {', '.join(PRIORITY_WORDS)}, nor a number from 1 to 10"
            )
        return PRIORITY_WORDS[value]
    return value


def _constraints(value: object) -> object:
    if isinstance(value, list):
        if not all(isinstance(item, str) for item in value):
            raise ValueError("must be an object, or an array of strings")
        return {"text": value} if value else {}
    return value


def _context(value: object) -> object:
    if isinstance(value, str):
        return {"text": value} if value else {}
    return value


def _cost(value: float) -> float:
    if value > 0 and scaled(value, 1_000_000) == 0:
        raise ValueError(f"{value} is less than a millionth of a dollar")
    return between("0", MAX_COST_DOLLARS)(value)


_Priority = Annotated[int, BeforeValidator(_priority)]
_Constraints = Annotated[dict[str, Any], BeforeValidator(_constraints)]
_Context = Annotated[dict[str, Any], BeforeValidator(_context)]
_Dollars = Annotated[float, AfterValidator(_cost)]
_Time = Annotated[float, AfterValidator(between("0.001", MAX_TIME_SECONDS))]
_Timeout = Annotated[float, AfterValidator(between("0.001", MAX_TIMEOUT_SECONDS))]


class _Budget(Edge):
    noun: ClassVar[str] = "budget"

    max_tokens: int | None = None
    max_time_seconds: _Time | None = None
    max_cost_dollars: _Dollars | None = None
    max_cost_usd: _Dollars | None = None
    max_llm_calls: int | None = None

    def limits(self, at: str) -> Limits:
        if self.max_cost_dollars is not None and self.max_cost_usd is not None:
            raise InvalidContract(
                "INVALID_BUDGET", f"{at}.max_cost_usd", "is another name of max_cost_dollars; give one"
            )
        cost = self.max_cost_usd if self.max_cost_dollars is None else self.max_cost_dollars
        return Limits(
            max_tokens=self.max_tokens,
            max_time_ms=_milliseconds(self.max_time_seconds),
            max_cost_micros=None if cost is None else scaled(cost, 1_000_000),
            max_llm_calls=self.max_llm_calls,
        )


class _Work(Edge):
    """What a contract and a step have in common."""

    goal: str
    context: _Context = Field(default_factory=dict)
    acceptance_criteria: list[str] = Field(default_factory=list)
    budget: _Budget | None = None
    assigned_arm: str | None = None
    required_capabilities: list[str] = Field(default_factory=list)
    max_cost_tier: int | None = None
    timeout_seconds: _Timeout | None = None

    def common(self, at: str) -> dict[str, Any]:
        return {
            "goal": self.goal,
            "context_json": object_json(self.context),
            "acceptance_criteria": tuple(self.acceptance_criteria),
            "budget": NO_LIMITS if self.budget is None else self.budget.limits(f"{at}budget"),
            "assigned_arm": None if self.assigned_arm is None else ArmId(self.assigned_arm),
            "required_capabilities": tuple(self.required_capabilities),
            "max_cost_tier": self.max_cost_tier,
            "timeout_ms": _milliseconds(self.timeout_seconds),
        }


class _Step(_Work):
    noun: ClassVar[str] = "step"

    step_id: str
    depends_on: list[str] = Field(default_factory=list)
    priority: _Priority | None = None

    def step(self, index: int) -> Step:
        return Step(
            step_id=self.step_id,
            depends_on=tuple(self.depends_on),
            priority=self.priority,
            **self.common(f"steps[{index}]."),
        )


class _Contract(_Work):
    noun: ClassVar[str] = "contract"

    task_id: str | None = None
    constraints: _Constraints = Field(default_factory=dict)
    parent_task_id: str | None = None
    root_task_id: str | None = None
    priority: _Priority = 5
    security_policy: str | None = None
    routing_policy: str = "cost_first"
    retry: RetryEdge | None = None
    steps: list[_Step] = Field(default_factory=list)

    def contract(self) -> TaskContract:
        return TaskContract(
            task_id=TaskId(str(uuid7()) if self.task_id is None else self.task_id),
            constraints_json=object_json(self.constraints),
            parent_task_id=None if self.parent_task_id is None else TaskId(self.parent_task_id),
            priority=self.priority,
            security_policy=self.security_policy,
            routing_policy=self.routing_policy,
            retry=DEFAULT_RETRY if self.retry is None else self.retry.policy(),
            steps=tuple(step.step(index) for index, step in enumerate(self.steps)),
            **self.common(""),
        )


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else scaled(seconds, 1_000)


def _code_of(names: tuple[str, ...]) -> str:
    return next((_CODES[name] for name in names if name in _CODES), "VALIDATION")
