"""`octolog memory` without a node: it opens the store of its home."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from octolog.app.memory.collections import OpenMemory
from octolog.app.settings import Settings
from octolog.cli.application import build
from octolog.cli.memory import _where
from octolog.domain.errors import Refused
from octolog.domain.memory import EntityType, MemoryForgotten
from projections.memory.conditions import AsOf, Where
from projections.memory.edge import EdgeCollections
from projections.memory.sink import MemoryProjection
from schemas.codec import Codec
from schemas.registry import MemorySchemaTopic, TopicSchemaIds
from tests.unit.memory.conftest import Topic, remembered


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with memories, and no node."""
    home = tmp_path_factory.mktemp("home")
    settings = Settings(home=home, embedding_model="hashing")
    topic = Topic("octolog.memory", Codec(TopicSchemaIds(MemorySchemaTopic())), partitions=1)
    topic.append("port", remembered("port", "the broker listens on port 9092", tags=("kafka", "net")))
    topic.append("fox", remembered("fox", "foxes jump", entity_type=EntityType.DECISION, confidence=0.4))
    topic.append("fox", MemoryForgotten("fox", "irrelevant", "ops"))
    memory = OpenMemory(EdgeCollections(home / "memory"), settings)
    projection = MemoryProjection(memory.store, memory.embedder, topic.codec)
    projection.apply(topic.records, topic.after(topic.records))
    memory.close()
    return home


def octolog(home: Path, *arguments: str) -> Result:
    return CliRunner().invoke(build(), ["memory", *arguments, "--home", str(home)])


def said(home: Path, *arguments: str) -> Any:
    result = octolog(home, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_search_finds_what_counts_now(home: Path) -> None:
    hits = said(home, "search", "which port does the broker have", "--filter", "tag=kafka")["hits"]
    assert [hit["memory_id"] for hit in hits] == ["port"]
    assert (hits[0]["rank"], hits[0]["partition"], hits[0]["recorded_at"], hits[0]["counts"]) == (
        1,
        0,
        0,
        True,
    )


def test_a_search_as_of_an_offset_finds_what_counted_then(home: Path) -> None:
    found = said(home, "search", "foxes", "--as-of", "1", "--top-k", "1")["hits"]
    assert [hit["memory_id"] for hit in found] == ["fox"]
    assert said(home, "search", "foxes", "--as-of", "2", "--filter", "entity=decision")["hits"] == []
    assert said(home, "search", "foxes", "--as-of", "0:1", "--filter", "entity=decision")["hits"] != []


def test_a_person_gets_a_table_or_a_sentence(home: Path) -> None:
    assert "listens on port" in octolog(home, "search", "port").stdout
    assert (
        "nothing is remembered that fits" in octolog(home, "search", "x", "--filter", "source=nobody").stdout
    )


def test_a_memory_is_shown_with_its_place_and_its_end(home: Path) -> None:
    shown = said(home, "show", "fox")
    assert (shown["recorded_at"], shown["forgotten_at"], shown["reason"]) == (1, 2, "irrelevant")
    assert shown["older_versions"] == []
    assert "irrelevant" in octolog(home, "show", "fox").stdout


def test_a_memory_that_is_none_is_named_in_one_line(home: Path) -> None:
    result = octolog(home, "show", "nobody")
    assert result.exit_code == 1
    assert result.stderr == "octolog: no memory nobody in the log as far as it was read\n"


def test_the_model_in_use_is_no_other_model(home: Path) -> None:
    result = octolog(home, "reembed", "--model", "hashing")
    assert result.exit_code == 1
    assert "vectors of hashing already" in result.stderr


def test_a_home_without_memories_says_so(tmp_path: Path) -> None:
    result = octolog(tmp_path, "search", "x")
    assert result.exit_code == 1
    assert "nothing is remembered under" in result.stderr


@pytest.mark.parametrize(
    ("limits", "as_of", "expected"),
    [
        ([], None, Where()),
        (["entity=fact", "source=judge", "task=t/a"], None, Where(EntityType.FACT, "judge", task_id="t/a")),
        (["tag=a", "tag=b"], None, Where(tags=("a", "b"))),
        (["confidence=0.5"], None, Where(min_confidence=0.5)),
        (["since=1970-01-01T00:00:01Z"], None, Where(since_ms=1_000)),
        ([], "7", Where(as_of=AsOf(offset=7))),
        ([], "0:7,3:1", Where(as_of=AsOf(positions={0: 7, 3: 1}))),
        ([], "1970-01-01T00:00:02Z", Where(as_of=AsOf(time_ms=2_000))),
    ],
)
def test_limits_are_read_as_they_are_written(limits: list[str], as_of: str | None, expected: Where) -> None:
    assert _where(limits, as_of) == expected


@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        ("entity", "write K=V"),
        ("entity=thing", "one of task, decision, fact, artifact"),
        ("colour=red", "no filter 'colour'; there is entity"),
        ("confidence=2", "from 0.0 to 1.0"),
        ("confidence=nan", "from 0.0 to 1.0"),
        ("since=5", "a time such as"),
    ],
)
def test_a_limit_that_means_nothing_is_refused_with_what_would(limit: str, reason: str) -> None:
    with pytest.raises(Refused) as caught:
        _where([limit], None)
    assert reason in str(caught.value)


def test_a_limit_given_twice_and_a_moment_that_is_none_are_refused() -> None:
    with pytest.raises(Refused, match="given twice"):
        _where(["source=a", "source=b"], None)
    with pytest.raises(Refused, match="an offset for each partition"):
        _where([], "0:x")
    with pytest.raises(Refused, match="neither an offset nor a time"):
        _where([], "yesterday")
