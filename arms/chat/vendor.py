"""Conversations in pydantic-ai's words, which is imported when a model is asked."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from arms.chat.messages import ModelRefused, Prompt, Reply, Role, ToolCall
from arms.limits import LimitReached

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage, ModelResponse
    from pydantic_ai.models import ModelRequestParameters
    from pydantic_ai.models.openai import OpenAIChatModel

__all__ = ["refused", "stream"]

_BUSY: Final = frozenset({408, 409, 425, 429})
_NOT_FOUND: Final = 404
_ASK_EVERY: Final = 32
_SERVER_ERROR: Final = 500
# What endpoints say of a prompt that is too long; the numbers stand in the message, or in fields of their own.
_WINDOW: Final = re.compile(r"maximum context length is (\d+)")
_ASKED: Final = re.compile(r"(?:resulted in|requested|contains at least|prompt contains)\D{0,20}(\d+)")
_OVERFLOWS: Final = ("context_length_exceeded", "exceed_context_size")


async def stream(
    model: OpenAIChatModel, prompt: Prompt, timeout_s: float, on_tokens: Callable[[int], None]
) -> Reply:
    """Get one response as it comes."""
    from pydantic_ai.direct import model_request_stream
    from pydantic_ai.messages import PartDeltaEvent, PartStartEvent

    settings: Any = {"max_tokens": prompt.max_tokens, "timeout": timeout_s}
    asked = model_request_stream(
        model,
        list(_messages(prompt)),
        model_settings=settings,
        model_request_parameters=_parameters(prompt),
    )
    pieces = 0
    async with asked as response:
        async for event in response:
            # Endpoints send a piece for each token; those that count while streaming are asked for it now and then.
            pieces += isinstance(event, PartStartEvent | PartDeltaEvent)
            counted = 0 if pieces % _ASK_EVERY else response.get().usage.output_tokens
            on_tokens(max(pieces, counted))
        return _reply(response.get(), model.model_name)


def refused(error: Any, where: str) -> ModelRefused | LimitReached | None:
    """What an HTTP error says about the request; None: it says nothing, and asking later may help."""
    status, body = int(error.status_code), error.body
    if status in _BUSY or status >= _SERVER_ERROR:
        return None
    told = body.get("error", body) if isinstance(body, dict) else {}
    told = told if isinstance(told, dict) else {}
    message, kind = str(told.get("message") or error), f"{told.get('code')} {told.get('type')}"
    window = _WINDOW.search(message)
    if window is not None or any(code in kind for code in _OVERFLOWS):
        asked = _ASKED.search(message, window.end() if window else 0)
        used, limit = asked[1] if asked else 0, window[1] if window else 0
        return LimitReached("context", _count(told, "n_prompt_tokens", used), _count(told, "n_ctx", limit))
    # A wrong address is a 404 too, but says nothing of models.
    unknown = status == _NOT_FOUND and "model" in f"{kind} {told.get('message')}".lower()
    said = " ".join(f"{where}: {status}: {message}".split())[:500]
    return ModelRefused(said, status, unknown_model=unknown)


def _count(told: dict[str, Any], field: str, otherwise: str | int) -> int:
    value = told.get(field)
    return value if isinstance(value, int) else int(otherwise)


def _messages(prompt: Prompt) -> Iterator[ModelMessage]:
    from pydantic_ai.messages import (
        ModelRequest,
        ModelResponse,
        TextPart,
        ToolCallPart,
        ToolReturnPart,
        UserPromptPart,
    )

    waiting: list[Any] = []
    for message in prompt.messages:
        match message.role:
            case Role.USER:
                waiting.append(UserPromptPart(message.text))
            case Role.TOOL:
                waiting.append(ToolReturnPart(message.name, message.text, message.call_id))
            case Role.ASSISTANT:
                if waiting:
                    yield ModelRequest(waiting, instructions=prompt.system or None)
                    waiting = []
                calls = [ToolCallPart(call.name, call.arguments, call.call_id) for call in message.calls]
                yield ModelResponse([*([TextPart(message.text)] if message.text else []), *calls])
    yield ModelRequest(waiting, instructions=prompt.system or None)


def _parameters(prompt: Prompt) -> ModelRequestParameters:
    from pydantic_ai.models import ModelRequestParameters
    from pydantic_ai.output import OutputObjectDefinition
    from pydantic_ai.tools import ToolDefinition

    tools = [
        ToolDefinition(
            name=tool.name, parameters_json_schema=dict(tool.parameters), description=tool.description
        )
        for tool in prompt.tools
    ]
    if prompt.schema is None:
        return ModelRequestParameters(function_tools=tools)
    wanted = OutputObjectDefinition(dict(prompt.schema), name="answer")
    return ModelRequestParameters(function_tools=tools, output_mode="native", output_object=wanted)


def _reply(response: ModelResponse, model: str) -> Reply:
    usage = response.usage
    return Reply(
        response.text or "",
        tuple(_call(part) for part in response.tool_calls),
        response.model_name or model,
        usage.input_tokens,
        usage.output_tokens,
        response.finish_reason == "length",
    )


def _call(part: Any) -> ToolCall:
    arguments = part.args if isinstance(part.args, str) else json.dumps(part.args or {})
    return ToolCall(part.tool_call_id, part.tool_name, arguments)
