"""The engine: facts per second of one processor process, exactly once, full schemas; and latency at a light load.

Claims: at least 15,000 facts/s sustained; at least 5 times a Faust exactly-once app and at least once a quixstreams
exactly-once app doing the same decisions. At 200 contracts/s: submit to fact readable p50 at most 15 ms and p99 at
most 100 ms; a whole no-op step (fact, assignment, arm, result, fact) p50 at most 30 ms.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benches._children import noop_arm, processor
from benches._cluster import Facts, cluster
from benches._engines import ARM, Measured, octolog, peer, phases, same_decisions, write_context
from benches._open_loop import open_loop
from benches._run import bound, options, report, say, spread
from benches._work import audit

WARM_UP_TREES: Final = 100
# Trees of the rounds: the first is run by all, the second not by Faust, the third by octolog alone.
TREES: Final = {"quick": (400, 1_500, 5_000), "full": (2_000, 6_000, 13_000)}
PEERS: Final = {"quixstreams_eos": 3, "faust_eos": 2}
"""Rounds each peer takes part in, the warm-up included."""

WANTED: Final = {"quixstreams_eos": 1.0, "faust_eos": 5.0}
RATE_PER_S: Final = 200
LATENCY_TASKS: Final = {"quick": 1_400, "full": 8_000}
LATENCY_WARM_UP: Final = 200


def main() -> None:
    """Measure, check, print."""
    given = options(__doc__ or "")
    size = "full" if given.full else "quick"
    engines = _throughput(size, with_peers=not given.no_peers)
    latency = _latency(LATENCY_TASKS[size])
    report({"bench": "engine", "size": size, **engines, "latency": latency})


def _throughput(size: str, *, with_peers: bool) -> dict[str, Any]:
    with cluster(inputs_config={"message.timestamp.type": "CreateTime"}) as where:
        arm = where.register_arm(ARM)
        write_context(where, where.codec.encode(arm))
        say("encoding inputs")
        rounds = [phases(where, number, trees) for number, trees in enumerate((WARM_UP_TREES, *TREES[size]))]
        ours = octolog(where, rounds)
        checked = _audited(where, rounds)
        found: dict[str, Any] = {
            "octolog": {
                **ours.figures(), **checked, "sustained": bound(ours.facts_per_s, at_least=15_000)
            }
        }  # fmt: skip
        for name in PEERS if with_peers else ():
            found[name] = _beside(where, name, rounds, ours)
    return found


def _beside(where: Any, name: str, rounds: list[Any], ours: Measured) -> dict[str, Any]:
    try:
        theirs = peer(where, name, rounds[: PEERS[name]])
    except (RuntimeError, OSError) as error:
        return {"skipped": str(error)}
    ratio = ours.facts_per_s / theirs.facts_per_s
    return {
        **theirs.figures(),
        **same_decisions(ours, theirs),
        "octolog_is_times_faster": bound(ratio, at_least=WANTED[name]),
    }


def _audited(where: Any, rounds: list[Any]) -> dict[str, Any]:
    steps_of: dict[str, int] = {}
    for phases_ in rounds:
        for phase in phases_[1:]:
            for _, task_id, _ in phase.inputs:
                steps_of[task_id] = steps_of.get(task_id, 0) + 1
    checked = audit(where, steps_of)
    return {"checked": {"trees_completed": checked.trees, "facts": checked.facts, "dead_letters": 0}}


def _latency(tasks: int) -> dict[str, Any]:
    skip = LATENCY_WARM_UP
    alone = _alone(tasks)
    say(f"latency: {tasks} contracts at {RATE_PER_S}/s, arms beside")
    with cluster() as where, noop_arm(where), processor(where):
        facts = Facts(where)
        times = open_loop(where, facts, prefix="task", tasks=tasks, rate_per_s=RATE_PER_S, steps=1)
        facts.close()
        audit(where, dict.fromkeys(times.due, 1))
    step = spread(times.ms(times.first, times.done, skip=skip))
    return {
        "contracts_per_s": RATE_PER_S,
        "submit_to_fact_readable": alone,
        "submit_to_fact_readable_with_arms_and_results_beside": spread(
            times.ms(times.due, times.first, skip=skip)
        ),
        "whole_noop_step": {**step, "p50": bound(step["p50_ms"], at_most=30)},
        "submit_to_completed": spread(times.ms(times.due, times.done, skip=skip)),
        "feeder_late_ms": round(times.late_s * 1_000, 1),
    }


def _alone(tasks: int) -> dict[str, Any]:
    """The engine and nothing else: contracts in, facts and assignments out, no arm that answers."""
    say(f"latency: {tasks} contracts at {RATE_PER_S}/s, the engine alone")
    with cluster() as where:
        where.register_arm("noop")
        with processor(where):
            facts = Facts(where)
            times = open_loop(
                where, facts, prefix="task", tasks=tasks, rate_per_s=RATE_PER_S, steps=1, answered=False
            )
            facts.close()
    found = spread(times.ms(times.due, times.first, skip=LATENCY_WARM_UP))
    bounds = {"p50": bound(found["p50_ms"], at_most=15), "p99": bound(found["p99_ms"], at_most=100)}
    return {**found, **bounds}


if __name__ == "__main__":
    main()
