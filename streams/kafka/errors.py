"""confluent-kafka's errors, judged: what to do next, and in our words.

Three kinds come out of transactional calls (librdkafka's INTRODUCTION.md): `retriable` means the same call
again; `txn_requires_abort` means abort and restore; anything else, and every time-out, means that nobody knows
what happened, so the producer is thrown away and a new one fences it.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from confluent_kafka import KafkaError, KafkaException

from octolog.domain.errors import BrokerUnavailable, OctologError


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


def translated(error: KafkaException, doing: str) -> OctologError:
    """The error in our words, one line."""
    code: KafkaError = error.args[0]
    return BrokerUnavailable(f"Kafka, while {doing}: {code.str()}")


def ignorable(error: KafkaError) -> bool:
    """True for what a consumer reports in passing and gets over by itself."""
    return not error.fatal()
