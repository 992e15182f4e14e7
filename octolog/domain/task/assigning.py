"""What an arm is told of an attempt that was assigned to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from octolog.domain import facts as f
from octolog.domain.assignment import AttemptAssignment
from octolog.domain.evaluator import given
from octolog.domain.orchestration.given import told
from octolog.domain.security import UNRESTRICTED, SecurityPolicy
from octolog.domain.task.state import Tree


def assignment(
    tree: Tree, fact: f.AttemptAssigned, policies: Mapping[str, SecurityPolicy]
) -> AttemptAssignment:
    """The attempt that a fact assigns, with all its arm needs to know.

    Args:
        tree: Its tree, the fact folded in.
        fact: The assignment.
        policies: Security policies in force, by name.
    """
    made = _made(tree, fact)
    policy = policies.get(tree.security_policy, UNRESTRICTED)
    return made if policy is UNRESTRICTED else replace(made, policy=policy)


def _made(tree: Tree, fact: f.AttemptAssigned) -> AttemptAssignment:
    node = tree.nodes[fact.task_id]
    many = node.op is not None or node.spawn is not None
    made = given.assignment(tree, node, fact) if many else given.plain(tree, node, fact)
    return made if node.flow is None else told(tree, node, node.flow, made)
