"""HTTP services to bridge, from a command line or a TOML file."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from arms.bridge.settings import MAX_RESPONSE_BYTES, TRANSPORT_RETRY, BridgeSettings
from octolog.domain.bounds import check_retry
from octolog.domain.errors import InvalidContract, SettingsError
from octolog.domain.values import RetryPolicy

__all__ = ["from_file", "service"]

_ENV: Final = "env:"


class _Retry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    max_attempts: int = TRANSPORT_RETRY.max_attempts
    base_ms: int = TRANSPORT_RETRY.base_ms
    factor: float = TRANSPORT_RETRY.factor
    cap_ms: int = TRANSPORT_RETRY.cap_ms
    jitter_low: float = TRANSPORT_RETRY.jitter_low
    jitter_high: float = TRANSPORT_RETRY.jitter_high


class _Service(BaseModel):
    model_config = ConfigDict(extra="forbid")

    url: str
    headers: dict[str, str] = {}
    arm_id: str | None = None
    connect_timeout_s: float = Field(default=5.0, gt=0, le=300)
    health_timeout_s: float = Field(default=5.0, gt=0, le=300)
    health_interval_s: float = Field(default=30.0, ge=0.1, le=3_600)
    cancel_timeout_s: float = Field(default=2.0, gt=0, le=60)
    max_response_bytes: int = Field(default=MAX_RESPONSE_BYTES, ge=1, le=256 * 1024 * 1024)
    retry: _Retry = _Retry()
    breaker_failures: int = Field(default=5, ge=1, le=1_000)
    breaker_reset_s: float = Field(default=60.0, gt=0, le=3_600)
    breaker_probes: int = Field(default=3, ge=1, le=100)
    probed: bool = False
    verify: str = ""


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    service: list[_Service] = Field(min_length=1)


def service(
    url: str,
    *,
    headers: Iterable[str] = (),
    arm_id: str | None = None,
    probed: bool = False,
    verify: str = "",
) -> BridgeSettings:
    """A service by its URL.

    Args:
        url: Where it is.
        headers: `Name:value` each.
        arm_id: Replaces the id it gives itself.
        probed: Nodes look at its health themselves.
        verify: Path of the certificates to trust; empty: those of the system.

    Raises:
        SettingsError: The URL or a header is none.
    """
    pairs: dict[str, str] = {}
    for line in headers:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise SettingsError(f"--header {name[:40]!r}: write NAME:VALUE, or NAME:env:VARIABLE")
        pairs[name.strip()] = value.strip()
    return BridgeSettings(
        url, headers=_resolved(pairs), arm_id=arm_id, probed=probed, verify=_readable(verify)
    )


def from_file(path: Path) -> list[BridgeSettings]:
    """The services of a TOML file.

    Raises:
        SettingsError: It cannot be read, or a value is out of bounds; names the place.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        read = _File.model_validate(document)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is no TOML: {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "file"
        raise SettingsError(f"{path}: {place}: {first['msg'].lower()}") from None
    return [_settings(one, f"{path}: service[{index}]") for index, one in enumerate(read.service)]


def _settings(read: _Service, at: str) -> BridgeSettings:
    values: dict[str, Any] = read.model_dump()
    retry = RetryPolicy(**values.pop("retry"))
    try:
        check_retry("retry", retry)
    except InvalidContract as error:
        raise SettingsError(f"{at}: {error.field}: {error.message}") from None
    values |= {"headers": _resolved(read.headers), "verify": _readable(read.verify)}
    return BridgeSettings(**values, retry=retry)


def _resolved(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers with their secrets put in: `env:VARIABLE` keeps them out of files and process lists."""
    found = {}
    for name, value in headers.items():
        text = value
        if value.startswith(_ENV):
            variable = value.removeprefix(_ENV)
            if variable not in os.environ:
                raise SettingsError(f"header {name[:40]}: the environment has no {variable[:60]}")
            text = os.environ[variable]
        if not name.isascii() or not text.isascii() or any(sign in name + text for sign in "\r\n\0"):
            raise SettingsError(f"header {name[:40]!r}: use ASCII on one line")
        found[name] = text
    return found


def _readable(path: str) -> str:
    if path and not Path(path).is_file():
        raise SettingsError(f"--verify {path}: there is no such file")
    return path
