"""The HTTP bridge: any HTTP service as an arm (docs/reference/http-arm.md, docs/reference/http-arm.openapi.json).

| module | does |
|---|---|
| `protocol` | the JSON on the wire: what a service is asked, what it answers |
| `asked` | what an answer asks for besides its output: a plan, a subtask, a person, memories |
| `published` | its JSON Schemas, for the OpenAPI document |
| `description` | what a service says it can do (`GET /arm`) |
| `transport` | one request, bounded in time, size and kind |
| `breaker` | stops asking a service that keeps failing |
| `health` | `GET /health`, and what the registry is told of it |
| `forward` | an assignment there and its answer back; retries of what never arrived |
| `service` | all of it as an `Arm` that a host takes |
| `conformance` | the checks of `octolog arms check` |
"""

from arms.bridge.description import Description
from arms.bridge.service import bridged
from arms.bridge.settings import BridgeSettings

__all__ = ["BridgeSettings", "Description", "bridged"]
