"""Approvals and orchestration as the edge takes them: seconds and words, `true` for all that is usual."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import BeforeValidator

from octolog.domain.contract import ApprovalRule, OnTimeout, Orchestration
from octolog.edge.limits import milliseconds
from octolog.edge.model import Edge

PLANNING: Final = ("task_planning",)
"""Tags of the arm that gets an orchestrated task which names no arm, no tags and no steps."""

_Silence = Literal["deny", "approve", "fail"]


def _usual(value: object) -> object:
    return {} if value is True else None if value is False else value


class ApprovalEdge(Edge):
    """A person must approve the task before it begins."""

    noun: ClassVar[str] = "approval"

    question: str = ""
    timeout_seconds: float | None = None
    on_timeout: _Silence = "deny"

    def rule(self) -> ApprovalRule:
        """The domain's value."""
        silence = OnTimeout(self.on_timeout.upper())
        return ApprovalRule(self.question, milliseconds(self.timeout_seconds), silence)


class OrchestrationEdge(Edge):
    """Judging, repairs and new plans."""

    noun: ClassVar[str] = "orchestration"

    judge: bool = True
    judge_capabilities: list[str] | None = None
    max_repairs: int = 2
    max_replans: int = 2
    min_confidence: float = 0.0
    escalate: bool = False
    approval_timeout_seconds: float | None = None
    on_timeout: _Silence = "deny"

    def rule(self) -> Orchestration:
        """The domain's value."""
        tags: dict[str, Any] = {}
        if self.judge_capabilities is not None:
            tags["judge_capabilities"] = tuple(self.judge_capabilities)
        return Orchestration(
            judge=self.judge,
            max_repairs=self.max_repairs,
            max_replans=self.max_replans,
            min_confidence=self.min_confidence,
            escalate=self.escalate,
            approval_timeout_ms=milliseconds(self.approval_timeout_seconds),
            on_timeout=OnTimeout(self.on_timeout.upper()),
            **tags,
        )


Approval = Annotated[ApprovalEdge | None, BeforeValidator(_usual)]
Orchestrated = Annotated[OrchestrationEdge | None, BeforeValidator(_usual)]
