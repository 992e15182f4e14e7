"""The notary of a node: a thread of its knowledge process that signs what the facts add up to."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from octolog.app.audit.verification import log_source
from octolog.app.connection import Connection
from octolog.app.settings import Settings
from octolog.domain.errors import BrokerUnavailable, OctologError
from streams.notary.keys import KeyRing
from streams.notary.notary import Notary

_PAUSE_S: Final = 1.0
_STOP_S: Final = 4.0
_log: Final = logging.getLogger(__name__)


def keys_of(settings: Settings) -> KeyRing:
    """The notary's keys in this home."""
    return KeyRing(keys_dir(settings))


def keys_dir(settings: Settings) -> Path:
    """Where they lie: `keys` in the home, for its owner's eyes alone."""
    return settings.home / "keys"


class NotaryThread:
    """Signs until told to stop; waits out a broker that is away.

    Args:
        settings: Which cluster, and where the keys lie.
        stop: Says when to end.
    """

    def __init__(self, settings: Settings, stop: Callable[[], bool]) -> None:
        self._settings, self._stop = settings, stop
        self._thread = threading.Thread(target=self._run, name="notary", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self) -> None:
        """Wait for the last signature, within bounds."""
        self._thread.join(_STOP_S)

    def _run(self) -> None:
        while not self._stop():
            try:
                with Connection(self._settings) as connection:
                    publisher = connection.publisher(background=True)
                    Notary(log_source(connection), publisher, keys_of(self._settings)).run(self._stop)
            except BrokerUnavailable as error:
                _log.info("the notary waits: %s", error)
            except OctologError as error:
                _log.error("the notary cannot sign: %s", error)
            threading.Event().wait(_PAUSE_S)
