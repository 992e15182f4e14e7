"""From what an arm gave back, or raised, to the result that goes into the log."""

from __future__ import annotations

import dataclasses
import logging
import re
from hashlib import sha256
from typing import Any, Final

import orjson

from arms.arm import Answer, Arm, Fail
from arms.chat.conversation import NoProgress
from arms.chat.messages import ModelRefused
from arms.handler import DeadlinePassed, Handler, LimitReached
from octolog.domain.assignment import AttemptAssignment
from octolog.domain.bounds import MAX_JSON_BYTES
from octolog.domain.errors import BlobTooLarge, BudgetRefused, InvalidContract, OctologError
from octolog.domain.memory import EntityType, MemoryProposal, check_proposals
from octolog.domain.reports import ExecutionResult, Redaction, ResultStatus
from octolog.domain.rules import MAX_CALLS_TOLD, MAX_PLANNED_STEPS, check_plan
from octolog.domain.values import Provenance, TaskError, TaskErrorType
from octolog.ports import BlobStore
from octolog.safety import Gate, PiiMode, in_words, mode_under, screen
from schemas.json_schema import fault_in

__all__ = ["LargeOutput", "Outcomes", "canonical_json", "sha256_hex"]

_log: Final = logging.getLogger(__name__)
MAX_DATA_SOURCES: Final = 200
_MAX_ERROR_CHARS: Final = 1_000
_WORD_START: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class InvalidOutput(Fail):
    """What the arm gave back cannot be its output."""

    def __init__(self, message: str, code: str = "INVALID_OUTPUT") -> None:
        error = TaskError(TaskErrorType.INVALID_OUTPUT, message, violations=(message,))
        super().__init__(message, code, task_error=error)


class Misfit(InvalidOutput):
    """The output breaks the arm's output schema; as the processor says of one that is in its record."""

    retryable = True


class LargeOutput(Exception):  # no OctologError: nothing is wrong
    """The output is too large for a record: `Outcomes.of_large` makes its result, off the event loop."""


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys and without spaces: the same value always gives the same bytes.

    Raises:
        InvalidOutput: The value is no JSON.
    """
    try:
        return orjson.dumps(value, default=_plain, option=orjson.OPT_SORT_KEYS)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidOutput(f"the output is no JSON: {error}") from None


def sha256_hex(data: bytes) -> str:
    """Lowercase hex SHA-256."""
    return sha256(data).hexdigest()


class Outcomes:
    """Makes the results of one arm; what must not be in the log is taken out of them here.

    Args:
        arm: The arm.
        pii: What becomes of personal data and secrets: redacted, a failure of the attempt (reject), or let through;
            a task's security policy can be stricter.
        blobs: Where an output goes that is too large for a record; None: such an output is a failure.

    Attributes:
        blobs: The same.
    """

    def __init__(self, arm: Arm, pii: PiiMode = PiiMode.REDACT, blobs: BlobStore | None = None) -> None:
        self._arm, self._pii, self.blobs = arm, pii, blobs
        self._command_hash = self._hash_of(arm.command)

    def of(
        self, assignment: AttemptAssignment, value: Any, handler: Handler, *, took_ms: int, ended_ms: int
    ) -> ExecutionResult:
        """The result of what the function gave back; a value that cannot be an output is a failure.

        Raises:
            LargeOutput: The output is too large for a record, and there is a blob store.
        """
        answer = value if isinstance(value, Answer) else Answer(value)
        gate = Gate(mode_under(self._pii, assignment.policy))
        try:
            output = canonical_json(answer.output)
            if len(output) > MAX_JSON_BYTES and self.blobs is not None:
                raise LargeOutput
            output = gate.json("output", output.decode()).encode()
            _check(assignment, answer, output)
            result = self._success(assignment, answer, handler, output, took_ms, ended_ms)
            result = _screened(result, gate)
        except OctologError as error:
            return self.of_error(assignment, error, handler, took_ms=took_ms, ended_ms=ended_ms)
        _tell(assignment, gate)
        return dataclasses.replace(result, output=output.decode(), redactions=_taken_out(gate))

    def of_large(
        self, assignment: AttemptAssignment, value: Any, handler: Handler, *, took_ms: int, ended_ms: int
    ) -> ExecutionResult:
        """As `of`, with the output in the blob store. Blocks: it is screened, then stored, and only then referred to.

        A process that dies here leaves a blob that nobody refers to, never a reference to a blob that is not there;
        the next try finds the blob by its content.
        """
        answer = value if isinstance(value, Answer) else Answer(value)
        gate, blobs = Gate(mode_under(self._pii, assignment.policy)), self.blobs
        assert blobs is not None, "`of` says when"  # noqa: S101
        try:
            output = canonical_json(answer.output)
            if len(output) > blobs.max_bytes:  # before it is screened, which takes about a second for each MB
                raise BlobTooLarge(
                    f"the output is {len(output)} bytes; at most {blobs.max_bytes} (OCTOLOG_BLOB_MAX_BYTES)"
                )
            output = gate.json("output", output.decode()).encode()
            _check(assignment, answer, b"")
            self._fit(output.decode())
            result = self._success(assignment, answer, handler, output, took_ms, ended_ms)
            result = _screened(result, gate)
            blob = blobs.put(output) if len(output) > MAX_JSON_BYTES else None
        except OctologError as error:
            return self.of_error(assignment, error, handler, took_ms=took_ms, ended_ms=ended_ms)
        _tell(assignment, gate)
        return dataclasses.replace(
            result,
            output="" if blob else output.decode(),
            output_blob=blob,
            redactions=_taken_out(gate),
        )

    def _fit(self, output: str) -> None:
        """Hold an output against the arm's schema: the processor holds those in records, and never sees this one."""
        arm = self._arm.capability
        fault = fault_in(arm.output_schema_json, output)
        if fault is not None:
            raise Misfit(f"output{fault} (output schema of {arm.arm_id} {arm.version})")

    def note(self, text: str, assignment: AttemptAssignment | None = None) -> str:
        """A note of an attempt's progress as it may be logged."""
        return self._lenient(assignment).text("note", text)

    def _lenient(self, assignment: AttemptAssignment | None) -> Gate:
        """For what has to be said whatever it holds: it is redacted where an output would be rejected."""
        mode = mode_under(self._pii, None if assignment is None else assignment.policy)
        return Gate(PiiMode.OFF if mode is PiiMode.OFF else PiiMode.REDACT)

    def _success(
        self,
        assignment: AttemptAssignment,
        answer: Answer,
        handler: Handler,
        output: bytes,
        took_ms: int,
        ended_ms: int,
    ) -> ExecutionResult:
        """All but the output, which has been judged."""
        return ExecutionResult(
            assignment.root_task_id,
            assignment.task_id,
            assignment.attempt_id,
            assignment.arm_id,
            ResultStatus.SUCCESS,
            "",
            float(answer.confidence),
            took_ms,
            handler.known_tokens,
            self._provenance(assignment, answer, handler, output, ended_ms),
            plan=answer.plan,
            operators=answer.operators,
            subtask=answer.subtask,
            continuation_json=canonical_json(answer.continuation).decode(),
            question=answer.question,
            calls=tuple(handler.calls[-MAX_CALLS_TOLD:]),
            memories=_proposals(answer) if answer.memories else (),
        )

    def of_error(
        self,
        assignment: AttemptAssignment,
        error: BaseException,
        handler: Handler,
        *,
        took_ms: int,
        ended_ms: int,
    ) -> ExecutionResult:
        """The result of an attempt that raised."""
        code, retryable = _judge(error)
        text = _sayable(" ".join(str(error).split()))
        told = text if isinstance(error, OctologError) and text else f"{type(error).__name__}: {text}"
        gate = self._lenient(assignment)
        told = gate.text("error", told)  # before it is cut: half a number would not be known for one
        output = self._kept(error, gate)
        result = ExecutionResult(
            assignment.root_task_id,
            assignment.task_id,
            assignment.attempt_id,
            assignment.arm_id,
            ResultStatus.FAILURE,
            "",
            0.0,
            took_ms,
            handler.known_tokens,
            self._provenance(assignment, Answer(None), handler, output or None, ended_ms),
            error=told[:_MAX_ERROR_CHARS],
            error_code=code,
            retryable=retryable,
            task_error=_task_error(error),
            calls=tuple(handler.calls[-MAX_CALLS_TOLD:]),
        )
        result = screen(result, gate, new_ids=False)
        _tell(assignment, gate)
        return dataclasses.replace(result, output=output.decode(), redactions=_taken_out(gate))

    def _kept(self, error: BaseException, gate: Gate) -> bytes:
        """What there is of an answer although the attempt failed, as far as it can be an output."""
        if not isinstance(error, Fail) or error.output is None:
            return b""
        try:
            output = gate.json("output", canonical_json(error.output).decode()).encode()
        except OctologError:
            return b""
        return output if len(output) <= MAX_JSON_BYTES else b""

    def _provenance(
        self,
        assignment: AttemptAssignment,
        answer: Answer,
        handler: Handler,
        output: bytes | None,
        ended_ms: int,
    ) -> Provenance:
        asked = [assignment.goal, assignment.context_json, [[i.step_id, i.output] for i in assignment.inputs]]
        return Provenance(
            arm_id=assignment.arm_id,
            timestamp_ms=ended_ms,
            command_hash=answer.command_hash
            or (self._command_hash if answer.command is None else self._hash_of(answer.command)),
            data_sources=_bounded(answer.data_sources),
            model_version=answer.model_version or handler.last_model,
            tests_passed=answer.tests_passed,
            input_hash=sha256_hex(orjson.dumps(asked)),
            output_hash=None if output is None else sha256_hex(output),
        )

    def _hash_of(self, command: str) -> str:
        capability = self._arm.capability
        return sha256_hex(
            canonical_json({"arm_id": capability.arm_id, "command": command, "version": capability.version})
        )


def _proposals(answer: Answer) -> tuple[MemoryProposal, ...]:
    """What the answer proposes to remember, in the types that the gate goes through: a list would pass it unseen."""
    try:
        return tuple(
            MemoryProposal(
                EntityType(each.entity_type), str(each.content), float(each.confidence), tuple(each.tags)
            )
            for each in answer.memories
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise InvalidOutput(f"the memories are no proposals: {error}") from None


def _screened(result: ExecutionResult, gate: Gate) -> ExecutionResult:
    """A result as it may be logged; what it proposes to remember is bounded as it will be there."""
    screened = screen(result, gate, new_ids=False)
    if screened.memories:
        check_proposals(screened.memories)
    return screened


def _taken_out(gate: Gate) -> tuple[Redaction, ...]:
    return tuple(Redaction(kind, count) for kind, count in gate.counts.items())


def _tell(assignment: AttemptAssignment, gate: Gate) -> None:
    if gate.counts:
        what = in_words(gate.counts)
        _log.warning(
            "arm %s: redacted from its result of %s: %s", assignment.arm_id, assignment.task_id, what
        )


def _check(assignment: AttemptAssignment, answer: Answer, output: bytes) -> None:
    if len(output) > MAX_JSON_BYTES:
        raise InvalidOutput(f"the output is {len(output)} bytes; an arm may answer at most {MAX_JSON_BYTES}")
    if len(canonical_json(answer.continuation)) > MAX_JSON_BYTES:
        raise InvalidOutput(f"the continuation has more than {MAX_JSON_BYTES} bytes")
    if not 0.0 <= answer.confidence <= 1.0:
        raise InvalidOutput(f"confidence is {answer.confidence}; it must be between 0 and 1")
    if not answer.plan:
        return
    try:
        told = assignment.feedback
        done = () if told is None else tuple(step.step_id for step in told.done)
        check_plan("plan", answer.plan, MAX_PLANNED_STEPS, done=done)
    except InvalidContract as error:
        raise InvalidOutput(str(error), "INVALID_PLAN") from None


def _judge(error: BaseException) -> tuple[str, bool]:
    """Error code, and whether the same attempt could succeed later."""
    match error:
        case Fail():
            return error.code, error.retryable
        case BudgetRefused():
            return "BUDGET_EXCEEDED", False
        case LimitReached():
            return "RESOURCE_EXHAUSTION", False
        case NoProgress():
            return "INVALID_OUTPUT", False
        case ModelRefused():
            return "VALIDATION_ERROR" if error.unknown_model else "MODEL_REFUSED", False
        case DeadlinePassed():
            return "EXECUTION_TIMEOUT", True
        case InvalidContract():
            return error.code, False
        case OctologError():
            return _WORD_START.sub("_", type(error).__name__).upper(), error.retryable
        case TimeoutError() | ConnectionError():
            return "EXTERNAL", True
        case _:
            return "ARM_ERROR", False


def _task_error(error: BaseException) -> TaskError | None:
    match error:
        case LimitReached() | Fail():
            return error.task_error
        case NoProgress():
            # No member of the union is its own; another way of asking may help.
            return TaskError(TaskErrorType.INVALID_OUTPUT, str(error), violations=("no_progress",))
        case ModelRefused() if error.unknown_model:
            kind = TaskErrorType.VALIDATION_ERROR
            return TaskError(kind, str(error), path="model", invalid_model=True)
        case _:
            return None


def _bounded(sources: tuple[str, ...]) -> tuple[str, ...]:
    named = tuple(_sayable(source) for source in sources[:MAX_DATA_SOURCES])
    if len(sources) <= MAX_DATA_SOURCES:
        return named
    return (*named, f"and {len(sources) - MAX_DATA_SOURCES} more")


def _sayable(text: str) -> str:
    """A file's name, or an error that holds one, may be no Unicode; the log takes nothing else."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _plain(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)  # pydantic
    if dump is not None:
        return dump(mode="json")
    if isinstance(value, set | frozenset):
        return sorted(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
