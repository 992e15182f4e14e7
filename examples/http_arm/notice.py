"""An arm as an HTTP service that does not do all of its task itself, with nothing but Python's standard library.

It gives out a notice: another arm counts its words (a subtask, after which it goes on), a person says yes (a question),
and then it answers with a plan of who puts it up where. What it learned is proposed as a memory.

    python examples/http_arm/notice.py 8001
    octolog arms check http://127.0.0.1:8001
    octolog arms bridge http://127.0.0.1:8001

`service.py` has the protocol; docs/reference/http-arm.md tells it.
"""

from __future__ import annotations

import sys
from http.server import ThreadingHTTPServer
from typing import Any, ClassVar

from service import Attempts, Handler, Refusal

SAMPLE = {"text": "The office is closed on Friday", "places": ["door", "lift"]}
DESCRIPTION = {
    "arm_id": "http-notice",
    "name": "Notice",
    "description": "Gives out a notice: has its words counted, asks a person, and says who puts it up.",
    "version": "1.0.0",
    "capabilities": ["notice"],
    "cost_tier": 1,
    "timeout_seconds": 10,
    "max_concurrent_tasks": 4,
    "input_schema": {
        "type": "object",
        "properties": {
            "text": {"type": "string", "minLength": 1},
            "places": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 5},
            "arm": {"type": "string", "description": "Counts the words and puts the notice up."},
            "counted": {"type": "string"},
            "approved": {"type": "boolean"},
        },
        "required": ["text", "places"],
    },
    "uses": ["plan", "subtask", "question", "memories"],
    "samples": [
        {"goal": "Give it out", "context": SAMPLE, "shows": "subtask", "content": "6"},
        {"goal": "Give it out", "context": {**SAMPLE, "counted": "6"}, "shows": "question"},
        {"goal": "Give it out", "context": {**SAMPLE, "counted": "6", "approved": True}, "shows": "plan"},
        {"goal": "Give it out", "context": {**SAMPLE, "counted": "6", "approved": True}, "shows": "memories"},
    ],
}


def notice(request: dict[str, Any]) -> dict[str, Any]:
    """The next thing to do; what is known so far came with the request."""
    contract, context = request["contract"], request["contract"].get("context") or {}
    text, places = context.get("text"), context.get("places")
    if not isinstance(text, str) or not isinstance(places, list):
        raise Refusal(400, "INVALID_INPUT", "context.text and context.places are needed")
    by = {"assigned_arm": context["arm"]} if "arm" in context else {"required_capabilities": ["word_count"]}
    told = request.get("continuation")
    counted = context.get("counted") if told is None else told["content"]
    if counted is None:
        return {
            "output": None,
            "subtask": {
                "goal": "Count the words",
                "instructions": "{{text}}",
                "inputs": {"text": text},
                **by,
            },
            "continuation": {"begun_by": request["attempt_id"]},
        }
    feedback = request.get("feedback") or {}
    if not context.get("approved") and feedback.get("kind") != "APPROVED":
        return {"output": {"counted": counted}, "question": f"Shall {len(places)} notices be put up?"}
    steps = [
        {"step_id": f"place-{number}", "goal": f"Put it up: {place}", "context": {"text": text}, **by}
        for number, place in enumerate(places, start=1)
    ]
    kept = {} if told is None else told["kept"]
    return {
        "output": {"counted": counted, "goal": contract["goal"], **kept},
        "plan": steps,
        "memories": [{"entity_type": "fact", "content": f"A notice was put up at {len(steps)} places."}],
    }


class NoticeHandler(Handler):
    """The same protocol, another arm."""

    description: ClassVar[dict[str, Any]] = DESCRIPTION
    attempts: ClassVar[Attempts] = Attempts()

    def done(self, request: dict[str, Any]) -> dict[str, Any]:
        """One attempt."""
        return {"confidence": 1.0, **notice(request)}


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), NoticeHandler).serve_forever()
