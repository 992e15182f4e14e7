"""The schemas a host needs, registered before the first assignment: an id that is asked for later stops the loop."""

from __future__ import annotations

from typing import Final

from arms.arm import Arm
from octolog.domain.arm import ArmHealthChanged, ArmHeartbeat, ArmRegistered, Health
from octolog.domain.assignment import AttemptAssignment, AttemptRevoked
from octolog.domain.ids import ArmId, AttemptId, TaskId
from octolog.domain.reports import (
    AttemptHeartbeat,
    AttemptStarted,
    ContextRecalled,
    ExecutionResult,
    HandlerMetrics,
    ModelCallIntended,
    ResourceUsed,
    ResultStatus,
)
from octolog.domain.tasksystem import ResourceLimits, ResourceMetrics
from octolog.domain.values import NO_LIMITS, NOTHING, Provenance
from schemas.codec import Codec

__all__ = ["warm"]

_ROOT: Final = TaskId("t")


def warm(codec: Codec, arm: Arm) -> None:
    """Encode one of each report and decode one of each command; nothing is written but schemas."""
    attempt = AttemptId("a")
    arm_id = ArmId(arm.arm_id)
    own = (_ROOT, _ROOT, attempt, arm_id)
    provenance = Provenance(arm_id, 0, "0" * 64)
    for report in (
        AttemptStarted(*own, ""),
        AttemptHeartbeat(*own, ""),
        ExecutionResult(*own, ResultStatus.SUCCESS, "", 1.0, 0, 0, provenance),
        ModelCallIntended(*own, 1, "", NOTHING),
        ResourceUsed(*own, 1, "", NOTHING),
        HandlerMetrics(*own, "", ResourceLimits(0, 0), ResourceMetrics(0, 0, None, 0, 0, 0)),
        ContextRecalled(*own, False, ""),  # noqa: FBT003 -- one of each
        ArmRegistered(arm.capability, ""),
        ArmHeartbeat(arm_id, "", 0, 0),
        ArmHealthChanged(arm_id, Health.UNAVAILABLE, Health.HEALTHY, ""),
    ):
        codec.encode(report)
    for command in (
        AttemptAssignment(
            _ROOT, _ROOT, attempt, 1, arm_id, "", "{}", "{}", (), (), NO_LIMITS, 5, 0, 1, 1, ""
        ),
        AttemptRevoked(*own, ""),
    ):
        codec.decode(codec.encode(command))
