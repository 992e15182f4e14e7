"""What a shard and its arms have where nothing is set; apart from the shard, as settings are read without it."""

from __future__ import annotations

from typing import Final

WINDOW: Final = 256
"""Attempts one arm may hold from one partition: enough to keep it busy over a round trip (half as many let one wide
map wait a third of its time), few enough to be taken back."""

LEASE_MS: Final = 10_000
"""An arm renews at a third of it; so two renewals may be lost before the attempt is."""
