"""Bounds of contracts, results and arms: what is refused, and in which words.

The client checks them before it produces, and the task processor again before it decides: anyone may write
to a topic. Bounds follow seed A; each raises `InvalidContract` with a code.
"""

from __future__ import annotations

import re
from typing import Final, assert_never

from octolog.domain.arm import ArmCapability
from octolog.domain.bounds import (
    MAX_JSON_BYTES,
    check_between,
    check_claim,
    check_criteria,
    check_fraction,
    check_goal,
    check_json,
    check_limits,
    check_retry,
    check_routing,
    check_tags,
    check_task_id,
    check_timeout,
    check_words,
)
from octolog.domain.contract import (
    AmendBudget,
    ApprovalRule,
    ApproveTask,
    CancelTask,
    ContractCommand,
    DenyTask,
    ExtendBudget,
    Orchestration,
    Step,
    SubmitTask,
    TaskContract,
)
from octolog.domain.errors import InvalidContract
from octolog.domain.evaluator.legal import check_program
from octolog.domain.ids import MAX_TASK_ID_LENGTH, TaskId, is_arm_id, is_step_id, step_task_id
from octolog.domain.memory import check_proposals
from octolog.domain.reports import (
    ArmReport,
    ContextRecalled,
    ExecutionResult,
    HandlerMetrics,
    ModelCallIntended,
    ResourceUsed,
    ResultStatus,
)
from octolog.domain.values import Amounts, CapabilityShown

MAX_DEPTH: Final = 5
"""Deepest nesting of subtasks and plans. Source: seed B."""

MAX_WHO_CHARS: Final = 255
MAX_REASON_CHARS: Final = 2_000
MAX_METERED: Final = 2**40
"""Most that one report may meter; sums of a tree stay within the 64 bits that a record has for them."""

MAX_RECALLED_CHARS: Final = 16_384
"""Most that an attempt is given from memory, in characters."""

MAX_CALLS_TOLD: Final = 1_000
"""Model calls that a result says again."""

MAX_ARM_NAME_CHARS: Final = 100
MAX_DESCRIPTION_CHARS: Final = 500
MAX_STEPS: Final = 1_000
MAX_REPAIRS: Final = 2
"""Most repairs, and most new plans, that a contract may ask for. Source: seed A."""

MAX_APPROVAL_MS: Final = 30 * 24 * 3_600 * 1_000
"""A month: who has not decided by then will not."""

MAX_PLANNED_STEPS: Final = 10
_PROGRAM_CONTEXT: Final = (
    f"{{}} characters; at most {MAX_JSON_BYTES}: a program decides by its context, which must be in the log; "
    "name large data by path or URL in it, or let a task of the program read it"
)
MAX_INPUT_CHARS: Final = 2 * 1024 * 1024
"""Outputs of prerequisites that one assignment may carry; well below the largest record."""

ROUTING_POLICIES: Final = ("cost_first", "weighted", "cost_first_or_fail", "weighted_or_fail")
"""How a task's arm is chosen; what to do when there is none: wait, or fail (`octolog.domain.routing`)."""

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_SUCCESS: Final = ResultStatus.SUCCESS


def check_command(command: ContractCommand) -> None:
    """Raise InvalidContract when a command breaks a bound that needs no state to see."""
    check_task_id("root_task_id", command.root_task_id)
    if isinstance(command, SubmitTask):
        check_words("submitted_by", command.submitted_by, MAX_WHO_CHARS)
        check_contract(command.contract)
        is_root = command.contract.parent_task_id is None
        if is_root and command.root_task_id != command.contract.task_id:
            raise InvalidContract("INVALID_TASK_ID", "root_task_id", "differs from the task id of a root")
    else:
        _check_words(command)


def _check_words(command: CancelTask | ApproveTask | DenyTask | AmendBudget | ExtendBudget) -> None:
    match command:
        case CancelTask(requested_by=who, reason=reason):
            pass
        case ApproveTask(approved_by=who, comment=reason):
            pass
        case DenyTask(denied_by=who, reason=reason):
            pass
        case AmendBudget(amended_by=who, reason=reason, limits=limits):
            check_limits("limits", limits)
        case ExtendBudget(amended_by=who, reason=reason, add=add):
            check_words("request_id", command.request_id, MAX_WHO_CHARS)
            for name in ("tokens", "time_ms", "cost_micros", "calls"):
                check_between(f"add.{name}", getattr(add, name), 0, MAX_METERED, "INVALID_BUDGET")
        case _:
            assert_never(command)
    check_words("requested_by", who, MAX_WHO_CHARS)
    check_words("reason", reason, MAX_REASON_CHARS)


def check_contract(contract: TaskContract) -> None:
    """Raise InvalidContract for the first bound the contract breaks."""
    check_task_id("task_id", contract.task_id)
    check_goal("goal", contract.goal)
    if contract.parent_task_id is not None:
        check_task_id("parent_task_id", contract.parent_task_id)
        if contract.parent_task_id == contract.task_id:
            raise InvalidContract("CYCLE", "parent_task_id", "a task cannot be its own parent")
    check_limits("budget", contract.budget)
    check_json("constraints", contract.constraints_json)
    if contract.operators and len(contract.context_json) > MAX_JSON_BYTES:
        raise InvalidContract("VALIDATION", "context", _PROGRAM_CONTEXT.format(len(contract.context_json)))
    check_json("context", contract.context_json)
    if contract.context_blob is not None:
        check_claim("context", contract.context_json, contract.context_blob)
    check_criteria("acceptance_criteria", contract.acceptance_criteria)
    check_between("priority", contract.priority, 1, 10, "INVALID_PRIORITY")
    check_routing("", contract.assigned_arm, contract.required_capabilities, contract.max_cost_tier)
    check_timeout("timeout_ms", contract.timeout_ms)
    check_retry("retry", contract.retry)
    if contract.routing_policy not in ROUTING_POLICIES:
        raise InvalidContract(
            "INVALID_POLICY", "routing_policy", f"must be one of {', '.join(ROUTING_POLICIES)}"
        )
    if contract.security_policy is not None and not is_arm_id(contract.security_policy):
        raise InvalidContract(
            "UNKNOWN_POLICY", "security_policy", f"no policy is named {contract.security_policy[:64]!r}"
        )
    check_plan("steps", contract.steps, MAX_STEPS, contract.task_id)
    if contract.approval is not None:
        check_approval("approval", contract.approval)
    if contract.orchestration is not None:
        _check_orchestration(contract, contract.orchestration)
    if contract.operators:
        if contract.steps:
            raise InvalidContract("INVALID_PLAN", "operators", "a contract has steps or operators, not both")
        if contract.context_blob is not None:
            raise InvalidContract(
                "VALIDATION", "context", "a program decides by its context, which must be in the log"
            )
        check_program("operators", contract.operators, contract.task_id)


def check_plan(
    field: str,
    steps: tuple[Step, ...],
    max_steps: int,
    parent: TaskId | None = None,
    done: tuple[str, ...] = (),
) -> None:
    """Raise InvalidContract unless the steps are a plan: unique names, prerequisites that stand earlier or are done."""
    if len(steps) > max_steps:
        raise InvalidContract("INVALID_PLAN", field, f"{len(steps)} steps; at most {max_steps}")
    earlier: set[str] = set(done)
    names = {step.step_id for step in steps}
    for index, step in enumerate(steps):
        at = f"{field}[{index}]"
        if not is_step_id(step.step_id):
            raise InvalidContract("INVALID_PLAN", f"{at}.step_id", f"{step.step_id[:40]!r} is no step id")
        if len(step_task_id(parent or TaskId(""), step.step_id)) > MAX_TASK_ID_LENGTH:
            raise InvalidContract("INVALID_PLAN", f"{at}.step_id", "makes a task id that is too long")
        if step.step_id in earlier:
            raise InvalidContract("INVALID_PLAN", f"{at}.step_id", f"{step.step_id!r} stands twice")
        check_goal(f"{at}.goal", step.goal)
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
    check_json(f"{at}.context", step.context_json)
    if step.context_blob is not None:
        check_claim(f"{at}.context", step.context_json, step.context_blob)
    check_criteria(f"{at}.acceptance_criteria", step.acceptance_criteria)
    if step.priority is not None:
        check_between(f"{at}.priority", step.priority, 1, 10, "INVALID_PRIORITY")
    check_routing(f"{at}.", step.assigned_arm, step.required_capabilities, step.max_cost_tier)
    check_timeout(f"{at}.timeout_ms", step.timeout_ms)
    if step.approval is not None:
        check_approval(f"{at}.approval", step.approval)


def check_approval(field: str, rule: ApprovalRule) -> None:
    """Raise InvalidContract when a rule of approval breaks a bound."""
    if len(rule.question) > MAX_REASON_CHARS:
        message = f"{len(rule.question)} characters; at most {MAX_REASON_CHARS}"
        raise InvalidContract("INVALID_APPROVAL", f"{field}.question", message)
    if rule.timeout_ms is not None:
        check_between(f"{field}.timeout_ms", rule.timeout_ms, 1, MAX_APPROVAL_MS, "INVALID_APPROVAL")


def _check_orchestration(contract: TaskContract, rule: Orchestration) -> None:
    code = "INVALID_ORCHESTRATION"
    if contract.operators:
        raise InvalidContract(
            code, "orchestration", "a program has its own recovery; give it to a plan or a task"
        )
    check_tags("orchestration.judge_capabilities", rule.judge_capabilities, code)
    check_between("orchestration.max_repairs", rule.max_repairs, 0, MAX_REPAIRS, code)
    check_between("orchestration.max_replans", rule.max_replans, 0, MAX_REPAIRS, code)
    check_fraction("orchestration.min_confidence", rule.min_confidence, 0.0, 1.0, code)
    if rule.approval_timeout_ms is not None:
        check_between("orchestration.approval_timeout_ms", rule.approval_timeout_ms, 1, MAX_APPROVAL_MS, code)


def check_report(report: ArmReport) -> None:
    """Raise InvalidContract (INVALID_REPORT) when an arm's report contradicts itself."""
    check_task_id("root_task_id", report.root_task_id)
    if report.task_id != report.root_task_id:
        check_task_id("task_id", report.task_id)
    if isinstance(report, ExecutionResult):
        _check_result(report)
    elif isinstance(report, ModelCallIntended):
        _amounts("at_most", report.at_most)
        check_between("call_number", report.call_number, 1, 1_000_000, "INVALID_REPORT")
    elif isinstance(report, ResourceUsed):
        _amounts("used", report.used)
        check_between("call_number", report.call_number, 1, 1_000_000, "INVALID_REPORT")
    elif isinstance(report, HandlerMetrics):
        _check_metrics(report)
    elif isinstance(report, ContextRecalled) and len(report.context) > MAX_RECALLED_CHARS:
        chars = f"{len(report.context)} characters; at most {MAX_RECALLED_CHARS}"
        raise InvalidContract("INVALID_REPORT", "context", chars)


def _check_result(result: ExecutionResult) -> None:
    code = "INVALID_REPORT"
    succeeded = result.status is _SUCCESS
    if not succeeded and result.status is ResultStatus.UNKNOWN:
        raise InvalidContract(code, "status", "is none of SUCCESS, FAILURE, PARTIAL")
    if succeeded and result.error is not None:
        raise InvalidContract(code, "error", "a success carries no error")
    if not succeeded and not result.error:
        raise InvalidContract(code, "error", f"a {result.status.lower()} needs an error")
    check_fraction("confidence", result.confidence, 0.0, 1.0, code)
    check_between("execution_time_ms", result.execution_time_ms, 0, 2**53, code)
    check_between("tokens_used", result.tokens_used, 0, MAX_METERED, code)
    if result.provenance.arm_id != result.arm_id:
        raise InvalidContract(code, "provenance.arm_id", f"differs from arm_id {result.arm_id!r}")
    if _SHA256.fullmatch(result.provenance.command_hash) is None:
        raise InvalidContract(code, "provenance.command_hash", "is not 64 lowercase hex digits")
    if result.provenance.capability is not None:
        _check_shown(result.provenance.capability)
    if len(result.calls) > MAX_CALLS_TOLD:
        raise InvalidContract(code, "calls", f"{len(result.calls)} calls; at most {MAX_CALLS_TOLD}")
    for index, call in enumerate(result.calls):
        _amounts(f"calls[{index}].amounts", call.amounts)
        check_between(f"calls[{index}].call_number", call.call_number, 1, 1_000_000, code)
    if result.memories:
        check_proposals(result.memories)
    if len(result.question) > MAX_REASON_CHARS:
        raise InvalidContract(
            code, "question", f"{len(result.question)} characters; at most {MAX_REASON_CHARS}"
        )
    if len(result.output) > MAX_JSON_BYTES:
        raise InvalidContract(code, "output", f"{len(result.output)} characters; put it in the blob store")
    if result.output_blob is not None:
        check_claim("output", result.output, result.output_blob, code)


def _check_shown(shown: CapabilityShown) -> None:
    """A token's digest, never the token: whatever is longer or of other letters is refused."""
    for name in ("token_sha256", "key_id"):
        digest = getattr(shown, name)
        if digest and _SHA256.fullmatch(digest) is None:
            raise InvalidContract(
                "INVALID_REPORT", f"provenance.capability.{name}", "is not 64 lowercase hex digits"
            )
    if not is_arm_id(shown.policy):
        raise InvalidContract("INVALID_REPORT", "provenance.capability.policy", "is no policy's name")
    for name in ("issued_ms", "expires_ms", "checked_ms"):
        check_between(f"provenance.capability.{name}", getattr(shown, name), 0, 2**53, "INVALID_REPORT")


def _check_metrics(report: HandlerMetrics) -> None:
    for name in ("turns_used", "turns_limit", "context_used", "context_limit", "context_peak"):
        check_between(f"metrics.{name}", getattr(report.metrics, name), 0, MAX_METERED, "INVALID_REPORT")
    if report.metrics.context_peak < report.metrics.context_used:
        raise InvalidContract("INVALID_REPORT", "metrics.context_peak", "is below what was used at the end")


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
    check_tags("capabilities", capability.capabilities, code)
    check_between("cost_tier", capability.cost_tier, 1, 5, code)
    check_between("timeout_seconds", capability.timeout_seconds, 1, 300, code)
    check_between("max_concurrent_tasks", capability.max_concurrent_tasks, 1, 10_000, code)
    check_fraction("success_rate", capability.success_rate, 0.0, 1.0, code)
    check_between("breaker_failures", capability.breaker_failures, 0, 10_000, code)
    check_between("breaker_reset_ms", capability.breaker_reset_ms, 1, 24 * 3_600_000, code)
    check_between("breaker_probes", capability.breaker_probes, 1, 1_000, code)
    for name in ("endpoint", "health_check_url"):
        url = getattr(capability, name)
        if url and not url.startswith(("http://", "https://")):
            raise InvalidContract(code, name, f"{url[:80]!r} is no http or https URL")
    check_json("input_schema", capability.input_schema_json)
    check_json("output_schema", capability.output_schema_json)
    check_retry("retry_policy", capability.retry_policy)


def _amounts(field: str, amounts: Amounts) -> None:
    if (  # as it mostly is; the loop says what is wrong where it is not
        0 <= amounts.tokens <= MAX_METERED
        and 0 <= amounts.time_ms <= MAX_METERED
        and 0 <= amounts.cost_micros <= MAX_METERED
        and 0 <= amounts.calls <= MAX_METERED
    ):
        return
    for name in ("tokens", "time_ms", "cost_micros", "calls"):
        check_between(f"{field}.{name}", getattr(amounts, name), 0, MAX_METERED, "INVALID_REPORT")
