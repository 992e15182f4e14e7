"""What an attempt at a task of a program is given."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from octolog.domain import facts as f
from octolog.domain.assignment import AttemptAssignment, Continuation, Recovery, StepInput
from octolog.domain.evaluator.context import context_of, mode_of
from octolog.domain.evaluator.environment import bound_for, input_value, inside
from octolog.domain.evaluator.places import operator_of, parent_of, subtask_id
from octolog.domain.evaluator.prompts import TEMPLATES, system_of
from octolog.domain.evaluator.text import MAX_FILLED_CHARS, InputTooLarge, filled
from octolog.domain.json_text import quoted
from octolog.domain.operators import ATOMIC, ContextMode

if TYPE_CHECKING:
    from octolog.domain.task.state import Node, Tree

_SURELY_FITS_CHARS: Final = MAX_FILLED_CHARS // 2
"""Inputs of so many characters leave room for any context, and for instructions without placeholders."""


def is_too_large(tree: Tree, node: Node) -> bool:
    """Whether an attempt would be told too much: instructions, inputs and context together."""
    if node.op is None or node.op.recovery is not None:
        return False
    operator = operator_of(tree, node.op)
    given = sum(len(input_value(node, each)) for each in operator.inputs)
    if given < _SURELY_FITS_CHARS and "{{" not in operator.instructions:
        return False
    try:
        told = len(_instructions(tree, node)) + len(context_of(tree, node))
    except InputTooLarge:
        return True
    return given + told > MAX_FILLED_CHARS


def assignment(tree: Tree, node: Node, fact: f.AttemptAssigned) -> AttemptAssignment:
    """An attempt for an arm: at a task of a program, or at one that goes on after a subtask."""
    op = node.op
    operator = ATOMIC if op is None else operator_of(tree, op)
    recovery = _recovery(tree, node)
    own = () if op is None or recovery is not None else operator.inputs
    pairs = [(given.name, input_value(node, given)) for given in own]
    pairs += [] if op is None or recovery is not None else bound_for(tree, node)
    base = plain(tree, node, fact)
    return replace(
        base,
        context_json=base.context_json if op is None else context_of(tree, node),
        inputs=tuple(StepInput(name, quoted(text)) for name, text in pairs) if op else base.inputs,
        instructions=TEMPLATES[recovery.kind].task_prompt if recovery else _told(tree, node),
        system=system_of(recovery.kind, operator.system) if recovery else operator.system,
        model=operator.model,
        output_type="" if recovery and recovery.kind == "DECOMPOSITION" else operator.output_type,
        max_turns=operator.max_turns,
        max_context_fraction=operator.max_context_fraction,
        context_mode=ContextMode.UNKNOWN if op is None else mode_of(tree, node)[0],
        recovery=recovery,
        continuation=_continuation(node),
    )


def plain(tree: Tree, node: Node, fact: f.AttemptAssigned) -> AttemptAssignment:
    """An attempt for an arm, as every task has it: the contract's words, and what it depends on."""
    spec = node.spec
    needs = (tree.nodes[task_id] for task_id in node.depends_on)
    return AttemptAssignment(
        root_task_id=tree.root_id,
        task_id=node.task_id,
        attempt_id=fact.attempt_id,
        number=fact.number,
        arm_id=fact.arm_id,
        goal=spec.goal,
        constraints_json=spec.constraints_json,
        context_json=spec.context_json,
        acceptance_criteria=spec.acceptance_criteria,
        inputs=tuple(StepInput(n.spec.step_id or n.task_id, n.output, n.output_blob) for n in needs),
        allowance=fact.allowance,
        priority=spec.priority,
        assigned_ms=fact.at_ms,
        lease_ms=fact.lease_ms,
        timeout_ms=fact.timeout_ms,
        security_policy=tree.security_policy,
        context_blob=spec.context_blob,
    )


def _instructions(tree: Tree, node: Node) -> str:
    if node.op is None or node.op.recovery is not None:
        return ""
    return filled(operator_of(tree, node.op).instructions, partial(inside, tree, node))


def _told(tree: Tree, node: Node) -> str:
    """The filled instructions; a recovery repeats those of a task that could begin, so they are not too long."""
    try:
        return _instructions(tree, node)
    except InputTooLarge:
        return ""


def _recovery(tree: Tree, node: Node) -> Recovery | None:
    task = parent_of(tree, node)
    if (
        node.op is None
        or node.op.recovery is None
        or task is None
        or task.op is None
        or task.op.trouble is None
    ):
        return None
    trouble = task.op.trouble
    return Recovery(trouble.kind, trouble.number, trouble.error, _told(tree, task), trouble.output)


def _continuation(node: Node) -> Continuation | None:
    spawn = node.spawn
    if spawn is None or spawn.waiting:
        return None
    return Continuation(
        subtask_id(node.task_id, spawn.number),
        spawn.number,
        spawn.goal,
        spawn.content,
        spawn.notes,
        spawn.continuation_json,
    )
