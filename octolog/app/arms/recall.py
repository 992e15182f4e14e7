"""The node's semantic memory as the template arm asks it: bounded, certain enough, and not asked twice in vain."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import orjson

from octolog.app.memory.collections import NAME
from octolog.app.memory.remote import RemoteMemories
from octolog.app.processes import StateFile
from octolog.app.settings import Settings
from octolog.domain.errors import StoreUnavailable
from octolog.domain.reports import RecalledMemory
from projections.memory.conditions import Where

if TYPE_CHECKING:
    from arms.template.memory import Remembered

TOP_K: Final = 5
MIN_CONFIDENCE: Final = 0.5
"""What is less certain is due to be pruned. Source: seed A's documents."""

MIN_SIMILARITY: Final = 0.4
"""Below it two texts share a subject at best, with the packaged model: an attempt is better off without it."""

MAX_NOTE_CHARS: Final = 3_000
"""Of each memory; five of them fit into what an attempt is given."""

_MAX_ASKED_CHARS: Final = 4_000
"""Of the task, and again of what earlier steps gave: an embedding sees no more."""


class NodeMemory:
    """Asks the memory process of the node that this process belongs to; outside a node there is none.

    Args:
        settings: Of the node.
    """

    def __init__(self, settings: Settings) -> None:
        self._state = StateFile(settings.run_dir / f"{NAME}.json")

    async def relevant(self, task: str, history_json: str) -> Remembered | None:
        """What bears on a task; None: there is no memory here.

        Raises:
            StoreUnavailable: Memory did not answer, twice.
        """
        return await asyncio.to_thread(self._relevant, asked(task, history_json))

    def _relevant(self, text: str) -> Remembered | None:
        from arms.template.memory import Match, Remembered

        if self._state.read() is None:
            return None
        hits = [hit for hit in self._search(text) if (hit["similarity"] or 0.0) >= MIN_SIMILARITY]
        matches = tuple(
            Match(f"memory:{hit['memory_id']}", _note(hit["content"]), _found(hit)) for hit in hits
        )
        cut = any(len(hit["content"]) > MAX_NOTE_CHARS for hit in hits)
        return Remembered("Validated earlier:" if matches else "", matches, cut)

    def _search(self, text: str) -> list[dict[str, Any]]:
        """Once more where it failed: its process may have been restarted, at another address."""
        try:
            return self._once(text)
        except StoreUnavailable:
            return self._once(text)

    def _once(self, text: str) -> list[dict[str, Any]]:
        url = (self._state.read() or {}).get("url")
        if url is None:
            raise StoreUnavailable("the node's memory is not up yet; see `octolog status`")
        return RemoteMemories(str(url)).search(text, TOP_K, Where(min_confidence=MIN_CONFIDENCE))


def asked(task: str, history_json: str) -> str:
    """What memory is searched for: the task, and then what the last steps gave, the latest first."""
    return "\n".join((task[:_MAX_ASKED_CHARS], *_told(history_json)))[: 2 * _MAX_ASKED_CHARS]


def _told(history_json: str) -> Iterator[str]:
    if not history_json:
        return
    for step in reversed(orjson.loads(history_json).get("history", ())):
        usage = step.get("notes", {}).get("dataUsage", "")
        yield from filter(None, (step.get("content", ""), usage if isinstance(usage, str) else ""))


def _note(content: str) -> str:
    text = " ".join(content.split())
    return text if len(text) <= MAX_NOTE_CHARS else f"{text[:MAX_NOTE_CHARS]} [cut]"


def _found(hit: dict[str, Any]) -> RecalledMemory:
    return RecalledMemory(hit["memory_id"], hit["partition"], hit["recorded_at"], hit["similarity"])
