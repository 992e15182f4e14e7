"""What a handler counted, as a record of the log."""

from __future__ import annotations

import asyncio

from arms.handler import WARNING_PERCENT, Handler
from arms.limits import DeadlinePassed, LimitReached
from octolog.domain.assignment import AttemptAssignment
from octolog.domain.errors import BudgetRefused
from octolog.domain.reports import HandlerMetrics
from octolog.domain.tasksystem import ResourceLimits, ResourceMetrics

__all__ = ["metrics_of"]


def metrics_of(
    assignment: AttemptAssignment, handler: Handler, error: BaseException | None = None
) -> HandlerMetrics:
    """The metrics of an attempt that is over.

    Args:
        assignment: The attempt.
        handler: Its handler.
        error: What the attempt ended with; None: an answer.
    """
    used, config = handler.used, handler.config
    turns_limit = config.max_turns or 0
    context_limit = config.context_limit(handler.asked_model) or 0
    return HandlerMetrics(
        assignment.root_task_id,
        assignment.task_id,
        assignment.attempt_id,
        assignment.arm_id,
        handler.asked_model,
        ResourceLimits(turns_limit, context_limit, WARNING_PERCENT / 100, assignment.timeout_ms),
        ResourceMetrics(
            used.turns,
            turns_limit,
            used.last_turn_at_ms,
            used.context_tokens,
            context_limit,
            max(used.peak_context_tokens, used.context_tokens),
        ),
        tuple(handler.warnings),
        _stopped_by(error),
    )


def _stopped_by(error: BaseException | None) -> str:
    match error:
        case LimitReached(resource=resource):
            return resource
        case BudgetRefused():
            return "budget"
        case DeadlinePassed():
            return "timeout"
        case asyncio.CancelledError():
            return "revoked"
        case _:
            return ""
