"""Seed B's own forms: the operator spec, and what a task returns."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, cast

from octolog.domain.operators import ATOMIC, Operator, OperatorInput, Role
from octolog.domain.tasksystem import (
    AtomicTaskSubtype,
    NamedText,
    OperatorSpec,
    RevisedTaskResult,
    TaskResult,
    TaskType,
)
from octolog.domain.templates.errors import invalid
from octolog.domain.templates.nodes import TASK
from octolog.domain.values import TaskError, TaskErrorType

DATA_USAGE: Final = "dataUsage"
"""The one note that a result must have, by its name in JSON. Source: seed B."""


def spec_of(operator: Operator) -> OperatorSpec:
    """What seed B's spec says of an operator; a variable is its placeholder, a task's result an empty text."""
    return OperatorSpec(
        operator.type,
        operator.subtype,
        tuple(
            NamedText(given.name, f"{{{{{given.variable}}}}}" if given.variable else given.text)
            for given in operator.inputs
        ),
        operator.disable_reparsing,
    )


def operator_of(spec: OperatorSpec) -> Operator:
    """The root operator that a spec stands for; what a spec does not say has its default.

    Raises:
        DocumentRefused: The type is none of the four, a subtype stands on an operator that is not atomic, or two
            inputs have one name.
    """
    if spec.type is TaskType.UNKNOWN:
        raise invalid(f"/{TASK}/@type", "is none of atomic, sequential, map, reduce")
    is_atomic = spec.type is TaskType.ATOMIC
    if spec.subtype is not AtomicTaskSubtype.NONE and not is_atomic:
        raise invalid(f"/{TASK}/@subtype", f"does not belong to a {spec.type.lower()} task")
    names = [given.name for given in spec.inputs]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise invalid(f"/{TASK}/inputs/input[{index + 1}]", f"{name!r} is the name of another input")
    subtype = (
        AtomicTaskSubtype.STANDARD if is_atomic and spec.subtype is AtomicTaskSubtype.NONE else spec.subtype
    )
    return replace(
        ATOMIC,
        role=Role.ROOT,
        type=spec.type,
        subtype=subtype,
        inputs=tuple(OperatorInput(given.name, given.text) for given in spec.inputs),
        disable_reparsing=spec.disable_reparsing,
    )


def upcast(result: RevisedTaskResult) -> TaskResult:
    """The two-string form as the full one: its notes are the data usage."""
    return TaskResult(result.content, result.notes)


def downcast(result: TaskResult) -> RevisedTaskResult:
    """The full form in two strings: the data usage, and the other notes as JSON on a line of their own."""
    more = "" if result.notes_json == "{}" else f"\n{result.notes_json}"
    return RevisedTaskResult(result.content, result.data_usage + more)


def task_result_of(output: Mapping[str, Any]) -> TaskResult | TaskError:
    """What a task returned, or the INVALID_OUTPUT that it is; both forms are read.

    Args:
        output: A JSON object with `content` and `notes`; notes are an object with `dataUsage`, or a text.
    """
    content, notes = output.get("content"), output.get("notes")
    violations: list[str] = []
    if not isinstance(content, str):
        violations.append("content must be a string")
    if isinstance(notes, str) and isinstance(content, str):
        return upcast(RevisedTaskResult(content, notes))
    if not isinstance(notes, Mapping):
        violations.append("notes must be an object with dataUsage, or a string")
    elif not isinstance(cast("Mapping[str, object]", notes).get(DATA_USAGE), str):
        violations.append("notes.dataUsage is required and must be a string")
    if violations or not isinstance(content, str) or not isinstance(notes, Mapping):
        told = "; ".join(violations)
        return TaskError(
            TaskErrorType.INVALID_OUTPUT, f"no task result: {told}", violations=tuple(violations)
        )
    others = {
        name: value for name, value in cast("Mapping[str, object]", notes).items() if name != DATA_USAGE
    }
    notes_json = json.dumps(others, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return TaskResult(content, cast("str", notes[DATA_USAGE]), notes_json)
