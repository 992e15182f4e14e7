"""Routing at 1,000 registered arms: what one decision costs, and what the partition's scheduler pays per step.

Claims: a decision takes at most 1 ms of processor time at 1,000 arms, whatever it asks for and even when all of
them can take the task; after a change of an arm the index of 1,000 is made again in about 10 ms; a step's whole way
through the scheduler, with a requirement that was met before, costs a few microseconds.
Times are processor time (`process_time`), so that neighbours on the machine do not count.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benches._run import bound, options, report, say
from octolog.domain.arm import Health
from octolog.domain.ids import TaskId
from octolog.domain.registry import Registry
from octolog.domain.routing import Requirement, RoutingIndex, explain
from octolog.domain.scheduler import Scheduler
from octolog.domain.task.state import Spec
from octolog.testing import ArmsTopic, capability

ARMS: Final = 1_000
DECISION_MS: Final = 1.0
DECISIONS: Final = {"quick": 2_000, "full": 20_000}
_SEED: Final = 7
_TAXONOMY: Final = """
task_planning goal_decomposition dependency_resolution acceptance_criteria shell_execution http_requests
python_execution network_scanning vector_search keyword_search rag_retrieval citation_generation code_generation
code_debugging code_refactoring code_analysis test_generation code_explanation schema_validation fact_checking
criteria_validation hallucination_detection quality_assessment pii_detection secret_detection content_filtering
input_sanitization output_redaction
"""
_TAGS: Final = _TAXONOMY.split()


def registry(arms: int, tags_each: int) -> Registry:
    """Arms with tags of the taxonomy; one in ten is not well, one in twenty gone."""
    draw, topic = random.Random(_SEED), ArmsTopic()
    for number in range(arms):
        tags = draw.sample(_TAGS, tags_each)
        rate, tier = round(draw.uniform(0.7, 1.0), 3), draw.randint(1, 5)
        topic.register(capability(f"arm-{number:04}", *tags, cost_tier=tier, success_rate=rate))
        if draw.random() < 0.1:
            topic.set_health(f"arm-{number:04}", draw.choice((Health.DEGRADED, Health.UNAVAILABLE)))
    return topic.now


def requirements(count: int, tags_each: int) -> list[Requirement]:
    """What steps ask for: one to three tags, some with a cap on the tier, both policies."""
    draw = random.Random(_SEED + 1)
    return [
        Requirement(
            None,
            tuple(draw.sample(_TAGS, draw.randint(1, tags_each))),
            draw.choice((None, None, 2, 3, 4)),
            draw.choice(("cost_first", "weighted")),
        )
        for _ in range(count)
    ]


def cpu_us(work: Callable[[Any], object], inputs: list[Any]) -> tuple[float, float, float]:
    """Processor time of one call: mean over all, and the 99th percentile and maximum of single ones; microseconds."""
    began = time.process_time()
    for each in inputs:
        work(each)
    mean = (time.process_time() - began) / len(inputs) * 1e6
    single = []
    for each in inputs:
        began_ns = time.process_time_ns()
        work(each)
        single.append((time.process_time_ns() - began_ns) / 1e3)
    single.sort()
    return mean, single[int(len(single) * 0.99)], single[-1]


def decisions(known: Registry, needs: list[Requirement]) -> dict[str, Any]:
    """Cold decisions, none remembered: filter and order."""
    index = RoutingIndex(known)
    for policy in ("cost_first", "weighted"):
        index.route(Requirement(None, (), None, policy))
    found = [len(index.route(need)) for need in needs]
    mean, p99, most = cpu_us(index.route, needs)
    return {
        "decisions": len(needs),
        "candidates_mean": round(sum(found) / len(found), 1),
        "mean_us": round(mean, 2),
        "p99_us": round(p99, 2),
        "max_us": round(most, 2),
        "p99_ms": bound(p99 / 1e3, at_most=DECISION_MS),
    }


def building(known: Registry) -> float:
    """Processor time of an index made anew, both orders, milliseconds."""

    def build(_: object) -> None:
        index = RoutingIndex(known)
        for policy in ("cost_first", "weighted"):
            index.route(Requirement(None, (), None, policy))

    return cpu_us(build, list(range(20)))[0] / 1e3


def per_step(known: Registry, steps: int) -> float:
    """Processor time of the scheduler for one step: queued, routed, taken, ended; microseconds."""
    scheduler, spec = Scheduler(128), Spec("goal", required_capabilities=("code_analysis",))
    began = time.process_time()
    for number in range(steps):
        scheduler.ready(TaskId("root"), TaskId("task"), spec, "default", number, 0)
        release = scheduler.next(known)
        assert release is not None, "an arm has the tag"
        arm_id = release.candidates[0].arm_id
        scheduler.assigned(arm_id)
        scheduler.ended(arm_id)
    return (time.process_time() - began) / steps * 1e6


def main() -> None:
    size = "full" if options(__doc__ or "").full else "quick"
    count = DECISIONS[size]
    many, few = registry(ARMS, 4), registry(6, len(_TAGS))
    say(f"{ARMS} arms")
    needs = requirements(count, 3)
    realistic = decisions(many, needs)
    say("1,000 arms that can all do it")
    all_can = decisions(registry(ARMS, len(_TAGS)), needs[: count // 10])
    index = RoutingIndex(many)
    nobody = [need for need in needs if not index.route(need)][:50]
    explained = cpu_us(lambda need: explain(need, many), nobody)
    say("a step in the scheduler")
    report(
        {
            "bench": "routing",
            "arms": ARMS,
            "decision": realistic,
            "decision_all_can": all_can,
            "why_nobody_ms": round(explained[0] / 1e3, 3),
            "index_made_again_ms": round(building(many), 2),
            "step_us": {
                "6_arms": round(per_step(few, count), 2),
                f"{ARMS}_arms": round(per_step(many, count), 2),
            },
        }
    )


if __name__ == "__main__":
    main()
