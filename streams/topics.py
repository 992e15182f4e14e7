"""The names of the topics the engine reads and writes. `deploy/topics.yaml` says how they are made."""

from __future__ import annotations

from typing import Final

CONTRACTS: Final = "octolog.contracts"
RESULTS: Final = "octolog.results"
RESOURCES: Final = "octolog.resources"
TIMERS: Final = "octolog.timers"
TASKS: Final = "octolog.tasks"
SNAPSHOTS: Final = "octolog.snapshots"
ARMS: Final = "octolog.arms"
TEMPLATES: Final = "octolog.templates"
MEMORY: Final = "octolog.memory"
EPISODES: Final = "octolog.episodes"
DEAD_LETTERS: Final = "octolog.dead-letters"
CHECKPOINTS: Final = "octolog.checkpoints"
ASSIGNMENTS: Final = "octolog.assignments."

INPUTS: Final = (CONTRACTS, RESULTS, RESOURCES, TIMERS)
"""What the task processor reads; co-partitioned with the facts it writes."""
