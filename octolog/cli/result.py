"""`task result`: the output of a task alone, however large."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from octolog.cli.asking import patiently
from octolog.cli.command import Call
from octolog.domain.errors import OctologError, Refused

if TYPE_CHECKING:
    from octolog.app.settings import Settings

__all__ = ["result", "with_output"]


def result(
    call: Call,
    task_id: Annotated[str, typer.Argument(metavar="ID", help="A task id.")],
    *,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write it there; it appears once it is checked."),
    ] = None,
) -> None:
    """A completed task's output as JSON, large ones checked against the digest in the log; exits with 1 without."""
    settings = call.settings()
    found = patiently(lambda: _told(settings, task_id))
    output = found.get("output")
    if not output or (not output.get("output") and not output.get("blob_sha256")):
        raise Refused(f"{task_id} is {found['status']} and has no output; see `octolog task show {task_id}`")
    document: dict[str, Any] = {"task_id": task_id, "status": found["status"]}
    if output.get("blob_sha256"):
        document["result_blob"] = _blob(output)
    if out is None:
        text = _text(settings, output)
        call.show({**document, "result": json.loads(text)}, lambda: text)
        return
    _save(settings, output, out)
    document["out"] = str(out)
    call.show(document, lambda: f"{out}: {out.stat().st_size} bytes")


def with_output(settings: Settings, found: dict[str, Any]) -> dict[str, Any]:
    """A task as the projections tell it, with its output where that lies in the blob store; or why it cannot be had."""
    output = found.get("output")
    if not output or output.get("output") or not output.get("blob_sha256"):
        return found
    try:
        return {**found, "output": {**output, "output": _text(settings, output)}}
    except OctologError as error:
        return {**found, "output": {**output, "blob_error": str(error)}}


def _told(settings: Settings, task_id: str) -> dict[str, Any]:
    from octolog.app.knowledge.queries import open_queries

    with open_queries(settings) as queries:
        return queries.task(task_id)


def _blob(output: dict[str, Any]) -> dict[str, Any]:
    return {
        name.removeprefix("blob_"): output[name]
        for name in ("blob_sha256", "blob_size_bytes", "blob_media_type")
    }


def _text(settings: Settings, output: dict[str, Any]) -> str:
    from octolog.app.blobs import open_blobs
    from octolog.domain.values import BlobRef

    if output.get("output"):
        return str(output["output"])
    return open_blobs(settings).read(BlobRef(**_blob(output))).decode()


def _save(settings: Settings, output: dict[str, Any], out: Path) -> None:
    from octolog.app.blobs import open_blobs
    from octolog.domain.values import BlobRef

    if output.get("blob_sha256"):
        open_blobs(settings).save(BlobRef(**_blob(output)), out)
        return
    try:
        out.write_text(str(output["output"]), encoding="utf-8")
    except OSError as error:
        raise Refused(f"{out}: {error.strerror or error}") from None
