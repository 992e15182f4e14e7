"""Faust's one home: a worker process that hosts arms.

Faust gives the process its life: the app, its services and timers, signals, the web view. What Faust's streams would
do wrong is done here: assignments are read with aiokafka, the consumer under Faust, at read_committed, and an
assignment is acknowledged when its result is in the log, never past one that is not (`arms.host.places`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from arms.host.settings import HostSettings

if TYPE_CHECKING:
    from arms.arm import Arm
    from arms.model import Model
    from octolog.ports import BlobStore, Publisher
    from schemas.codec import Codec

__all__ = ["HostSettings", "run_host"]


def run_host(
    settings: HostSettings,
    arms: Sequence[Arm],
    publisher: Publisher,
    codec: Codec,
    *,
    model: Model | None = None,
    blobs: BlobStore | None = None,
    on_registered: Callable[[], None] | None = None,
) -> None:
    """Host arms in this process until SIGTERM or SIGINT; then end within about 3 s.

    The publisher stays open: whoever made it closes it. Without `blobs`, values that are too large for a record are
    neither read nor written, and an attempt that needs them fails. `on_registered` is called on the host's loop, once
    all arms take work and their registrations are on their way to the log.

    Raises:
        SettingsError: There is no arm, none that can do without a model where none is set, or two have the same id.
        BrokerUnavailable: Kafka does not answer at the start.
    """
    from arms.host.worker import serve  # Faust takes most of a second to import

    serve(settings, arms, publisher, codec, model, blobs, on_registered)
