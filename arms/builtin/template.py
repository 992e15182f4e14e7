"""The template arm: does with a model what an evaluated assignment says, and divides what was too large."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from arms.arm import Answer, Arm, arm
from arms.chat.conversation import Ended
from arms.chat.messages import Message, Role
from arms.chat.tools import Tool
from arms.limits import HandlerConfig
from arms.template.answers import checked, program, result, schema_of
from arms.template.memory import Memory, Recollection, recall, recalled, recollected
from arms.template.prompts import Told, told_of
from arms.template.subtasks import continuation, resumed, spawn_tool
from arms.work import Work
from octolog.domain.evaluator.recovery import MAX_SUBTASKS
from octolog.domain.operators import RecoveryKind, SubtaskRequest
from schemas.xml.models import known_models

__all__ = ["CONFIG", "make_template"]

CONFIG: Final = HandlerConfig(max_turns=10, max_context_fraction=0.8)
"""What an attempt may use where its template does not say. Source: seed B's example."""

_MAX_DESCRIBED: Final = 20


def make_template(
    tools: Callable[[Work], Sequence[Tool]] | None = None,
    *,
    memory: Memory | None = None,
    arm_id: str = "template",
    capabilities: tuple[str, ...] = ("goal_decomposition", "template_execution"),
    config: HandlerConfig = CONFIG,
) -> Arm:
    """Make a template arm.

    Args:
        tools: What a model may have done at an attempt, besides asking for subtasks.
        memory: Who is asked what bears on a task, where its context mode says so.
        arm_id: Its id.
        capabilities: Its tags.
        config: Turns and context of an attempt whose template does not say.
    """

    @arm(
        arm_id,
        name="Template",
        description="Runs templates and operator programs on a model: tools, typed output, subtasks, decomposition.",
        capabilities=capabilities,
        cost_tier=3,
        timeout_seconds=300,
        max_concurrent_tasks=4,
        config=config,
        needs_model=True,
    )
    async def template(work: Work) -> Answer:
        """Converse with a model about the task until it answers, or asks for a subtask."""
        given = work.assignment
        known = await _recollection(work, memory)
        told = told_of(given, known.text, cut=known.cut)
        if given.recovery is not None and given.recovery.kind is RecoveryKind.DECOMPOSITION:
            return await _decompose(work, told)
        return await _answer(work, told, tools(work) if tools is not None else (), known)

    return template


async def _recollection(work: Work, memory: Memory | None) -> Recollection:
    """What memory says about the task, in the log before the model hears of it; after a subtask, what it said then."""
    given = work.assignment
    if given.continuation is not None:
        return recollected(given.continuation)
    remembered = await recall(None if work.constraints.get("memory") is False else memory, given)
    if remembered is None:
        return Recollection()
    found = recalled(given, remembered)
    await work.handler.recalled(found)
    return Recollection(
        found.context, tuple(f"memory:{each.memory_id}" for each in found.memories), found.truncated
    )


async def _decompose(work: Work, told: Told) -> Answer:
    """Have the task divided; the answer is read strictly."""
    ended = await work.conversation([Message(Role.USER, told.prompt)], system=told.system).run()
    name = work.model.name if work.model is not None else ""
    operators = program(ended.text, known_models([name, work.assignment.model]))
    steps = [operator.name for operator in operators[1:]]
    listed = ", ".join(steps[:_MAX_DESCRIBED]) or "one task"
    output = {
        "content": f"{len(operators)} operators: {listed}",
        "notes": {"dataUsage": _usage(work, told), "dataUsageDerived": True},
    }
    return Answer(output, confidence=0.5, operators=operators, model_version=ended.model)


async def _answer(work: Work, told: Told, tools: Sequence[Tool], known: Recollection) -> Answer:
    given = work.assignment
    begun = resumed(given, Message(Role.USER, told.prompt))
    work.handler.resume(begun.turns, begun.held_tokens)
    offered = [*tools, *([spawn_tool()] if _may_spawn(work) else [])]
    conversation = work.conversation(
        begun.messages,
        system=told.system,
        tools=offered,
        schema=schema_of(given.output_type),
        held_tokens=(begun.held_tokens, begun.counted),
    )
    ended = await conversation.run()
    if isinstance(ended.value, SubtaskRequest):
        kept = continuation(
            ended, conversation.messages, work.handler.used.turns, conversation.held_tokens[0], known
        )
        return _waiting(ended, ended.value, kept, _usage(work, told))
    found = checked(result(ended.text, given.output_type, _usage(work, told)), given.output_type)
    return Answer(found, confidence=0.5, data_sources=known.sources, model_version=ended.model)


def _waiting(ended: Ended, request: SubtaskRequest, kept: dict[str, object], usage: str) -> Answer:
    output = {"content": ended.text, "notes": {"dataUsage": usage, "dataUsageDerived": True}}
    return Answer(output, confidence=0.5, subtask=request, continuation=kept, model_version=ended.model)


def _may_spawn(work: Work) -> bool:
    """A recovery may not; nor may a task that asked often enough, or whose constraints forbid it."""
    given = work.assignment
    number = 0 if given.continuation is None else given.continuation.number
    return given.recovery is None and number < MAX_SUBTASKS and work.constraints.get("subtasks") is not False


def _usage(work: Work, told: Told) -> str:
    """Which data was used, as far as it is known without the model."""
    given, used = work.assignment, work.handler.used
    names = ", ".join(
        (*told.given, *([f"subtask {given.continuation.number}"] if given.continuation else ()))
    )
    return (
        f"derived: {len(told.prompt)} characters of prompt ({names or 'the task alone'}); "
        f"{used.turns} turns, {work.handler.known_tokens} tokens"
    )
