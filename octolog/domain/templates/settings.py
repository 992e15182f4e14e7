"""The settings of an operator that are texts and numbers, from the task that bears them."""

from __future__ import annotations

import json
from typing import Any

from octolog.domain import json_text
from octolog.domain.operators import FailurePolicy
from octolog.domain.tasksystem import AtomicTaskSubtype, TaskType
from octolog.domain.templates import fields
from octolog.domain.templates.errors import invalid
from octolog.domain.templates.nodes import Located
from octolog.domain.values import NO_LIMITS, Limits


def settings_of(
    task: Located, kind: TaskType, elements: dict[str, Located], attributes: dict[str, str]
) -> dict[str, Any]:
    """Every field of an operator that is a text or a number, by name.

    Args:
        task: The task.
        kind: Its type.
        elements: Its elements by name.
        attributes: Its attributes by name.

    Raises:
        DocumentRefused: VALIDATION_ERROR, with the path of the first that is wrong.
    """
    found: dict[str, Any] = {
        "subtype": AtomicTaskSubtype.NONE,
        "on_failure": FailurePolicy.FAIL_FAST,
        "goal": _text(elements, "description"),
        "instructions": _text(elements, "instructions"),
        "system": _text(elements, "system"),
        "initial_value": _text(elements, "initial_value"),
        "budget": _budget(elements.get("budget")),
        "acceptance_criteria": _criteria(elements.get("acceptance_criteria")),
        "metadata_json": _metadata(task),
    }
    if kind is TaskType.ATOMIC:
        found["subtype"] = fields.subtype(attributes.get("subtype", "standard"), f"{task.at}/@subtype")
    if kind is TaskType.MAP:
        policy = attributes.get("on_failure", "collect")
        fields.one_of(("fail_fast", "collect"))(policy, f"{task.at}/@on_failure")
        found["on_failure"] = FailurePolicy(policy.upper())
    if "model" in elements:
        found["model"] = fields.model(elements["model"].content, elements["model"].at)
    if "output_format" in elements:
        found["output_type"] = _output_type(elements["output_format"])
    for element, name in (("manual_xml", "is_manual_xml"), ("disable_reparsing", "disable_reparsing")):
        if element in elements:
            found[name] = fields.truth(elements[element].content, elements[element].at)
    for field in fields.ROUTING:
        if field.written in attributes:
            found[field.name] = field.read(attributes[field.written], f"{task.at}/@{field.written}")
    return found


def _text(elements: dict[str, Located], name: str) -> str:
    return elements[name].content if name in elements else ""


def _output_type(element: Located) -> str:
    attributes = element.attributes()
    if "type" not in attributes:
        raise invalid(element.at, "needs a type")
    return fields.one_of(fields.OUTPUT_TYPES)(attributes["type"], f"{element.at}/@type")


def _criteria(element: Located | None) -> tuple[str, ...]:
    if element is None:
        return ()
    found = tuple(item.content for item in element.items("criterion"))
    if len(found) > fields.MAX_CRITERIA:
        raise invalid(element.at, f"{len(found)} criteria; at most {fields.MAX_CRITERIA}")
    return found


def _budget(element: Located | None) -> Limits:
    if element is None:
        return NO_LIMITS
    attributes = element.attributes()
    values = {
        field.name: field.read(attributes.pop(field.written), f"{element.at}/@{field.written}")
        for field in fields.LIMITS
        if field.written in attributes
    }
    if attributes:
        raise invalid(f"{element.at}/@{next(iter(attributes))}", "is no limit")
    return Limits(**values)


def _metadata(task: Located) -> str:
    text = task.node.metadata_json
    if text == "{}":
        return text
    try:
        json_text.parse(text)  # bounds the nesting and refuses NaN
        value = json.loads(text)
        canonical = json.dumps(
            value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
    except ValueError as error:
        raise invalid(f"{task.at}/metadata", f"is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise invalid(f"{task.at}/metadata", "must be a JSON object")
    return canonical
