"""Which part of a shared context a step is given: arms know some fields by one name and with another meaning."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, Final

import orjson

from arms.arm import Fail
from arms.builtin.coder import INPUT as CODER
from arms.builtin.executor import INPUT as EXECUTOR
from arms.builtin.guardian import INPUT as GUARDIAN
from arms.builtin.retriever import INPUT as RETRIEVER
from schemas.json_schema import fault_in

__all__ = ["FOR", "context_for"]

FOR: Final = "for_capability"
"""The field of a context that holds fields for steps of one capability alone, by tag."""

_INPUTS: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType({
    "code_analysis": CODER,
    "keyword_search": RETRIEVER,
    "pii_detection": GUARDIAN,
    "python_execution": EXECUTOR,
})  # fmt: skip


def context_for(tag: str, others: Collection[str], context: Mapping[str, Any]) -> dict[str, Any]:
    """The context of a step.

    Fields go to every step. A field that the step's arm refuses and the arm of another step takes is meant for that
    one: `method` is `keyword` to the retriever and `POST` to the executor. What no arm takes is kept, and refused
    by the arm, with the reason. `for_capability` says it outright, and goes before.

    Args:
        tag: The step's capability.
        others: Those of all the plan's steps.
        context: Of the whole plan.

    Raises:
        Fail: INVALID_INPUT: `for_capability` is no object of objects.
    """
    sections = context.get(FOR, {})
    if not isinstance(sections, dict) or not all(isinstance(each, dict) for each in sections.values()):
        raise Fail(f"`{FOR}` is an object with an object for each capability", "INVALID_INPUT")
    shared = {
        name: value
        for name, value in context.items()
        if name != FOR
        and (_takes(tag, name, value) is not False or not any(_takes(each, name, value) for each in others))
    }
    return {**shared, **sections.get(tag, {})}


def _takes(tag: str, name: str, value: Any) -> bool | None:
    """Whether the arm of a tag takes a value in a field; None where it does not know the field."""
    known = _INPUTS.get(tag, {}).get("properties", {}).get(name)
    if known is None:
        return None
    return fault_in(orjson.dumps(known).decode(), orjson.dumps(value).decode()) is None
