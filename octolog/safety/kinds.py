"""What can be found in a text, how grave it is, and what stands in its place afterwards."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

__all__ = ["PLACEHOLDER", "SECRETS", "SEVERITY", "Found", "Kind", "Severity", "placeholder"]


class Severity(IntEnum):
    """How much harm a leak, or an obeyed instruction, can do. Source: seed A, safety guardian."""

    NONE = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4


class Kind(StrEnum):
    """Personal data first, then secrets."""

    EMAIL = "email"
    PHONE = "phone"
    SSN = "ssn"
    CARD = "card"
    IBAN = "iban"
    BANK_ACCOUNT = "bank_account"
    IPV4 = "ipv4"
    IPV6 = "ipv6"
    MAC = "mac"
    DATE_OF_BIRTH = "date_of_birth"
    PASSPORT = "passport"
    DRIVER_LICENSE = "driver_license"
    NATIONAL_ID = "national_id"
    TAX_ID = "tax_id"
    HEALTH_ID = "health_id"
    VEHICLE_ID = "vehicle_id"
    DEVICE_ID = "device_id"
    WALLET = "wallet"

    AWS_KEY = "aws_key"
    GITHUB_TOKEN = "github_token"
    SLACK_TOKEN = "slack_token"
    API_KEY = "api_key"
    JWT = "jwt"
    PRIVATE_KEY = "private_key"
    PASSWORD = "password"
    SECRET = "secret"


SECRETS: Final = frozenset({
    Kind.AWS_KEY,
    Kind.GITHUB_TOKEN,
    Kind.SLACK_TOKEN,
    Kind.API_KEY,
    Kind.JWT,
    Kind.PRIVATE_KEY,
    Kind.PASSWORD,
    Kind.SECRET,
})  # fmt: skip
"""Whoever reads one of these can act as somebody else."""

_LOW: Final = frozenset({Kind.IPV4, Kind.IPV6, Kind.MAC})
_MEDIUM: Final = frozenset(
    {Kind.EMAIL, Kind.PHONE, Kind.DATE_OF_BIRTH, Kind.VEHICLE_ID, Kind.DEVICE_ID, Kind.WALLET}
)


def _severity(kind: Kind) -> Severity:
    if kind in SECRETS:
        return Severity.CRITICAL
    if kind in _LOW:
        return Severity.LOW
    return Severity.MEDIUM if kind in _MEDIUM else Severity.HIGH


SEVERITY: Final[Mapping[Kind, Severity]] = MappingProxyType({kind: _severity(kind) for kind in Kind})

PLACEHOLDER: Final = re.compile(r"\[(?:REDACTED_[A-Z0-9_]{2,20}|[A-Z][A-Z0-9_]{2,20}[:#][0-9a-f]{1,16})\]")
"""What a redaction leaves behind; nothing is ever looked for inside it."""


class Found(NamedTuple):
    """A place in a text. The value itself is not kept, so that it cannot be logged by mistake.

    Attributes:
        kind: What lies there.
        start: First character.
        end: One after the last.
    """

    kind: Kind
    start: int
    end: int

    @property
    def severity(self) -> Severity:
        """How grave a leak is."""
        return SEVERITY[self.kind]


def placeholder(kind: Kind) -> str:
    """What stands in the place of a value, e.g. `[REDACTED_EMAIL]`."""
    return f"[REDACTED_{kind.upper()}]"
