"""Bounds of contracts, results and arms: what is refused, and in which words.

The client checks them before it produces, and the task processor again before it decides: anyone may write
to a topic. Bounds follow seed A; each raises `InvalidContract` with a code.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Final, assert_never

from octolog.domain.arm import ArmCapability
from octolog.domain.contract import (
    AmendBudget,
    ApproveTask,
    CancelTask,
    ContractCommand,
    DenyTask,
    Step,
    SubmitTask,
    TaskContract,
)
from octolog.domain.errors import InvalidContract
from octolog.domain.ids import MAX_TASK_ID_LENGTH, TaskId, is_arm_id, is_step_id, is_task_id, step_task_id
from octolog.domain.json_text import parse
from octolog.domain.reports import ArmReport, ExecutionResult, ModelCallIntended, ResourceUsed, ResultStatus
from octolog.domain.values import Amounts, Limits, RetryPolicy

MAX_GOAL_CHARS: Final = 10_000
MAX_CRITERIA: Final = 10
MAX_TAGS: Final = 10
MAX_DEPTH: Final = 5
"""Deepest nesting of subtasks and plans. Source: seed B."""

MAX_WHO_CHARS: Final = 255
MAX_REASON_CHARS: Final = 2_000
MAX_METERED: Final = 2**40
"""Most that one report may meter; sums of a tree stay within the 64 bits that a record has for them."""

MAX_ARM_NAME_CHARS: Final = 100
MAX_DESCRIPTION_CHARS: Final = 500
MAX_STEPS: Final = 1_000
MAX_PLANNED_STEPS: Final = 10
MAX_INPUT_CHARS: Final = 2 * 1024 * 1024
"""Outputs of prerequisites that one assignment may carry; well below the largest record."""

MAX_JSON_BYTES: Final = 256 * 1024
"""A value longer than this belongs in the blob store (design section 6)."""

ROUTING_POLICIES: Final = ("cost_first", "weighted")
SECURITY_POLICIES: Final = ("default",)
_BUDGET_BOUNDS: Final = (
    ("max_tokens", 1, 100_000_000),
    ("max_time_ms", 1, 30 * 24 * 3_600_000),
    ("max_cost_micros", 0, 1_000_000_000_000),
    ("max_llm_calls", 0, 1_000_000),
)
_SHOWN_CHARS: Final = 40
"""How much of a bad value a message repeats."""

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_TAG: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")


def check_command(command: ContractCommand) -> None:
    """Raise InvalidContract when a command breaks a bound that needs no state to see."""
    _task_id("root_task_id", command.root_task_id)
    if isinstance(command, SubmitTask):
        _words("submitted_by", command.submitted_by, MAX_WHO_CHARS)
        check_contract(command.contract)
        is_root = command.contract.parent_task_id is None
        if is_root and command.root_task_id != command.contract.task_id:
            raise InvalidContract("INVALID_TASK_ID", "root_task_id", "differs from the task id of a root")
    else:
        _check_words(command)


def _check_words(command: CancelTask | ApproveTask | DenyTask | AmendBudget) -> None:
    match command:
        case CancelTask(requested_by=who, reason=reason):
            pass
        case ApproveTask(approved_by=who, comment=reason):
            pass
        case DenyTask(denied_by=who, reason=reason):
            pass
        case AmendBudget(amended_by=who, reason=reason, limits=limits):
            check_limits("limits", limits)
        case _:
            assert_never(command)
    _words("requested_by", who, MAX_WHO_CHARS)
    _words("reason", reason, MAX_REASON_CHARS)


def check_contract(contract: TaskContract) -> None:
    """Raise InvalidContract for the first bound the contract breaks."""
    _task_id("task_id", contract.task_id)
    _goal("goal", contract.goal)
    if contract.parent_task_id is not None:
        _task_id("parent_task_id", contract.parent_task_id)
        if contract.parent_task_id == contract.task_id:
            raise InvalidContract("CYCLE", "parent_task_id", "a task cannot be its own parent")
    check_limits("budget", contract.budget)
    _json("constraints", contract.constraints_json)
    _json("context", contract.context_json)
    _criteria("acceptance_criteria", contract.acceptance_criteria)
    _between("priority", contract.priority, 1, 10, "INVALID_PRIORITY")
    _routing("", contract.assigned_arm, contract.required_capabilities, contract.max_cost_tier)
    _timeout("timeout_ms", contract.timeout_ms)
    check_retry("retry", contract.retry)
    if contract.routing_policy not in ROUTING_POLICIES:
        raise InvalidContract(
            "INVALID_POLICY", "routing_policy", f"must be one of {', '.join(ROUTING_POLICIES)}"
        )
    if contract.security_policy is not None and contract.security_policy not in SECURITY_POLICIES:
        raise InvalidContract(
            "UNKNOWN_POLICY", "security_policy", f"no policy named {contract.security_policy!r}"
        )
    check_plan("steps", contract.steps, MAX_STEPS, contract.task_id)


def check_plan(field: str, steps: tuple[Step, ...], max_steps: int, parent: TaskId | None = None) -> None:
    """Raise InvalidContract unless the steps are a plan: unique names, prerequisites that stand earlier."""
    if len(steps) > max_steps:
        raise InvalidContract("INVALID_PLAN", field, f"{len(steps)} steps; at most {max_steps}")
    earlier: set[str] = set()
    names = {step.step_id for step in steps}
    for index, step in enumerate(steps):
        at = f"{field}[{index}]"
        if not is_step_id(step.step_id):
            raise InvalidContract("INVALID_PLAN", f"{at}.step_id", f"{step.step_id[:40]!r} is no step id")
        if len(step_task_id(parent or TaskId(""), step.step_id)) > MAX_TASK_ID_LENGTH:
            raise InvalidContract("INVALID_PLAN", f"{at}.step_id", "makes a task id that is too long")
        if step.step_id in earlier:
            raise InvalidContract("INVALID_PLAN", f"{at}.step_id", f"{step.step_id!r} stands twice")
        _goal(f"{at}.goal", step.goal)
        for need in step.depends_on:
            if need not in earlier:
                what = "does not stand earlier (a cycle?)" if need in names else "is no step of this plan"
                raise InvalidContract("INVALID_PLAN", f"{at}.depends_on", f"{need[:64]!r} {what}")
        if len(set(step.depends_on)) != len(step.depends_on):
            raise InvalidContract("INVALID_PLAN", f"{at}.depends_on", "names a prerequisite twice")
        _step_bounds(at, step)
        earlier.add(step.step_id)


def _step_bounds(at: str, step: Step) -> None:
    check_limits(f"{at}.budget", step.budget)
    _json(f"{at}.context", step.context_json)
    _criteria(f"{at}.acceptance_criteria", step.acceptance_criteria)
    if step.priority is not None:
        _between(f"{at}.priority", step.priority, 1, 10, "INVALID_PRIORITY")
    _routing(f"{at}.", step.assigned_arm, step.required_capabilities, step.max_cost_tier)
    _timeout(f"{at}.timeout_ms", step.timeout_ms)


def check_limits(field: str, limits: Limits) -> None:
    """Raise InvalidContract (INVALID_BUDGET) for a limit out of bounds."""
    for name, low, high in _BUDGET_BOUNDS:
        value = getattr(limits, name)
        if value is not None:
            _between(f"{field}.{name}", value, low, high, "INVALID_BUDGET")


def check_retry(field: str, retry: RetryPolicy) -> None:
    """Raise InvalidContract (INVALID_RETRY) for a rule that cannot be followed."""
    _between(f"{field}.max_attempts", retry.max_attempts, 1, 100, "INVALID_RETRY")
    _between(f"{field}.base_ms", retry.base_ms, 0, 3_600_000, "INVALID_RETRY")
    _between(f"{field}.cap_ms", retry.cap_ms, 0, 24 * 3_600_000, "INVALID_RETRY")
    for name in ("factor", "jitter_low", "jitter_high"):
        _fraction(f"{field}.{name}", getattr(retry, name), 0.0, 100.0, "INVALID_RETRY")
    if retry.jitter_low > retry.jitter_high:
        raise InvalidContract("INVALID_RETRY", f"{field}.jitter_low", "is above jitter_high")


def check_report(report: ArmReport) -> None:
    """Raise InvalidContract (INVALID_REPORT) when an arm's report contradicts itself."""
    _task_id("root_task_id", report.root_task_id)
    _task_id("task_id", report.task_id)
    if isinstance(report, ExecutionResult):
        _check_result(report)
    elif isinstance(report, ModelCallIntended):
        _amounts("at_most", report.at_most)
        _between("call_number", report.call_number, 1, 1_000_000, "INVALID_REPORT")
    elif isinstance(report, ResourceUsed):
        _amounts("used", report.used)
        _between("call_number", report.call_number, 1, 1_000_000, "INVALID_REPORT")


def _check_result(result: ExecutionResult) -> None:
    code = "INVALID_REPORT"
    if result.status is ResultStatus.UNKNOWN:
        raise InvalidContract(code, "status", "is none of SUCCESS, FAILURE, PARTIAL")
    if result.status is ResultStatus.SUCCESS and result.error is not None:
        raise InvalidContract(code, "error", "a success carries no error")
    if result.status is not ResultStatus.SUCCESS and not result.error:
        raise InvalidContract(code, "error", f"a {result.status.lower()} needs an error")
    _fraction("confidence", result.confidence, 0.0, 1.0, code)
    _between("execution_time_ms", result.execution_time_ms, 0, 2**53, code)
    _between("tokens_used", result.tokens_used, 0, MAX_METERED, code)
    if result.provenance.arm_id != result.arm_id:
        raise InvalidContract(code, "provenance.arm_id", f"differs from arm_id {result.arm_id!r}")
    if _SHA256.fullmatch(result.provenance.command_hash) is None:
        raise InvalidContract(code, "provenance.command_hash", "is not 64 lowercase hex digits")
    if len(result.output) > MAX_JSON_BYTES:
        raise InvalidContract(code, "output", f"{len(result.output)} characters; put it in the blob store")


def check_capability(capability: ArmCapability) -> None:
    """Raise InvalidContract (INVALID_CAPABILITY) for the first bound an arm's description breaks."""
    code = "INVALID_CAPABILITY"
    if not is_arm_id(capability.arm_id):
        raise InvalidContract(
            code, "arm_id", f"{capability.arm_id[:64]!r}: use lowercase words joined by hyphens"
        )
    if not 1 <= len(capability.name.strip()) <= MAX_ARM_NAME_CHARS:
        raise InvalidContract(code, "name", f"needs 1 to {MAX_ARM_NAME_CHARS} characters")
    if len(capability.description) > MAX_DESCRIPTION_CHARS:
        raise InvalidContract(
            code, "description", f"{len(capability.description)} characters; at most {MAX_DESCRIPTION_CHARS}"
        )
    if not capability.capabilities:
        raise InvalidContract(code, "capabilities", "needs at least one tag")
    _tags("capabilities", capability.capabilities, code)
    _between("cost_tier", capability.cost_tier, 1, 5, code)
    _between("timeout_seconds", capability.timeout_seconds, 1, 300, code)
    _between("max_concurrent_tasks", capability.max_concurrent_tasks, 1, 10_000, code)
    _fraction("success_rate", capability.success_rate, 0.0, 1.0, code)
    for name in ("endpoint", "health_check_url"):
        url = getattr(capability, name)
        if url and not url.startswith(("http://", "https://")):
            raise InvalidContract(code, name, f"{url[:80]!r} is no http or https URL")
    _json("input_schema", capability.input_schema_json)
    _json("output_schema", capability.output_schema_json)
    check_retry("retry_policy", capability.retry_policy)


def _task_id(field: str, value: str) -> None:
    if not is_task_id(value):
        shown = value if len(value) <= _SHOWN_CHARS else f"{value[:_SHOWN_CHARS]}..."
        raise InvalidContract(
            "INVALID_TASK_ID",
            field,
            f"{shown!r}: use 1 to 255 letters, digits and ._:/- , a letter or digit first",
        )


def _goal(field: str, goal: str) -> None:
    if not goal.strip():
        raise InvalidContract("VALIDATION", field, "is empty")
    if len(goal) > MAX_GOAL_CHARS:
        raise InvalidContract("VALIDATION", field, f"{len(goal)} characters; at most {MAX_GOAL_CHARS}")


def _words(field: str, text: str, most: int) -> None:
    if len(text) > most:
        raise InvalidContract("VALIDATION", field, f"{len(text)} characters; at most {most}")


def _criteria(field: str, criteria: tuple[str, ...]) -> None:
    if len(criteria) > MAX_CRITERIA:
        raise InvalidContract("VALIDATION", field, f"{len(criteria)} criteria; at most {MAX_CRITERIA}")


def _json(field: str, text: str) -> None:
    if len(text) > MAX_JSON_BYTES:
        raise InvalidContract("VALIDATION", field, f"{len(text)} characters; at most {MAX_JSON_BYTES}")
    if text == "{}":
        return
    try:
        value = parse(text)
    except ValueError as error:
        raise InvalidContract("VALIDATION", field, f"is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidContract("VALIDATION", field, "must be a JSON object")


def _routing(at: str, arm: str | None, tags: tuple[str, ...], max_tier: int | None) -> None:
    if arm is not None and not is_arm_id(arm):
        raise InvalidContract("VALIDATION", f"{at}assigned_arm", f"{arm[:64]!r} is no arm id")
    if len(tags) > MAX_TAGS:
        raise InvalidContract(
            "VALIDATION", f"{at}required_capabilities", f"{len(tags)} tags; at most {MAX_TAGS}"
        )
    _tags(f"{at}required_capabilities", tags, "VALIDATION")
    if max_tier is not None:
        _between(f"{at}max_cost_tier", max_tier, 1, 5, "VALIDATION")


def _tags(field: str, tags: Iterable[str], code: str) -> None:
    for tag in tags:
        if _TAG.fullmatch(tag) is None:
            raise InvalidContract(
                code, field, f"{tag[:64]!r} is no tag: use lowercase letters, digits, _ and -"
            )


def _timeout(field: str, timeout_ms: int | None) -> None:
    if timeout_ms is not None:
        _between(field, timeout_ms, 1, 24 * 3_600_000, "VALIDATION")


def _amounts(field: str, amounts: Amounts) -> None:
    for name in ("tokens", "time_ms", "cost_micros", "calls"):
        _between(f"{field}.{name}", getattr(amounts, name), 0, MAX_METERED, "INVALID_REPORT")


def _between(field: str, value: int, low: int, high: int, code: str) -> None:
    if not low <= value <= high:
        raise InvalidContract(code, field, f"{value} is not between {low} and {high}")


def _fraction(field: str, value: float, low: float, high: float, code: str) -> None:
    if not math.isfinite(value) or not low <= value <= high:
        raise InvalidContract(code, field, f"{value} is not between {low} and {high}")
