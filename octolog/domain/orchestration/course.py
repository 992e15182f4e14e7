"""How an orchestrated task goes on: after its own work is done, after a verdict, after a failure."""

from __future__ import annotations

from collections.abc import Iterator

from octolog.domain import facts as f
from octolog.domain.evaluator import agenda
from octolog.domain.evaluator.moves import Complete
from octolog.domain.ids import AttemptId
from octolog.domain.orchestration import approval, judging, replanning
from octolog.domain.orchestration.verdict import verdict_of
from octolog.domain.reports import ExecutionResult
from octolog.domain.task import ending
from octolog.domain.task.state import Node, NodeStatus, Tree


def complete(tree: Tree, node: Node, at_ms: int) -> Iterator[f.Fact]:
    """As `ending.complete`, asking the judge where one is wanted."""
    if tree.programs:
        yield from agenda.run(tree, Complete(node.task_id), at_ms)
        return
    here: Node | None = node
    while here is not None and here.open_children == 0:
        if judging.is_wanted(here):
            yield judging.started(tree, here, at_ms)
            return
        yield ending.completed(tree, here, at_ms)
        parent = tree.nodes.get(here.parent) if here.parent is not None else None
        here = parent if parent is not None and parent.status is NodeStatus.WAITING else None


def verdict(
    tree: Tree, judge: Node, attempt: AttemptId, result: ExecutionResult, at_ms: int
) -> Iterator[f.Fact]:
    """A judge's attempt succeeded: what it said, and what follows."""
    assert judge.flow is not None and judge.flow.judges is not None  # noqa: S101, PT018 -- the caller saw it
    owner, number = tree.nodes[judge.flow.judges.task_id], judge.flow.judges.number
    said = verdict_of(result)  # it was read before, when the attempt was judged
    yield f.TaskCompleted(at_ms, judge.task_id, attempt, "", None)
    yield f.TaskJudged(
        at_ms,
        owner.task_id,
        judge.task_id,
        attempt,
        number,
        said.accepted,
        said.confidence,
        said.passed,
        said.failed,
        said.feedback,
    )
    stands = True
    for fact in judging.after(tree, owner, judge, said, at_ms):
        stands = False
        yield fact
    if stands:
        yield from complete(tree, owner, at_ms)


def judge_failed(tree: Tree, judge: Node, ended: f.AttemptEnded, at_ms: int) -> Iterator[f.Fact]:
    """No judge could say: a result that nobody judged is not accepted, unless a person does."""
    assert judge.flow is not None and judge.flow.judges is not None  # noqa: S101, PT018 -- the caller saw it
    owner = tree.nodes[judge.flow.judges.task_id]
    message = f"nobody could judge the result: {ended.error or 'no reason given'}"
    code, category = ended.error_code or "INTERNAL_ERROR", ending.category_of(ended)
    rule = None if owner.flow is None else owner.flow.rule
    if rule is None or not rule.escalate:
        yield from ending.fail(tree, judge, code, category, message, at_ms)
        return
    yield f.TaskFailed(at_ms, judge.task_id, code, category, message, None, (), ending.used(tree))
    yield approval.requested(owner, f.ApprovalReason.NOT_ACCEPTED, message, at_ms, judge.task_id)


def decided(tree: Tree, node: Node, fact: f.ApprovalDecided, at_ms: int) -> Iterator[f.Fact]:
    """A person, or their silence, decided: that, and what follows."""
    assert node.flow is not None and node.flow.hold is not None  # noqa: S101, PT018 -- the caller saw it
    reason, failure = node.flow.hold.reason, approval.failure(node, fact)
    yield fact
    if not fact.approved:
        yield from ending.fail(tree, node, *failure, at_ms)
        return
    match reason:
        case f.ApprovalReason.BEFORE_START:
            if node.task_id in tree.programs:
                yield from agenda.run(tree, agenda.root_of(node.task_id, node.parent), at_ms)
        case f.ApprovalReason.NOT_ACCEPTED | f.ApprovalReason.LOW_CONFIDENCE:
            yield from complete(tree, node, at_ms)
        case f.ApprovalReason.STEP_FAILED:
            yield replanning.replanned(tree, node, at_ms)
        case _:
            pass  # it is ready again
