"""What facts change in the tasks of programs. Total like `octolog.domain.task.evolve`, which calls it."""

from __future__ import annotations

from octolog.domain import facts as f
from octolog.domain.evaluator.environment import inside, values
from octolog.domain.evaluator.history import keep, push
from octolog.domain.evaluator.outputs import content_of, element_of, notes_of, text_of
from octolog.domain.evaluator.places import (
    is_decomposed,
    is_evaluated,
    is_leaf,
    is_subtask,
    operator_of,
    parent_of,
    program_of,
)
from octolog.domain.evaluator.program import Loaded
from octolog.domain.evaluator.specs import spec_of, subtask_operator
from octolog.domain.evaluator.state import Body, Fault, History, Op, Phase, Spawn, Trouble
from octolog.domain.evaluator.text import InputTooLarge, filled
from octolog.domain.json_text import quoted
from octolog.domain.operators import RecoveryKind, Role, SubtaskRequest
from octolog.domain.task.state import Node, NodeStatus, Tree, fingerprint, join, set_status
from octolog.domain.tasksystem import AccumulationFormat, TaskType


def operator_started(tree: Tree, fact: f.OperatorStarted) -> None:
    """The operator's task joins the tree, and is ready when it is atomic and waits for no ARGUMENT."""
    loaded = tree.programs.get(fact.program_id)
    if loaded is None or not 0 <= fact.position < len(loaded.operators):
        return
    parent = tree.nodes.get(fact.parent_task_id) if fact.parent_task_id is not None else None
    op = Op(fact.program_id, fact.position, Phase.ARGUMENTS, fact.index, fact.input_name)
    node = tree.nodes.get(fact.task_id)
    if node is None:
        if parent is None:
            return
        spec = spec_of(loaded, fact.position, parent.spec)
        node = Node(fact.task_id, parent.task_id, spec, parent.depth, NodeStatus.WAITING)
        join(tree, node)
        if parent.op is not None:
            parent.op.open += 1
            op.used = parent.op.used
            if parent.op.trouble is not None and is_decomposed(parent, fact.task_id):
                op.used += parent.op.trouble.number
    else:
        node.spec = spec_of(loaded, fact.position, node.spec)
    node.op = op
    if fact.position not in loaded.arguments:
        _begin(tree, node, op)


def recovery_started(tree: Tree, fact: f.RecoveryStarted) -> None:
    """The recovery task joins the tree, ready; the failed one waits for it."""
    node = tree.nodes.get(fact.task_id)
    if node is None or node.op is None:
        return
    set_status(tree, node, NodeStatus.WAITING)
    op = node.op
    op.phase, op.trouble = Phase.RECOVERING, Trouble(fact.number, fact.kind, fact.error, fact.output)
    op.open += 1
    own = Op(op.program, op.position, Phase.BODY, used=op.used, recovery=fact.kind)
    join(
        tree,
        Node(fact.recovery_task_id, node.task_id, node.spec, node.depth, NodeStatus.READY, op=own),
    )


def program_adopted(tree: Tree, fact: f.ProgramAdopted) -> None:
    """A recovered program is there to be evaluated."""
    tree.programs[fact.program_id] = Loaded(fact.operators, "{}")
    node = tree.nodes.get(fact.task_id)
    if node is not None and node.op is not None:
        node.op.phase = Phase.DECOMPOSED


def subtask_requested(tree: Tree, fact: f.SubtaskRequested) -> None:
    """The task that asked waits; the subtask is a program of one operator."""
    tree.programs[fact.subtask_task_id] = Loaded((subtask_operator(fact.request),), "{}")
    node = tree.nodes.get(fact.task_id)
    if node is None:
        return
    set_status(tree, node, NodeStatus.WAITING)
    node.spawn = Spawn(fact.number, fact.request.goal, fact.continuation_json, request_mark(fact.request))


def request_mark(request: SubtaskRequest) -> bytes:
    """Fingerprint of what makes two requests of one chain the same: goal and inputs."""
    inputs = (text for given in request.inputs for text in (given.name, given.text))
    return fingerprint("subtask", request.goal, *inputs)


def completed(tree: Tree, node: Node) -> None:
    """A task of a program has its output: the parent takes it, and the task leaves the tree."""
    parent = parent_of(tree, node)
    if parent is None:
        return
    text = text_of(node.output, node.output_blob)
    if is_subtask(parent, node.task_id):
        if parent.op is not None:
            parent.op.open -= 1
        _answered(tree, parent, content_of(text), notes_of(text))
    elif parent.op is not None and is_evaluated(parent, node):
        parent.op.open -= 1
        _take(tree, parent, parent.op, node, text)
    else:  # a contract with a program was submitted as a subtask
        tree.programs.pop(node.task_id, None)
        parent.open_children -= 1
        node.op = None
        return
    drop(tree, node, NodeStatus.COMPLETED)


def failed(tree: Tree, node: Node, fact: f.TaskFailed) -> None:
    """A task of a program failed: its parent knows, and the task leaves the tree with all that stands below it."""
    parent = parent_of(tree, node)
    if parent is None:
        return
    if parent.op is not None and node.op is not None and is_evaluated(parent, node):
        parent.op.open -= 1
        body, role = parent.op.body, operator_of(tree, node.op).role
        is_map = operator_of(tree, parent.op).type is TaskType.MAP
        if body is not None and is_map and node.op.position > 0 and role is not Role.ARGUMENT:
            _note_failure(body, node.op.index, fact)
    if parent.spawn is not None and is_subtask(parent, node.task_id):
        parent.spawn.waiting = False
    drop(tree, node, NodeStatus.FAILED)


def drop(tree: Tree, node: Node, status: NodeStatus) -> None:
    """Take a task that ended out of the tree, with all below it; those are cancelled."""
    gone = {node.task_id}
    if not is_leaf(node):
        for other in tree.nodes.values():  # parents joined before their children
            if other.parent in gone:
                gone.add(other.task_id)
    set_status(tree, node, status)
    for task_id in gone:
        set_status(tree, tree.nodes[task_id], status)
        del tree.nodes[task_id]
        tree.programs.pop(task_id, None)


def _note_failure(body: Body, index: int, fact: f.TaskFailed) -> None:
    body.ended += 1
    body.failed.append(index)
    if body.first is None or index <= min(body.failed):
        body.first = Fault(fact.code, fact.category, fact.message, fact.task_error)


def _answered(tree: Tree, parent: Node, content: str, notes: str) -> None:
    if parent.spawn is None:
        return
    spawn = parent.spawn
    spawn.waiting, spawn.content, spawn.notes = False, content, notes
    spawn.attempts_before = parent.attempts
    set_status(tree, parent, NodeStatus.READY)


def _begin(tree: Tree, node: Node, op: Op) -> None:
    """Its ARGUMENTs are there: an operator fills its inputs and begins."""
    op.phase = Phase.BODY
    try:
        op.bound.update(values(tree, node))
        operator = operator_of(tree, op)
        match operator.type:
            case TaskType.ATOMIC:
                set_status(tree, node, NodeStatus.READY)
            case TaskType.SEQUENTIAL:
                op.body = Body(history=History())
            case TaskType.REDUCE:
                first = filled(operator.initial_value, lambda name: inside(tree, node, name))
                op.body = Body(accumulator=first)
                node.output = quoted(first)
            case _:
                op.body = Body()
    except InputTooLarge:
        op.too_long = True


def _take(tree: Tree, parent: Node, above: Op, node: Node, text: str) -> None:
    """What a parent does with a child's output."""
    if node.op is None or node.op.recovery is not None or is_decomposed(parent, node.task_id):
        alternative = node.op is not None and node.op.recovery is RecoveryKind.ALTERNATIVE
        if above.phase is Phase.DECOMPOSED or alternative:
            above.phase = Phase.DONE
            _pass_on(parent, node)
        return
    operator, body = operator_of(tree, node.op), above.body
    if operator.role is Role.ARGUMENT:
        above.bound[operator.name] = content_of(text)
        # Not "none is open": one may end before the next has begun.
        wanted = len(program_of(tree, above).arguments.get(above.position, {}))
        if above.phase is Phase.ARGUMENTS and len(above.bound) == wanted:
            _begin(tree, parent, above)
    elif body is None:
        return
    elif body.history is not None:
        _take_step(tree, above, body, body.history, node.op, operator.name, text)
        _pass_on(parent, node)
    elif operator_of(tree, above).type is TaskType.MAP:
        body.ended += 1
        full = operator_of(tree, above).accumulation_format is AccumulationFormat.FULL_OUTPUT
        keep(body, node.op.index, element_of(text), full=full)
    elif operator.role is Role.INNER:
        body.current = content_of(text)
    else:
        body.accumulator, body.current = content_of(text), None
        body.ended += 1
        _pass_on(parent, node)


def _take_step(tree: Tree, above: Op, body: Body, history: History, op: Op, name: str, text: str) -> None:
    body.ended += 1
    push(history, name, text)
    loaded = program_of(tree, above)
    if loaded.is_kept(above.position, op.index, name):
        above.bound[name] = content_of(text)
    for unused in loaded.expiring(above.position, op.index):
        above.bound.pop(unused, None)


def _pass_on(parent: Node, node: Node) -> None:
    parent.output, parent.output_blob, parent.output_of = node.output, node.output_blob, node.output_of
