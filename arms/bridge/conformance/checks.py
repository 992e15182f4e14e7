"""The checks, in the order in which they are made. Each returns what it saw, or raises `Broken` or `Skipped`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final
from uuid import uuid4

import orjson

from arms.bridge.conformance.bench import Broken, Skipped, Stand, answered, said_by
from arms.bridge.description import Sample
from arms.bridge.health import SLOW_S, probe
from arms.bridge.protocol import RUNNING, BadAnswer, ErrorDetail, passed_over, read_error
from arms.bridge.service import describe
from arms.bridge.transport import Reply
from octolog.domain.arm import Health
from octolog.domain.errors import OctologError
from schemas.json_schema import check_schema, fault_in

__all__ = ["CHECKS", "Check"]

OVERSIZED_BYTES: Final = 12 * 1024 * 1024
"""More than any request of the bridge: contexts and inputs have at most 10 MB together."""

MOST_AT_ONCE: Final = 8
_CANCEL_S: Final = 15.0
_ERROR: Final = (
    'answer with a 4xx and {"error": {"code": "UPPER_SNAKE", "category": "validation", "message": "...", '
    '"retryable": false}}'
)


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    Attributes:
        remedy: What to do when it fails.
        look: Makes it.
    """

    remedy: str
    look: Callable[[Stand], Awaitable[str]]


async def _description(stand: Stand) -> str:
    try:
        found = await describe(stand.transport, stand.settings)
        check_schema("input_schema", found.capability.input_schema_json)
        check_schema("output_schema", found.capability.output_schema_json)
    except OctologError as error:
        raise Broken(str(error)) from None
    stand.description = found
    tags = ", ".join(found.capability.capabilities)
    uses = f"; uses {', '.join(found.uses)}" if found.uses else ""
    unknown = f"; uses that are not known: {', '.join(found.unknown_uses)[:80]}" if found.unknown_uses else ""
    return f"{found.capability.arm_id} {found.capability.version}: {tags}{uses}{unknown}"


async def _health(stand: Stand) -> str:
    health, reason = await probe(stand.transport, stand.settings.health_timeout_s)
    if health is not Health.HEALTHY:
        raise Broken(f"{health.lower()}: {reason}")
    return reason


async def _executes(stand: Stand) -> str:
    began = time.monotonic()
    request = stand.request()
    reply = await stand.post(request)
    found = stand.done(reply, request)
    took_s = time.monotonic() - began
    over = passed_over(reply.json(), stand.described().uses)
    unread = f"; not read, because uses does not name it: {', '.join(over)}" if over else ""
    return f"success in {took_s:.2f} s of {stand.limit_s:g} s, confidence {found.confidence:g}{unread}"


async def _output(stand: Stand) -> str:
    found = await stand.execute(stand.request())
    if found.subtask is not None or found.operators:
        raise Skipped("the sample asks for something first; give one that does not")
    schema = stand.described().capability.output_schema_json
    fault = fault_in(schema, orjson.dumps(found.output).decode())
    if fault is not None:
        raise Broken(f"output{fault}")
    return "fits output_schema" if schema != "{}" else "no output_schema is declared; anything fits"


async def _usage(stand: Stand) -> str:
    found = await stand.execute(stand.request())
    use = stand.described().model_use
    if use is None:
        if found.usage is not None or found.tokens_used:
            raise Broken("the answer reports model use, but GET /arm declares no model_use")
        return "no model use, none declared"
    if found.usage is None:
        raise Broken("GET /arm declares model_use, but the answer has no usage")
    tokens = found.usage.input_tokens + found.usage.output_tokens
    if tokens > use.at_most.tokens or found.usage.calls > use.at_most.calls:
        raise Broken(
            f"{tokens} tokens in {found.usage.calls} calls are more than model_use allows one attempt"
        )
    return f"{tokens} tokens in {found.usage.calls} calls, as declared"


async def _idempotent(stand: Stand) -> str:
    request = stand.request()
    first = await stand.execute(request)
    second = await stand.execute(request)
    if first.output != second.output:
        raise Broken("the same attempt_id sent twice gave two different outputs")
    both = await _together(stand.post(asked) for asked in [stand.request(str(uuid4()))] * 2)
    for reply in both:
        if reply.status not in (200, 409):
            raise Broken(f"the same attempt sent twice at once: one answer is {reply.status}{said_by(reply)}")
        if reply.status == 409 and _refusal(reply).code != RUNNING:  # noqa: PLR2004 -- Conflict
            raise Broken(f"a 409 must have the code {RUNNING}")
    done = [reply.json().get("output") for reply in both if reply.status == 200]  # noqa: PLR2004 -- OK
    if not done or any(output != done[0] for output in done):
        raise Broken("the same attempt sent twice at once gave two different outputs, or none")
    return "one attempt_id, one output; also when sent twice at once"


async def _refuses(stand: Stand) -> str:
    cases: Mapping[str, bytes] = {
        "an empty object": b"{}",
        "a body that is no JSON": b"{",
        "a contract without a goal": orjson.dumps(_without_goal(stand)),
    }
    for what, body in cases.items():
        headers = {"content-type": "application/json", "idempotency-key": str(uuid4())}
        asked = stand.transport.send("POST", "/execute", body, timeout_s=stand.limit_s, headers=headers)
        reply = await answered(asked, f"{what}: POST /execute")
        if not 400 <= reply.status < 500:  # noqa: PLR2004 -- the caller's faults
            raise Broken(f"{what}: answers {reply.status}; it must be a 4xx")
        detail = _refusal(reply, f"{what}: ")
        if detail.may_pass:
            raise Broken(f"{what}: the error is said to be retryable; the same request can never pass")
    return "three bad requests refused with the error document"


async def _tolerates(stand: Stand) -> str:
    request = stand.request()
    request["from_a_later_version"] = {"a": 1}
    request["contract"]["also_new"] = [1, 2]
    request["contract"]["budget"]["max_later"] = 3
    await stand.execute(request)
    return "unknown fields passed over"


async def _cancels(stand: Stand) -> str:
    await _cancel(stand, str(uuid4()), "an attempt nobody knows")
    request = stand.request()
    asked = _cancel(stand, request["attempt_id"], "a running attempt")
    _, ended = await _together([asked, stand.post(request)])
    if ended.status >= 500:  # noqa: PLR2004 -- the server's own faults
        raise Broken(f"a cancelled attempt ends with {ended.status}")
    return f"cancelled attempts end ({ended.status}); unknown ones are no error"


async def _cancel(stand: Stand, attempt_id: str, what: str) -> Reply:
    await asyncio.sleep(0)  # the attempt that it ends is asked for first
    asked = stand.transport.post("/cancel", {"attempt_id": attempt_id, "reason": "check"}, _CANCEL_S)
    reply = await answered(asked, "POST /cancel")
    if not 200 <= reply.status < 300:  # noqa: PLR2004 -- success
        raise Broken(f"POST /cancel of {what} answers {reply.status}; it must be a 2xx")
    return reply


async def _oversized(stand: Stand) -> str:
    filler = "x" * OVERSIZED_BYTES
    described = stand.described()
    task = stand.sample or next(iter(described.samples), Sample("too much"))
    request = stand.request(sample=Sample(task.goal, {**task.context, "filler": filler}))
    try:
        reply = await stand.post(request, max(stand.limit_s, 30.0))
    except Broken as broken:
        if "Write" not in str(broken) and "Read" not in str(broken) and "RemoteProtocol" not in str(broken):
            raise
        seen = "the connection was closed"  # a server may stop reading; that is a refusal, too
    else:
        if reply.status >= 500:  # noqa: PLR2004 -- the server's own faults
            raise Broken(f"{len(filler) >> 20} MB are answered with {reply.status}{said_by(reply)}")
        seen = f"answered with {reply.status}"
    health, reason = await probe(stand.transport, stand.settings.health_timeout_s)
    if health is Health.UNAVAILABLE:
        raise Broken(f"{seen}; after it the service is gone: {reason}")
    return f"{seen}, and the service lives"


async def _concurrent(stand: Stand) -> str:
    at_once = min(stand.described().capability.max_concurrent_tasks, MOST_AT_ONCE)
    if at_once < 2:  # noqa: PLR2004 -- nothing to do at once
        raise Skipped("max_concurrent_tasks is 1")
    requests = [stand.request() for _ in range(at_once)]
    replies = await _together(stand.post(request) for request in requests)
    for reply, request in zip(replies, requests, strict=True):
        if reply.status != 200:  # noqa: PLR2004 -- OK
            raise Broken(f"{at_once} at once: one answers {reply.status}{said_by(reply)}")
        stand.result(reply, request)
    return f"{at_once} attempts at once, each with its own result"


async def _together(asked: Iterable[Awaitable[Reply]]) -> list[Reply]:
    """The answers to requests made at once; all have ended when the first fault is raised, none is in flight."""
    replies: list[Reply] = []
    for found in await asyncio.gather(*asked, return_exceptions=True):
        if isinstance(found, BaseException):
            raise found
        replies.append(found)
    return replies


def _without_goal(stand: Stand) -> dict[str, Any]:
    request = stand.request(sample=Sample("check", {}))
    del request["contract"]["goal"]
    return request


def _refusal(reply: Reply, what: str = "") -> ErrorDetail:
    try:
        detail = read_error(reply.json())
    except BadAnswer as error:
        raise Broken(f"{what}{error}") from None
    if detail is None:
        raise Broken(f"{what}the {reply.status} has no error document")
    return detail


CHECKS: Final[Mapping[str, Check]] = MappingProxyType({
    "description": Check("answer GET /arm with the capability document (docs/reference/http-arm.md)", _description),
    "health": Check(f"answer GET /health with 200 in less than {SLOW_S:g} s", _health),
    "executes a sample": Check("do the sample of GET /arm (or --sample) within timeout_seconds", _executes),
    "output obeys its schema": Check("answer what output_schema declares, or correct the schema", _output),
    "model use is declared": Check(
        'declare "model_use" in GET /arm and report "usage" in every answer: budgets stand on it', _usage
    ),
    "idempotent": Check(
        f"keep results by attempt_id; answer a repeat with the same, or 409 {RUNNING} while it runs", _idempotent
    ),
    "refuses bad input": Check(_ERROR, _refuses),
    "tolerates unknown fields": Check("pass over fields you do not know: requests grow with versions", _tolerates),
    "cancellation": Check("answer POST /cancel with 2xx, whatever the attempt, and end what runs", _cancels),
    "oversized input": Check("bound what you read and answer 413, rather than fail", _oversized),
    "concurrency": Check("do max_concurrent_tasks at once, or declare fewer", _concurrent),
})  # fmt: skip
"""Every check that is made of every service, by its name; the first must go first."""
