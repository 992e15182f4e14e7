"""The client: hands contracts and requests to the log, and hears what became of them.

One module because it is one class, whose methods say what a program can ask of a log; the work is done beside it.
"""

from __future__ import annotations

import getpass
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from octolog.app.blobs import open_blobs
from octolog.app.connection import Connection
from octolog.app.settings import Settings, load_settings
from octolog.client.approvals import approvals_of
from octolog.client.decisions import Outcome, Sent, Submitted, answer_to, outcome_of
from octolog.client.large import checked_in, claimed
from octolog.client.memory import TOPIC as MEMORY
from octolog.client.memory import Remembered, memory_record, oblivion, supersession
from octolog.client.policies import PolicyLog
from octolog.client.sender import Letter, Sender
from octolog.client.templates import TemplateLog
from octolog.domain.arm import ArmCapability, ArmRegistered, ArmRetired
from octolog.domain.contract import (
    AmendBudget,
    ApproveTask,
    CancelTask,
    ContractCommand,
    DenyTask,
    ExtendBudget,
    SubmitTask,
    TaskContract,
)
from octolog.domain.digest import contract_digest
from octolog.domain.errors import InvalidContract, NotFound, Unavailable
from octolog.domain.facts import RequestRejected
from octolog.domain.ids import ArmId, TaskId, is_arm_id
from octolog.domain.memory import EntityType, MemoryEvent
from octolog.domain.rules import check_capability, check_command
from octolog.domain.values import Amounts, Limits
from octolog.edge import Request, parse_capability, parse_contract
from octolog.edge.uuid7 import uuid7
from octolog.ports import BlobStore
from octolog.safety import Counts, Gate, PiiMode, screen
from schemas.json_schema import check_schemas
from streams.kafka.reader import KafkaLogReader
from streams.topics import ARMS, CONTRACTS

__all__ = ["Client", "NotOver", "Outcome", "Remembered", "Sent", "Submitted"]

Command = TypeVar("Command", bound=ContractCommand)
Contract = Mapping[str, object] | bytes | str | TaskContract | Request
"""A contract as a mapping or JSON text in seed A's names, as XML, as the domain has it, or parsed already."""


class NotOver(Unavailable):
    """A wait ended before the task did; the task goes on."""


class Client:
    """Submits work and asks about it. A context manager; use it from one thread.

    Args:
        to: Which log: settings, or a connection that is open already. None: the settings as found. Their `pii`
            says what becomes of personal data and secrets before anything is produced: redact, reject, or off.

    Raises:
        BrokerUnavailable: When there is no cluster to talk to.
    """

    def __init__(self, to: Settings | Connection | None = None) -> None:
        self._owns = not isinstance(to, Connection)
        self._connection = to if isinstance(to, Connection) else Connection(to or load_settings())
        self._user = _user()
        self._sender = Sender(self._connection, self._user)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, unless it was handed in open."""
        if self._owns:
            self._connection.close()

    @cached_property
    def templates(self) -> TemplateLog:
        """The templates in this log."""
        return TemplateLog(self._connection, self._sender, self._user)

    @cached_property
    def policies(self) -> PolicyLog:
        """The security policies of this log, and what was revoked."""
        return PolicyLog(self._connection, self._sender, self._user)

    def parse(self, contract: Mapping[str, object] | bytes | str) -> Request:
        """A contract from JSON, a mapping or XML, its template looked up in this log; nothing is produced.

        Its context may be as long as the blob store takes.

        Raises:
            InvalidContract: It breaks a bound.
            NotFound: There is no such template.
        """
        return parse_contract(
            contract,
            templates=self.templates.find,
            models=self.templates.models,
            max_context_bytes=self._connection.settings.blob_max_bytes,
        )

    def submit(self, contract: Contract, *, submitted_by: str | None = None) -> Submitted:
        """Put one contract into the log.

        Args:
            contract: What to do.
            submitted_by: Who asks; None: this user.

        Raises:
            InvalidContract: It breaks a bound, or is not let into the log; nothing was produced.
            BrokerUnavailable: It is not known to be in the log; the same id may be submitted again.
        """
        return self.submit_many([contract], submitted_by=submitted_by)[0]

    def submit_many(
        self, contracts: Iterable[Contract], *, submitted_by: str | None = None
    ) -> list[Submitted]:
        """Put contracts into the log, all checked before the first is produced; in order.

        Raises:
            InvalidContract: One breaks a bound; nothing was produced.
            BrokerUnavailable: Not all are known to be in the log; the same ids may be submitted again.
        """
        by = submitted_by or self._user
        ready = [self._submission(contract, by) for contract in contracts]
        letters = [Letter(CONTRACTS, command.root_task_id, command, judged=True) for command, _, _ in ready]
        places = self._sender.send(letters)
        return [
            Submitted(
                place.root_task_id,
                place.topic,
                place.partition,
                place.offset,
                place.timestamp_ms,
                command.contract.task_id,
                minted,
                contract_digest(command.contract),
                redacted=redacted,
            )
            for place, (command, minted, redacted) in zip(places, ready, strict=True)
        ]

    def cancel(self, root_task_id: str, *, reason: str = "", requested_by: str | None = None) -> Sent:
        """Ask for a whole tree to stop."""
        return self._send(CancelTask(TaskId(root_task_id), reason, requested_by or self._user))

    def approve(
        self,
        task_id: str,
        *,
        root_task_id: str | None = None,
        comment: str = "",
        approved_by: str | None = None,
        number: int = 0,
    ) -> Sent:
        """Let a task that waits for a person go on.

        Args:
            task_id: The task that waits.
            root_task_id: Its tree; None: looked up.
            comment: Why; the arm is told.
            approved_by: Who says so; None: this user.
            number: Which request is meant (`approvals`), so that an answer never meets a later one; 0: the open one.
        """
        root_id = self._tree(task_id, root_task_id)
        return self._send(ApproveTask(root_id, TaskId(task_id), approved_by or self._user, comment, number))

    def deny(
        self,
        task_id: str,
        *,
        root_task_id: str | None = None,
        reason: str = "",
        denied_by: str | None = None,
        number: int = 0,
    ) -> Sent:
        """Stop a task that waits for a person; arguments as in `approve`."""
        root_id = self._tree(task_id, root_task_id)
        return self._send(DenyTask(root_id, TaskId(task_id), denied_by or self._user, reason, number))

    def approvals(self, *, all_of_them: bool = False) -> list[dict[str, Any]]:
        """Requests for approval, oldest first, as the projections know them: the open ones, or every one."""
        return approvals_of(self._connection.settings, all_of_them=all_of_them)

    def amend(
        self, root_task_id: str, limits: Limits, *, reason: str = "", amended_by: str | None = None
    ) -> Sent:
        """Replace the limits of a running tree."""
        return self._send(AmendBudget(TaskId(root_task_id), limits, amended_by or self._user, reason))

    def extend_budget(
        self,
        root_task_id: str,
        add: Amounts,
        *,
        reason: str = "",
        amended_by: str | None = None,
        request_id: str | None = None,
    ) -> Sent:
        """Add to the limits of a running tree; what is not limited stays so.

        Args:
            root_task_id: The tree.
            add: What is added to each limit.
            reason: Why, for the log.
            amended_by: Who says so; None: this user.
            request_id: The same id twice adds once; None: a new one.
        """
        return self._send(
            ExtendBudget(
                TaskId(root_task_id), request_id or str(uuid7()), add, amended_by or self._user, reason
            )
        )

    def register_arm(
        self, capability: Mapping[str, object] | ArmCapability, *, registered_by: str | None = None
    ) -> Sent:
        """Make an arm's assignment topic if it is missing, then tell the registry of the arm.

        Raises:
            InvalidContract: The description breaks a bound.
        """
        arm = capability if isinstance(capability, ArmCapability) else parse_capability(capability)
        check_capability(arm)
        check_schemas(arm)
        self._connection.ensure_assignment_topic(arm.arm_id)
        return self._tell_registry(ArmRegistered(arm, registered_by or self._user), arm.arm_id)

    def retire_arm(self, arm_id: str, *, reason: str = "", retired_by: str | None = None) -> Sent:
        """Take an arm out of the registry; it gets no more attempts.

        Raises:
            InvalidContract: The id is no arm id.
        """
        if not is_arm_id(arm_id):
            raise InvalidContract("INVALID_CAPABILITY", "arm_id", f"{arm_id[:64]!r} is no arm id")
        gate = Gate(PiiMode(self._connection.settings.pii))
        retired = ArmRetired(ArmId(arm_id), gate.text("reason", reason), retired_by or self._user)
        return replace(self._tell_registry(retired, ArmId(arm_id)), redacted=gate.counts)

    def remember(  # noqa: PLR0913 -- one keyword for each thing a memory has
        self,
        content: str,
        *,
        entity_type: EntityType | str,
        source: str,
        task_id: str,
        confidence: float,
        validated: bool,
        root_task_id: str | None = None,
        memory_id: str | None = None,
        tags: Sequence[str] = (),
        metadata: Mapping[str, object] | None = None,
    ) -> Remembered:
        """Put a validated memory into the log; the memory projection makes it searchable.

        Args:
            content: What is remembered.
            entity_type: What it is about: task, decision, fact or artifact.
            source: The arm that found it out.
            task_id: The task it comes from.
            confidence: 0.0 to 1.0.
            validated: What validation said of the result it comes from; False is refused.
            root_task_id: The tree of that task. None: the task id up to its first slash.
            memory_id: Its id. None: one that derives from tree, task and content, so that doing it twice is once.
            tags: For filtering.
            metadata: Anything that JSON can hold.

        Raises:
            Refused: It did not pass validation; nothing was produced.
            InvalidContract: It breaks a bound; nothing was produced.
            BrokerUnavailable: It is not known to be in the log; the same may be remembered again.
        """
        made = memory_record(
            content,
            entity_type=entity_type,
            source=source,
            task_id=task_id,
            root_task_id=root_task_id,
            confidence=confidence,
            validated=validated,
            memory_id=memory_id,
            tags=tags,
            metadata=metadata or {},
        )
        record = screen(made, Gate(PiiMode(self._connection.settings.pii)), block_injection=False)
        sent = self._tell_memory(record, record.memory.memory_id)
        return Remembered(record.memory.memory_id, sent)

    def supersede_memory(self, memory_id: str, *, superseded_by: str, reason: str = "") -> Sent:
        """Say that a newer memory takes an older one's place; the older one is found as of before only."""
        return self._tell_memory(supersession(memory_id, superseded_by, reason), memory_id)

    def forget_memory(self, memory_id: str, *, reason: str = "", requested_by: str | None = None) -> Sent:
        """Say that a memory shall no longer be found; it is found as of before only."""
        return self._tell_memory(oblivion(memory_id, reason, requested_by or self._user), memory_id)

    @cached_property
    def blobs(self) -> BlobStore:
        """Where values lie that are too large for a record."""
        return open_blobs(self._connection.settings)

    def wait(self, task: Submitted | str, timeout_s: float = 600.0, *, fetch: bool = True) -> Outcome:
        """Wait until a task is over.

        Args:
            task: What `submit` returned, or a task id.
            timeout_s: Longest wait, seconds.
            fetch: Have a large output in `result` too; False: only its claim check, in `result_blob`.

        Raises:
            NotOver: It is not over in time.
            BlobMissing, BlobChanged, BlobTooLarge: It completed, and its large output cannot be had.
        """
        submitted = task if isinstance(task, Submitted) else None
        task_id = TaskId(str(task)) if submitted is None else submitted.task_id
        root_id = self.root_of(task_id) if submitted is None else submitted.root_task_id
        found = outcome_of(self._reader, self._sender.codec, submitted or task_id, root_id, timeout_s)
        if found is None:
            raise NotOver(
                f"task {task_id} is not over after {timeout_s:g} s and goes on; see `octolog task show {task_id}`"
            )
        return checked_in(found, self.blobs) if fetch and found.result_blob is not None else found

    def accepted(self, sent: Sent, timeout_s: float = 10.0) -> bool | None:
        """What the task processor decided about a request: True, or None when nothing changed within the time.

        Raises:
            InvalidContract: It was rejected.
        """
        fact = answer_to(self._reader, self._sender.codec, sent, timeout_s)
        if fact is None:
            return None
        if isinstance(fact.fact, RequestRejected):
            raise InvalidContract(fact.fact.code, fact.fact.field or "task_id", fact.fact.message)
        return True

    def root_of(self, task_id: str) -> TaskId:
        """The tree of a task, as the projections know it; a task they do not know counts as a root."""
        from octolog.app.knowledge.queries import open_queries

        try:
            with open_queries(self._connection.settings) as queries:
                return TaskId(queries.root_of(task_id))
        except (NotFound, Unavailable):
            return TaskId(task_id)

    @cached_property
    def _reader(self) -> KafkaLogReader:
        return self._connection.reader()

    def _submission(self, contract: Contract, submitted_by: str) -> tuple[SubmitTask, bool, Counts]:
        if isinstance(contract, TaskContract):
            request = Request(contract, None, minted=False)
        else:
            request = contract if isinstance(contract, Request) else self.parse(contract)
        task = request.contract
        root_id = task.task_id
        if request.root_task_id is not None or task.parent_task_id is not None:
            root_id = self._tree(task.parent_task_id or root_id, request.root_task_id)
        command, redacted = self._screened(SubmitTask(root_id, task, submitted_by))
        return command, request.minted, redacted

    def _tree(self, task_id: str, given: str | None) -> TaskId:
        return self.root_of(task_id) if given is None else TaskId(given)

    def _send(self, command: ContractCommand) -> Sent:
        screened, redacted = self._screened(command)
        sent = self._sender.send([Letter(CONTRACTS, screened.root_task_id, screened, judged=True)])[0]
        return replace(sent, redacted=redacted)

    def _screened(self, command: Command) -> tuple[Command, Counts]:
        """The command as it may be logged, checked; and what was taken out of it."""
        settings = self._connection.settings
        gate = Gate(PiiMode(settings.pii))
        screened = screen(command, gate, block_injection=settings.injection == "block")
        if isinstance(screened, SubmitTask):
            screened = cast("Command", claimed(screened, lambda: self.blobs))
        check_command(screened)
        return screened, gate.counts

    def _tell_memory(self, event: MemoryEvent, memory_id: str) -> Sent:
        return self._sender.send([Letter(MEMORY, TaskId(memory_id), event)])[0]

    def _tell_registry(self, event: ArmRegistered | ArmRetired, arm_id: ArmId) -> Sent:
        return self._sender.send([Letter(ARMS, TaskId(arm_id), event)])[0]


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown"
