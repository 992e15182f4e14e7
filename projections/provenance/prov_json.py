"""Lineage as W3C PROV-JSON (https://www.w3.org/submissions/prov-json/). Pure.

Tasks and attempts are activities; sources, outputs and memories are entities; people, arms and models are agents.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from projections.provenance.graph import How, Kind, Lineage, Ref, Relation, Thing

NAMESPACE: Final = "urn:octolog:"
_ACTIVITIES: Final = (Kind.TASK, Kind.ATTEMPT)
_AGENTS: Final = {
    Kind.PERSON: "prov:Person",
    Kind.ARM: "prov:SoftwareAgent",
    Kind.MODEL: "prov:SoftwareAgent",
}


def prov_json(lineage: Lineage) -> dict[str, Any]:
    """The document."""
    document: dict[str, Any] = {"prefix": {"octolog": NAMESPACE}}
    for thing in lineage.things.values():
        place, value = _element(thing)
        document.setdefault(place, {})[_name(thing.ref)] = value
    number = 0
    for told in lineage.relations.values():
        for place, value in _RELATIONS[told.how](told):
            number += 1
            document.setdefault(place, {})[f"_:r{number}"] = value
    for thing in lineage.of(Kind.MEMORY):
        if thing.ended_at is not None:
            number += 1
            gone = {"prov:entity": _name(thing.ref), "prov:time": _time(thing.ended_at)}
            document.setdefault("wasInvalidatedBy", {})[f"_:r{number}"] = gone
    return document


def _name(ref: Ref) -> str:
    return f"octolog:{ref.kind}/{quote(ref.name, safe='/-._')}"


def _element(thing: Thing) -> tuple[str, dict[str, Any]]:
    kind = thing.ref.kind
    found: dict[str, Any] = {"prov:label": thing.label}
    if kind in _ACTIVITIES:
        if thing.begun_at is not None:
            found["prov:startTime"] = _time(thing.begun_at)
        if thing.ended_at is not None:
            found["prov:endTime"] = _time(thing.ended_at)
    types = [_qualified(f"octolog:{kind.capitalize()}")]
    if kind in _AGENTS:
        types.append(_qualified(_AGENTS[kind]))
    found["prov:type"] = types
    found |= {f"octolog:{name}": _literal(value) for name, value in thing.details.items()}
    place = "activity" if kind in _ACTIVITIES else "agent" if kind in _AGENTS else "entity"
    return place, found


def _qualified(name: str) -> dict[str, str]:
    return {"$": name, "type": "prov:QUALIFIED_NAME"}


def _literal(value: Any) -> Any:
    if isinstance(value, list):
        return [_literal(item) for item in value]
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return {"$": str(value), "type": "xsd:long"}
    if isinstance(value, float):
        return {"$": repr(value), "type": "xsd:double"}
    return str(value)


def _time(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds") + "Z"


def _told(
    place: str, subject: str, other: str, **more: Any
) -> Callable[[Relation], list[tuple[str, dict[str, Any]]]]:
    def tell(told: Relation) -> list[tuple[str, dict[str, Any]]]:
        found = {f"prov:{subject}": _name(told.subject), f"prov:{other}": _name(told.object), **more}
        if told.at is not None and place in ("used", "wasGeneratedBy"):
            found["prov:time"] = _time(told.at)
        return [(place, found)]

    return tell


def _made(told: Relation) -> list[tuple[str, dict[str, Any]]]:
    return _told("wasGeneratedBy", "entity", "activity")(told)


_RELATIONS: Final[dict[How, Callable[[Relation], list[tuple[str, dict[str, Any]]]]]] = {
    How.ASKED_BY: _told("wasAssociatedWith", "activity", "agent", **{"prov:role": "submitter"}),
    # PROV has no "part of": the activity was started by the one around it.
    How.PART_OF: _told("wasStartedBy", "activity", "starter"),
    How.ATTEMPT_AT: _told("wasStartedBy", "activity", "starter"),
    How.DONE_BY: _told("wasAssociatedWith", "activity", "agent", **{"prov:role": "arm"}),
    How.ANSWERED_BY: _told("wasAssociatedWith", "activity", "agent", **{"prov:role": "model"}),
    How.USED: _told("used", "activity", "entity"),
    How.MADE_BY: _made,
    How.DERIVED_FROM: _told("wasDerivedFrom", "generatedEntity", "usedEntity"),
    How.RECORDED_BY: _made,
    How.SUPERSEDES: _told(
        "wasDerivedFrom", "generatedEntity", "usedEntity", **{"prov:type": _qualified("prov:Revision")}
    ),
}
