"""What an arm may ask for in its answer, as JSON: a subtask before it goes on, memories for later tasks.

Steps and operators of an answer are those of a contract (`octolog.edge.contract`, `octolog.edge.operators`).
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from octolog.domain.ids import ArmId
from octolog.domain.memory import EntityType, MemoryProposal
from octolog.domain.operators import SubtaskRequest
from octolog.domain.tasksystem import NamedText
from octolog.domain.values import NO_LIMITS
from octolog.edge.limits import BudgetEdge, Timeout, milliseconds
from octolog.edge.model import Edge, Fraction, lower

__all__ = ["MemoryEdge", "SubtaskEdge"]


_Entity = Annotated[Literal["task", "decision", "fact", "artifact"], BeforeValidator(lower)]


class SubtaskEdge(Edge):
    """What another arm shall do first; defaults are the domain's."""

    noun: ClassVar[str] = "subtask"

    goal: str
    instructions: str = ""
    inputs: dict[str, str] = Field(default_factory=dict)
    system: str = ""
    model: str = ""
    output_type: str = ""
    assigned_arm: str | None = None
    required_capabilities: list[str] = Field(default_factory=list)
    max_cost_tier: int | None = None
    acceptance_criteria: list[str] = Field(default_factory=list)
    budget: BudgetEdge | None = None
    max_turns: int | None = None
    max_context_fraction: Fraction | None = None
    timeout_seconds: Timeout | None = None

    def request(self) -> SubtaskRequest:
        """The domain's value."""
        return SubtaskRequest(
            goal=self.goal,
            instructions=self.instructions,
            inputs=tuple(NamedText(name, text) for name, text in self.inputs.items()),
            system=self.system,
            model=self.model,
            output_type=self.output_type,
            assigned_arm=None if self.assigned_arm is None else ArmId(self.assigned_arm),
            required_capabilities=tuple(self.required_capabilities),
            max_cost_tier=self.max_cost_tier,
            acceptance_criteria=tuple(self.acceptance_criteria),
            budget=NO_LIMITS if self.budget is None else self.budget.limits("subtask.budget"),
            max_turns=self.max_turns,
            max_context_fraction=self.max_context_fraction,
            timeout_ms=milliseconds(self.timeout_seconds),
        )


class MemoryEdge(Edge):
    """What shall be remembered once the result is accepted."""

    noun: ClassVar[str] = "memory"

    entity_type: _Entity
    content: str
    confidence: float = 1.0
    tags: list[str] = Field(default_factory=list)

    def proposal(self) -> MemoryProposal:
        """The domain's value."""
        kind = EntityType(self.entity_type.upper())
        return MemoryProposal(kind, self.content, self.confidence, tuple(self.tags))
