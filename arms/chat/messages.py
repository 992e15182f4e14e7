"""What is said between an arm and a model, in no vendor's words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

import orjson

from arms.prices.price import Price
from octolog.domain.errors import OctologError

__all__ = ["ChatModel", "Message", "ModelRefused", "Prompt", "Reply", "Role", "ToolCall", "ToolSpec"]

# A chat template wraps every message in a few tokens of its own.
_WRAPPING_BYTES = 64


class ModelRefused(OctologError):
    """The endpoint takes the request for wrong, and would again; it used nothing.

    Attributes:
        status: HTTP status.
        unknown_model: True when there is no model of that name.
    """

    def __init__(self, message: str, status: int, *, unknown_model: bool = False) -> None:
        super().__init__(message)
        self.status, self.unknown_model = status, unknown_model


class Role(StrEnum):
    """Who speaks."""

    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model asks for a tool.

    Attributes:
        call_id: The result bears it too.
        name: Which tool.
        arguments: JSON, as the model wrote it.
    """

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message.

    Attributes:
        role: Who speaks.
        text: What is said; of a tool its result.
        calls: Tools that the model asks for.
        call_id: Of a tool's result: which call it answers.
        name: Of a tool's result: which tool.
    """

    role: Role
    text: str
    calls: tuple[ToolCall, ...] = ()
    call_id: str = ""
    name: str = ""

    @property
    def size_bytes(self) -> int:
        """The most tokens it can be: a token is at least one byte of UTF-8."""
        said = self.text + "".join(call.name + call.arguments for call in self.calls) + self.name
        return len(said.encode("utf-8", "replace")) + _WRAPPING_BYTES * (1 + len(self.calls))


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as a model is told of it.

    Attributes:
        name: Letters, digits, `_` and `-`.
        description: What it does, for the model.
        parameters: JSON Schema of its arguments, an object.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Prompt:
    """All that a model is told for one response.

    Attributes:
        messages: The conversation so far.
        max_tokens: Longest answer, in tokens.
        system: The system prompt; empty: none.
        tools: What it may ask for.
        schema: JSON Schema that its answer must follow; None: any text.
    """

    messages: tuple[Message, ...]
    max_tokens: int
    system: str = ""
    tools: tuple[ToolSpec, ...] = ()
    schema: Mapping[str, Any] | None = field(default=None)

    @property
    def fixed_bytes(self) -> int:
        """The most tokens that stand around the messages."""
        told = [[tool.name, tool.description, dict(tool.parameters)] for tool in self.tools]
        told_bytes = len(orjson.dumps(told)) if told else 0
        schema_bytes = len(orjson.dumps(dict(self.schema))) if self.schema is not None else 0
        return len(self.system.encode("utf-8", "replace")) + told_bytes + schema_bytes + _WRAPPING_BYTES

    @property
    def size_bytes(self) -> int:
        """The most tokens it can be."""
        return self.fixed_bytes + sum(message.size_bytes for message in self.messages)


@dataclass(frozen=True, slots=True)
class Reply:
    """A model's response.

    Attributes:
        text: What it wrote.
        calls: Tools it asks for.
        model: Which model says it answered.
        input_tokens: Prompt tokens, counted by the endpoint; 0: it does not count.
        output_tokens: Completion tokens, likewise.
        cut: True when it had to stop before its end.
    """

    text: str
    calls: tuple[ToolCall, ...]
    model: str
    input_tokens: int
    output_tokens: int
    cut: bool = False


@runtime_checkable
class ChatModel(Protocol):
    """A model that converses: tools, answers by a schema, and its tokens while they come."""

    @property
    def name(self) -> str:
        """The model's name, as its endpoint knows it."""
        ...

    def price(self) -> Price:
        """What a call costs that begins now."""
        ...

    def named(self, name: str) -> ChatModel:
        """Another model at the same endpoint."""
        ...

    async def chat(self, prompt: Prompt, on_tokens: Callable[[int], None]) -> Reply:
        """Get one response, without retries.

        Args:
            prompt: What the model is told.
            on_tokens: Called with the number of tokens that came so far; what it raises breaks the response off.

        Raises:
            ModelUnavailable: There is no answer.
            ModelRefused: The endpoint takes the request for wrong.
            LimitReached: The prompt is larger than the model's window.
        """
        ...
