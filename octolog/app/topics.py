"""`deploy/topics.yaml` as topic specifications."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import Any, cast

import yaml

from streams.kafka.admin import TopicSpec


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """Every topic as the file asks for it.

    Attributes:
        topics: The fixed ones.
        carries: What each is for.
    """

    topics: tuple[TopicSpec, ...]
    carries: dict[str, str]


def _document() -> dict[str, Any]:
    text = files("deploy").joinpath("topics.yaml").read_text(encoding="utf-8")
    return cast("dict[str, Any]", yaml.safe_load(text))


def topic_plan(partitions: int, copies: int | None = None) -> TopicPlan:
    """The fixed topics.

    Args:
        partitions: Of the co-partitioned ones.
        copies: Of every record; None: the cluster's default.
    """
    document = _document()
    defaults = document["defaults"]
    specs = tuple(
        TopicSpec(
            name,
            partitions if topic["partitions"] == "trees" else topic["partitions"],
            copies,
            {**defaults["config"], **topic.get("config", {})},
        )
        for name, topic in document["topics"].items()
    )
    return TopicPlan(specs, {name: topic["carries"] for name, topic in document["topics"].items()})


def assignment_topic(arm_id: str, copies: int | None = None) -> TopicSpec:
    """The topic an arm's assignments lie in; `copies` as in `topic_plan`."""
    document = _document()
    mine = document["assignments"]
    config = {**document["defaults"]["config"], **mine["config"]}
    return TopicSpec(mine["prefix"] + arm_id, mine["partitions"], copies, config)
