"""Topics that arms read and write; `deploy/topics.yaml` says how they are made, and a test holds the two together."""

from __future__ import annotations

from typing import Final

TASKS: Final = "octolog.tasks"
RESULTS: Final = "octolog.results"
RESOURCES: Final = "octolog.resources"
ARMS: Final = "octolog.arms"
ASSIGNMENTS_PREFIX: Final = "octolog.assignments."
