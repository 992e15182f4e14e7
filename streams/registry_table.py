"""The registry as a global table: every worker folds the whole `octolog.arms` topic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import get_args

from octolog.domain.arm import ArmEvent
from octolog.domain.errors import UndecodableRecord
from octolog.domain.ids import ArmId
from octolog.domain.registry import Registry, evolve_registry
from octolog.domain.security import SecurityEvent
from octolog.ports import LogRecord
from schemas.codec import Codec

_EVENTS = get_args(ArmEvent) + get_args(SecurityEvent)


class RegistryTable:
    """Folds registry records; tells of arms it had not seen.

    Args:
        codec: Decodes the records.
        on_new_arm: Called once per arm when it first appears, before it can be routed to.
        on_unusable: Called with a record that is no registry fact, and why.
    """

    def __init__(
        self,
        codec: Codec,
        on_new_arm: Callable[[ArmId], None],
        on_unusable: Callable[[LogRecord, UndecodableRecord], None],
    ) -> None:
        self._codec, self._on_new_arm, self._on_unusable = codec, on_new_arm, on_unusable
        self.registry = Registry()

    def apply(self, records: list[LogRecord]) -> bool:
        """Fold records in offset order; True when something changed that routing reads.

        What was folded before is passed over. So when `on_new_arm` fails, the same records may be given again.
        """
        arms, security = self.registry.arms, self.registry.security
        for record in records:
            if record.offset < self.registry.offset:
                continue
            try:
                event = self._codec.decode(record.value)
                if not isinstance(event, _EVENTS):
                    raise UndecodableRecord(f"a {type(event).__name__} does not belong in {record.topic}")
            except UndecodableRecord as error:
                self._on_unusable(record, error)
                self.registry = replace(self.registry, offset=record.offset + 1)
                continue
            evolved = evolve_registry(self.registry, event, record.offset, record.timestamp_ms)
            for arm_id in evolved.arms.keys() - self.registry.arms.keys():
                self._on_new_arm(arm_id)
            self.registry = evolved
        return self.registry.arms is not arms or self.registry.security is not security
