"""The edge: what people and programs hand in, read strictly, and turned into the domain's values.

Everything wrong is refused here in one line that names the field, the value and the bound, before anything is
produced. The task processor checks the same bounds again (`octolog.domain.rules`): anyone may write to a topic.
"""

from octolog.edge.capability import parse_capability
from octolog.edge.contract import Request, parse_contract
from octolog.edge.document import MAX_DOCUMENT_BYTES, canonical_json, read_bounded
from octolog.edge.policy import parse_policy, policy_document
from octolog.edge.uuid7 import uuid7

__all__ = [
    "MAX_DOCUMENT_BYTES",
    "Request",
    "canonical_json",
    "parse_capability",
    "parse_contract",
    "parse_policy",
    "policy_document",
    "read_bounded",
    "uuid7",
]
