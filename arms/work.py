"""What an arm's function is given: the assignment, read for it, and the means to act."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import cached_property
from typing import Any, Final, TypeVar

import orjson

from arms.chat.conversation import DEFAULT_ANSWER_TOKENS, Conversation
from arms.chat.messages import ChatModel, Message
from arms.chat.tools import Tool
from arms.handler import Handler
from arms.model import Completion, Model, complete
from octolog.domain.assignment import AttemptAssignment, Feedback
from octolog.domain.errors import SettingsError, StoreUnavailable
from octolog.domain.evaluator.prompts import instructions_of
from octolog.domain.values import Limits

__all__ = ["Work"]

_T = TypeVar("_T")
_NO_STORE: Final = "{} is blob {}; this host reads no blob store"
_NO_MODEL: Final = "no model: set OCTOLOG_LLM_BASE_URL and OCTOLOG_LLM_MODEL"


def _quiet(_note: str) -> None:
    """Say nothing: there is no host."""


class Work:
    """One attempt, as its arm sees it.

    Attributes:
        assignment: The attempt as it came from the log.
        goal: What shall be achieved.
        handler: Counts and refuses model calls.
        model: The model configured, if any.
    """

    def __init__(
        self,
        assignment: AttemptAssignment,
        handler: Handler,
        *,
        model: Model | None = None,
        on_note: Callable[[str], None] = _quiet,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.assignment, self.handler, self.model = assignment, handler, model
        self.goal = assignment.goal
        self._on_note, self._loop = on_note, loop

    @cached_property
    def context(self) -> dict[str, Any]:
        """Background, as a dict.

        Raises:
            StoreUnavailable: It lies in a blob store that this host does not read.
        """
        if self.assignment.context_blob is not None:
            raise StoreUnavailable(_NO_STORE.format("the context", self.assignment.context_blob.sha256[:12]))
        value: dict[str, Any] = orjson.loads(self.assignment.context_json)
        return value

    @cached_property
    def constraints(self) -> dict[str, Any]:
        """Hard constraints, as a dict."""
        value: dict[str, Any] = orjson.loads(self.assignment.constraints_json)
        return value

    @cached_property
    def inputs(self) -> dict[str, Any]:
        """Outputs of the prerequisites by step id, parsed.

        Raises:
            StoreUnavailable: One lies in a blob store that this host does not read.
        """
        values = {}
        for given in self.assignment.inputs:
            if given.output_blob is not None:
                raise StoreUnavailable(
                    _NO_STORE.format(f"input {given.step_id}", given.output_blob.sha256[:12])
                )
            values[given.step_id] = orjson.loads(given.output) if given.output else None
        return values

    @property
    def instructions(self) -> str:
        """What exactly is to be done: the task prompt, of a recovery with what failed; outside programs the goal.

        Raises:
            InputTooLarge: A recovery's text with its values is too long.
        """
        return instructions_of(self.assignment)

    @property
    def feedback(self) -> Feedback | None:
        """What an earlier attempt led to: a repair, a refused plan, a new plan, an approval; None: nothing."""
        return self.assignment.feedback

    @property
    def allowance(self) -> Limits:
        """What the attempt may use."""
        return self.assignment.allowance

    def heartbeat(self, note: str) -> None:
        """Say how far the work is; the lease is renewed without it too. Callable from any thread."""
        self._on_note(note)

    async def ask(self, prompt: str, *, system: str = "", max_tokens: int = 1_024) -> Completion:
        """Ask the model through the handler, which refuses what the attempt may not use.

        Raises:
            SettingsError: No model is configured.
            Refused: See `Handler.model_call`.
            ModelUnavailable: The model does not answer.
        """
        if self.model is None:
            raise SettingsError(_NO_MODEL)
        return await complete(self.handler, self.model, prompt, system=system, max_tokens=max_tokens)

    def conversation(
        self,
        messages: Iterable[Message],
        *,
        system: str = "",
        tools: Iterable[Tool] = (),
        schema: Mapping[str, Any] | None = None,
        max_tokens: int = DEFAULT_ANSWER_TOKENS,
        held_tokens: tuple[int, int] = (0, 0),
    ) -> Conversation:
        """A conversation with the model that the task names, or the one that is set; `await` its `run()`.

        Raises:
            SettingsError: No model is configured, or one that only answers single questions.
        """
        model = self.model
        if model is None:
            raise SettingsError(_NO_MODEL)
        if not isinstance(model, ChatModel):
            raise SettingsError(f"model {model.name} holds no conversations")
        asked = model.named(self.assignment.model) if self.assignment.model else model
        return Conversation(
            self.handler,
            asked,
            messages,
            system=system,
            tools=tools,
            schema=schema,
            max_tokens=max_tokens,
            held_tokens=held_tokens,
        )

    def wait(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine, such as `work.ask(...)`, from a sync function and wait for it."""
        if self._loop is None:
            return asyncio.run(coroutine)
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()
