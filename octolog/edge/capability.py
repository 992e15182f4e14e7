"""What an arm can do, as JSON in seed A's names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from octolog.domain.arm import ArmCapability
from octolog.domain.ids import ArmId
from octolog.domain.rules import check_capability
from octolog.domain.values import DEFAULT_RETRY
from octolog.edge.document import parse_object
from octolog.edge.model import Edge, RetryEdge, build, object_json


def parse_capability(document: bytes | str | Mapping[str, object]) -> ArmCapability:
    """An arm's description from JSON text or a mapping.

    Raises:
        InvalidContract: For the first thing that is wrong.
    """
    edge = build(_Capability, parse_object(document, "arm"), lambda _: "INVALID_CAPABILITY")
    capability = edge.capability()
    check_capability(capability)
    return capability


class _Breaker(Edge):
    """When failures in a row keep work from an arm; names and defaults are the domain's."""

    noun: ClassVar[str] = "breaker"

    failures: int = 5
    reset_ms: int = 60_000
    probes: int = 3

    def fields(self) -> dict[str, int]:
        return {f"breaker_{name}": value for name, value in self.model_dump().items()}


class _Capability(Edge):
    noun: ClassVar[str] = "arm"

    arm_id: str
    name: str
    description: str
    capabilities: list[str]
    cost_tier: int
    input_schema: dict[str, Any] = Field(default_factory=dict)
    output_schema: dict[str, Any] = Field(default_factory=dict)
    endpoint: str = ""
    health_check_url: str = ""
    timeout_seconds: int = 30
    retry_policy: RetryEdge | None = None
    version: str = "0"
    max_concurrent_tasks: int = 10
    success_rate: float = 1.0
    breaker: _Breaker | None = None

    def capability(self) -> ArmCapability:
        return ArmCapability(
            arm_id=ArmId(self.arm_id),
            name=self.name,
            description=self.description,
            capabilities=tuple(self.capabilities),
            cost_tier=self.cost_tier,
            input_schema_json=object_json(self.input_schema),
            output_schema_json=object_json(self.output_schema),
            endpoint=self.endpoint,
            health_check_url=self.health_check_url,
            timeout_seconds=self.timeout_seconds,
            retry_policy=DEFAULT_RETRY if self.retry_policy is None else self.retry_policy.policy(),
            version=self.version,
            max_concurrent_tasks=self.max_concurrent_tasks,
            success_rate=self.success_rate,
            **({} if self.breaker is None else self.breaker.fields()),
        )
