"""A conversation: turns with a model, each refused before it is made where the attempt may not have it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from arms.chat.messages import ChatModel, Message, ModelRefused, Prompt, Reply, Role, ToolCall
from arms.chat.tools import Tool, told
from arms.handler import Handler, ModelCall
from arms.limits import LimitReached
from arms.model import ModelUnavailable
from arms.prices.price import Price
from octolog.domain.errors import BudgetRefused, OctologError
from octolog.domain.values import Amounts

__all__ = ["Conversation", "Ended", "NoProgress"]

DEFAULT_ANSWER_TOKENS: Final = 4_096
MAX_CALLS: Final = 16
"""Tools that one response may ask for."""

_SAME_CALLS: Final = 3
"""The same call so many times in one conversation is no progress."""


class NoProgress(OctologError):
    """The model says nothing, or asks for the same thing again and again."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a conversation ended.

    Attributes:
        text: The model's last words.
        model: Which model says it answered.
        call: The call that ended it; None: an answer did.
        value: What that tool made of the call's arguments.
    """

    text: str
    model: str
    call: ToolCall | None = None
    value: Any = None


class Conversation:
    """One conversation of one attempt.

    Args:
        handler: Counts and refuses.
        model: Who is asked.
        messages: What was said before, and what the model is asked.
        system: The system prompt.
        tools: What the model may have done.
        schema: JSON Schema of the answer, where the endpoint takes one; None: any text.
        max_tokens: Longest response, in tokens.
        held_tokens: Of the messages, what the handler's context already holds, and how many messages that is.
    """

    def __init__(
        self,
        handler: Handler,
        model: ChatModel,
        messages: Iterable[Message],
        *,
        system: str = "",
        tools: Iterable[Tool] = (),
        schema: Mapping[str, Any] | None = None,
        max_tokens: int = DEFAULT_ANSWER_TOKENS,
        held_tokens: tuple[int, int] = (0, 0),
    ) -> None:
        self.messages = list(messages)
        self._handler, self._model, self._system, self._schema = handler, model, system, schema
        self._tools = {tool.name: tool for tool in tools}
        self._max_tokens = max_tokens
        self._held, self._counted = held_tokens
        self._asked: Counter[tuple[str, str]] = Counter()

    @property
    def held_tokens(self) -> tuple[int, int]:
        """Tokens that the model holds of this conversation, and how many of the messages they are."""
        return self._held, self._counted

    async def run(self) -> Ended:
        """Take turns until the model answers, or asks for what ends the conversation.

        Raises:
            Refused: A turn that the attempt may not have; or an answer longer than it may be.
            ModelUnavailable: There is no answer.
            ModelRefused: The endpoint takes the request for wrong.
            NoProgress: There is nothing in the answer, or the same again.
        """
        while True:
            reply = await self.turn()
            if not reply.calls:
                if not reply.text.strip():
                    raise NoProgress("the model's answer is empty")
                return Ended(reply.text, reply.model)
            ended = await self._answer(reply)
            if ended is not None:
                return ended

    async def turn(self) -> Reply:
        """Get one response; a schema that the endpoint does not take is left out from then on."""
        try:
            reply = await self._call()
        except ModelRefused as error:
            if self._schema is None or error.unknown_model:
                raise
            self._schema = None
            reply = await self._call()
        self.messages.append(Message(Role.ASSISTANT, reply.text, reply.calls))
        self._counted = len(self.messages)
        return reply

    async def _answer(self, reply: Reply) -> Ended | None:
        """Do what a response asks for; the first call that ends the conversation does, once the others are done."""
        ending: Ended | None = None
        for number, call in enumerate(reply.calls):
            self._asked[call.name, call.arguments] += 1
            if self._asked[call.name, call.arguments] >= _SAME_CALLS:
                raise NoProgress(f"{_SAME_CALLS} times the same call of {call.name[:64]}")
            tool = self._tools.get(call.name)
            ends = tool is not None and tool.ends
            if number >= MAX_CALLS or (ends and ending is not None):
                late = "not done: too many calls at once; ask again, one at a time"
                self.messages.append(Message(Role.TOOL, late, call_id=call.call_id, name=call.name))
                continue
            await self._handler.permitted()
            message, value = await told(self._tools, call)
            if ends and value is not None:
                ending = Ended(reply.text, reply.model, call, value)
            else:
                self.messages.append(message)
        return ending

    async def _call(self) -> Reply:
        handler, model = self._handler, self._model
        prompt = self._prompt(self._max_tokens)
        new = sum(message.size_bytes for message in self.messages[self._counted :])
        new += 0 if self._counted else prompt.fixed_bytes
        most = min(prompt.size_bytes, self._held + new) if self._counted else prompt.size_bytes
        room, bound = handler.room(model.name, most, new)
        longest = self._max_tokens if room is None else max(1, min(self._max_tokens, room))
        bound = bound if room is not None and room < self._max_tokens else "output"
        price = model.price()
        handler.priced(model.name, price)
        at_most = Amounts(most + longest, 0, price.most_micros(most, longest), 1)
        # A prompt that leaves no room for an answer is refused with the token that does not fit.
        refused = int(room is not None and room < 1 and bound == "context")
        async with handler.model_call(
            model.name, at_most, context_tokens=new + refused, max_output_tokens=longest
        ) as call:
            reply = await self._made(call, self._prompt(longest), new, price)
        if reply.cut:
            raise _cut(reply, longest, bound)
        return reply

    async def _made(self, call: ModelCall, prompt: Prompt, new: int, price: Price) -> Reply:
        try:
            reply = await self._model.chat(prompt, call.streamed)
        except ModelUnavailable as error:
            if not error.was_asked:
                call.not_made()
            raise
        except ModelRefused:
            call.not_made()
            raise
        except LimitReached as error:
            if error.resource == "context":  # the endpoint's own window: it did not begin
                call.not_made()
            raise
        self._settle(call, reply, new, price)
        return reply

    def _settle(self, call: ModelCall, reply: Reply, new: int, price: Price) -> None:
        """Settle with what the endpoint counted; where it does not count, what was expected stays charged."""
        if not reply.input_tokens + reply.output_tokens:
            self._held += new + max(call.streamed_tokens, len(reply.text.encode("utf-8", "replace")))
            return
        call.settle(
            Amounts(
                reply.input_tokens + reply.output_tokens,
                0,
                price.cost_micros(reply.input_tokens, reply.output_tokens),
                1,
            ),
            input_tokens=reply.input_tokens,
            output_tokens=reply.output_tokens,
            price_version=price.version,
            context_tokens=max(0, reply.input_tokens - self._held),
        )
        self._held = reply.input_tokens + reply.output_tokens

    def _prompt(self, max_tokens: int) -> Prompt:
        specs = tuple(tool.spec for tool in self._tools.values())
        return Prompt(tuple(self.messages), max_tokens, self._system, specs, self._schema)


def _cut(reply: Reply, longest: int, bound: str) -> OctologError:
    """Why an answer had to stop before its end."""
    if bound == "tokens":
        return BudgetRefused(f"tokens: the allowance left {longest} for the answer; it was not finished")
    if (
        bound == "context" or 0 < reply.output_tokens < longest
    ):  # by its task's bound, or by the model's own window
        used = reply.input_tokens + reply.output_tokens
        return LimitReached("context", used, used)
    return LimitReached("output", longest, longest)
