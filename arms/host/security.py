"""Security settings of Kafka, from librdkafka's names (as in `OCTOLOG_KAFKA_*`) to those of the client under Faust."""

from __future__ import annotations

from collections.abc import Mapping
from ssl import CERT_NONE, SSLContext, create_default_context
from typing import Any, Final

__all__ = ["security"]

_NAMES: Final = {
    "security.protocol": "security_protocol",
    "sasl.mechanism": "sasl_mechanism",
    "sasl.mechanisms": "sasl_mechanism",
    "sasl.username": "sasl_plain_username",
    "sasl.password": "sasl_plain_password",
    "sasl.kerberos.service.name": "sasl_kerberos_service_name",
}


def security(kafka: Mapping[str, str]) -> dict[str, Any]:
    """The same settings for aiokafka; what does not concern security is left out."""
    given = {name.replace("_", ".").lower(): value for name, value in kafka.items()}
    settings: dict[str, Any] = {_NAMES[name]: value for name, value in given.items() if name in _NAMES}
    protocol = str(settings.get("security_protocol", "")).upper()
    if protocol:
        settings["security_protocol"] = protocol
    if protocol.endswith("SSL"):
        settings["ssl_context"] = _context(given)
    return settings


def _context(given: Mapping[str, str]) -> SSLContext:
    context = create_default_context(cafile=given.get("ssl.ca.location"))
    if given.get("ssl.certificate.location"):
        context.load_cert_chain(
            given["ssl.certificate.location"], given.get("ssl.key.location"), given.get("ssl.key.password")
        )
    if given.get("ssl.endpoint.identification.algorithm") == "none":
        context.check_hostname = False
    if given.get("enable.ssl.certificate.verification") == "false":
        context.check_hostname, context.verify_mode = False, CERT_NONE
    return context
