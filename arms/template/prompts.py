"""What a model is told: a task's words, and what it is given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from octolog.domain.assignment import AttemptAssignment, Feedback
from octolog.domain.errors import StoreUnavailable
from octolog.domain.evaluator.prompts import instructions_of
from octolog.domain.operators import RecoveryKind

__all__ = ["Told", "told_of"]

_TYPES: Final[Mapping[str, str]] = {
    "json": "any JSON value",
    "object": "a JSON object",
    "array": "a JSON array",
    "string[]": "a JSON array of strings",
    "number": "a number",
    "boolean": "true or false",
}
_ANSWER: Final = (
    "Answer with one JSON object and nothing else: `content` is the result, {type}; `dataUsage` is a text that says "
    "which of the data given you used, and how."
)


@dataclass(frozen=True, slots=True)
class Told:
    """What a model is told first.

    Attributes:
        system: The system prompt.
        prompt: The task.
        given: What it was told besides the task's own words, by name, for the notes.
    """

    system: str
    prompt: str
    given: tuple[str, ...]


def told_of(given: AttemptAssignment, remembered: str = "", *, cut: bool = False) -> Told:
    """What a model is told of an attempt.

    Args:
        given: The attempt.
        remembered: What memory says about it; empty: nothing.
        cut: Memory knows more than that.

    Raises:
        InputTooLarge: A recovery's values make its text too long.
        StoreUnavailable: An input lies in a blob store that this host does not read.
    """
    recovery = given.recovery
    if recovery is not None:
        decomposed = recovery.kind is RecoveryKind.DECOMPOSITION
        system = given.system if decomposed else _with_type(given.system, given.output_type)
        return Told(system, instructions_of(given), (f"recovery {recovery.number}",))
    task = instructions_of(given)
    parts = list(_parts(given, task))
    if remembered:
        parts.append(("From memory (not all of it)" if cut else "From memory", remembered))
    text = "\n\n".join((task, *(f"{title}:\n{body}" for title, body in parts)))
    return Told(_with_type(given.system, given.output_type), text, tuple(title for title, _ in parts))


def _parts(given: AttemptAssignment, task: str) -> Iterator[tuple[str, str]]:
    for each in given.inputs:
        if each.output_blob is not None:
            blob = each.output_blob.sha256[:12]
            raise StoreUnavailable(f"input {each.step_id} is blob {blob}; this host reads no blob store")
        value = orjson.loads(each.output) if each.output else ""
        text = value if isinstance(value, str) else each.output
        if text and text not in task:  # what a placeholder put there is not said twice
            yield f"Input {each.step_id}", text
    if given.context_json not in {"", "{}"}:
        yield "Context", given.context_json
    if given.constraints_json not in {"", "{}"}:
        yield "Constraints", given.constraints_json
    if given.acceptance_criteria:
        yield "The result is held against", "\n".join(f"- {each}" for each in given.acceptance_criteria)
    if given.feedback is not None:
        yield "Feedback on an earlier attempt", "\n".join(_feedback(given.feedback))


def _feedback(feedback: Feedback) -> Iterator[str]:
    if feedback.message:
        yield feedback.message
    yield from (f"- not met: {each}" for each in feedback.failed_criteria)
    if feedback.output:
        yield f"The earlier attempt gave:\n{feedback.output}"


def _with_type(system: str, output_type: str) -> str:
    if output_type not in _TYPES:
        return system
    return "\n\n".join(filter(None, (system, _ANSWER.format(type=_TYPES[output_type]))))
