"""How a task's context comes about: what its operator has by default, and over that what its block says.

Two forms of a block. Seed B's has `inherit_context` as a truth value and no `fresh_context`; it says all there is to
say, and `false` twice leaves the mode to the task around. The other form has a word for `inherit_context` (`full`,
`none`), or `fresh_context`, or neither: what it leaves out, the operator's row of `DEFAULTS` has. Both end as the same
fields of an operator, so that nothing is worked out again while it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, TypeVar

from octolog.domain.operators import Role
from octolog.domain.tasksystem import AccumulationFormat, FreshContext, TaskType
from octolog.domain.templates import fields
from octolog.domain.templates.errors import invalid
from octolog.domain.templates.nodes import Located, shown

_Value = TypeVar("_Value")
_SETTINGS: Final = ("inherit_context", "accumulate_data", "accumulation_format", "fresh_context")
TRUTHS: Final = ("true", "false")
"""Seed B's words for `inherit_context`."""

_SUBSET: Final = "`subset` is not offered, as nothing says which part it would be; write full or none"
_BOTH: Final = "inherit_context and accumulate_data exclude each other; leave one of them out"
_FRESH: Final = (
    "fresh_context enabled inherits nothing; write inherit_context none, or fresh_context disabled"
)
_OF_SUBTASK: Final = "a subtask starts with a context of its own; it inherits none, so write none"


@dataclass(frozen=True, slots=True)
class Mode:
    """A context mode, as an operator bears it.

    Attributes:
        inherit: The parent's context as it is.
        accumulate: What earlier steps gave.
        keep: What is kept of them.
        fresh: Whether memory is asked.
    """

    inherit: bool = False
    accumulate: bool = False
    keep: AccumulationFormat = AccumulationFormat.FULL_OUTPUT
    fresh: FreshContext = FreshContext.UNSAID


@dataclass(frozen=True, slots=True)
class Said:
    """What a block says; None: nothing."""

    inherit: bool | None = None
    accumulate: bool | None = None
    keep: AccumulationFormat | None = None
    fresh: FreshContext | None = None


NO_MODE: Final = Mode()
"""Of a task without a block: its parent's mode."""

_NOTES: Final = AccumulationFormat.NOTES_ONLY
_INHERITING: Final = Mode(inherit=True, keep=_NOTES, fresh=FreshContext.DISABLED)
_SUBTASK: Final = Mode(keep=_NOTES, fresh=FreshContext.ENABLED)
DEFAULTS: Final = MappingProxyType({
    TaskType.ATOMIC: _INHERITING,
    TaskType.SEQUENTIAL: Mode(inherit=True, accumulate=True, keep=_NOTES, fresh=FreshContext.DISABLED),
    TaskType.MAP: _INHERITING,
    TaskType.REDUCE: Mode(accumulate=True, keep=_NOTES, fresh=FreshContext.ENABLED),
})  # fmt: skip
"""By operator; `default_of` has the exceptions. A sequence inherits or accumulates: `merged` says which."""


def default_of(kind: TaskType, role: Role, around: TaskType, *, is_subtask: bool) -> Mode:
    """What an operator has where its block is silent.

    Args:
        kind: Its type.
        role: What it is to its parent.
        around: The parent's type; UNKNOWN at the root.
        is_subtask: Whether it is an atomic one of that subtype.
    """
    if kind is TaskType.UNKNOWN:
        return NO_MODE
    if is_subtask:
        return _SUBTASK
    if around is TaskType.REDUCE and role in (Role.INNER, Role.REDUCTION):
        return replace(DEFAULTS[kind], inherit=True, fresh=FreshContext.DISABLED)
    return DEFAULTS[kind]


def merged(default: Mode, said: Said) -> Mode:
    """What is said, over what is there by default; a default gives way to what excludes it."""
    accumulate = said.accumulate
    if accumulate is None:
        accumulate = default.accumulate and not said.inherit
    inherit = said.inherit
    if inherit is None:
        inherit = default.inherit and not accumulate and said.fresh is not FreshContext.ENABLED
    fresh = said.fresh
    if fresh is None:
        fresh = FreshContext.DISABLED if inherit else default.fresh
    return Mode(inherit, accumulate, said.keep or default.keep, fresh)


def checked(mode: Mode, at: Callable[[str], str], *, is_subtask: bool) -> Mode:
    """A mode that does not contradict itself.

    Args:
        mode: As merged.
        at: The path of a setting of the block, by its name; of the block itself for an empty one.
        is_subtask: Whether the task is a subtask.

    Raises:
        DocumentRefused: VALIDATION_ERROR.
    """
    if mode.inherit and mode.accumulate:
        raise invalid(at(""), _BOTH)
    if mode.inherit and mode.fresh is FreshContext.ENABLED:
        raise invalid(at("fresh_context"), _FRESH)
    if mode.inherit and is_subtask:
        raise invalid(at("inherit_context"), _OF_SUBTASK)
    return mode


def mode_of(block: Located | None, default: Mode, *, is_subtask: bool) -> Mode:
    """The mode of a task in a document.

    Args:
        block: Its `context_management`; None: it has none, and takes its parent's mode.
        default: What its operator has where the block is silent.
        is_subtask: Whether it is a subtask.

    Raises:
        DocumentRefused: VALIDATION_ERROR, with the path of the first thing that is wrong.
    """
    if block is None:
        return NO_MODE
    found = block.parts()
    for name, element in found.items():
        if name not in _SETTINGS:
            raise invalid(element.at, f"does not belong here; only {', '.join(_SETTINGS)} do")
    said = Said(
        _read(found, "inherit_context", inheritance),
        _read(found, "accumulate_data", fields.truth),
        _read(found, "accumulation_format", fields.accumulation_format),
        _read(found, "fresh_context", freshness),
    )
    mode = merged(default, said)
    if is_of_seed(found["inherit_context"].content if "inherit_context" in found else "", said):
        mode = of_seed(said, block.at)
    places = {name: element.at for name, element in found.items()}
    return checked(mode, lambda name: places.get(name, block.at), is_subtask=is_subtask)


def is_of_seed(inherit_context: str, said: Said) -> bool:
    """Whether a block has seed B's form, from its words for `inherit_context`."""
    return said.fresh is None and inherit_context.strip() in TRUTHS


def of_seed(said: Said, at: str) -> Mode:
    """What a block in seed B's form says.

    Raises:
        DocumentRefused: It has no `accumulate_data`.
    """
    if said.accumulate is None:
        raise invalid(at, "needs accumulate_data beside an inherit_context of true or false")
    keep = AccumulationFormat.FULL_OUTPUT if said.keep is None else said.keep
    return Mode(said.inherit is True, said.accumulate, keep)


def inheritance(text: str, at: str) -> bool:
    """Whether a word for `inherit_context` means all of it or nothing.

    Raises:
        DocumentRefused: VALIDATION_ERROR.
    """
    match text.strip():
        case "true" | "full":
            return True
        case "false" | "none":
            return False
        case "subset":
            raise invalid(at, _SUBSET)
        case _:
            raise invalid(at, f"{shown(text)} is none of full, none, true, false")


def freshness(text: str, at: str) -> FreshContext:
    """Whether memory is asked.

    Raises:
        DocumentRefused: VALIDATION_ERROR.
    """
    return FreshContext(fields.one_of(("enabled", "disabled"))(text.strip(), at).upper())


def _read(found: dict[str, Located], name: str, read: Callable[[str, str], _Value]) -> _Value | None:
    return read(found[name].content, found[name].at) if name in found else None
