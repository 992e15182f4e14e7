"""What the checks stand on: a service, its description, a task for it, and requests made of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import orjson

from arms.bridge.description import Description, Sample
from arms.bridge.protocol import BadAnswer, ExecuteResponse, read_error, read_response, request_of
from arms.bridge.settings import BridgeSettings
from arms.bridge.transport import NoReply, Reply, Transport
from octolog.domain.assignment import AttemptAssignment
from octolog.domain.ids import ArmId, AttemptId, TaskId
from octolog.domain.values import Limits

__all__ = ["Broken", "Skipped", "Stand"]

_WITHOUT_OUTPUT: Final = ("subtask", "operators")
ALLOWANCE: Final = Limits(max_tokens=10_000, max_time_ms=300_000, max_cost_micros=1_000_000, max_llm_calls=10)


class Broken(Exception):
    """A check failed; says what was seen."""


class Skipped(Exception):
    """A check cannot be made; says why."""


@dataclass(slots=True)
class Stand:
    """One service on the test stand.

    Attributes:
        settings: Where it is.
        transport: The way to it.
        sample: A task given by who checks; None: the service's own.
        description: What it says of itself, once it was asked.
        timeout_s: Longest run of one attempt, seconds; None: what the description says.
    """

    settings: BridgeSettings
    transport: Transport
    sample: Sample | None = None
    description: Description | None = None
    timeout_s: float | None = None

    def described(self) -> Description:
        """The description.

        Raises:
            Skipped: There is none.
        """
        if self.description is None:
            raise Skipped("without a valid GET /arm this cannot be checked")
        return self.description

    def request(self, attempt_id: str | None = None, sample: Sample | None = None) -> dict[str, Any]:
        """A request as the bridge would make it."""
        task = sample or self.sample or self._plainest()
        if task is None:
            raise Skipped('no sample task: put "samples" into GET /arm, or give --sample FILE')
        return request_of(self.assignment(task, attempt_id), self.limit_s)

    def _plainest(self) -> Sample | None:
        """The first sample whose answer asks for nothing, else the first that has an output all the same."""
        return min(self.described().samples, key=_asking, default=None)

    def assignment(self, task: Sample, attempt_id: str | None = None, **more: Any) -> AttemptAssignment:
        """An attempt at a sample, as the processor would assign it."""
        described, attempt = self.described(), attempt_id or str(uuid4())
        values: dict[str, Any] = {"number": 1, "task_id": TaskId(f"check-{attempt}"), **more}
        return AttemptAssignment(
            root_task_id=values["task_id"],
            attempt_id=AttemptId(attempt),
            arm_id=ArmId(described.capability.arm_id),
            goal=task.goal,
            constraints_json="{}",
            context_json=orjson.dumps(task.context).decode(),
            acceptance_criteria=(),
            inputs=(),
            allowance=ALLOWANCE,
            priority=5,
            assigned_ms=0,
            lease_ms=30_000,
            timeout_ms=int(self.limit_s * 1000),
            security_policy="default",
            **values,
        )

    @property
    def limit_s(self) -> float:
        """How long one attempt may take, seconds."""
        return self.timeout_s or self.described().capability.timeout_seconds

    async def execute(self, request: dict[str, Any]) -> ExecuteResponse:
        """Have a request done.

        Raises:
            Broken: It was not done, or the answer is none.
        """
        return self.done(await self.post(request), request)

    def done(self, reply: Reply, request: dict[str, Any]) -> ExecuteResponse:
        """The result of a request.

        Raises:
            Broken: It was not done, or the answer is none.
        """
        if reply.status != 200:  # noqa: PLR2004 -- OK
            raise Broken(f"POST /execute answers {reply.status}{said_by(reply)}; a result is a 200")
        return self.result(reply, request)

    def result(self, reply: Reply, request: dict[str, Any]) -> ExecuteResponse:
        """The result that a 200 carries.

        Raises:
            Broken: It is none.
        """
        try:
            task_id = request["contract"]["task_id"]
            uses = self.described().uses
            found = read_response(reply.json(), attempt_id=request["attempt_id"], task_id=task_id, uses=uses)
        except BadAnswer as error:
            raise Broken(str(error)) from None
        if found.status != "success":
            raise Broken(f"the sample ends as {found.status}: {found.error_code or ''} {found.error}")
        return found

    async def post(self, request: dict[str, Any], timeout_s: float | None = None) -> Reply:
        """POST /execute.

        Raises:
            Broken: No whole answer came in time.
        """
        key = {"idempotency-key": str(request.get("attempt_id", uuid4()))}
        return await answered(
            self.transport.post("/execute", request, timeout_s or self.limit_s, key), "POST /execute"
        )


def _asking(sample: Sample) -> int:
    return 0 if not sample.shows else 2 if sample.shows in _WITHOUT_OUTPUT else 1


async def answered(asked: Any, what: str) -> Reply:
    """The answer to a request.

    Raises:
        Broken: None came, or one that breaks a bound.
    """
    try:
        reply: Reply = await asked
    except (NoReply, BadAnswer) as error:
        told = str(error)
        raise Broken(told if told.startswith(what) else f"{what}: {told}") from None
    except TimeoutError:
        raise Broken(f"{what}: no answer in time") from None
    return reply


def said_by(reply: Reply) -> str:
    """What an error document says, for people; empty when there is none."""
    try:
        detail = read_error(reply.json())
    except BadAnswer:
        return ""
    return "" if detail is None else f" ({detail.code}: {detail.message[:120]})"
