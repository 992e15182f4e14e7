"""What a bridge is told about one service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from octolog.domain.errors import SettingsError
from octolog.domain.values import RetryPolicy

__all__ = ["BridgeSettings", "shown_url"]

MAX_RESPONSE_BYTES: Final = 10 * 1024 * 1024
"""Longest answer. Source: seed A's documents, `max output 10 MB`."""

TRANSPORT_RETRY: Final = RetryPolicy(base_ms=200, cap_ms=5_000)
"""Three tries in all; shorter waits than between attempts, because they are inside one."""


@dataclass(frozen=True, slots=True)
class BridgeSettings:
    """Settings of one service.

    Attributes:
        url: Where the service is; its paths are below.
        headers: Sent with every request, for instance `Authorization`; never logged.
        arm_id: Registers it under another id than it says.
        connect_timeout_s: Longest wait for a connection, seconds.
        health_timeout_s: Longest wait for `GET /health`, seconds.
        health_interval_s: Seconds from one look at the health to the next.
        cancel_timeout_s: Longest wait for `POST /cancel`, seconds.
        max_response_bytes: A longer answer is broken off.
        retry: How a request that got no answer is repeated, within its attempt.
        breaker_failures: Failures in a row that open the breaker.
        breaker_reset_s: How long it stays open, seconds.
        breaker_probes: Attempts that must go well for it to close.
        probed: Nodes look at `/health` themselves and judge it, instead of the bridge; they must reach the URL.
        verify: Path of the certificates to trust; empty: those of the system.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    arm_id: str | None = None
    connect_timeout_s: float = 5.0
    health_timeout_s: float = 5.0
    health_interval_s: float = 30.0
    cancel_timeout_s: float = 2.0
    max_response_bytes: int = MAX_RESPONSE_BYTES
    retry: RetryPolicy = TRANSPORT_RETRY
    breaker_failures: int = 5
    breaker_reset_s: float = 60.0
    breaker_probes: int = 3
    probed: bool = False
    verify: str = ""

    def __post_init__(self) -> None:
        """Refuse what is no address.

        Raises:
            SettingsError: The URL is no http or https URL, or has a query.
        """
        try:
            parts = urlsplit(self.url)
            usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable, parts = False, urlsplit("")
        if not usable:
            raise SettingsError(f"{shown_url(self.url)} is no http or https URL; e.g. http://127.0.0.1:8000")
        if parts.query or parts.fragment:
            raise SettingsError(f"{shown_url(self.url)}: give the URL without a query; use --header for keys")

    @property
    def base(self) -> str:
        """The URL without a slash at its end."""
        return self.url.rstrip("/")


def shown_url(url: str) -> str:
    """A URL as it may be written down: without user, password, query and fragment."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(no URL)"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))[:200]
