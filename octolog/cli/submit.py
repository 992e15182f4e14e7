"""`submit`: a contract into the log, and if asked, what became of it."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from octolog.cli.command import Call, command
from octolog.cli.documents import every_fault_told
from octolog.cli.output import cell, warn
from octolog.domain.errors import InvalidContract, NotFound, Refused

if TYPE_CHECKING:
    from octolog.client import Client
    from octolog.client.decisions import Outcome, Sent, Submitted
    from octolog.domain.templates.document import Document
    from octolog.edge import Request

WAIT_S = 600.0


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    command(app)(submit)


def submit(
    call: Call,
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="A contract as JSON or XML; - reads stdin.")],
    *,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input", metavar="NAME=VALUE", help="The value of an input; may be given several times."
        ),
    ] = None,
    context: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="A JSON object that is added to the contract's context."),
    ] = None,
    task_id: Annotated[
        str | None, typer.Option(help="Id of a task that has none; default: a new one.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the task is over.")] = False,
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=0, help="Longest wait, seconds.", show_default=True)
    ] = WAIT_S,
    submitted_by: Annotated[str | None, typer.Option("--by", help="Who asks; default: this user.")] = None,
) -> None:
    """Check a contract and put it into the log; with --wait, exits with 1 unless the task completes."""
    given = _Given(_pairs(inputs or []), context, task_id)
    with _Opened(call) as opened:
        most = opened.max_context_bytes
        with every_fault_told(call):
            request = given.added_to(opened.parse(read_document(file, "contract", most)), most)
        client = opened.client
        submitted = client.submit(request, submitted_by=submitted_by)
        tell_redacted(submitted)
        if wait:
            _finish(call, client, submitted, timeout_s)
        else:
            call.show(
                _place(submitted),
                lambda: f"{submitted.task_id} submitted; see `octolog task watch {submitted.task_id}`",
            )


@dataclass(frozen=True, slots=True)
class _Given:
    """What the command line adds to a contract.

    Attributes:
        inputs: Values of inputs.
        context: A file with a JSON object; None: nothing.
        task_id: The task's id; None: as the contract has it.
    """

    inputs: dict[str, str]
    context: str | None
    task_id: str | None

    def added_to(self, request: Request, max_context_bytes: int) -> Request:
        """The request with all of it, checked."""
        from octolog.domain.ids import TaskId
        from octolog.edge.document import parse_object
        from octolog.edge.large import check_submission
        from octolog.edge.xml import with_context, with_inputs

        contract, minted = request.contract, request.minted
        if self.context is not None:
            document = read_document(self.context, "context", max_context_bytes)
            contract = with_context(contract, parse_object(document, "context", max_context_bytes))
        contract = with_inputs(contract, self.inputs)
        if self.task_id is not None:
            if not minted:
                raise InvalidContract("INVALID_TASK_ID", "task_id", f"is {contract.task_id} in the contract")
            contract, minted = replace(contract, task_id=TaskId(self.task_id)), False
        check_submission(contract, max_context_bytes)
        return replace(request, contract=contract, minted=minted)


class _Opened:
    """A client that is connected when it is needed: a bad contract is refused without a log."""

    def __init__(self, call: Call) -> None:
        self._settings = call.settings()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def max_context_bytes(self) -> int:
        """Longest context: the blob store takes what a record does not."""
        return self._settings.blob_max_bytes

    @cached_property
    def client(self) -> Client:
        """The client.

        Raises:
            BrokerUnavailable: When there is no cluster to talk to.
        """
        from octolog.client import Client

        return self._stack.enter_context(Client(self._settings))

    def parse(self, document: bytes) -> Request:
        """A contract; the log is asked only for the template that it names."""
        from octolog.app.arms.models import Models
        from octolog.edge import parse_contract

        return parse_contract(
            document,
            templates=self._template,
            models=Models(self._settings),
            max_context_bytes=self.max_context_bytes,
        )

    def _template(self, label: str) -> Document:
        return self.client.templates.find(label)


def _pairs(given: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{pair[:60]!r} is not NAME=VALUE", param_hint="--input")
        if name in found:
            raise typer.BadParameter(f"{name[:60]!r} is given twice", param_hint="--input")
        found[name] = value
    return found


def tell_redacted(sent: Sent) -> None:
    """Say on stderr what was taken out of a request before it was appended."""
    if sent.redacted:
        from octolog.safety import in_words

        warn(f"redacted before it was logged: {in_words(sent.redacted)}; see docs/how-to/safety.md")


def redacted_document(sent: Sent) -> dict[str, Any]:
    """The same as JSON: how many of each kind; nothing when nothing was."""
    return {"redacted": dict(sent.redacted)} if sent.redacted else {}


def read_document(file: str, what: str, max_bytes: int | None = None) -> bytes:
    """A file, or stdin for `-`; one longer than `max_bytes` is refused before it is read to its end.

    Raises:
        NotFound: There is no such file.
        Refused: It cannot be read.
        InvalidContract: TOO_LARGE.
    """
    from octolog.edge import read_bounded
    from octolog.edge.document import MAX_DOCUMENT_BYTES

    most = MAX_DOCUMENT_BYTES if max_bytes is None else max(max_bytes, MAX_DOCUMENT_BYTES)
    with ExitStack() as open_files:
        try:
            source = sys.stdin.buffer if file == "-" else open_files.enter_context(Path(file).open("rb"))
            return read_bounded(source, what, most)
        except FileNotFoundError:
            raise NotFound(f"no file {file}") from None
        except OSError as error:
            raise Refused(f"{file}: {error.strerror or error}") from None


def outcome_document(outcome: Outcome) -> dict[str, Any]:
    """An outcome as JSON: `status` and `result`, and why, where it did not complete."""
    found: dict[str, Any] = {"status": outcome.status, "result": outcome.result}
    if outcome.result_blob is not None:
        found["result_blob"] = outcome.result_blob
    if outcome.error is not None:
        found |= {"code": outcome.code, "error": outcome.error}
    if outcome.used is not None:
        found["used"] = outcome.used
    return found


def _finish(call: Call, client: Client, submitted: Submitted, timeout_s: float) -> None:
    from octolog.client.decisions import COMPLETED

    outcome = client.wait(submitted, timeout_s)
    document = {**_place(submitted), **outcome_document(outcome)}

    def text() -> str:
        if outcome.status != COMPLETED:
            return ""
        return f"{submitted.task_id} completed: {cell(outcome.result, limit=20_000)}"

    if outcome.status == COMPLETED:
        call.show(document, text)
    else:
        call.fail(document, f"{submitted.task_id} {outcome.status}: {outcome.code}: {outcome.error}")


def _place(submitted: Submitted) -> dict[str, Any]:
    return {
        "task_id": submitted.task_id,
        "topic": submitted.topic,
        "partition": submitted.partition,
        "offset": submitted.offset,
        **redacted_document(submitted),
    }
