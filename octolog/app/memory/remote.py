"""Semantic memory and episodes of a running node, over HTTP on the loopback."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import Any, Final

from pydantic import TypeAdapter

from octolog.app.loopback_client import LoopbackClient
from octolog.app.memory.collections import Reembedding
from octolog.domain import errors
from octolog.domain.errors import OctologError, StoreUnavailable
from octolog.domain.ids import ArmId
from octolog.ports import Progress
from projections.episodes.store import EpisodeDenied
from projections.memory.conditions import Where

WHERE: Final = TypeAdapter(Where)
_TIMEOUT_S: Final = 60.0
_POLL_S: Final = 0.2


class RemoteMemories:
    """Asks the memory process of a node.

    Args:
        url: Where it listens.
    """

    def __init__(self, url: str) -> None:
        self._client = LoopbackClient(url, "the node's memory")

    def search(self, text: str, top_k: int, where: Where) -> list[dict[str, Any]]:
        """The memories that fit a text best, best first."""
        asked = {"text": text, "top_k": top_k, "where": WHERE.dump_python(where, mode="json")}
        found: list[dict[str, Any]] = self._ask("POST", "/search", asked)
        return found

    def show(self, memory_id: str) -> list[dict[str, Any]]:
        """All versions of a memory, oldest first."""
        found: list[dict[str, Any]] = self._ask("POST", "/show", {"memory_id": memory_id})
        return found

    def reembed(self, asked: Reembedding, progress: Progress) -> dict[str, Any]:
        """Embed every memory with another model, in the node, and wait until that is in use."""
        said = self._ask("POST", "/reembed", TypeAdapter(Reembedding).dump_python(asked, mode="json"))
        return self._ended(said, progress)

    def rebuild(self, progress: Progress, projection: str = "memory") -> dict[str, Any]:
        """Build memories or episodes anew, in the node, and wait until what was built is in use."""
        return self._ended(self._ask("POST", "/rebuild", {"projection": projection}), progress)

    def _ended(self, said: dict[str, Any], progress: Progress) -> dict[str, Any]:
        while said["state"] == "running":
            progress(said["done"], said["total"])
            time.sleep(_POLL_S)
            said = self._ask("GET", "/job", None)
        if said["state"] == "failed":
            raise error_of(said)
        found: dict[str, Any] = said["result"]
        return found

    def episodes(
        self, arm_id: str, *, asked_by: str, as_of_ms: int | None = None, limit: int = 100
    ) -> list[dict[str, Any]]:
        """An arm's episodes as of a moment (None: now), newest first, if it is that arm who asks.

        Raises:
            EpisodeDenied: When another asks; the log has a record of it.
        """
        asked = {"arm_id": arm_id, "asked_by": asked_by, "as_of_ms": as_of_ms, "limit": limit}
        try:
            found: list[dict[str, Any]] = self._ask("POST", "/episodes", asked)
        except errors.Refused as refusal:
            if asked_by != arm_id:
                raise EpisodeDenied(ArmId(arm_id), asked_by) from refusal
            raise
        return found

    def positions(self) -> dict[str, Any]:
        """How far memory and episodes have read, which versions filled them, and the job that runs."""
        found: dict[str, Any] = self._ask("GET", "/positions", None)
        return found

    def _ask(self, method: str, path: str, body: Any) -> Any:
        reply = self._client.ask(method, path, body, timeout_s=_TIMEOUT_S)
        try:
            said = reply.json()
        except ValueError as error:
            raise StoreUnavailable(
                f"the node's memory does not answer: {error}; see `octolog status`"
            ) from error
        if reply.status != HTTPStatus.OK:
            raise error_of(said)
        return said


def error_of(said: dict[str, Any]) -> OctologError:
    """A refusal of the service as the error it was."""
    kind: Any = getattr(errors, str(said.get("error", "")), StoreUnavailable)
    message = str(said.get("message", "the node's memory failed"))
    if kind is errors.InvalidContract or not (isinstance(kind, type) and issubclass(kind, OctologError)):
        return StoreUnavailable(message)
    refusal: OctologError = kind(message)
    return refusal
