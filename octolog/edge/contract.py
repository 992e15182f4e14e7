"""Contracts as JSON, in seed A's names, and as the domain keeps them: milliseconds, micro-dollars, canonical JSON."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar, Final

from pydantic import BeforeValidator, Field

from octolog.domain.bounds import MAX_JSON_BYTES
from octolog.domain.contract import Step, TaskContract
from octolog.domain.errors import InvalidContract
from octolog.domain.ids import ArmId, TaskId, is_task_id
from octolog.domain.operators import Program
from octolog.domain.rules import check_contract
from octolog.domain.values import DEFAULT_RETRY, NO_LIMITS
from octolog.edge.document import MAX_DOCUMENT_BYTES, check_size, parse_object, shown
from octolog.edge.large import check_submission, has_large
from octolog.edge.limits import BudgetEdge, Timeout, milliseconds
from octolog.edge.model import Edge, RetryEdge, build, object_json
from octolog.edge.operators import OperatorEdge, check_models, program_of
from octolog.edge.orchestration import PLANNING, Approval, Orchestrated
from octolog.edge.uuid7 import uuid7
from octolog.edge.xml import FindTemplate, contract_of, is_xml, read_xml, with_inputs

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
    "operators": "INVALID_PLAN",
    "approval": "INVALID_APPROVAL",
    "orchestration": "INVALID_ORCHESTRATION",
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


def parse_contract(
    document: bytes | str | Mapping[str, object],
    *,
    templates: FindTemplate | None = None,
    models: Container[str] | None = None,
    max_context_bytes: int = MAX_JSON_BYTES,
) -> Request:
    """A contract from JSON text, a mapping, or XML; without a task id it gets a new UUIDv7.

    Args:
        document: The contract, or a template or operator document as XML.
        templates: Finds the template that a contract names; None: it may name none.
        models: Model ids that exist; None: any name will do.
        max_context_bytes: Longest context; more than a record takes where there is a blob store for it.

    Raises:
        InvalidContract: For the first thing that is wrong; nothing was produced.
    """
    if not isinstance(document, Mapping) and is_xml(document):
        asked = contract_of(read_xml(document, models).program)
        check_contract(asked)
        return Request(asked, None, minted=True)
    most = MAX_DOCUMENT_BYTES + (max_context_bytes if max_context_bytes > MAX_JSON_BYTES else 0)
    edge = build(_Contract, parse_object(document, "contract", most), _code_of)
    contract = edge.contract(edge.program(templates, models))
    if edge.root_task_id is not None and not is_task_id(edge.root_task_id):
        raise InvalidContract("INVALID_TASK_ID", "root_task_id", f"{shown(edge.root_task_id)} is no task id")
    if not isinstance(document, Mapping) and not has_large(contract):
        check_size(len(document), "contract")
    check_submission(contract, max_context_bytes)
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


_Priority = Annotated[int, BeforeValidator(_priority)]
_Constraints = Annotated[dict[str, Any], BeforeValidator(_constraints)]
_Context = Annotated[dict[str, Any], BeforeValidator(_context)]


class _Work(Edge):
    """What a contract and a step have in common."""

    goal: str
    context: _Context = Field(default_factory=dict)
    acceptance_criteria: list[str] = Field(default_factory=list)
    budget: BudgetEdge | None = None
    assigned_arm: str | None = None
    required_capabilities: list[str] = Field(default_factory=list)
    max_cost_tier: int | None = None
    timeout_seconds: Timeout | None = None
    approval: Approval = None

    def common(self, at: str) -> dict[str, Any]:
        return {
            "goal": self.goal,
            "context_json": object_json(self.context),
            "acceptance_criteria": tuple(self.acceptance_criteria),
            "budget": NO_LIMITS if self.budget is None else self.budget.limits(f"{at}budget"),
            "assigned_arm": None if self.assigned_arm is None else ArmId(self.assigned_arm),
            "required_capabilities": tuple(self.required_capabilities),
            "max_cost_tier": self.max_cost_tier,
            "timeout_ms": milliseconds(self.timeout_seconds),
            "approval": None if self.approval is None else self.approval.rule(),
        }


class StepEdge(_Work):
    """One step of a plan; defaults are the domain's."""

    noun: ClassVar[str] = "step"

    step_id: str
    depends_on: list[str] = Field(default_factory=list)
    priority: _Priority | None = None

    def step(self, at: str) -> Step:
        """The domain's value."""
        return Step(
            step_id=self.step_id,
            depends_on=tuple(self.depends_on),
            priority=self.priority,
            **self.common(f"{at}."),
        )


class _Contract(_Work):
    noun: ClassVar[str] = "contract"

    goal: str = ""  # a program has one of its own
    task_id: str | None = None
    constraints: _Constraints = Field(default_factory=dict)
    parent_task_id: str | None = None
    root_task_id: str | None = None
    priority: _Priority = 5
    security_policy: str | None = None
    routing_policy: str = "cost_first"
    retry: RetryEdge | None = None
    steps: list[StepEdge] = Field(default_factory=list)
    operators: list[OperatorEdge] = Field(default_factory=list)
    orchestration: Orchestrated = None
    nested_budgets: bool = False
    xml: str | None = None
    template: str | None = None
    inputs: dict[str, str] = Field(default_factory=dict)

    def program(self, templates: FindTemplate | None, models: Container[str] | None) -> Program:
        """What it asks to be evaluated; empty: nothing of the kind."""
        ways = [name for name in ("steps", "operators", "xml", "template") if getattr(self, name)]
        if len(ways) > 1:
            raise InvalidContract("INVALID_PLAN", ways[1], f"a contract has {' or '.join(ways)}, not both")
        if self.xml is not None:
            return read_xml(self.xml, models).program
        if self.template is None:
            found = program_of(self.operators)
            check_models(found, models)
            return found
        if templates is None:
            raise InvalidContract(
                "VALIDATION", "template", "a template is looked up in a log, and there is none"
            )
        return templates(self.template).program

    def contract(self, program: Program) -> TaskContract:
        """The domain's value, with a program if there is one."""
        if not program and "goal" not in self.model_fields_set:
            raise InvalidContract("VALIDATION", "goal", "is required")
        contract = self._bare()
        if program:
            given = self.model_fields_set
            names = [name for name in _DOMAIN_FIELDS if _EDGE_NAMES.get(name, name) in given]
            said = {name: getattr(contract, name) for name in names}
            contract = contract_of(program, contract.task_id, **said)
        return with_inputs(contract, self.inputs)

    def _bare(self) -> TaskContract:
        common = self.common("")
        if self.orchestration is not None and not (
            self.steps or self.operators or self.required_capabilities or self.assigned_arm
        ):
            common["required_capabilities"] = PLANNING
        return TaskContract(
            task_id=TaskId(str(uuid7()) if self.task_id is None else self.task_id),
            constraints_json=object_json(self.constraints),
            parent_task_id=None if self.parent_task_id is None else TaskId(self.parent_task_id),
            priority=self.priority,
            security_policy=self.security_policy,
            routing_policy=self.routing_policy,
            retry=DEFAULT_RETRY if self.retry is None else self.retry.policy(),
            steps=tuple(step.step(f"steps[{index}]") for index, step in enumerate(self.steps)),
            orchestration=None if self.orchestration is None else self.orchestration.rule(),
            nested_budgets=self.nested_budgets,
            **common,
        )


_EDGE_NAMES: Final = {
    "constraints_json": "constraints",
    "context_json": "context",
    "timeout_ms": "timeout_seconds",
}
_DOMAIN_FIELDS: Final = tuple(
    field.name for field in fields(TaskContract) if field.name not in {"task_id", "operators"}
)


def _code_of(names: tuple[str, ...]) -> str:
    return next((_CODES[name] for name in names if name in _CODES), "VALIDATION")
