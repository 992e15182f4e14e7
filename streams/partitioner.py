"""Which partition a key lies in: the rule of Kafka's Java client, which octolog's producers use as well.

Source: `org.apache.kafka.common.utils.Utils.murmur2` and `BuiltInPartitioner.partitionForKey`, Apache Kafka 4.
"""

from __future__ import annotations

from typing import Final

_SEED: Final = 0x9747B28C
_M: Final = 0x5BD1E995
_MASK: Final = 0xFFFFFFFF
_SIGN: Final = 0x7FFFFFFF


def murmur2(data: bytes) -> int:
    """The 32-bit hash of Kafka's partitioner, as an unsigned number."""
    length = len(data)
    h = (_SEED ^ length) & _MASK
    whole = length - length % 4
    for index in range(0, whole, 4):
        k = int.from_bytes(data[index : index + 4], "little") * _M & _MASK
        k = (k ^ k >> 24) * _M & _MASK
        h = (h * _M & _MASK) ^ k
    rest = data[whole:]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return h ^ h >> 15


def partition_for(key: bytes | str, partitions: int) -> int:
    """The partition, from 0, of a topic with so many partitions that a record with this key lies in."""
    data = key.encode() if isinstance(key, str) else key
    return (murmur2(data) & _SIGN) % partitions
