"""Keys lie where Kafka's own clients put them."""

from __future__ import annotations

import pytest

from streams.partitioner import murmur2, partition_for

# Apache Kafka, clients/src/test/java/org/apache/kafka/common/utils/UtilsTest.java, testMurmur2 (signed there).
VECTORS = [
    (b"21", -973932308),
    (b"foobar", -790332482),
    (b"a-little-bit-long-string", -985981536),
    (b"a-little-bit-longer-string", -1486304829),
    (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
    (b"abc", 479470107),
]


@pytest.mark.parametrize(("key", "signed"), VECTORS)
def test_the_hash_is_the_java_clients(key: bytes, signed: int) -> None:
    assert murmur2(key) == signed % 2**32


@pytest.mark.parametrize(("key", "signed"), VECTORS)
def test_the_partition_is_the_hash_without_its_sign(key: bytes, signed: int) -> None:
    assert partition_for(key, 12) == (signed & 0x7FFFFFFF) % 12


def test_text_and_its_bytes_lie_together() -> None:
    assert partition_for("aufgabe-ü", 7) == partition_for("aufgabe-ü".encode(), 7)


def test_one_partition_takes_all() -> None:
    assert {partition_for(f"task-{n}", 1) for n in range(50)} == {0}
