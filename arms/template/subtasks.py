"""Subtasks that a model asks for, and how its conversation goes on when they are done."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from arms.chat.conversation import Ended
from arms.chat.messages import Message, Role, ToolCall
from arms.chat.tools import BadArguments, Tool
from arms.template.memory import Recollection
from octolog.domain.assignment import AttemptAssignment
from octolog.domain.errors import InvalidContract
from octolog.domain.evaluator.legal import check_program
from octolog.domain.evaluator.outputs import OUTPUT_TYPES
from octolog.domain.evaluator.specs import subtask_operator
from octolog.domain.ids import TaskId
from octolog.domain.operators import SubtaskRequest
from octolog.domain.tasksystem import NamedText

__all__ = ["SPAWN", "Resumed", "continuation", "resumed", "spawn_tool"]

SPAWN: Final = "spawn_subtask"
MAX_HISTORY_CHARS: Final = 131_072
"""What a conversation may have that waits for a subtask; the oldest turns are left out first."""

_CUT: Final = "[earlier turns of this conversation are left out]"
_PLACE: Final = re.compile(r"^subtask\[0\]\.?")
_PARAMETERS: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "goal": {"type": "string", "description": "What the subtask shall achieve, in one sentence."},
        "instructions": {
            "type": "string",
            "description": "What exactly is to be done. {{name}} stands for an input. It knows nothing else.",
        },
        "inputs": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "All that the subtask is given, by name.",
        },
        "output_type": {"type": "string", "enum": [each for each in OUTPUT_TYPES if each]},
    },
    "required": ["goal", "instructions"],
    "additionalProperties": False,
}


def spawn_tool() -> Tool:
    """The tool by which a model has part of its task done by another attempt, with a context of its own."""
    return Tool(
        SPAWN,
        "Has part of the task done by somebody else, who knows only what is written here; you get the result. "
        "Use it only for work that is too large to do yourself.",
        _PARAMETERS,
        _request,
        ends=True,
    )


def continuation(
    ended: Ended, messages: list[Message], turns: int, held_tokens: int, known: Recollection
) -> dict[str, Any]:
    """What is to be found again when a subtask is done: the turns after the task's own words, bounded.

    Args:
        ended: How the conversation stopped.
        messages: Said so far, the task's own words first.
        turns: Model responses so far.
        held_tokens: Tokens that the model holds of them.
        known: What memory gave.
    """
    assert ended.call is not None, "a call asked for the subtask"  # noqa: S101
    turns_said = _turns(messages[1:])
    kept: list[list[dict[str, Any]]] = []
    size = 0
    for turn in reversed(turns_said):
        plain = [_plain(message) for message in turn]
        size += len(orjson.dumps(plain))
        if kept and size > MAX_HISTORY_CHARS:
            break
        kept.insert(0, plain)
    return {
        **known.kept(),
        "call_id": ended.call.call_id,
        "held_tokens": held_tokens,
        "messages": [message for turn in kept for message in turn],
        "truncated": len(kept) < len(turns_said),
        "turns": turns,
    }


@dataclass(frozen=True, slots=True)
class Resumed:
    """A conversation that begins, or goes on after a subtask.

    Attributes:
        messages: Said so far, and what is said now.
        turns: Model responses it had.
        held_tokens: Tokens that the model holds of it.
        counted: How many of the messages these are.
    """

    messages: list[Message]
    turns: int = 0
    held_tokens: int = 0
    counted: int = 0


def resumed(given: AttemptAssignment, first: Message) -> Resumed:
    """The conversation of an attempt.

    Args:
        given: The attempt.
        first: The task's own words.
    """
    waiting = given.continuation
    if waiting is None:
        return Resumed([first])
    kept = orjson.loads(waiting.continuation_json)
    said = [_message(each) for each in kept.get("messages", ())]
    turns, held = int(kept.get("turns", 0)), int(kept.get("held_tokens", 0))
    if not said:  # somebody else asked, who kept nothing
        answer = f"{first.text}\n\nThe subtask {waiting.goal!r} gave:\n{waiting.content}"
        return Resumed([Message(Role.USER, answer)], turns)
    if kept.get("truncated"):
        first = Message(Role.USER, f"{first.text}\n\n{_CUT}")
    result = Message(Role.TOOL, waiting.content, call_id=str(kept["call_id"]), name=SPAWN)
    # What other tools of the last response gave was never told to the model: it comes now, with the subtask's result.
    responses = [number for number, each in enumerate(said, 2) if each.role is Role.ASSISTANT]
    return Resumed([first, *said, result], turns, held, responses[-1] if held and responses else 0)


def _request(arguments: dict[str, Any]) -> SubtaskRequest:
    unknown = arguments.keys() - _PARAMETERS["properties"].keys()
    if unknown:
        raise BadArguments(f"no argument {min(unknown)[:64]!r}")
    inputs = arguments.get("inputs") or {}
    if not isinstance(inputs, dict):
        raise BadArguments("inputs: not an object")
    texts = (arguments.get(name) or "" for name in ("goal", "instructions", "output_type"))
    goal, instructions, output_type = (_text(text) for text in texts)
    request = SubtaskRequest(
        goal,
        instructions,
        tuple(NamedText(str(name), _text(value)) for name, value in inputs.items()),
        output_type=output_type,
    )
    if not goal.strip():
        raise BadArguments("goal: is empty")
    try:
        check_program("subtask", (subtask_operator(request),), TaskId("0" * 36))
    except InvalidContract as broken:
        raise BadArguments(f"{_PLACE.sub('', broken.field)}: {broken.message}") from None
    return request


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _turns(messages: Iterable[Message]) -> list[list[Message]]:
    """Each response with the results of the tools it asked for; one without the other is no conversation."""
    turns: list[list[Message]] = []
    for message in messages:
        if message.role is Role.ASSISTANT or not turns:
            turns.append([])
        turns[-1].append(message)
    return turns


def _plain(message: Message) -> dict[str, Any]:
    plain: dict[str, Any] = {"role": str(message.role), "text": message.text}
    if message.calls:
        plain["calls"] = [[call.call_id, call.name, call.arguments] for call in message.calls]
    if message.role is Role.TOOL:
        plain |= {"call_id": message.call_id, "name": message.name}
    return plain


def _message(plain: Mapping[str, Any]) -> Message:
    calls = tuple(ToolCall(*map(str, each)) for each in plain.get("calls", ()))
    return Message(
        Role(plain["role"]),
        str(plain["text"]),
        calls,
        str(plain.get("call_id", "")),
        str(plain.get("name", "")),
    )
