"""What an answer asks for besides its output, in the domain's values and held against the domain's rules."""

from __future__ import annotations

from dataclasses import dataclass

from arms.bridge.protocol import BadAnswer, ExecuteResponse
from octolog.domain.contract import Step
from octolog.domain.errors import InvalidContract
from octolog.domain.evaluator.legal import check_program
from octolog.domain.evaluator.specs import subtask_operator
from octolog.domain.ids import TaskId
from octolog.domain.memory import MemoryProposal, check_proposals
from octolog.domain.operators import Program, SubtaskRequest
from octolog.edge.operators import program_of

__all__ = ["Asked", "asked_of"]

_SOME_TASK = TaskId("0" * 36)
"""Programs are checked with the length of an id; the processor checks them again with the task's own."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What an answer asks for; see `arms.arm.Answer`."""

    plan: tuple[Step, ...] = ()
    operators: Program = ()
    subtask: SubtaskRequest | None = None
    memories: tuple[MemoryProposal, ...] = ()


NOTHING_ASKED = Asked()


def asked_of(found: ExecuteResponse) -> Asked:
    """What an answer asks for.

    A plan is held against the rules where its attempt is known: what an earlier plan did, it may stand on.

    Raises:
        BadAnswer: A program, a subtask or a memory breaks a rule.
    """
    if not found.asks:
        return NOTHING_ASKED
    try:
        asked = Asked(
            plan=tuple(step.step(f"plan[{index}]") for index, step in enumerate(found.plan)),
            operators=program_of(found.operators),
            subtask=None if found.subtask is None else found.subtask.request(),
            memories=tuple(memory.proposal() for memory in found.memories),
        )
        _check(asked)
    except InvalidContract as broken:
        raise BadAnswer(f"the answer's {broken.field}: {broken.message}") from None
    return asked


def _check(asked: Asked) -> None:
    if asked.operators:
        check_program("operators", asked.operators, _SOME_TASK)
    if asked.subtask is not None:
        if not asked.subtask.goal.strip():
            raise InvalidContract("", "subtask.goal", "is empty")
        try:
            check_program("subtask", (subtask_operator(asked.subtask),), _SOME_TASK)
        except InvalidContract as broken:
            raise InvalidContract(broken.code, broken.field.replace("[0]", "", 1), broken.message) from None
    check_proposals(asked.memories)
