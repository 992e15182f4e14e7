"""octolog: the log-native home for LLM agents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from octolog.app.knowledge.access import connect
    from octolog.client import Client, NotOver, Outcome, Sent, Submitted

__all__ = ["Client", "NotOver", "Outcome", "Sent", "Submitted", "connect"]

_LAZY: Final = frozenset(__all__)
"""Loaded on first use: `octolog.domain` is imported where there is no Kafka client."""


def __getattr__(name: str) -> Any:
    if name == "connect":
        from octolog.app.knowledge.access import connect

        return connect
    if name in _LAZY:
        import octolog.client

        return getattr(octolog.client, name)
    raise AttributeError(f"module 'octolog' has no attribute {name!r}")
