"""The arms that come with octolog: each works without a model as far as honest code can, and says what it can do.

Together they review a folder. What they are given where they are hosted is their `equipment`.

| arm | does | and with a model |
|---|---|---|
| planner | surveys a folder, answers with a plan | decomposes any goal |
| retriever | searches folders, cites file and line; finds broken links in documents | answers from what it found |
| executor | runs allowed commands and scripts in a sandbox; checks the examples in documents | |
| coder | reads, lints, tests and explains code | writes and mends code, and checks what it wrote |
| judge | reads findings again, otherwise; writes the report | sums up |
| guardian | finds personal data, secrets and injected instructions; takes them out | |
| template | (is not hosted) | runs templates and operator programs; divides what was too large |
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from arms.arm import Arm
from arms.builtin.coder import make_coder
from arms.builtin.executor import make_executor
from arms.builtin.guardian import guardian
from arms.builtin.judge import judge
from arms.builtin.planner import planner
from arms.builtin.retriever import make_retriever
from arms.builtin.template import make_template
from arms.executor.policy import ExecutorPolicy
from arms.noop import noop

__all__ = ["BUILTIN", "GROUPS"]

coder = make_coder()
executor = make_executor(ExecutorPolicy())
retriever = make_retriever()
template = make_template()

BUILTIN: Final[Mapping[str, Arm]] = MappingProxyType({
    made.arm_id: made for made in (planner, retriever, executor, coder, judge, guardian, template, noop)
})  # fmt: skip
"""Every arm that comes with octolog, by id."""

GROUPS: Final[Mapping[str, tuple[Arm, ...]]] = MappingProxyType({
    **{arm_id: (made,) for arm_id, made in BUILTIN.items()},
    "review": (planner, retriever, executor, coder, judge),
})  # fmt: skip
"""What can be hosted by name: each arm alone, and `review`, which is all that the review of a folder needs."""
