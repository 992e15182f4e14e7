"""What can go wrong with the embedded broker, each as one line that says what to do."""

from __future__ import annotations

from octolog.domain.errors import BrokerUnavailable, OctologError, SettingsError, Unavailable


class JarUnavailable(Unavailable):
    """A jar could not be fetched: no network, or the Maven repository does not answer."""


class JarCorrupted(OctologError):
    """A jar's bytes are not the locked ones, and a second fetch did not help."""


class DiskFull(OctologError):
    """No space, or no right, to write where octolog keeps its files."""


class PortInUse(SettingsError):
    """The port that was asked for belongs to another process."""


class JavaMissing(SettingsError):
    """No Java runtime where one was expected."""


class BrokerFailed(BrokerUnavailable):
    """The broker process ended, or never answered; the message quotes its log."""
