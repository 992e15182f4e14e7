"""What a service says it can do: `GET /arm`, in the names of `octolog arms register`, and a little more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Final

from arms.bridge.protocol import USES
from arms.bridge.settings import BridgeSettings, shown_url
from octolog.domain.arm import ArmCapability
from octolog.domain.errors import InvalidContract
from octolog.domain.values import Amounts
from octolog.edge import parse_capability

__all__ = ["Description", "ModelUse", "Sample", "samples_of"]

_CODE: Final = "INVALID_CAPABILITY"
_FIELDS: Final = frozenset({
    "arm_id", "name", "description", "capabilities", "cost_tier", "input_schema", "output_schema", "timeout_seconds",
    "retry_policy", "version", "max_concurrent_tasks", "success_rate",
})  # fmt: skip
_MICROS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class ModelUse:
    """What one attempt may use of a model; reserved before the service is asked.

    Attributes:
        model: Its name.
        at_most: The most one attempt uses.
    """

    model: str
    at_most: Amounts


@dataclass(frozen=True, slots=True)
class Sample:
    """A task that the service can do, for `octolog arms check`.

    Attributes:
        goal: What is asked.
        context: Background.
        shows: What its answer asks for, one of `arms.bridge.protocol.USES`; empty: nothing.
        content: With a subtask: what it is said to have given.
    """

    goal: str
    context: Mapping[str, Any] = field(default_factory=dict)
    shows: str = ""
    content: str = "done"


@dataclass(frozen=True, slots=True)
class Description:
    """A service as it describes itself.

    Attributes:
        capability: What the registry is told.
        model_use: Set when it calls models, whose use it reports.
        samples: Tasks to try it with.
        uses: What its answers may ask for, of `arms.bridge.protocol.USES`.
        unknown_uses: What it names besides.
    """

    capability: ArmCapability
    model_use: ModelUse | None = None
    samples: tuple[Sample, ...] = ()
    uses: tuple[str, ...] = ()
    unknown_uses: tuple[str, ...] = ()

    @classmethod
    def of(cls, document: object, settings: BridgeSettings) -> Description:
        """Read a description; fields that are not known are passed over.

        Args:
            document: Parsed JSON.
            settings: Where it comes from.

        Raises:
            InvalidContract: INVALID_CAPABILITY: it is none, or a value is out of bounds.
        """
        if not isinstance(document, dict):
            raise InvalidContract(_CODE, "arm", "GET /arm must answer with a JSON object")
        known = {name: value for name, value in document.items() if name in _FIELDS}
        if settings.arm_id is not None:
            known["arm_id"] = settings.arm_id
        place = shown_url(settings.url)
        # Without a URL for it, the arm's health is the bridge's heartbeats and what the bridge says of it.
        health = f"{place}/health" if settings.probed else ""
        capability = replace(parse_capability(known), endpoint=f"{place}/execute", health_check_url=health)
        said = _uses(document.get("uses"))
        return cls(
            capability,
            _model_use(document.get("model_use")),
            samples_of(document.get("samples")),
            tuple(name for name in USES if name in said),
            tuple(name for name in said if name not in USES),
        )


def _uses(said: object) -> list[str]:
    if said is None:
        return []
    if not isinstance(said, list) or not all(isinstance(name, str) for name in said):
        raise InvalidContract(_CODE, "uses", f"must be an array with some of {', '.join(USES)}")
    return said


def _model_use(said: object) -> ModelUse | None:
    if said is None:
        return None
    if not isinstance(said, dict) or not isinstance(said.get("model"), str):
        raise InvalidContract(_CODE, "model_use", 'needs a "model"')
    tokens = _count(said, "max_tokens")
    cost = said.get("max_cost_dollars", 0)
    if isinstance(cost, bool) or not isinstance(cost, int | float) or not 0 <= cost <= _MICROS:
        raise InvalidContract(_CODE, "model_use.max_cost_dollars", f"needs a number from 0 to {_MICROS}")
    micros = int(Decimal(str(cost)) * _MICROS)
    return ModelUse(said["model"], Amounts(tokens, 0, micros, max(1, _count(said, "max_calls"))))


def _count(said: Mapping[str, Any], name: str) -> int:
    value = said.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**40:
        raise InvalidContract(_CODE, f"model_use.{name}", "needs a whole number, 0 or more")
    return value


def samples_of(said: object) -> tuple[Sample, ...]:
    """Sample tasks from parsed JSON.

    Raises:
        InvalidContract: They are none.
    """
    if said is None:
        return ()
    if not isinstance(said, list):
        raise InvalidContract(_CODE, "samples", "must be an array")
    found = []
    for index, item in enumerate(said):
        goal, context = (item.get("goal"), item.get("context", {})) if isinstance(item, dict) else (None, {})
        if not isinstance(goal, str) or not isinstance(context, dict):
            raise InvalidContract(_CODE, f"samples[{index}]", 'needs a "goal" (text) and perhaps a "context"')
        shows, content = item.get("shows", ""), item.get("content", "done")
        if not isinstance(shows, str) or not isinstance(content, str):
            raise InvalidContract(_CODE, f"samples[{index}]", '"shows" and "content" are texts')
        found.append(Sample(goal, context, shows, content))
    return tuple(found)
