"""What the benches ask for: contracts of one or three steps, results of 200 bytes, and what must come of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from benches._cluster import Cluster
from octolog.domain import facts as f
from octolog.domain.chain import GENESIS
from octolog.domain.contract import Step, SubmitTask, TaskContract
from octolog.domain.ids import ArmId, TaskId, attempt_id, step_task_id
from octolog.domain.reports import ExecutionResult, ResultStatus
from octolog.domain.values import Provenance
from schemas import catalog
from schemas.codec import RecordedFact
from streams.topics import TASKS

CHAIN: Final = ("plan", "execute", "judge")
OUTPUT_BYTES: Final = 200
_HASH: Final = "a" * 64
FACTS_OF_STEP: Final = 3  # assigned, ended, completed
FACTS_OF_TREE: Final = 2  # submitted, completed


def facts_of(steps: int) -> int:
    """Facts of a tree with so many steps, when nothing goes wrong."""
    return FACTS_OF_TREE + FACTS_OF_STEP * steps


def contract(task_id: str, steps: int, tag: str) -> SubmitTask:
    """A task of a chain of steps, each after the one before, for an arm with that tag."""
    names = CHAIN[:steps]
    plan = tuple(
        Step(name, f"{name} it", names[at - 1 : at] if at else (), required_capabilities=(tag,))
        for at, name in enumerate(names)
    )
    return SubmitTask(TaskId(task_id), TaskContract(TaskId(task_id), "do it", steps=plan), "bench")


def result(task_id: str, step: str, arm_id: str) -> ExecutionResult:
    """What an arm would report of the first attempt at a step: 200 bytes of output."""
    root, arm = TaskId(task_id), ArmId(arm_id)
    here = step_task_id(root, step)
    filler = "x" * (OUTPUT_BYTES - 2)
    return ExecutionResult(
        root, here, attempt_id(root, here, 1), arm, ResultStatus.SUCCESS, f'"{filler}"', 1.0, 5, 0,
        Provenance(arm, 1, _HASH),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Audit:
    """What the log says at the end.

    Attributes:
        trees: Completed trees.
        facts: All facts.
        kinds: Facts by kind.
    """

    trees: int
    facts: int
    kinds: Mapping[str, int]


def audit(cluster: Cluster, steps_of: Mapping[str, int]) -> Audit:
    """Read every fact back: chains unbroken, every tree completed, every step done once, nothing refused.

    Raises:
        AssertionError: The figures would be of work that was not done.
    """
    trees: dict[str, list[RecordedFact]] = defaultdict(list)
    kinds: Counter[str] = Counter()
    for record in cluster.committed(TASKS):
        fact = cluster.codec.decode(record.value)
        trees[fact.link.root_task_id].append(fact)
        kinds[type(fact.fact).__name__] += 1
    assert trees.keys() == steps_of.keys(), f"{len(trees)} trees, {len(steps_of)} expected"
    for root_id, chain in trees.items():
        _check_tree(root_id, chain, steps_of[root_id])
    assert cluster.dead_letters() == 0, "there are dead letters"
    return Audit(len(trees), sum(kinds.values()), dict(kinds))


def _check_tree(root_id: str, chain: list[RecordedFact], steps: int) -> None:
    head = GENESIS
    for number, fact in enumerate(chain):
        assert fact.link.seq == number, f"{root_id}: fact {number} is missing or doubled"
        assert fact.link.prev_hash == head, f"{root_id}: the chain breaks at {number}"
        assert fact.hash == fact.computed, f"{root_id}: fact {number} does not match its hash"
        head = fact.hash
    last = chain[-1].fact
    assert isinstance(last, f.TaskCompleted), f"{root_id} ended with {type(last).__name__}"
    assert last.task_id == root_id
    ended = [fact.fact for fact in chain if isinstance(fact.fact, f.AttemptEnded)]
    assert len({fact.task_id for fact in ended}) == len(ended) == steps, (
        f"{root_id}: {len(ended)} attempts ended"
    )
    assert all(fact.outcome is f.Outcome.SUCCESS and len(fact.output) > 150 for fact in ended)


def schema_prefix(cluster: Cluster, kind: type[f.Fact]) -> bytes:
    """The five bytes that every fact of a kind begins with."""
    schema_id = cluster.ids.register(kind.schema_name, catalog.schema_json(kind.schema_name))
    return b"\0" + schema_id.to_bytes(4, "big")
