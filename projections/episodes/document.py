"""An episode as JSON, for stores that keep text."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Final

from octolog.domain.memory import EpisodicMemory
from projections.episodes.store import Episode

_LISTS: Final = ("observations", "actions", "outcomes")


def to_text(episode: Episode) -> str:
    """All of it, as canonical JSON."""
    return json.dumps(asdict(episode), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def from_text(text: str) -> Episode:
    """The episode that `to_text` was given."""
    found = json.loads(text)
    memory = found.pop("memory")
    memory |= {name: tuple(memory[name]) for name in _LISTS}
    return Episode(EpisodicMemory(**memory), **found)
