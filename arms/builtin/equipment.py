"""What the built-in arms are given where they are hosted; their tags and descriptions say what they can do with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from arms.arm import Arm
from arms.builtin.coder import make_coder
from arms.builtin.executor import make_executor
from arms.builtin.retriever import make_retriever
from arms.builtin.template import make_template
from arms.executor.policy import ExecutorPolicy
from arms.retriever.search import Library
from arms.template.memory import Memory
from octolog.domain.ids import ArmId

__all__ = ["PLAIN", "Equipment", "equipped"]


@dataclass(frozen=True, slots=True)
class Equipment:
    """What a host gives to its arms.

    Attributes:
        model: A model is set.
        policy: What the executor may do.
        walls: What holds on this machine, as `arms.sandbox.box.detect` says; None: not looked at.
        library: What the retriever searches with; None: by words, and nothing is kept on disk.
        vectors: The library has an embedding model.
        memory: Whom templates' context modes have asked; None: nobody.
    """

    model: bool = False
    policy: ExecutorPolicy = ExecutorPolicy()  # noqa: RUF009 -- frozen
    walls: Mapping[str, str] | None = None
    library: Library | None = None
    vectors: bool = False
    memory: Memory | None = None


PLAIN: Final = Equipment()
"""No model, nothing on disk, and what is allowed when nothing is said."""

_MADE_OF: Final[Mapping[ArmId, Callable[[Equipment], Arm]]] = MappingProxyType({
    ArmId("coder"): lambda given: make_coder(model=given.model),
    ArmId("executor"): lambda given: make_executor(given.policy, walls=given.walls),
    ArmId("retriever"): lambda given: make_retriever(given.library, vectors=given.vectors, model=given.model),
    ArmId("template"): lambda given: make_template(memory=given.memory),
})  # fmt: skip


def equipped(arm: Arm, given: Equipment) -> Arm:
    """The arm made anew with its equipment; one that takes none is given back as it is."""
    make = _MADE_OF.get(arm.arm_id)
    return arm if make is None else make(given)
