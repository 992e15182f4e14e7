"""Values that several records share: budgets, retry rules, errors, provenance.

Every class here and in the record modules beside it has an Avro schema of the same name under
`schemas/avro/`; a test holds the two together, field by field.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Final

from octolog.domain.quick import quick


class Resource(StrEnum):
    """What a budget limits."""

    UNKNOWN = "UNKNOWN"
    TOKENS = "TOKENS"
    TIME = "TIME"
    COST = "COST"
    CALLS = "CALLS"


class Category(StrEnum):
    """What kind of failure it was; decides whether a retry can help. Source: seed A."""

    UNKNOWN = "UNKNOWN"
    VALIDATION = "VALIDATION"
    AUTHENTICATION = "AUTHENTICATION"
    AUTHORIZATION = "AUTHORIZATION"
    NOT_FOUND = "NOT_FOUND"
    RATE_LIMIT = "RATE_LIMIT"
    TIMEOUT = "TIMEOUT"
    INTERNAL = "INTERNAL"
    EXTERNAL = "EXTERNAL"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds; None means no limit.

    Attributes:
        max_tokens: Model tokens, prompt and completion together.
        max_time_ms: Working time of arms, milliseconds, summed over attempts from assignment to result.
        max_cost_micros: Money, in millionths of a US dollar.
        max_llm_calls: Model calls.
    """

    schema_name: ClassVar[str] = "octolog.contract.Limits"
    max_tokens: int | None = None
    max_time_ms: int | None = None
    max_cost_micros: int | None = None
    max_llm_calls: int | None = None


@quick
@dataclass(frozen=True, slots=True)
class Amounts:
    """Use of each limited resource.

    Attributes:
        tokens: Model tokens.
        time_ms: Working time, milliseconds.
        cost_micros: Money, in millionths of a US dollar.
        calls: Model calls.
    """

    schema_name: ClassVar[str] = "octolog.contract.Amounts"
    tokens: int = 0
    time_ms: int = 0
    cost_micros: int = 0
    calls: int = 0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How transient failures of an attempt are repeated. Source: seed A.

    Attributes:
        max_attempts: Attempts in all, the first included.
        base_ms: Delay before the second attempt, milliseconds, before jitter.
        factor: Growth of the delay from one attempt to the next.
        cap_ms: Longest delay before jitter, milliseconds.
        jitter_low: Smallest multiplier of a delay.
        jitter_high: Largest multiplier of a delay.
    """

    schema_name: ClassVar[str] = "octolog.contract.RetryPolicy"
    max_attempts: int = 3
    base_ms: int = 1_000
    factor: float = 2.0
    cap_ms: int = 10_000
    jitter_low: float = 0.5
    jitter_high: float = 1.5


class TaskErrorType(StrEnum):
    """The four members of the task system's error union, and one marked extension. Source: seed B."""

    UNKNOWN = "UNKNOWN"
    RESOURCE_EXHAUSTION = "RESOURCE_EXHAUSTION"
    INVALID_OUTPUT = "INVALID_OUTPUT"
    VALIDATION_ERROR = "VALIDATION_ERROR"
    XML_PARSE_ERROR = "XML_PARSE_ERROR"
    TASK_FAILURE = "TASK_FAILURE"


@dataclass(frozen=True, slots=True)
class TaskError:
    """A structured error of the task system, flattened: a field is null where its member has none.

    Attributes:
        type: Which member of the union.
        message: What went wrong, one line.
        resource: RESOURCE_EXHAUSTION: `turns`, `context` or `output`.
        used: RESOURCE_EXHAUSTION: units used.
        limit: RESOURCE_EXHAUSTION: units allowed.
        violations: INVALID_OUTPUT: each rule the output broke.
        path: VALIDATION_ERROR: where in the document.
        invalid_model: VALIDATION_ERROR: True when the model id is unknown.
        location: XML_PARSE_ERROR: `line:column`.
        reason: TASK_FAILURE: one of seed B's ten reasons.
    """

    schema_name: ClassVar[str] = "octolog.tasksystem.TaskError"
    type: TaskErrorType
    message: str
    resource: str | None = None
    used: int | None = None
    limit: int | None = None
    violations: tuple[str, ...] = ()
    path: str | None = None
    invalid_model: bool | None = None
    location: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class BlobRef:
    """A claim check: where a large value lies, and how to know it is the one.

    Attributes:
        sha256: Lowercase hex SHA-256 of the bytes; also the blob's name in the store.
        size_bytes: Length of the value in bytes.
        media_type: IANA media type, e.g. `application/json`.
    """

    schema_name: ClassVar[str] = "octolog.contract.BlobRef"
    sha256: str
    size_bytes: int
    media_type: str


@dataclass(frozen=True, slots=True)
class CapabilityShown:
    """The capability token that an attempt had, as its host saw it before the arm acted; the token itself is nowhere.

    Attributes:
        token_sha256: SHA-256 of the token, lowercase hex; empty: the assignment carried none.
        key_id: The key that signed it, SHA-256 of its public half, lowercase hex; empty: it names none.
        policy: The security policy it is for.
        policy_version: That policy's version.
        issued_ms: Since when it is good, milliseconds since the epoch, the broker's clock; 0: it does not say.
        expires_ms: Until when; 0 likewise.
        checked_ms: When the host looked at it, milliseconds since the epoch, the host's clock.
        accepted: Whether the arm could act on it. What is told of a token that was not accepted is its own claim.
    """

    schema_name: ClassVar[str] = "octolog.result.CapabilityShown"
    token_sha256: str
    key_id: str
    policy: str
    policy_version: int
    issued_ms: int
    expires_ms: int
    checked_ms: int
    accepted: bool


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a result comes from (seed A, ProvenanceMetadata).

    Attributes:
        arm_id: The arm that made the result.
        timestamp_ms: When the arm finished, milliseconds since the epoch, the arm's clock.
        command_hash: Lowercase hex SHA-256 of the command executed.
        data_sources: URLs, file paths and the like that were read.
        model_version: Model that answered, if any.
        tests_passed: Names of the checks the result passed.
        input_hash: Lowercase hex SHA-256 of the assignment's goal, context and inputs.
        output_hash: Lowercase hex SHA-256 of the output.
        capability: The capability token that the arm acted on, or did not; None: none was asked for.
    """

    schema_name: ClassVar[str] = "octolog.result.ProvenanceMetadata"
    arm_id: str
    timestamp_ms: int
    command_hash: str
    data_sources: tuple[str, ...] = ()
    model_version: str | None = None
    tests_passed: tuple[str, ...] = field(default=())
    input_hash: str | None = None
    output_hash: str | None = None
    capability: CapabilityShown | None = None


NO_LIMITS: Final = Limits()
NOTHING: Final = Amounts()
DEFAULT_RETRY: Final = RetryPolicy()
