"""Budgets inside a tree: what a task may use bounds all its attempts and everything below it, together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from octolog.domain.task.ledger import Account, Vector, add, subtract
from octolog.domain.task.state import NEEDS_ATTEMPT, Node, Tree
from octolog.domain.values import NO_LIMITS, Limits

TIME: Final = 1
"""Place of the time in a vector. Without tokens, money or calls an arm can still do what needs none."""


def open_account(tree: Tree, node: Node) -> None:
    """Give a task that joins the tree its account, if it has a budget of its own. For `evolve` alone."""
    if node.parent is not None and node.spec.want != NO_LIMITS:
        node.account = Account(node.spec.want)
        tree.accounts += 1


def granted(tree: Tree, node: Node, allowance: Limits) -> Limits | None:
    """What the accounts above a task leave of an allowance; None: wait until another attempt releases some."""
    left: Limits | None = allowance
    for holder, account in _above(tree, node):
        if left is None:
            return None
        sharers = 1 if holder is node else max(1, _waiting_below(tree, holder))
        left = account.capped(left, node.spec.want, sharers)
    return left


def out_of_time(tree: Tree, node: Node) -> Node | None:
    """The nearest task at or above this one whose account has no time left, and none to be released."""
    for holder, account in _above(tree, node):
        free = account.free()[TIME]
        if free is not None and free <= 0 and not account.reserved[TIME]:
            return holder
    return None


def reserve(tree: Tree, node: Node, reserved: Vector) -> None:
    """An allowance is held in every account at and above the task. For `evolve` alone."""
    for _, account in _above(tree, node):
        account.reserved = add(account.reserved, reserved)


def settle(tree: Tree, node: Node, reserved: Vector, settled: Vector) -> None:
    """An attempt ended: its allowance is released, what it used is charged. For `evolve` alone."""
    for _, account in _above(tree, node):
        account.reserved = subtract(account.reserved, reserved)
        account.settled = add(account.settled, settled)


def _waiting_below(tree: Tree, holder: Node) -> int:
    """Steps and subtasks of a task that still need an attempt."""
    return sum(tree.nodes[child].status in NEEDS_ATTEMPT for child in holder.children if child in tree.nodes)


def _above(tree: Tree, node: Node) -> Iterator[tuple[Node, Account]]:
    here: Node | None = node
    while here is not None:
        if here.account is not None:
            yield here, here.account
        here = tree.nodes.get(here.parent) if here.parent is not None else None
