"""What an arm is told of an attempt that was assigned to it."""

from __future__ import annotations

from octolog.domain import facts as f
from octolog.domain.assignment import AttemptAssignment
from octolog.domain.evaluator import given
from octolog.domain.task.state import Tree


def assignment(tree: Tree, fact: f.AttemptAssigned) -> AttemptAssignment:
    """The attempt that a fact assigns, with all its arm needs to know."""
    node = tree.nodes[fact.task_id]
    if node.op is not None or node.spawn is not None:
        return given.assignment(tree, node, fact)
    return given.plain(tree, node, fact)
