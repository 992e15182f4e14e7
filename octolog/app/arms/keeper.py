"""The registry's keeper in a node: a thread of its knowledge process."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Final

from octolog.app.arms.prober import HttpProber
from octolog.app.connection import Connection
from octolog.app.settings import Settings
from octolog.domain.errors import BrokerUnavailable, OctologError
from octolog.domain.health import Record
from octolog.domain.ids import ArmId
from octolog.edge import uuid7
from streams.registry_keeper import RegistryKeeper

_PAUSE_S: Final = 1.0
_STOP_S: Final = 4.0
_log: Final = logging.getLogger(__name__)


class KeeperThread:
    """Keeps the registry until told to stop; waits out a broker that is away.

    Args:
        settings: Which cluster.
        stop: Says when to end.
        records: How arms' attempts went.
    """

    def __init__(
        self, settings: Settings, stop: Callable[[], bool], records: Callable[[], Mapping[ArmId, Record]]
    ) -> None:
        self._settings, self._stop, self._records = settings, stop, records
        self._thread = threading.Thread(target=self._run, name="registry-keeper", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self) -> None:
        """Wait until it has left its group, within bounds."""
        self._thread.join(_STOP_S)

    def _run(self) -> None:
        member = f"{socket.gethostname()}-{uuid7()}"
        prober = HttpProber()
        while not self._stop():
            try:
                with Connection(self._settings) as connection:
                    keeper = RegistryKeeper(
                        connection.kafka, connection.codec(), member, prober, records=self._records
                    )
                    keeper.run(self._stop)
            except BrokerUnavailable as error:
                _log.info("the registry's keeper waits: %s", error)
            except OctologError as error:
                _log.error("the registry's keeper begins anew: %s", error)
            threading.Event().wait(_PAUSE_S)
        prober.close()
