"""A sequential reference interpreter of programs: recursive, without facts, written from the operators page.

It evaluates one operator after the other and knows nothing of attempts, leases or interleavings. What really runs
side by side shows in one thing alone: which of several failures came first, where the first stops the others.
That is read off the run under test (`ended`), and everything else follows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from octolog.domain.operators import FailurePolicy, Operator, OperatorInput, Program, Role
from octolog.domain.tasksystem import AtomicTaskSubtype, TaskType
from tests.simulation import texts
from tests.simulation.legality import MAX_ID_CHARS, children, faults
from tests.simulation.terms import (
    Failed,
    Given,
    Oracle,
    Outcome,
    Request,
    Scope,
    Succeeded,
    context_of,
    failed,
    missing_name,
    mode_of,
    outcome_of,
    partial,
    size,
    typed,
    value_of,
    without,
)
from tests.simulation.texts import Kept

MAX_RECOVERIES: Final = 2
MAX_CHAIN: Final = 5
MAX_REQUESTS: Final = 10
_UNION: Final = ("RESOURCE_EXHAUSTION", "INVALID_OUTPUT", "VALIDATION_ERROR", "XML_PARSE_ERROR")


@dataclass
class Interpreter:
    """Runs one program to its end.

    Args:
        oracle: What arms answer.
        ended: When a task ended in the run under test; large for one that never did.

    Attributes:
        outcomes: Of every task that ended, by id.
        given: What each task's rounds were given.
        made: How often each task was begun: once.
        stopped: Tasks that another's failure stopped, with all inside them, and when.
    """

    oracle: Oracle
    ended: Callable[[str], int] = lambda _: 0
    outcomes: dict[str, Outcome] = field(default_factory=dict[str, Outcome])
    given: dict[str, list[Given]] = field(default_factory=dict[str, list[Given]])
    made: dict[str, int] = field(default_factory=dict[str, int])
    stopped: dict[str, int] = field(default_factory=dict[str, int])

    def run(self, program: Program, root_id: str, context_json: str) -> Outcome:
        """Evaluate a contract's program."""
        names = texts.environment(context_json)
        scope = Scope(names, names, context_json=context_json)
        return self._operator(program, 0, root_id, scope)

    def _operator(self, program: Program, place: int, task_id: str, scope: Scope) -> Outcome:
        op = program[place]
        self.made[task_id] = self.made.get(task_id, 0) + 1
        inside = replace(
            scope,
            bound={},
            mode=mode_of(op, scope.mode),
            nesting=scope.nesting + 1,
            no_reparsing=scope.no_reparsing or op.disable_reparsing,
            manual=scope.manual or op.is_manual_xml,
        )
        inside = replace(inside, context_json=context_of(inside.mode, scope))
        outcome = self._evaluate(program, place, task_id, scope, inside)
        self.outcomes[task_id] = outcome
        return outcome

    def _evaluate(self, program: Program, place: int, task_id: str, outside: Scope, inside: Scope) -> Outcome:
        op = program[place]
        missing = missing_name(program, place, outside.names)
        if missing is not None:
            return failed("TASK_FAILURE", f"Missing required input: {missing}")
        arguments = children(program, place, Role.ARGUMENT)
        ids = [f"{task_id}/{program[at].name}.argument" for at in arguments]
        around = replace(inside, names=outside.names)
        results = [self._operator(program, at, name, around) for at, name in zip(arguments, ids, strict=True)]
        first = self._stop_others(ids, results)
        if first is not None:
            return Outcome(failure=results[first].failure, failed_step=ids[first])
        contents = {
            program[at].name: texts.content(r.output) for at, r in zip(arguments, results, strict=True)
        }
        bound = {given.name: value_of(given, outside.names, contents) for given in op.inputs}
        if None in bound.values():
            return failed("INPUT_TOO_LARGE", "")
        inputs = {name: value for name, value in bound.items() if value is not None}
        inside = replace(inside, names={**outside.names, **inputs})
        match op.type:
            case TaskType.ATOMIC:
                return self._atomic(
                    op, task_id, tuple((inputs | without(outside.bound, inputs)).items()), inside
                )
            case TaskType.SEQUENTIAL:
                return self._sequential(program, place, task_id, inside)
            case TaskType.MAP:
                return self._map(program, place, task_id, inputs, inside)
            case _:
                return self._reduce(program, place, task_id, inputs, inside)

    def _sequential(self, program: Program, place: int, task_id: str, inside: Scope) -> Outcome:
        op, kept = program[place], list[Kept]()
        steps = children(program, place, Role.STEP)
        names, outcome = dict(inside.names), Outcome()
        for number, at in enumerate(steps):
            name = program[at].name
            scope = replace(inside, names=dict(names), earlier=tuple(kept))
            outcome = self._operator(program, at, f"{task_id}/{name}", scope)
            if outcome.failure is not None:
                details = {"failed_step": number, "total_steps": len(steps)} | partial(op, kept)
                return Outcome(failure=outcome.failure, details=details, failed_step=f"{task_id}/{name}")
            kept.append(Kept(name, outcome.output))
            names[name] = texts.content(outcome.output)
        return Outcome(outcome.output)

    def _map(
        self, program: Program, place: int, task_id: str, inputs: Mapping[str, str], inside: Scope
    ) -> Outcome:
        op = program[place]
        inner = children(program, place, Role.INNER)
        runs: list[tuple[str, int, dict[str, str]]] = [
            (program[at].name, at, {}) for at in children(program, place, Role.STEP)
        ]
        if inner:
            runs = [(n, inner[0], {"current_input": text, "input_name": n}) for n, text in inputs.items()]
        ids = [f"{task_id}/{name}" for name, _, _ in runs]
        results = [
            self._operator(program, at, name, replace(inside, names={**inside.names, **bound}, bound=bound))
            for name, (_, at, bound) in zip(ids, runs, strict=True)
        ]
        broken = [at for at, result in enumerate(results) if result.failure is not None]
        if not broken:
            array = "[" + ",".join(texts.element(result.output) for result in results) + "]"
            if len(array) > texts.ARRAY_CHARS:
                array = texts.canonical([{"task_id": name} for name in ids])
            return Outcome(array)
        whole = list(range(len(results)))
        if op.on_failure is FailurePolicy.FAIL_FAST:
            first = self._stop_others(ids, results)
            assert first is not None
            broken = [first]
            stopped_at = self.ended(ids[first])
            whole = [at for at in whole if self.ended(ids[at]) < stopped_at]
        kept = [Kept(runs[at][0], results[at].output) for at in whole if results[at].failure is None]
        details = {"failed": broken, "total": len(runs)} | partial(op, kept)
        return Outcome(failure=results[broken[0]].failure, details=details, failed_step=ids[broken[0]])

    def _reduce(
        self, program: Program, place: int, task_id: str, inputs: Mapping[str, str], inside: Scope
    ) -> Outcome:
        op = program[place]
        [inner], [reduction] = children(program, place, Role.INNER), children(program, place, Role.REDUCTION)
        accumulator = texts.filled(op.initial_value, inside.names)
        if accumulator is None:
            return failed("INPUT_TOO_LARGE", "")
        result = texts.canonical(accumulator)
        for number, (name, text) in enumerate(inputs.items()):
            bound = {"current_input": text, "input_name": name}
            scope = replace(inside, names={**inside.names, **bound}, bound=bound)
            child_id = f"{task_id}/{name}"
            outcome = self._operator(program, inner, child_id, scope)
            if outcome.failure is None:
                child_id += ".reduction"
                bound = {
                    "current_result": texts.content(outcome.output),
                    "accumulator": accumulator,
                    "original_input": text,
                    "input_name": name,
                }
                scope = replace(inside, names={**inside.names, **bound}, bound=bound)
                outcome = self._operator(program, reduction, child_id, scope)
            if outcome.failure is not None:
                details: dict[str, object] = {
                    "failed_input": number,
                    "total_inputs": len(inputs),
                    "processed_inputs": list(range(number)),
                    "accumulator": accumulator,
                }
                return Outcome(failure=outcome.failure, details=details, failed_step=child_id)
            result, accumulator = outcome.output, texts.content(outcome.output)
        return Outcome(result)

    def _atomic(
        self, op: Operator, task_id: str, inputs: tuple[tuple[str, str], ...], inside: Scope
    ) -> Outcome:
        instructions = texts.filled(op.instructions, inside.names)
        if instructions is None:
            return failed("INPUT_TOO_LARGE", "")
        given = Given("task", instructions, inputs, inside.context_json, memory=inside.mode.memory)
        if size(given) > texts.FILLED_CHARS:
            return failed("INPUT_TOO_LARGE", "")
        reply = self._rounds(task_id, given, inside)
        if isinstance(reply, Succeeded):
            reply = typed(reply, op.output_type)
        return (
            Outcome(reply.output)
            if isinstance(reply, Succeeded)
            else self._recovered(
                op, task_id, reply, replace(inside, names={**inside.outermost, **dict(inputs)})
            )
        )

    def _rounds(self, task_id: str, given: Given, inside: Scope) -> Succeeded | Failed:
        """Ask the oracle, and again after each subtask that it wants."""
        for number in range(MAX_REQUESTS + 1):
            self.given.setdefault(task_id, []).append(given)
            reply = self.oracle(task_id, given, number)
            if not isinstance(reply, Request):
                return reply
            child_id = f"{task_id}/subtask-{number + 1}"
            above = [(request.goal, request.inputs) for request in inside.chain]
            if (
                number == MAX_REQUESTS
                or len(above) == MAX_CHAIN
                or (reply.goal, reply.inputs) in above
                or len(child_id) > MAX_ID_CHARS
            ):
                break
            outcome = self._subtask(child_id, reply, inside)
            if outcome.failure is not None:
                # The child's error, not one of this task's own.
                return outcome.failure._replace(union="", by=child_id)
            answer = texts.content(outcome.output)
            given = given._replace(continued=answer, remembered=reply.remember)
        return Failed("TASK_FAILURE", "")

    def _subtask(self, task_id: str, request: Request, inside: Scope) -> Outcome:
        child = Operator(
            "",
            -1,
            Role.ROOT,
            TaskType.ATOMIC,
            AtomicTaskSubtype.SUBTASK,
            goal=request.goal,
            instructions=request.instructions,
            inputs=tuple(OperatorInput(name, text) for name, text in request.inputs),
        )
        scope = replace(
            inside,
            names={},
            outermost={},
            earlier=(),
            context_json="{}",
            chain=(*inside.chain, request),
        )
        return self._operator((child,), 0, task_id, scope)

    def _recovered(self, op: Operator, task_id: str, failure: Failed, inside: Scope) -> Outcome:
        """Try other structures while the failure's kind and the count allow it; `inside` is what a program sees."""
        kind = {"RESOURCE_EXHAUSTION": "decomposition", "INVALID_OUTPUT": "alternative"}.get(failure.union)
        if kind is None or inside.no_reparsing or (kind == "decomposition" and inside.manual):
            return Outcome(failure=failure, failed_step=failure.by)
        for number in range(1, MAX_RECOVERIES - inside.used + 1):
            recovery_id = f"{task_id}/recovery-{number}"
            if len(recovery_id) > MAX_ID_CHARS:
                break
            decomposed_id = f"{task_id}/decomposed-{number}"
            reply = self._recovery(recovery_id, kind)
            if isinstance(reply, Succeeded) and kind == "alternative":
                reply = typed(reply, op.output_type)
            elif isinstance(reply, Succeeded) and faults(reply.program, decomposed_id, inside.nesting):
                reply = Failed("VALIDATION_ERROR", "", "VALIDATION_ERROR")
            self.outcomes[recovery_id] = outcome_of(reply)
            if isinstance(reply, Succeeded) and kind == "alternative":
                return Outcome(reply.output)
            if isinstance(reply, Succeeded):
                scope = replace(inside, outermost=inside.names, used=inside.used + number)
                outcome = self._operator(reply.program, 0, decomposed_id, scope)
                by = None if outcome.failure is None else decomposed_id
                return Outcome(outcome.output, outcome.failure, failed_step=by)
            failure = reply
            if failure.union not in _UNION:
                break
        return Outcome(failure=failure)

    def _recovery(self, task_id: str, kind: str) -> Succeeded | Failed:
        given = Given(kind, "", (), "{}")
        self.made[task_id] = self.made.get(task_id, 0) + 1
        self.given.setdefault(task_id, []).append(given)
        reply = self.oracle(task_id, given, 0)
        return Failed("INVALID_OUTPUT", "", "INVALID_OUTPUT") if isinstance(reply, Request) else reply

    def _stop_others(self, ids: Sequence[str], results: Sequence[Outcome]) -> int | None:
        """Which of several independent tasks failed first in the run under test; the others are stopped then."""
        broken = [at for at, result in enumerate(results) if result.failure is not None]
        if not broken:
            return None
        first = min(broken, key=lambda at: self.ended(ids[at]))
        at = self.ended(ids[first])
        self.stopped |= {name: at for name in ids if self.ended(name) > at}
        return first
