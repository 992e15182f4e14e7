"""The published JSON Schemas of what an answer may ask for, made from the models that answers are read with.

`python -m arms.bridge.published docs/reference/http-arm.openapi.json` puts them into the OpenAPI document; a test keeps
both equal.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic.json_schema import models_json_schema

from octolog.edge.contract import StepEdge
from octolog.edge.operators import OperatorEdge
from octolog.edge.requests import MemoryEdge, SubtaskEdge

__all__ = ["asked_schemas"]

_PLACE: Final = "#/components/schemas/"
_NAMES: Final[Mapping[str, str]] = {
    "ApprovalEdge": "Approval",
    "BudgetEdge": "StepBudget",
    "InputEdge": "OperatorInput",
    "MemoryEdge": "Memory",
    "OperatorEdge": "Operator",
    "StepEdge": "Step",
    "SubtaskEdge": "Subtask",
}


def asked_schemas() -> dict[str, Any]:
    """JSON Schemas by name: steps, operators, subtasks and memories, and what they are made of."""
    models = (MemoryEdge, OperatorEdge, StepEdge, SubtaskEdge)
    _, made = models_json_schema(
        [(model, "validation") for model in models], ref_template=f"{_PLACE}{{model}}"
    )
    return {_NAMES[name]: _plain(schema) for name, schema in sorted(made["$defs"].items())}


def _plain(value: Any) -> Any:
    """Without titles, which repeat the names, and with the published names."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("$ref"), str):
        return {**value, "$ref": _PLACE + _NAMES[value["$ref"].removeprefix(_PLACE)]}
    return {name: _plain(each) for name, each in value.items() if name != "title" or isinstance(each, dict)}


def _publish(path: Path) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    document["components"]["schemas"] |= asked_schemas()
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    _publish(Path(sys.argv[1]))
