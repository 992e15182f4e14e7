"""The settings of an operator that are texts and numbers, from the task that bears them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from octolog.domain import json_text
from octolog.domain.operators import FailurePolicy
from octolog.domain.tasksystem import AtomicTaskSubtype, TaskType
from octolog.domain.templates import fields
from octolog.domain.templates.errors import Faults, invalid
from octolog.domain.templates.nodes import Located
from octolog.domain.values import NO_LIMITS, Limits


def settings_of(
    task: Located,
    kind: TaskType,
    elements: dict[str, Located],
    attributes: dict[str, str],
    faults: Faults,
) -> dict[str, Any]:
    """Every field of an operator that is a text or a number, by name.

    Args:
        task: The task.
        kind: Its type.
        elements: Its elements by name.
        attributes: Its attributes by name.
        faults: Where what is wrong goes; its field is left out.

    Raises:
        DocumentRefused: VALIDATION_ERROR with its path, when no more faults are wanted.
    """
    found: dict[str, Any] = {
        "subtype": AtomicTaskSubtype.NONE,
        "on_failure": FailurePolicy.FAIL_FAST,
        "goal": _text(elements, "description"),
        "instructions": _text(elements, "instructions"),
        "system": _text(elements, "system"),
        "initial_value": _text(elements, "initial_value"),
    }
    for name, read in _readers(task, kind, elements, attributes):
        value = faults.attempt(read, None)
        if value is not None:
            found[name] = value
    return found


def _readers(
    task: Located, kind: TaskType, elements: dict[str, Located], attributes: dict[str, str]
) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Each field that can be wrong, with how it is read."""
    yield "budget", lambda: _budget(elements.get("budget"))
    yield "acceptance_criteria", lambda: _criteria(elements.get("acceptance_criteria"))
    yield "metadata_json", lambda: _metadata(task)
    if kind is TaskType.ATOMIC:
        subtype = attributes.get("subtype", "standard")
        yield "subtype", lambda: fields.subtype(subtype, f"{task.at}/@subtype")
    if kind is TaskType.MAP:
        policy = attributes.get("on_failure", "collect")
        yield "on_failure", lambda: _policy(policy, f"{task.at}/@on_failure")
    if "model" in elements:
        yield "model", partial(_read, fields.model, elements["model"])
    if "output_format" in elements:
        yield "output_type", partial(_output_type, elements["output_format"])
    for element, name in (("manual_xml", "is_manual_xml"), ("disable_reparsing", "disable_reparsing")):
        if element in elements:
            yield name, partial(_read, fields.truth, elements[element])
    for field in fields.ROUTING:
        if field.written in attributes:
            place = f"{task.at}/@{field.written}"
            yield field.name, partial(field.read, attributes[field.written], place)


def _read(read: Callable[[str, str], Any], element: Located) -> Any:
    return read(element.content, element.at)


def _policy(text: str, at: str) -> FailurePolicy:
    return FailurePolicy(fields.one_of(("fail_fast", "collect"))(text, at).upper())


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
