"""What the edge's models share: strict types, no unknown fields, and errors in octolog's words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from difflib import get_close_matches
from typing import Annotated, Any, ClassVar, Final, TypeAlias, TypeVar, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import ErrorDetails

from octolog.domain.errors import InvalidContract
from octolog.domain.values import RetryPolicy
from octolog.edge.document import canonical_json, kind_of, shown

Model = TypeVar("Model", bound="Edge")

_EXPECTED: Final = {
    "int_type": "an integer",
    "float_type": "a number",
    "string_type": "a string",
    "list_type": "an array",
    "dict_type": "an object",
    "model_type": "an object",
    "int_from_float": "an integer",
}


class Edge(BaseModel):
    """A JSON object as somebody hands it in; null means not given."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
    noun: ClassVar[str] = "document"

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: object) -> object:
        if not isinstance(data, dict):
            return data
        return {name: value for name, value in cast("dict[str, object]", data).items() if value is not None}


class RetryEdge(Edge):
    """How transient failures are repeated; names and defaults are the domain's."""

    noun: ClassVar[str] = "retry"

    max_attempts: int = 3
    base_ms: int = 1_000
    factor: float = 2.0
    cap_ms: int = 10_000
    jitter_low: float = 0.5
    jitter_high: float = 1.5

    def policy(self) -> RetryPolicy:
        """The domain's value."""
        return RetryPolicy(**self.model_dump())


def build(
    model: type[Model], document: Mapping[str, object], code_of: Callable[[tuple[str, ...]], str]
) -> Model:
    """A model of a document.

    Args:
        model: Which.
        document: Parsed JSON.
        code_of: The error code for a field, by its path.

    Raises:
        InvalidContract: For the first thing that is wrong.
    """
    try:
        return model.model_validate(document)
    except ValidationError as error:
        first = min(error.errors(include_url=False), key=_urgency)
        raise _refusal(model, first, code_of) from None


def scaled(value: float, factor: int) -> int:
    """`value` times `factor`, to the nearest whole number, in decimal arithmetic."""
    return int((Decimal(str(value)) * factor).quantize(Decimal(1), ROUND_HALF_EVEN))


def between(low: str, high: str) -> Callable[[float], float]:
    """A validator for a number within bounds, both included; the message repeats the bounds as written here."""

    def check(value: float) -> float:
        if not Decimal(low) <= Decimal(str(value)) <= Decimal(high):
            raise ValueError(f"{value:.12g} is not between {low} and {high}")
        return value

    return check


Fraction: TypeAlias = Annotated[float, AfterValidator(between("0", "1"))]
"""A share of a whole."""


def lower(value: object) -> object:
    """A validator for words that may be written in any case."""
    return value.lower() if isinstance(value, str) else value


def object_json(value: dict[str, Any]) -> str:
    """A free-form object as the domain keeps it."""
    return canonical_json(value)


def _urgency(error: ErrorDetails) -> int:
    """Unknown names first: a misspelt field is often why another one is missing."""
    return 0 if error["type"] == "extra_forbidden" else 1


def _refusal(
    model: type[Edge], error: ErrorDetails, code_of: Callable[[tuple[str, ...]], str]
) -> InvalidContract:
    names = tuple(str(part) for part in error["loc"] if isinstance(part, str))
    field = _path(error["loc"]) or model.noun
    match error["type"]:
        case "extra_forbidden":
            return InvalidContract("UNKNOWN_FIELD", field[:200], _unknown(model, names))
        case "missing":
            return InvalidContract(code_of(names), field, "is required")
        case "value_error":
            return InvalidContract(
                code_of(names), field, str(error.get("ctx", {}).get("error", error["msg"]))
            )
        case kind if kind in _EXPECTED:
            got = f"{shown(error['input'])} is {kind_of(error['input'])}"
            if kind == "int_from_float" or (kind == "int_type" and isinstance(error["input"], float)):
                got = f"{shown(error['input'])} has a fraction or exponent"
            return InvalidContract(code_of(names), field, f"{got}; it must be {_EXPECTED[kind]}")
        case _:
            return InvalidContract(code_of(names), field, f"{shown(error['input'])}: {error['msg']}")


def _path(location: tuple[int | str, ...]) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path


def _unknown(model: type[Edge], names: tuple[str, ...]) -> str:
    owner = _owner(model, names[:-1])
    known = list(owner.model_fields)
    close = get_close_matches(names[-1], known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
    return f"is no field of a {owner.noun}; {hint}"


def _owner(model: type[Edge], path: tuple[str, ...]) -> type[Edge]:
    """The model that a path of field names leads to."""
    for name in path:
        field = model.model_fields.get(name)
        inner = _edges(None if field is None else field.annotation)
        model = inner[0] if inner else model
    return model


def _edges(annotation: Any) -> list[type[Edge]]:
    if isinstance(annotation, type) and issubclass(annotation, Edge):
        return [annotation]
    return [edge for part in getattr(annotation, "__args__", ()) for edge in _edges(part)]
