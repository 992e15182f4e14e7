"""Lineage: what is in the graph, and that PROV-JSON, OpenLineage and the picture say what it says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID
from xml.etree import ElementTree as ET

import jsonschema  # type: ignore[import-untyped]
import pytest
from openlineage.client import event_v2
from openlineage.client.facet_v2 import (
    dataset_version_dataset,
    documentation_job,
    error_message_run,
    job_type_job,
    parent_run,
)
from prov.model import ProvAgent, ProvDocument

from benches._history import History
from octolog.app.knowledge.answers import ANSWERS
from octolog.domain.ids import ArmId, AttemptId, TaskId
from octolog.domain.memory import (
    EntityType,
    MemoryForgotten,
    MemoryRecorded,
    MemorySuperseded,
    SemanticMemory,
)
from octolog.domain.reports import ContextRecalled, RecalledMemory
from octolog.ports import LogRecord
from projections.analytics.sink import AnalyticsProjection
from projections.analytics.tree import read_tree
from projections.duck import Store
from projections.provenance.gather import gather
from projections.provenance.graph import How, Kind, Lineage, Ref
from projections.provenance.layers import layout
from projections.provenance.openlineage import openlineage
from projections.provenance.picture import draw
from projections.provenance.prov_json import prov_json
from projections.provenance.queries import provenance
from projections.tables import FOLLOWED
from schemas.registry import MemorySchemaTopic, TopicSchemaIds

SCHEMA = Path(__file__).parents[2] / "data" / "provenance" / "prov-json.schema.json"
PLANNED, LATE_PLAN, RETRIED, FAILED, CANCELLED, PROGRAM = (
    TaskId(f"task-{n:06d}") for n in (1, 20, 6, 7, 8, 10)
)
WRITE = TaskId(f"{PLANNED}/write")
OLD, NEW = "memory-old", "memory-new"
EVERY = (PLANNED, WRITE, LATE_PLAN, RETRIED, FAILED, CANCELLED, PROGRAM)


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    """Trees of every kind; what one wrote is remembered, replaced, and given to an attempt of another."""
    ids = TopicSchemaIds(MemorySchemaTopic())
    history = History(ids)
    history.grow(1_000)
    store = Store.open(None)
    projection = AnalyticsProjection(store, ids)

    def apply(records: list[LogRecord]) -> None:
        projection.apply([record for record in records if record.topic in FOLLOWED], {})

    apply(history.records)
    (attempt,) = store.rows("SELECT attempt_id FROM attempts WHERE task_id = ?", [f"{LATE_PLAN}/write"])
    known = len(history.records)
    for name in (OLD, NEW):
        memory = SemanticMemory(name, EntityType.FACT, "the disk was full", ArmId("coder"), 1, 0.9)
        _say(history, "octolog.memory", name, MemoryRecorded(PLANNED, WRITE, memory))
    _say(history, "octolog.memory", OLD, MemorySuperseded(OLD, NEW, "it was the log"))
    _say(history, "octolog.memory", OLD, MemoryForgotten(OLD, "wrong", "bob"))
    given = (RecalledMemory(NEW, 0, 1, 0.8),)
    attempt_id = AttemptId(attempt["attempt_id"])
    recalled = ContextRecalled(
        LATE_PLAN,
        TaskId(f"{LATE_PLAN}/write"),
        attempt_id,
        ArmId("coder"),
        False,
        "the disk was full",
        False,
        given,
    )
    _say(history, "octolog.resources", LATE_PLAN, recalled)
    apply(history.records[known:])
    yield store
    store.close()


def _say(history: History, topic: str, key: str, value: Any) -> None:
    history.append(topic, 0, key, history.codec.encode(value))


def names(lineage: Lineage, kind: Kind) -> set[str]:
    return {thing.ref.name for thing in lineage.of(kind)}


@pytest.mark.parametrize(
    ("root", "tables"),
    [(PLANNED, {"memory_recorded"}), (LATE_PLAN, {"context_recalled"}), (RETRIED, set())],
)
def test_memory_is_asked_only_of_trees_that_it_has_something_of(
    store: Store, root: TaskId, tables: set[str]
) -> None:
    with store.snapshot() as now:
        tree = read_tree(now, root)
    assert tree is not None
    assert tree.beside.keys() == tables


# The graph


def test_lineage_has_tasks_attempts_arms_models_sources_outputs_people_and_memories(store: Store) -> None:
    found = gather(store, PLANNED)
    steps = {f"{PLANNED}/{step}" for step in ("gather", "write", "judge")}
    assert names(found, Kind.TASK) == {PLANNED, *steps, f"{LATE_PLAN}/write"}
    assert names(found, Kind.ARM) == {"retriever", "coder", "judge"}
    assert names(found, Kind.MODEL) == {"model-1"}
    assert names(found, Kind.SOURCE) == {"https://incidents.example/1", "docs/runbook.md"}
    assert names(found, Kind.OUTPUT) == {PLANNED, *steps}
    assert (names(found, Kind.PERSON), names(found, Kind.MEMORY)) == ({"alice"}, {OLD, NEW})
    assert len(names(found, Kind.ATTEMPT)) == 3
    ends = {ref for told in found.relations.values() for ref in (told.subject, told.object)}
    assert ends <= found.things.keys()


def test_lineage_leads_from_a_task_through_a_memory_to_a_task_of_another_tree_and_back(store: Store) -> None:
    down = gather(store, WRITE)
    memory = Ref(Kind.MEMORY, NEW)
    assert down.about(memory, How.RECORDED_BY) == [Ref(Kind.TASK, WRITE)]
    assert down.about(Ref(Kind.TASK, f"{LATE_PLAN}/write"), How.USED) == [memory]
    up = gather(store, LATE_PLAN)
    assert up.about(memory, How.RECORDED_BY) == [Ref(Kind.TASK, WRITE)]
    (attempt,) = (
        told.subject for told in up.relations.values() if told.object == memory and told.how is How.USED
    )
    assert up.about(attempt, How.DONE_BY) == [Ref(Kind.ARM, "coder")]


def test_superseded_and_forgotten_memories_say_so(store: Store) -> None:
    found = gather(store, WRITE)
    old = found.things[Ref(Kind.MEMORY, OLD)]
    assert found.about(Ref(Kind.MEMORY, NEW), How.SUPERSEDES) == [old.ref]
    assert old.details["forgotten"] is True
    assert old.ended_at is not None


def test_lineage_reaches_what_a_step_was_given_and_who_was_given_its_output(store: Store) -> None:
    found = gather(store, WRITE)
    assert Ref(Kind.OUTPUT, f"{PLANNED}/gather") in found.about(Ref(Kind.TASK, WRITE), How.USED)
    assert Ref(Kind.OUTPUT, WRITE) in found.about(Ref(Kind.TASK, f"{PLANNED}/judge"), How.USED)
    assert Ref(Kind.OUTPUT, f"{PLANNED}/gather") in found.about(Ref(Kind.OUTPUT, WRITE), How.DERIVED_FROM)


def test_custody_names_arms_models_and_memories_beside_tasks_and_data(store: Store) -> None:
    up = {(source.kind, source.name) for source in provenance(store, TaskId(f"{LATE_PLAN}/write")).inputs}
    assert up >= {("arm", "coder"), ("model", "model-2"), ("memory", NEW), ("data", "docs/runbook.md")}
    down = [(source.kind, source.name) for source in provenance(store, WRITE).used_by]
    assert down == [
        ("task", f"{PLANNED}/judge"),
        ("memory", NEW),
        ("memory", OLD),
        ("task", f"{LATE_PLAN}/write"),
    ]


def test_without_personal_data_who_what_and_whence_are_gone_and_the_rest_stays(store: Store) -> None:
    every, less = gather(store, PLANNED), gather(store, PLANNED, personal=False)
    texts = json.dumps([prov_json(less), openlineage(less, "urn:x")]) + draw(less)
    for personal in ("alice", "incident", "runbook"):
        assert personal in json.dumps(prov_json(every))
        assert personal not in texts
    assert names(less, Kind.SOURCE) == {"[redacted] 1", "[redacted] 2"}
    assert len(less.relations) == len(every.relations)


# PROV-JSON


@pytest.mark.parametrize("task", EVERY)
def test_prov_json_is_valid_by_its_published_schema_and_another_reader_reads_it(
    store: Store, task: TaskId
) -> None:
    lineage = gather(store, task)
    document = prov_json(lineage)
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    checker = jsonschema.FormatChecker()
    jsonschema.Draft4Validator(schema, format_checker=checker).validate(document)
    read = ProvDocument.deserialize(content=json.dumps(document), format="json")
    assert len(list(read.get_records(ProvAgent))) == sum(
        1 for thing in lineage.things.values() if thing.ref.kind in (Kind.PERSON, Kind.ARM, Kind.MODEL)
    )
    again = ProvDocument.deserialize(content=read.serialize(format="json"), format="json")
    assert again == read


def test_prov_json_says_which_arm_used_what_to_generate_which_output(store: Store) -> None:
    document = prov_json(gather(store, WRITE))
    ((_, output),) = (item for item in document["entity"].items() if item[0] == f"octolog:output/{WRITE}")
    assert re.fullmatch("[0-9a-f]{64}", output["octolog:sha256"])
    (made,) = (
        told
        for told in document["wasGeneratedBy"].values()
        if told["prov:entity"] == f"octolog:output/{WRITE}"
    )
    used = {
        told["prov:entity"]
        for told in document["used"].values()
        if told["prov:activity"] == made["prov:activity"]
    }
    assert used == {"octolog:source/https%3A//incidents.example/1", "octolog:source/docs/runbook.md"}
    by = {
        (told["prov:role"], told["prov:agent"])
        for told in document["wasAssociatedWith"].values()
        if told["prov:activity"] == made["prov:activity"]
    }
    assert by == {("arm", "octolog:arm/coder"), ("model", "octolog:model/model-1")}


# OpenLineage

_FACETS: dict[str, Any] = {
    "parent": lambda told: parent_run.ParentRunFacet(
        run=parent_run.Run(**told.pop("run")), job=parent_run.Job(**told.pop("job")), **told
    ),
    "errorMessage": lambda told: error_message_run.ErrorMessageRunFacet(**told),
    "jobType": lambda told: job_type_job.JobTypeJobFacet(**told),
    "documentation": lambda told: documentation_job.DocumentationJobFacet(**told),
    "version": lambda told: dataset_version_dataset.DatasetVersionDatasetFacet(**told),
}


def _read(facets: dict[str, dict[str, Any]], schemas: set[str]) -> dict[str, Any]:
    """Facets through the classes that the project's own client generates from its schemas."""
    found = {}
    for name, told in facets.items():
        mine = {key: value for key, value in told.items() if not key.startswith("_")}
        if name == "octolog":
            assert mine
            continue
        found[name] = _FACETS[name](mine)
        assert told["_schemaURL"] == found[name]._get_schema()
        schemas.add(name)
    return found


@pytest.mark.parametrize("task", EVERY)
def test_openlineage_events_are_those_of_its_own_client(store: Store, task: TaskId) -> None:
    events = openlineage(gather(store, task), "urn:octolog:test")
    assert events
    seen: set[str] = set()
    for event in events:
        told = event_v2.RunEvent(
            eventType=event_v2.RunState[event["eventType"]],
            eventTime=event["eventTime"],
            run=event_v2.Run(event["run"]["runId"], _read(event["run"]["facets"], seen)),
            job=event_v2.Job(
                event["job"]["namespace"], event["job"]["name"], _read(event["job"]["facets"], seen)
            ),
            inputs=[
                event_v2.InputDataset(d["namespace"], d["name"], _read(d["facets"], seen))
                for d in event["inputs"]
            ],
            outputs=[
                event_v2.OutputDataset(d["namespace"], d["name"], _read(d["facets"], seen))
                for d in event["outputs"]
            ],
            producer=event["producer"],
        )
        assert told.schemaURL == event["schemaURL"]
        assert UUID(event["run"]["runId"]).version == 5
    assert "jobType" in seen


def test_every_run_begins_once_and_ends_once(store: Store) -> None:
    events = openlineage(gather(store, RETRIED), "urn:octolog:test")
    runs: dict[str, list[str]] = {}
    for event in events:
        runs.setdefault(event["run"]["runId"], []).append(event["eventType"])
    assert sorted(map(tuple, runs.values())) == [
        ("START", "COMPLETE"),
        ("START", "COMPLETE"),
        ("START", "FAIL"),
    ]
    assert [event["eventTime"] for event in events] == sorted(event["eventTime"] for event in events)


# The picture


def _texts(svg: str) -> str:
    return "\n".join(
        element.text or "" for element in ET.fromstring(svg).iter() if element.tag.endswith("text")
    )


@pytest.mark.parametrize("task", EVERY)
def test_a_picture_is_well_formed_and_boxes_do_not_lie_over_each_other(store: Store, task: TaskId) -> None:
    root = ET.fromstring(draw(gather(store, task)))
    boxes = [
        tuple(float(rect.attrib[name]) for name in ("x", "y", "width", "height"))
        for rect in root.iter("{http://www.w3.org/2000/svg}rect")
        if rect.attrib.get("rx") == "6"
    ]
    assert boxes
    for index, (x, y, width, height) in enumerate(boxes):
        assert x + width <= float(root.attrib["width"])
        assert y + height <= float(root.attrib["height"])
        for x2, y2, width2, height2 in boxes[index + 1 :]:
            assert x + width <= x2 or x2 + width2 <= x or y + height <= y2 or y2 + height2 <= y


def test_a_picture_names_arms_models_sources_outputs_and_memories(store: Store) -> None:
    texts = _texts(draw(gather(store, PLANNED)))
    for word in (
        "alice",
        "coder",
        "model model-1",
        "docs/runbook.md",
        NEW,
        "task of another tree",
        "output sha256",
    ):
        assert word in texts


def test_what_is_written_cannot_break_out_of_the_picture(store: Store) -> None:
    lineage = gather(store, PLANNED)
    thing = lineage.things[Ref(Kind.TASK, WRITE)]
    bad = "</text><script>alert(1)</script>\x00&"
    lineage.things[thing.ref] = type(thing)(thing.ref, bad, details={"goal": bad, "status": bad})
    tags = {element.tag.rpartition("}")[2] for element in ET.fromstring(draw(lineage)).iter()}
    assert tags <= {"svg", "title", "defs", "marker", "path", "rect", "text", "g"}


def test_boxes_beyond_a_few_alike_share_one() -> None:
    lineage = Lineage(PLANNED, PLANNED)
    root = lineage.add(_thing(PLANNED))
    for number in range(1_000):
        lineage.relate(How.PART_OF, lineage.add(_thing(f"{PLANNED}/{number}")), root)
    texts = _texts(draw(lineage))
    assert "… and 994 more like these" in texts
    assert texts.count("bold") == 0


def _thing(name: str) -> Any:
    from projections.provenance.graph import Thing

    return Thing(Ref(Kind.TASK, name), name, details={"status": "COMPLETED"})


def test_edges_lead_right_and_a_circle_is_laid_out_too() -> None:
    nodes = ["a", "b", "c", "d"]
    edges = [("a", "b"), ("b", "c"), ("c", "a"), ("a", "d"), ("c", "d")]
    found = layout(nodes, edges, dict.fromkeys(nodes, 10.0), 5.0)
    assert found.column == {"a": 0, "b": 1, "c": 2, "d": 3}
    assert [column for column, _ in sorted(found.bends["a", "d"])] == [1, 2]


# Asking for it


def test_the_node_answers_in_each_form_and_refuses_others(store: Store) -> None:
    ask = ANSWERS["lineage"]
    assert "entity" in ask(store, PLANNED, "prov-json")
    assert ask(store, PLANNED, "openlineage", personal=False)[0]["eventType"] == "START"
    assert ask(store, PLANNED, "svg").startswith("<svg")
    with pytest.raises(Exception, match="no form dot"):
        ask(store, PLANNED, "dot")
