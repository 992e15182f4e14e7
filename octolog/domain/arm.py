"""Arms: what they can do, and what the registry is told (`octolog.arms`)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, TypeAlias

from octolog.domain.ids import ArmId, AttemptId, TaskId
from octolog.domain.values import DEFAULT_RETRY, RetryPolicy


class Health(StrEnum):
    """How an arm answers.."""

    UNKNOWN = "UNKNOWN"
    HEALTHY = "HEALTHY"
    DEGRADED = "DEGRADED"
    UNAVAILABLE = "UNAVAILABLE"


class BreakerState(StrEnum):
    """Whether an arm gets attempts, by how its last ones went."""

    UNKNOWN = "UNKNOWN"
    CLOSED = "CLOSED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"


@dataclass(frozen=True, slots=True)
class ArmCapability:
    """What an arm can do and what it costs (seed A).

    Attributes:
        arm_id: Lowercase words with hyphens.
        name: For people, 1 to 100 characters.
        description: For people, up to 500 characters.
        input_schema_json: JSON Schema of the assignment's context.
        output_schema_json: JSON Schema of the output.
        capabilities: Tags for routing, at least one.
        cost_tier: 1 (cheap) to 5 (expensive).
        endpoint: URL of an HTTP arm; empty for an arm that pulls from its topic.
        health_check_url: URL probed for health; empty for an arm that sends heartbeats.
        timeout_seconds: Longest run of one attempt, seconds, 1 to 300.
        retry_policy: How the arm wants transient failures repeated.
        version: The arm's own version.
        max_concurrent_tasks: Attempts the arm works on at once.
        success_rate: Prior for routing, 0.0 to 1.0, until results speak.
        breaker_failures: Failures in a row that open the circuit breaker; 0: it has none.
        breaker_reset_ms: How long it stays open before probes are sent, milliseconds.
        breaker_probes: Probes in a row that must succeed to close it.
    """

    schema_name: ClassVar[str] = "octolog.arm.ArmCapability"
    arm_id: ArmId
    name: str
    description: str
    capabilities: tuple[str, ...]
    cost_tier: int
    input_schema_json: str = "{}"
    output_schema_json: str = "{}"
    endpoint: str = ""
    health_check_url: str = ""
    timeout_seconds: int = 30
    retry_policy: RetryPolicy = DEFAULT_RETRY
    version: str = "0"
    max_concurrent_tasks: int = 10
    success_rate: float = 1.0
    breaker_failures: int = 5
    breaker_reset_ms: int = 60_000
    breaker_probes: int = 3


@dataclass(frozen=True, slots=True)
class ArmRegistered:
    """An arm joined the registry, or changed what it can do.

    Attributes:
        capability: The whole of it; replaces an earlier one of the same id.
        registered_by: Who says so.
    """

    schema_name: ClassVar[str] = "octolog.arm.ArmRegistered"
    capability: ArmCapability
    registered_by: str


@dataclass(frozen=True, slots=True)
class ArmHeartbeat:
    """A process of an arm is alive.

    Attributes:
        arm_id: The arm.
        instance_id: Which process.
        running: Attempts it works on.
        held: Attempts it holds, those in work included.
    """

    schema_name: ClassVar[str] = "octolog.arm.ArmHeartbeat"
    arm_id: ArmId
    instance_id: str
    running: int
    held: int


@dataclass(frozen=True, slots=True)
class ArmHealthChanged:
    """An arm's health is another one than before.

    Attributes:
        arm_id: The arm.
        health: The new health.
        before: The old one.
        reason: What was seen.
    """

    schema_name: ClassVar[str] = "octolog.arm.ArmHealthChanged"
    arm_id: ArmId
    health: Health
    before: Health
    reason: str


@dataclass(frozen=True, slots=True)
class ArmRetired:
    """An arm left the registry for good; it gets no more attempts.

    Attributes:
        arm_id: The arm.
        reason: Why.
        retired_by: Who says so.
    """

    schema_name: ClassVar[str] = "octolog.arm.ArmRetired"
    arm_id: ArmId
    reason: str
    retired_by: str


@dataclass(frozen=True, slots=True)
class ArmCallCounted:
    """An attempt's end counts for its arm's circuit breaker. Written with the fact that ended the attempt.

    Failures always; successes only while failures of the arm are known.

    Attributes:
        arm_id: The arm.
        root_task_id: The tree.
        attempt_id: The attempt.
        partition: Partition of the fact that ended it.
        position: Number of that fact in its partition.
        failed: True when the arm is at fault, False when it answered as it should.
        error_code: Upper snake case; empty for a success.
        assigned_ms: When the attempt was assigned, milliseconds since the epoch.
        at_ms: When it ended, by the broker's clock.
    """

    schema_name: ClassVar[str] = "octolog.arm.ArmCallCounted"
    arm_id: ArmId
    root_task_id: TaskId
    attempt_id: AttemptId
    partition: int
    position: int
    failed: bool
    error_code: str
    assigned_ms: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class ArmBreakerChanged:
    """An arm's circuit breaker is in another state than before.

    OPEN and CLOSED follow from counted calls and are said for those who read; HALF_OPEN says that the time came.

    Attributes:
        arm_id: The arm.
        state: The new state.
        before: The old one.
        cause_offset: The registry fact that decided it; for HALF_OPEN the one that had opened it.
        reason: What was seen.
    """

    schema_name: ClassVar[str] = "octolog.arm.ArmBreakerChanged"
    arm_id: ArmId
    state: BreakerState
    before: BreakerState
    cause_offset: int
    reason: str


@dataclass(frozen=True, slots=True)
class ArmRated:
    """What an arm's results say of it by now; routing goes by it in place of the prior.

    Attributes:
        arm_id: The arm.
        attempts: Attempts that ended, those cancelled left out.
        success_rate: Succeeded of those, 0.0 to 1.0, the prior counted as ten more.
        p95_ms: 95th percentile of its working time, milliseconds; 0 without one.
        cost_micros: Mean cost of an attempt, millionths of a US dollar.
    """

    schema_name: ClassVar[str] = "octolog.arm.ArmRated"
    arm_id: ArmId
    attempts: int
    success_rate: float
    p95_ms: int
    cost_micros: int


ArmEvent: TypeAlias = (
    ArmRegistered
    | ArmHeartbeat
    | ArmHealthChanged
    | ArmRetired
    | ArmCallCounted
    | ArmBreakerChanged
    | ArmRated
)
