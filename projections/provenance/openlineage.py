"""Lineage as OpenLineage run events (https://openlineage.io/spec/2-0-2/OpenLineage.json). Pure.

An arm is a job and an attempt is its run; a task is a job of its own with one run, the parent of its attempts' runs
and of the runs of the tasks below it. What was used and made are datasets. Events come in the order of time.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from octolog.domain.ids import uuid5
from projections.provenance.graph import How, Kind, Lineage, Ref, Thing

_SPEC: Final = "https://openlineage.io/spec/2-0-2/OpenLineage.json"
_FACETS: Final = "https://openlineage.io/spec/facets"
_PARENT: Final = f"{_FACETS}/1-2-0/ParentRunFacet.json#/$defs/ParentRunFacet"
_ERROR: Final = f"{_FACETS}/1-0-1/ErrorMessageRunFacet.json#/$defs/ErrorMessageRunFacet"
_JOB_TYPE: Final = f"{_FACETS}/2-0-4/JobTypeJobFacet.json#/$defs/JobTypeJobFacet"
_DOCUMENTATION: Final = f"{_FACETS}/1-1-0/DocumentationJobFacet.json#/$defs/DocumentationJobFacet"
_VERSION: Final = f"{_FACETS}/1-0-1/DatasetVersionDatasetFacet.json#/$defs/DatasetVersionDatasetFacet"
_OURS: Final = f"{_SPEC}#/$defs/RunFacet"
NAMESPACE: Final = "octolog"
_ENDS: Final = {
    "SUCCESS": "COMPLETE",
    "PARTIAL": "COMPLETE",
    "COMPLETED": "COMPLETE",
    "CANCELLED": "ABORT",
    "FAILURE": "FAIL",
    "FAILED": "FAIL",
    "TIMED_OUT": "FAIL",
    "LOST": "FAIL",
}


def openlineage(lineage: Lineage, producer: str) -> list[dict[str, Any]]:
    """The events of every task and attempt that the log has a beginning of.

    Args:
        lineage: The graph.
        producer: A URI that names who tells this.
    """
    events = _Events(lineage, producer)
    runs = [*lineage.of(Kind.TASK), *lineage.of(Kind.ATTEMPT)]
    found = [event for thing in runs if thing.begun_at is not None for event in events.of(thing)]
    return sorted(found, key=lambda event: (event["eventTime"], event["eventType"] != "START"))


class _Events:
    def __init__(self, lineage: Lineage, producer: str) -> None:
        self._lineage, self._producer = lineage, producer

    def of(self, thing: Thing) -> list[dict[str, Any]]:
        began = self._event(thing, "START", thing.begun_at)
        end = _ENDS.get(str(thing.details.get("outcome", thing.details.get("status"))))
        if thing.ended_at is None or end is None:
            return [began]
        return [began, self._event(thing, end, thing.ended_at)]

    def _event(self, thing: Thing, kind: str, at: datetime | None) -> dict[str, Any]:
        run = {"runId": _run(thing.ref), "facets": self._run_facets(thing, kind)}
        return {
            "eventType": kind,
            "eventTime": "" if at is None else at.isoformat(timespec="milliseconds") + "Z",
            "run": run,
            "job": {**self._job(thing.ref), "facets": self._job_facets(thing)},
            "inputs": self._inputs(thing.ref),
            "outputs": [] if kind == "START" else self._outputs(thing.ref),
            "producer": self._producer,
            "schemaURL": f"{_SPEC}#/$defs/RunEvent",
        }

    def _job(self, ref: Ref) -> dict[str, Any]:
        if ref.kind is Kind.ATTEMPT:
            (arm,) = self._lineage.about(ref, How.DONE_BY)
            return {"namespace": NAMESPACE, "name": f"arm/{arm.name}"}
        return {"namespace": NAMESPACE, "name": f"task/{ref.name}"}

    def _job_facets(self, thing: Thing) -> dict[str, Any]:
        job_type = "ATTEMPT" if thing.ref.kind is Kind.ATTEMPT else "TASK"
        told = {"processingType": "BATCH", "integration": "OCTOLOG", "jobType": job_type}
        found = {"jobType": self._facet(_JOB_TYPE, **told)}
        if thing.ref.kind is Kind.TASK and "goal" in thing.details:
            found["documentation"] = self._facet(_DOCUMENTATION, description=thing.details["goal"])
        return found

    def _run_facets(self, thing: Thing, kind: str) -> dict[str, Any]:
        above = [
            *self._lineage.about(thing.ref, How.ATTEMPT_AT),
            *self._lineage.about(thing.ref, How.PART_OF),
        ]
        found: dict[str, Any] = {}
        if above:
            run, job = {"runId": _run(above[0])}, self._job(above[0])
            found["parent"] = self._facet(_PARENT, run=run, job=job)
        if kind != "START" and thing.details.get("error"):
            told = {"message": thing.details["error"], "programmingLanguage": "unknown"}
            found["errorMessage"] = self._facet(_ERROR, **told)
        models = [model.name for model in self._lineage.about(thing.ref, How.ANSWERED_BY)]
        ours = {**thing.details, **({"models": models} if models else {})}
        if kind != "START":
            found["octolog"] = self._facet(_OURS, **ours)
        return found

    def _inputs(self, ref: Ref) -> list[dict[str, Any]]:
        return [self._dataset(used) for used in self._lineage.about(ref, How.USED)]

    def _outputs(self, ref: Ref) -> list[dict[str, Any]]:
        made = (How.MADE_BY, How.RECORDED_BY)
        told = self._lineage.relations.values()
        return [self._dataset(one.subject) for one in told if one.how in made and one.object == ref]

    def _dataset(self, ref: Ref) -> dict[str, Any]:
        namespace, name = _place(ref)
        digest = self._lineage.things[ref].details.get("sha256")
        facets = {} if digest is None else {"version": self._facet(_VERSION, datasetVersion=digest)}
        return {"namespace": namespace, "name": name, "facets": facets}

    def _facet(self, schema: str, **told: Any) -> dict[str, Any]:
        return {"_producer": self._producer, "_schemaURL": schema, **told}


def _run(ref: Ref) -> str:
    return ref.name if ref.kind is Kind.ATTEMPT else uuid5(f"{ref.kind}\x1f{ref.name}")


def _place(ref: Ref) -> tuple[str, str]:
    """Namespace and name, by OpenLineage's rules for addresses and files."""
    if ref.kind is not Kind.SOURCE:
        return NAMESPACE, f"{ref.kind}/{ref.name}"
    try:
        address = urlsplit(ref.name)
    except ValueError:
        return "file", ref.name
    if address.scheme and address.netloc:
        host = address.netloc.rpartition("@")[2]
        return f"{address.scheme}://{host}", address.path.lstrip("/") or "/"
    return "file", ref.name
