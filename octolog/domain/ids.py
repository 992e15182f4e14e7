"""Ids: distinct types, and ids that derive from what caused them.

Nothing here draws a random number: an id made by a decision is a function of that decision's cause, so a
replay makes the same one. Ids minted by a producer (task ids) come in with the command.
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import sha1
from typing import Final, NewType

TaskId = NewType("TaskId", str)
"""A task or a step of one; opaque, at most 255 characters. A step's id is `<task>/<step>`."""

AttemptId = NewType("AttemptId", str)
"""One attempt at one task; a UUIDv5 of the tree, the task and the attempt's number."""

ArmId = NewType("ArmId", str)
"""Lowercase words joined by hyphens, e.g. `safety-guardian`.."""

MAX_TASK_ID_LENGTH: Final = 255
MAX_ARM_ID_LENGTH: Final = 64

_TASK_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,254}")
_ARM_ID: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_STEP_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

# The namespace of every derived id; made once, never to change: ids in old logs depend on it.
_NAMESPACE: Final = bytes.fromhex("6f63746f6c6f672d6e616d6573706163")


def is_task_id(text: str) -> bool:
    """True for an id a producer may choose: letters, digits and `._:/-`, 1 to 255 of them."""
    return len(text) <= MAX_TASK_ID_LENGTH and _is_task_id(text)


@lru_cache(maxsize=8_192)
def _is_task_id(text: str) -> bool:
    """Remembered, because the reports on an attempt come soon one after the other."""
    return _TASK_ID.fullmatch(text) is not None


def is_arm_id(text: str) -> bool:
    """True for lowercase words joined by hyphens, at most 64 characters."""
    return len(text) <= MAX_ARM_ID_LENGTH and _ARM_ID.fullmatch(text) is not None


def is_step_id(text: str) -> bool:
    """True for a step's name inside its task: letters, digits and `._-`, 1 to 64 of them."""
    return _STEP_ID.fullmatch(text) is not None


def uuid5(name: str) -> str:
    """A UUIDv5 (RFC 9562) of `name` in octolog's namespace; same as `uuid.uuid5`, without building the object."""
    digest = bytearray(sha1(_NAMESPACE + name.encode(), usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def attempt_id(root_id: TaskId, task_id: TaskId, number: int) -> AttemptId:
    """The id of attempt `number` (from 1) at `task_id`; with the tree, whose task ids are its own."""
    return AttemptId(uuid5(f"{root_id}#{task_id}#{number}"))


def step_task_id(parent: TaskId, step_id: str) -> TaskId:
    """The task id of a parent's step."""
    return TaskId(f"{parent}/{step_id}")
