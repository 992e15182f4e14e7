"""Tools that a model may ask for, and what it is told of their results."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from arms.chat.messages import Message, Role, ToolCall, ToolSpec
from octolog.domain.errors import OctologError, Refused

__all__ = ["BadArguments", "Tool", "told"]

MAX_RESULT_CHARS: Final = 16_384
_MAX_ERROR_CHARS: Final = 500


class BadArguments(OctologError):
    """The model called a tool wrongly; it is told so, and may call it again."""


@dataclass(frozen=True, slots=True)
class Tool:
    """Something a model may have done.

    Attributes:
        name: Letters, digits, `_` and `-`.
        description: What it does, for the model.
        parameters: JSON Schema of its arguments, an object.
        function: Takes the arguments; gives a text or a JSON value. Sync (then in a thread) or async.
        ends: True when calling it ends the conversation: the function then checks the arguments, no more.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    function: Callable[[dict[str, Any]], Any]
    ends: bool = False

    @property
    def spec(self) -> ToolSpec:
        """As a model is told of it."""
        return ToolSpec(self.name, self.description, self.parameters)

    async def run(self, call: ToolCall) -> Any:
        """Do what a call asks for.

        Raises:
            BadArguments: The arguments are no JSON object.
        """
        try:
            arguments = orjson.loads(call.arguments or "{}")
        except orjson.JSONDecodeError as error:
            raise BadArguments(f"the arguments are no JSON: {error}") from None
        if not isinstance(arguments, dict):
            raise BadArguments("the arguments are no JSON object")
        if inspect.iscoroutinefunction(self.function):
            return await self.function(arguments)
        return await asyncio.to_thread(self.function, arguments)


async def told(tools: Mapping[str, Tool], call: ToolCall) -> tuple[Message, Any]:
    """What a model is told after a call, and what the tool gave; None where it failed.

    Raises:
        Refused: A tool asked a model, and the attempt may not: that ends the attempt.
    """
    tool, value = tools.get(call.name), None
    try:
        if tool is None:
            raise BadArguments(
                f"there is no tool {call.name[:64]!r}; there are: {', '.join(tools) or 'none'}"
            )
        value = await tool.run(call)
        text = value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
    except Refused:
        raise
    except Exception as error:  # noqa: BLE001 -- a tool may raise anything; the model hears of it and goes on
        known = isinstance(error, OctologError)
        text = f"error: {'' if known else type(error).__name__ + ': '}{error}"[:_MAX_ERROR_CHARS]
    return Message(Role.TOOL, _bounded(text), call_id=call.call_id, name=call.name), value


def _bounded(text: str) -> str:
    if len(text) <= MAX_RESULT_CHARS:
        return text
    return f"{text[:MAX_RESULT_CHARS]}\n[truncated: {len(text)} characters in all]"
