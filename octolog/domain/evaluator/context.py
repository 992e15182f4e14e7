"""Context: which mode holds for a task, and what its attempts are given by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octolog.domain.evaluator.history import shown
from octolog.domain.evaluator.places import around, is_subtask, operator_of, program_of
from octolog.domain.operators import ContextMode
from octolog.domain.tasksystem import AccumulationFormat, AtomicTaskSubtype, FreshContext

if TYPE_CHECKING:
    from octolog.domain.task.state import Node, Tree


def mode_of(tree: Tree, node: Node) -> tuple[ContextMode, bool]:
    """A task's context mode, and whether histories show contents: its own, or that of the operator around it."""
    here: Node | None = node
    while here is not None and here.op is not None:
        operator = operator_of(tree, here.op)
        if here.op.recovery is not None:
            break
        fresh = operator.fresh_context
        if operator.subtype is not AtomicTaskSubtype.SUBTASK:
            full = operator.accumulation_format is AccumulationFormat.FULL_OUTPUT
            if operator.inherit_context:
                return ContextMode.INHERIT, full
            if operator.accumulate_data:
                told = ContextMode.HISTORY if fresh is FreshContext.DISABLED else ContextMode.ACCUMULATE
                return told, full
        elif fresh is FreshContext.UNSAID:
            break
        if fresh is not FreshContext.UNSAID:
            return ContextMode.FRESH if fresh is FreshContext.ENABLED else ContextMode.MINIMAL, True
        here = around(tree, here)
    return ContextMode.FRESH, True


def context_of(tree: Tree, node: Node) -> str:
    """The context that a task's attempts are given, canonical JSON object."""
    here = node
    while True:
        mode, full = mode_of(tree, here)
        if mode is ContextMode.ACCUMULATE or mode is ContextMode.HISTORY:
            return _history(tree, here, full=full)
        if mode is not ContextMode.INHERIT or here.op is None:
            return "{}"
        outer = around(tree, here)
        if outer is None:
            return program_of(tree, here.op).context_json
        here = outer


def _history(tree: Tree, node: Node, *, full: bool) -> str:
    """What the earlier steps of the nearest sequence around a task gave."""
    here, outer = node, around(tree, node)
    while outer is not None and outer.op is not None and not is_subtask(outer, here.task_id):
        body = outer.op.body
        if body is not None and body.history is not None:
            entries, cut = shown(body.history, full=full)
            return '{"history":[' + ",".join(entries) + ("]" if not cut else '],"truncated":true') + "}"
        here, outer = outer, around(tree, outer)
    return '{"history":[]}'
