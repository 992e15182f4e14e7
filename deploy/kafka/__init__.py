"""A real Apache Kafka (KRaft, one node) that needs neither Docker nor a system JDK."""

from deploy.kafka.broker import BrokerInfo, BrokerStatus, EmbeddedKafka
from deploy.kafka.errors import BrokerFailed, DiskFull, JarCorrupted, JarUnavailable, JavaMissing, PortInUse
from deploy.kafka.properties import Security

__all__ = [
    "BrokerFailed",
    "BrokerInfo",
    "BrokerStatus",
    "DiskFull",
    "EmbeddedKafka",
    "JarCorrupted",
    "JarUnavailable",
    "JavaMissing",
    "PortInUse",
    "Security",
]
