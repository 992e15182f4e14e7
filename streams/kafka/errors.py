"""confluent-kafka's errors, judged: what to do next, and in our words.

Three kinds come out of transactional calls (librdkafka's INTRODUCTION.md): `retriable` means the same call
again; `txn_requires_abort` means abort and restore; anything else, and every time-out, means that nobody knows
what happened, so the producer is thrown away and a new one fences it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import Enum
from typing import Final, TypeVar

from confluent_kafka import KafkaError, KafkaException

from octolog.domain.errors import BrokerUnavailable, OctologError

T = TypeVar("T")
_FIRST_PIECE_S: Final = 0.5


class Verdict(Enum):
    """What a failed call asks for."""

    RETRY = "retry"
    ABORT = "abort"
    REPLACE = "replace"
    STEP_DOWN = "step down"


_FENCED: Final = frozenset(
    {
        KafkaError._FENCED,  # noqa: SLF001 -- librdkafka's local codes have no public name
        KafkaError._FATAL,  # noqa: SLF001
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.TRANSACTION_COORDINATOR_FENCED,
    }
)
_REALLY_FENCED: Final = _FENCED - {KafkaError._FATAL}  # noqa: SLF001
_TIMED_OUT: Final = frozenset(
    {KafkaError._TIMED_OUT, KafkaError.REQUEST_TIMED_OUT, KafkaError._MSG_TIMED_OUT}  # noqa: SLF001
)

_REFUSED: Final = frozenset(
    {
        KafkaError._AUTHENTICATION,  # noqa: SLF001
        KafkaError._SSL,  # noqa: SLF001
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
        KafkaError.ILLEGAL_SASL_STATE,
    }
)

_TRANSIENT: Final = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError._TRANSPORT,  # noqa: SLF001
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
        KafkaError._WAIT_COORD,  # noqa: SLF001
    }
)


def transient(error: KafkaException) -> bool:
    """True for what passes by itself in moments: a broker that starts, a partition without a leader yet."""
    code: KafkaError = error.args[0]
    return code.code() in _TRANSIENT or code.retriable()


def judge(error: KafkaException) -> Verdict:
    """What a failed transactional call asks for."""
    code: KafkaError = error.args[0]
    if code.code() in _REALLY_FENCED:
        return Verdict.STEP_DOWN
    if code.code() in _TIMED_OUT or code.fatal():
        return Verdict.REPLACE
    if code.txn_requires_abort():
        return Verdict.ABORT
    if code.retriable():
        return Verdict.RETRY
    return Verdict.REPLACE


class Refusals:
    """Why a broker did not let a client in: requests say "transport failure" alone, and this comes beside.

    Its `hear` is the client's `error_cb`; that is called out of a poll, so whoever asks must have polled.
    """

    def __init__(self) -> None:
        self.last = ""

    def hear(self, error: KafkaError) -> None:
        """Keep what is about passwords and certificates; whatever else happens passes by itself."""
        if error.code() in _REFUSED:
            self.last = " ".join(error.str().split())


def asked(
    request: Callable[[float], T], timeout_s: float, refusals: Refusals, poll: Callable[[float], object]
) -> T:
    """The answer to a request, asked for again after growing pauses so that a refusal is heard early.

    Args:
        request: Takes a time-out, seconds.
        timeout_s: In all.
        refusals: Of the client that is asked.
        poll: That client's.

    Raises:
        KafkaException: When it was refused, or did not answer in time.
    """
    until_s, piece_s = time.monotonic() + timeout_s, _FIRST_PIECE_S
    while True:
        try:
            return request(min(piece_s, max(_FIRST_PIECE_S, until_s - time.monotonic())))
        except KafkaException:
            poll(0)
            if refusals.last or time.monotonic() >= until_s:
                raise
            piece_s *= 2


def translated(error: KafkaException, doing: str, refusals: Refusals | None = None) -> OctologError:
    """The error in our words, one line."""
    code: KafkaError = error.args[0]
    reason = (refusals.last if refusals is not None else "") or code.str()
    return BrokerUnavailable(f"Kafka, while {doing}: {reason}")
