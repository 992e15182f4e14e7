"""Models: what a handler needs to know of one, and any OpenAI-compatible endpoint by way of pydantic-ai.

pydantic-ai is the optional extra `model`; it is imported when a model is configured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from arms.chat.messages import ModelRefused, Prompt, Reply
from arms.handler import Handler
from arms.limits import LimitReached
from arms.prices.own import OwnPrice
from arms.prices.price import Price, Prices
from octolog.domain.errors import SettingsError, Unavailable
from octolog.domain.values import Amounts

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from pydantic_ai.models.openai import OpenAIChatModel

__all__ = [
    "Completion",
    "Model",
    "ModelSettings",
    "ModelUnavailable",
    "OpenAIModel",
    "complete",
    "model_from",
]

# A chat template wraps every message in a few tokens of its own.
_TEMPLATE_TOKENS: Final = 64


class ModelUnavailable(Unavailable):
    """The model does not answer, or answers with an error.

    Attributes:
        was_asked: False when the model cannot have heard of the call, so that it used nothing.
    """

    def __init__(self, message: str, *, was_asked: bool = True) -> None:
        super().__init__(message)
        self.was_asked = was_asked


@dataclass(frozen=True, slots=True)
class Completion:
    """A model's answer.

    Attributes:
        text: What it wrote.
        model: Which model says it answered.
        input_tokens: Prompt tokens, counted by the model.
        output_tokens: Completion tokens, counted by the model.
    """

    text: str
    model: str
    input_tokens: int
    output_tokens: int


class Model(Protocol):
    """A chat model."""

    @property
    def name(self) -> str:
        """The model's name, as its endpoint knows it."""
        ...

    def price(self) -> Price:
        """What a call costs that begins now."""
        ...

    async def ask(self, prompt: str, *, system: str, max_tokens: int) -> Completion:
        """Ask once, without retries.

        Raises:
            ModelUnavailable: There is no answer.
            ModelRefused: The endpoint takes the request for wrong.
            LimitReached: The prompt is larger than the model's window.
        """
        ...


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """An OpenAI-compatible endpoint.

    Attributes:
        base_url: For instance `http://127.0.0.1:8080/v1`.
        model: Name of the model there.
        api_key: Its key; any text where none is asked for.
        timeout_s: Longest wait for one answer, seconds.
        prices: The site's own prices.
    """

    base_url: str
    model: str
    api_key: str = "none"
    timeout_s: float = 120.0
    prices: tuple[OwnPrice, ...] = ()


class OpenAIModel:
    """A model behind an OpenAI-compatible endpoint; its connections belong to one event loop.

    Args:
        settings: Where it is, and what it is called.
        client: Connections to share; None: its own.

    Raises:
        SettingsError: The extra `model` is not installed.
    """

    def __init__(self, settings: ModelSettings, client: AsyncOpenAI | None = None) -> None:
        self._settings = settings
        self._client = client or _client(settings)
        self._model = _chat_model(settings, self._client)
        self.price()  # published prices take half a second to load: not inside the first call

    async def close(self) -> None:
        """Close its connections, and those of the models named after it."""
        await self._client.close()

    @property
    def name(self) -> str:
        """The model's name at its endpoint."""
        return self._settings.model

    def price(self) -> Price:
        """What a call costs that begins now."""
        settings = self._settings
        return Prices(settings.prices).of(settings.model, settings.base_url, datetime.now(UTC))

    def named(self, name: str) -> OpenAIModel:
        """Another model at the same endpoint."""
        return self if name == self.name else OpenAIModel(replace(self._settings, model=name), self._client)

    async def ask(self, prompt: str, *, system: str, max_tokens: int) -> Completion:
        """Ask once."""
        from pydantic_ai.direct import model_request
        from pydantic_ai.messages import ModelRequest

        request = ModelRequest.user_text_prompt(prompt, instructions=system or None)
        wanted: Any = {"max_tokens": max_tokens, "timeout": self._settings.timeout_s}
        with self._asked():
            answer = await model_request(self._model, [request], model_settings=wanted)
        usage = answer.usage
        return Completion(
            answer.text or "", answer.model_name or self.name, usage.input_tokens, usage.output_tokens
        )

    async def chat(self, prompt: Prompt, on_tokens: Callable[[int], None]) -> Reply:
        """Get one response of a conversation, as it comes; see `ChatModel`."""
        from arms.chat.vendor import stream

        with self._asked():
            return await stream(self._model, prompt, self._settings.timeout_s, on_tokens)

    @contextmanager
    def _asked(self) -> Iterator[None]:
        """Errors of the vendor's libraries become ours."""
        from openai import APIConnectionError, APIError, APITimeoutError
        from pydantic_ai.exceptions import AgentRunError, ModelHTTPError

        from arms.chat.vendor import refused

        where = f"{self.name} at {self._settings.base_url}"
        try:
            yield
        except (AgentRunError, APIError, TimeoutError) as error:
            said = refused(error, where) if isinstance(error, ModelHTTPError) else None
            if said is not None:
                raise said from error
            cause = error if isinstance(error, APIConnectionError) else error.__cause__
            unheard = isinstance(cause, APIConnectionError) and not isinstance(cause, APITimeoutError)
            reason = f"{where}: {error}".replace("\n", " ")[:500]
            raise ModelUnavailable(reason, was_asked=not unheard) from error


def model_from(
    base_url: str | None, model: str | None, api_key: str | None = None, prices: tuple[OwnPrice, ...] = ()
) -> OpenAIModel | None:
    """The model that the settings name; None when they name none.

    Args:
        base_url: Its endpoint.
        model: Its name there.
        api_key: The endpoint's key.
        prices: The site's own prices.

    Raises:
        SettingsError: Half of it is set, or the extra `model` is not installed.
    """
    if not base_url and not model:
        return None
    if not base_url or not model:
        missing = "OCTOLOG_LLM_MODEL" if base_url else "OCTOLOG_LLM_BASE_URL"
        raise SettingsError(f"a model needs an address and a name: set {missing} too")
    return OpenAIModel(ModelSettings(base_url, model, api_key or "none", prices=prices))


def most(price: Price, prompt: str, system: str, max_tokens: int) -> Amounts:
    """The most a call can use: a token is at least one byte of UTF-8, and an answer ends at `max_tokens`."""
    input_tokens = len(prompt.encode()) + len(system.encode()) + _TEMPLATE_TOKENS
    return Amounts(input_tokens + max_tokens, 0, price.most_micros(input_tokens, max_tokens), 1)


async def complete(
    handler: Handler, model: Model, prompt: str, *, system: str, max_tokens: int
) -> Completion:
    """Ask a model inside what the handler allows, and settle what it really used."""
    price = model.price()
    handler.priced(model.name, price)
    at_most = most(price, prompt, system, max_tokens)
    async with handler.model_call(model.name, at_most, context_tokens=at_most.tokens - max_tokens) as call:
        try:
            answer = await model.ask(prompt, system=system, max_tokens=max_tokens)
        except ModelUnavailable as error:
            if not error.was_asked:
                call.not_made()
            raise
        except (ModelRefused, LimitReached):
            call.not_made()
            raise
        tokens = answer.input_tokens + answer.output_tokens
        if tokens:  # an endpoint that does not count leaves the call charged with the most it can have used
            cost = price.cost_micros(answer.input_tokens, answer.output_tokens)
            call.settle(
                Amounts(tokens, 0, cost, 1),
                input_tokens=answer.input_tokens,
                output_tokens=answer.output_tokens,
                price_version=price.version,
            )
    return answer


def _client(settings: ModelSettings) -> AsyncOpenAI:
    try:
        from openai import AsyncOpenAI
    except ImportError as error:
        raise SettingsError("a model needs the extra: pip install 'octolog[model]'") from error
    # The client's own retries would be calls that nobody announced.
    return AsyncOpenAI(base_url=settings.base_url, api_key=settings.api_key, max_retries=0)


def _chat_model(settings: ModelSettings, client: AsyncOpenAI) -> OpenAIChatModel:
    try:
        from pydantic_ai.models.openai import OpenAIChatModel
        from pydantic_ai.providers.openai import OpenAIProvider
    except ImportError as error:
        raise SettingsError("a model needs the extra: pip install 'octolog[model]'") from error
    # Whether an endpoint takes a schema is found by asking it, not by the model's name.
    profile: Any = {"supports_json_schema_output": True}
    return OpenAIChatModel(settings.model, provider=OpenAIProvider(openai_client=client), profile=profile)
