"""Every error octolog raises on purpose, in one tree.

```
OctologError                 retryable: can the same call succeed later?
├── ContractError            the input is wrong; the same input will never be accepted
│   ├── InvalidContract      a submitted contract breaks a bound (field, value, constraint)
│   ├── UndecodableRecord    bytes that are no record of the schema they claim
│   └── IncompatibleSchema   a schema change that old readers or writers cannot live with
├── SettingsError            the configuration cannot work; says what to set
├── NotFound                 the thing asked for is not in the log
│   └── BlobMissing          a record refers to a blob that the store does not have
├── Refused                  understood, and the answer is no
│   ├── BudgetRefused        a model call that would pass its allowance; it is never made
│   └── BlobTooLarge         a value longer than the blob store takes
├── Unavailable              a service is away; trying again can help (retryable)
│   ├── BrokerUnavailable    Kafka does not answer
│   └── StoreUnavailable     DuckDB, Qdrant, Redis or a blob store does not answer
├── Fenced                   another worker took over; step down quietly
└── LogCorrupted             the log contradicts itself; names the first difference
    └── BlobChanged          a blob is not what its record refers to
```
"""

from __future__ import annotations

from typing import ClassVar


class OctologError(Exception):
    """Root of the tree; `retryable` says whether the same call can succeed later."""

    retryable: ClassVar[bool] = False


class ContractError(OctologError):
    """The input is wrong, and the same input will never be accepted."""


class InvalidContract(ContractError):
    """A submitted contract breaks a bound.

    Attributes:
        code: Upper snake case, e.g. `INVALID_BUDGET`. Source: seed A.
        field: Dotted path of the offending field.
    """

    def __init__(self, code: str, field: str, message: str) -> None:
        super().__init__(code, field, message)
        self.code, self.field, self.message = code, field, message

    def __str__(self) -> str:
        return f"{self.code}: {self.field}: {self.message}"


class UndecodableRecord(ContractError):
    """Bytes that are no record of the schema they claim to follow."""


class IncompatibleSchema(ContractError):
    """A schema change that a released reader or writer cannot live with."""


class SettingsError(OctologError):
    """The configuration cannot work; the message says what to set."""


class NotFound(OctologError):
    """The thing asked for is not in the log."""


class BlobMissing(NotFound):
    """A record refers to a blob that the store does not have."""


class Refused(OctologError):
    """Understood, and the answer is no."""


class BudgetRefused(Refused):
    """A model call that would pass the attempt's allowance; it is never made."""


class BlobTooLarge(Refused):
    """A value is longer than the blob store takes."""


class Unavailable(OctologError):
    """A service is away; trying again can help."""

    retryable: ClassVar[bool] = True


class BrokerUnavailable(Unavailable):
    """Kafka does not answer."""


class StoreUnavailable(Unavailable):
    """DuckDB, Qdrant, Redis or a blob store does not answer."""


class Fenced(OctologError):
    """Another worker took over this slot; step down quietly."""


class LogCorrupted(OctologError):
    """The log contradicts itself; the message names the first difference."""


class BlobChanged(LogCorrupted):
    """A blob is not what its record refers to: edited, torn, or another one."""
