"""The arms that come with octolog: they review a folder, and each works without a model as far as honest code can.

| arm | tags | does |
|---|---|---|
| planner | task_planning, goal_decomposition, dependency_resolution | surveys the folder, answers with a plan |
| retriever | keyword_search | finds broken links, anchors, images and references in documents |
| executor | python_execution | parses every example in the documents, runs those marked as runnable in a sandbox |
| coder | code_analysis | finds what is wrong in code and data files |
| judge | criteria_validation, fact_checking, quality_assessment | reads findings again, otherwise; writes the report |
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from arms.arm import Arm
from arms.builtin.coder import coder
from arms.builtin.executor import make_executor
from arms.builtin.judge import judge
from arms.builtin.planner import planner
from arms.builtin.retriever import make_retriever
from arms.executor.policy import ExecutorPolicy
from arms.noop import noop

__all__ = ["BUILTIN", "GROUPS"]

executor = make_executor(ExecutorPolicy())
retriever = make_retriever()

BUILTIN: Final[Mapping[str, Arm]] = MappingProxyType({
    made.arm_id: made for made in (planner, retriever, executor, coder, judge, noop)
})  # fmt: skip
"""Every arm that comes with octolog, by id."""

GROUPS: Final[Mapping[str, tuple[Arm, ...]]] = MappingProxyType({
    **{arm_id: (made,) for arm_id, made in BUILTIN.items()},
    "review": (planner, retriever, executor, coder, judge),
})  # fmt: skip
"""What can be hosted by name: each arm alone, and `review`, which is all that the review of a folder needs."""
