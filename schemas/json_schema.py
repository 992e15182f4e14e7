"""JSON Schemas of arms: the one home of jsonschema. A schema is compiled once, whoever asks and how often.

What is wrong is said in words of our own, with the path and never with the value: facts repeat them, and a fact
must come out the same whichever version of the library decides it again.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any, Final

import orjson

from octolog.domain.arm import ArmCapability
from octolog.domain.border import ANYTHING
from octolog.domain.errors import InvalidContract

__all__ = ["ANYTHING", "check_schema", "check_schemas", "fault_in"]

_MAX_SHOWN_CHARS: Final = 120
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


def fault_in(schema_json: str, document_json: str) -> str | None:
    """The first fault of a document by path and keyword, e.g. `.items[2].name: breaks minLength 3`; None: it fits.

    A schema that cannot be used is a fault of every document: what nobody can check is not let through.
    """
    if schema_json == ANYTHING:
        return None
    try:
        document = orjson.loads(document_json)
    except ValueError:
        return ": is no JSON"
    try:
        faults = [_fault(error) for error in _compiled(schema_json).iter_errors(document)]
    except InvalidContract as broken:
        return f": cannot be checked, the schema {broken.message}"
    except Exception as error:  # noqa: BLE001 -- a reference to nowhere, a pattern that is none: each has its own class
        return f": cannot be checked, the schema is at fault: {type(error).__name__}"
    return min(faults, default=None)


def check_schema(field: str, schema_json: str) -> None:
    """Raise InvalidContract (INVALID_CAPABILITY) for what is no JSON Schema, or refers to anything outside itself."""
    if schema_json == ANYTHING:
        return
    try:
        _compiled(schema_json)
    except InvalidContract as broken:
        raise InvalidContract(broken.code, field, broken.message) from None


def check_schemas(capability: ArmCapability) -> None:
    """Raise InvalidContract when an arm's input or output schema is none that documents can be held against."""
    check_schema("input_schema", capability.input_schema_json)
    check_schema("output_schema", capability.output_schema_json)


@lru_cache(maxsize=1_024)
def _compiled(schema_json: str) -> Any:
    # Here, because it takes a tenth of a second and most arms have no schema. It has no types; none leave this module.
    from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # as above
    from jsonschema.exceptions import SchemaError  # type: ignore[import-untyped]  # as above
    from jsonschema.validators import validator_for  # type: ignore[import-untyped]  # as above
    from referencing import Registry

    schema = orjson.loads(schema_json)
    for reference in _references(schema):
        if not reference.startswith("#"):
            raise _unusable(f"refers to {reference[:80]!r}, outside itself")
    cls = validator_for(schema, default=Draft202012Validator)
    try:
        cls.check_schema(schema)
    except SchemaError as error:
        raise _unusable(f"is none: {error.json_path[1:] or 'it'} breaks {error.validator}") from None
    # An empty registry, or the library would fetch what a reference names.
    return cls(schema, registry=Registry())


def _unusable(message: str) -> InvalidContract:
    return InvalidContract("INVALID_CAPABILITY", "schema", message)


def _references(schema: Any) -> list[str]:
    if isinstance(schema, dict):
        own = [v for k, v in schema.items() if k in ("$ref", "$dynamicRef") and isinstance(v, str)]
        return own + [name for value in schema.values() for name in _references(value)]
    if isinstance(schema, list):
        return [name for value in schema for name in _references(value)]
    return []


def _fault(error: Any) -> str:
    path = "".join(_part(part) for part in error.absolute_path)
    keyword, wanted = error.validator, error.validator_value
    if keyword == "required":
        missing = [name for name in wanted if name not in error.instance]
        return f"{path}{_part(min(missing))}: is missing"
    if keyword == "additionalProperties" and wanted is False:
        extra = sorted(set(error.instance) - set(error.schema.get("properties", ())))
        return f"{path}{_part(extra[0]) if extra else ''}: is not foreseen"
    if keyword == "type":
        return f"{path}: is no {wanted if isinstance(wanted, str) else ' or '.join(wanted)}"
    shown = json.dumps(wanted, sort_keys=True, ensure_ascii=False)
    return f"{path}: breaks {keyword} {shown if len(shown) <= _MAX_SHOWN_CHARS else shown[:_MAX_SHOWN_CHARS] + '...'}"


def _part(part: str | int) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    return f".{part}" if _PLAIN.fullmatch(part) else f"[{json.dumps(part[:80], ensure_ascii=False)}]"
