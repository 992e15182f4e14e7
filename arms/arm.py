"""The public way to define an arm: a Python function, what it can do, and what it answers.

```python
@arm("word-counter", name="Word counter", description="Counts words.", capabilities=("keyword_search",))
def count(work: Work) -> Answer:
    return Answer({"words": len(work.goal.split())})
```

Type hints can say the rest (`arms.signature`): the context is checked and taken apart by them, and they are the
schemas that the registry is told.

```python
@arm("word-counter", capabilities=("keyword_search",))
def count(text: str, longer_than: int = 0) -> dict[str, int]:
    return {"words": sum(len(word) > longer_than for word in text.split())}
```
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

import orjson

from arms.handler import UNBOUNDED, HandlerConfig
from arms.signature import InvalidInput, Signature
from arms.work import Work
from octolog.domain.arm import ArmCapability, Health
from octolog.domain.contract import Step
from octolog.domain.errors import OctologError
from octolog.domain.ids import ArmId
from octolog.domain.memory import MemoryProposal
from octolog.domain.operators import Program, SubtaskRequest
from octolog.domain.rules import check_capability
from octolog.domain.values import DEFAULT_RETRY, RetryPolicy, TaskError, TaskErrorType
from schemas.json_schema import check_schemas

__all__ = ["Answer", "Arm", "ArmFunction", "Companion", "Fail", "Retry", "arm"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What an arm answers when a bare dict or string says too little.

    Attributes:
        output: Any JSON value; pydantic models and dataclasses are written as objects.
        confidence: The arm's own estimate, 0.0 to 1.0.
        data_sources: What was read: URLs, file paths and the like.
        tests_passed: Names of the checks the output passed.
        plan: Steps the arm asks for, at most 10; the task then completes with them.
        operators: The program that a recovery by decomposition gives (`work.assignment.recovery`).
        subtask: What shall be done before the arm goes on; the task then gets another attempt, with the answer in
            `work.assignment.continuation`.
        continuation: With `subtask`: a JSON object that the arm finds again then, at most 256 kB.
        model_version: Model that answered; None: taken from the model calls made, if any.
        command: What was executed, if it was no function: a shell command, a query. None: the function's source.
        question: What a person must approve before the arm goes on; the task then gets another attempt, with the
            approval in `work.feedback`.
        memories: What shall be remembered for later tasks, at most 16: recorded once the result is accepted, never
            otherwise.
        command_hash: Its SHA-256 as 64 lowercase hex digits, where whoever executed it tells no more than that.
    """

    output: Any
    confidence: float = 1.0
    data_sources: tuple[str, ...] = ()
    tests_passed: tuple[str, ...] = ()
    plan: tuple[Step, ...] = ()
    model_version: str | None = None
    command: str | None = None
    operators: Program = ()
    subtask: SubtaskRequest | None = None
    continuation: Mapping[str, Any] = field(default_factory=dict)
    command_hash: str | None = None
    question: str = ""
    memories: tuple[MemoryProposal, ...] = ()


ArmFunction: TypeAlias = Callable[[Work], Any | Awaitable[Any]]
"""Takes `Work`; gives an `Answer`, or a JSON value that stands for `Answer(value)`. Sync or async."""


class Fail(OctologError):
    """Raised by an arm: this attempt failed, and the same attempt would fail again.

    Attributes:
        message: What went wrong, one line.
        code: Upper snake case.
        task_error: The task system's form of it; what a recovery goes by.
        output: What there is of an answer all the same, any JSON value.
    """

    def __init__(
        self,
        message: str,
        code: str = "TASK_FAILED",
        *,
        task_error: TaskError | None = None,
        output: Any = None,
    ) -> None:
        super().__init__(message, code)
        self.message, self.code, self.task_error, self.output = message, code, task_error, output

    def __str__(self) -> str:
        return self.message


class Retry(Fail):
    """Raised by an arm: this attempt failed of something that may pass; the task's retry policy decides when."""

    retryable = True

    def __init__(self, message: str, code: str = "TRANSIENT") -> None:
        super().__init__(message, code)


class Companion(Protocol):
    """What runs beside an arm's function while it is hosted: a watch over a service, connections."""

    @property
    def alive(self) -> bool:
        """False: no heartbeat is sent for the arm."""
        ...

    async def start(self, changed: Callable[[Health, Health, str], None]) -> None:
        """Begin; `changed` is called with the new health, the one before, and why."""

    async def stop(self) -> None:
        """End; called once, when no function runs any more."""

    def status(self) -> Mapping[str, Any]:
        """What the host's health view says of it."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Arm:
    """A function with its description; made by `@arm`.

    Attributes:
        capability: What the registry is told.
        function: What runs.
        command: Its source text; with the arm's id and version it is what provenance hashes.
        is_async: True when it runs on the host's event loop, False when in a thread.
        config: Turns and context that a handler of this arm allows, where a task does not say.
        needs_model: It can do nothing without a model, and is not hosted where none is set.
        companion: What runs beside it while it is hosted, if anything.
        signature: What the type hints of the function say; None: it takes the work and nothing else.
    """

    capability: ArmCapability
    function: ArmFunction
    command: str
    is_async: bool
    config: HandlerConfig = field(default=UNBOUNDED)
    needs_model: bool = False
    companion: Companion | None = None
    signature: Signature | None = None

    @property
    def arm_id(self) -> ArmId:
        """The arm's id."""
        return self.capability.arm_id

    def __call__(self, work: Work) -> Any:
        """Call the function itself, as a test would."""
        return self.function(work)


_NO_SCHEMA: Final[Mapping[str, Any]] = {}


def arm(  # noqa: PLR0913 -- one keyword per field of the registry's entry
    arm_id: str,
    *,
    capabilities: tuple[str, ...],
    name: str | None = None,
    description: str = "",
    cost_tier: int = 1,
    timeout_seconds: int = 30,
    max_concurrent_tasks: int = 10,
    version: str = "1",
    input_schema: Mapping[str, Any] = _NO_SCHEMA,
    output_schema: Mapping[str, Any] = _NO_SCHEMA,
    retry: RetryPolicy = DEFAULT_RETRY,
    config: HandlerConfig = UNBOUNDED,
    needs_model: bool = False,
) -> Callable[[Callable[..., Any]], Arm]:
    """Make an arm of a sync or async function.

    Args:
        arm_id: Lowercase words with hyphens; its assignments come on `octolog.assignments.<arm_id>`.
        capabilities: Tags for routing, at least one.
        name: For people; None: the id.
        description: For people; empty: the function's docstring.
        cost_tier: 1 (cheap) to 5 (expensive).
        timeout_seconds: Longest run of one attempt, seconds, 1 to 300.
        max_concurrent_tasks: Attempts worked on at once by one host.
        version: The arm's own version; part of the provenance of its results.
        input_schema: JSON Schema of the context; empty: what the type hints say.
        output_schema: JSON Schema of the output; empty: what the type hints say.
        retry: How the arm wants transient failures repeated.
        config: Turns and context one attempt may use, where its task does not say.
        needs_model: It can do nothing without a model, and is not hosted where none is set.

    Raises:
        InvalidContract: A value is out of bounds; raised where the arm is defined.
    """

    def made(function: Callable[..., Any]) -> Arm:
        hints = Signature(function, Answer)
        takes, gives = input_schema or hints.input_schema(), output_schema or hints.output_schema()
        capability = ArmCapability(
            arm_id=ArmId(arm_id),
            name=name or arm_id,
            description=(description or inspect.getdoc(function) or "")[:500],
            capabilities=capabilities,
            cost_tier=cost_tier,
            input_schema_json=orjson.dumps(takes, option=orjson.OPT_SORT_KEYS).decode(),
            output_schema_json=orjson.dumps(gives, option=orjson.OPT_SORT_KEYS).decode(),
            timeout_seconds=timeout_seconds,
            retry_policy=retry,
            version=version,
            max_concurrent_tasks=max_concurrent_tasks,
        )
        check_capability(capability)
        check_schemas(capability)
        is_async = inspect.iscoroutinefunction(function)
        if hints.is_plain and not hints.output_schema():
            return Arm(capability, function, _source(function), is_async, config, needs_model)
        called = _called(function, hints, is_async=is_async)
        return Arm(capability, called, _source(function), is_async, config, needs_model, signature=hints)

    return made


def _called(function: Callable[..., Any], hints: Signature, *, is_async: bool) -> ArmFunction:
    """The function as a host calls it: the context taken apart for it, its value checked."""

    def given(work: Work) -> dict[str, Any]:
        try:
            return hints.arguments(work)
        except InvalidInput as error:
            raise Fail(str(error), "INVALID_INPUT") from None

    def judged(value: Any) -> Any:
        try:
            return hints.plain(value)
        except InvalidInput as error:
            told = TaskError(TaskErrorType.INVALID_OUTPUT, str(error), violations=(str(error),))
            raise Fail(str(error), "INVALID_OUTPUT", task_error=told) from None

    async def awaited(work: Work) -> Any:
        return judged(await function(**given(work)))

    def plain(work: Work) -> Any:
        return judged(function(**given(work)))

    called: ArmFunction = awaited if is_async else plain
    called.__module__ = function.__module__  # where its author put it
    return called


def _source(function: ArmFunction) -> str:
    try:
        return textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):  # defined at a prompt, or not written in Python
        module = getattr(function, "__module__", "")
        return f"{module}.{getattr(function, '__qualname__', type(function).__qualname__)}"
