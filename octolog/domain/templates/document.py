"""A whole document: a template of one atomic task, or a tree of operators, with its name and version."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from octolog.domain.operators import ATOMIC, Operator, OperatorInput, Program
from octolog.domain.tasksystem import ASTNode, AtomicTaskSubtype, NamedText, TaskTemplate, TaskType
from octolog.domain.templates import fields
from octolog.domain.templates.errors import MAX_FAULTS, DocumentRefused, Faults, invalid
from octolog.domain.templates.inputs import inputs_of
from octolog.domain.templates.nodes import TASK, Located, attribute, leaf, root
from octolog.domain.templates.reading import legal, program_of
from octolog.domain.templates.writing import ast_of
from octolog.domain.values import TaskError

DEFAULT_MODEL: Final = "default"
"""The model id in a template that leaves the choice to the arm; an operator says so by naming none."""

MAX_DESCRIPTION_CHARS: Final = 10_000
_ATTRIBUTES: Final = frozenset({"name", "version", "description", "subtype"})
_ELEMENTS: Final = ("instructions", "system", "model", "inputs", "manual_xml", "disable_reparsing")
_REQUIRED: Final = ("instructions", "system", "model")


@dataclass(frozen=True, slots=True)
class Document:
    """What a document says.

    Attributes:
        name: Its name; empty where it gives none.
        version: Its version; empty where it gives none.
        description: What it is for; empty where it does not say.
        template: What a template document says; None for an operator document.
        program: The program it stands for; a template is an atomic one.
    """

    name: str
    version: str
    description: str
    template: TaskTemplate | None
    program: Program

    @property
    def task_type(self) -> TaskType:
        """Which operator it is."""
        return self.program[0].type

    @property
    def digest(self) -> str:
        """SHA-256 of what it says, lowercase hex; layout, name and version do not enter."""
        tree = (
            ast_of(self.program)
            if self.template is None
            else ast_of_template(self.template, self.description)
        )
        plain = json.dumps(
            [self.template is not None, _plain(tree)], ensure_ascii=False, separators=(",", ":")
        )
        return sha256(plain.encode()).hexdigest()


def document_of(tree: ASTNode, faults: Faults | None = None) -> Document:
    """What a syntax tree says.

    Args:
        tree: The tree.
        faults: Where what is wrong goes, with something in its place; None: the first fault is raised.

    Raises:
        DocumentRefused: VALIDATION_ERROR with its path, when no more faults are wanted.
    """
    wrong = Faults() if faults is None else faults
    task = root(tree)
    attributes = task.attributes()
    name = attributes.get("name", "")
    version = attributes.get("version", "")
    if "name" in attributes:
        wrong.attempt(lambda: fields.name(name, f"{task.at}/@name"), "")
    if "version" in attributes:
        wrong.attempt(lambda: fields.version(version, f"{task.at}/@version"), "")
    if "type" in attributes:
        program = program_of(tree, wrong)
        return Document(name, version, program[0].goal, None, program)
    template, description = template_of(tree, wrong)
    program = program_of_template(template, description)
    if not wrong.found:
        legal(program, [task.at], wrong)
    return Document(name, version, description, template, program)


def every_fault(tree: ASTNode) -> tuple[list[TaskError], Document | None]:
    """All that is wrong with a syntax tree that `document_of` refuses, at most `MAX_FAULTS`; and what it says besides.

    What could not be read is left out of the document; it is None where there is too much of that.
    """
    faults = Faults(MAX_FAULTS)
    try:
        rest = faults.attempt(lambda: document_of(tree, faults), None)
    except DocumentRefused:
        rest = None
    # A name can be wrong for a document and for its task.
    return list(dict.fromkeys(faults.found)), rest


def ast_of_document(document: Document) -> ASTNode:
    """The syntax tree of a document; `document_of` gives the same document back.

    Raises:
        DocumentRefused: It breaks a rule, or cannot be written.
    """
    if document.template is None:
        tree = ast_of(document.program)
    else:
        tree = ast_of_template(document.template, document.description)
    own = [("name", document.name), ("version", document.version)]
    return replace(tree, children=(*(attribute(*pair) for pair in own if pair[1]), *tree.children))


def template_of(tree: ASTNode, faults: Faults | None = None) -> tuple[TaskTemplate, str]:
    """The template that a syntax tree stands for, and its description.

    Args:
        tree: The tree.
        faults: Where what is wrong goes, with something in its place; None: the first fault is raised.

    Raises:
        DocumentRefused: VALIDATION_ERROR with its path, when no more faults are wanted.
    """
    wrong = Faults() if faults is None else faults
    task = root(tree)
    attributes = task.attributes()
    for name in attributes:
        if name not in _ATTRIBUTES:
            wrong.add(invalid(f"{task.at}/@{name}", "does not belong to a template"))
    elements = _elements(task, wrong)
    description = attributes.get("description", "")
    if len(description) > MAX_DESCRIPTION_CHARS:
        told = f"{len(description)} characters; at most {MAX_DESCRIPTION_CHARS}"
        wrong.add(invalid(f"{task.at}/@description", told))
    inputs = inputs_of(elements.get("inputs"), wrong, tasks=False).given
    text = {name: element.content for name, element in elements.items()}
    subtype = attributes.get("subtype", "standard")
    template = TaskTemplate(
        task_prompt=text.get("instructions", ""),
        system_prompt=text.get("system", ""),
        model=wrong.attempt(lambda: _model(elements), ""),
        inputs=tuple(NamedText(given.name, given.text) for given in inputs),
        is_manual_xml=wrong.attempt(lambda: _truth(elements, "manual_xml"), instead=False),
        disable_reparsing=wrong.attempt(lambda: _truth(elements, "disable_reparsing"), instead=False),
        atomic_subtype=wrong.attempt(
            lambda: fields.subtype(subtype, f"{task.at}/@subtype"), AtomicTaskSubtype.STANDARD
        ),
    )
    return template, description


def ast_of_template(template: TaskTemplate, description: str = "") -> ASTNode:
    """The syntax tree of a template."""
    children: list[ASTNode] = []
    if description:
        children.append(attribute("description", description))
    if template.atomic_subtype is AtomicTaskSubtype.SUBTASK:
        children.append(attribute("subtype", "subtask"))
    children += [
        leaf("instructions", template.task_prompt),
        leaf("system", template.system_prompt),
        leaf("model", template.model),
    ]
    if template.inputs:
        inputs = tuple(
            ASTNode("input", given.text, children=(attribute("name", given.name),))
            for given in template.inputs
        )
        children.append(ASTNode("inputs", "", children=inputs))
    children.append(leaf("manual_xml", "true" if template.is_manual_xml else "false"))
    children.append(leaf("disable_reparsing", "true" if template.disable_reparsing else "false"))
    return ASTNode(TASK, "", TaskType.ATOMIC, tuple(children))


def program_of_template(template: TaskTemplate, goal: str = "") -> Program:
    """The atomic program that runs a template.

    Args:
        template: What to run.
        goal: What for, for people and for routing.
    """
    return (
        replace(
            ATOMIC,
            subtype=template.atomic_subtype,
            goal=goal,
            instructions=template.task_prompt,
            system=template.system_prompt,
            model="" if template.model == DEFAULT_MODEL else template.model,
            inputs=tuple(OperatorInput(given.name, given.text) for given in template.inputs),
            is_manual_xml=template.is_manual_xml,
            disable_reparsing=template.disable_reparsing,
        ),
    )


def models_of(program: Program) -> dict[int, str]:
    """The model ids that a program names, by place."""
    return {index: operator.model for index, operator in enumerate(program) if operator.model}


def empty_inputs(program: Program) -> list[tuple[Operator, OperatorInput]]:
    """Inputs without a text, a variable or a task: they are empty unless a value is given."""
    bound = {(child.parent, child.name) for child in program if child.role == "ARGUMENT"}
    return [
        (operator, given)
        for index, operator in enumerate(program)
        for given in operator.inputs
        if not given.text and not given.variable and (index, given.name) not in bound
    ]


def _elements(task: Located, faults: Faults) -> dict[str, Located]:
    elements: dict[str, Located] = {}
    for element in task.elements():
        name = element.node.type
        if name in elements:
            faults.add(invalid(element.at, "stands twice; leave one of them out"))
        elif name not in _ELEMENTS:
            faults.add(invalid(element.at, "does not belong to a template"))
        else:
            elements[name] = element
    for name in _REQUIRED:
        if name not in elements:
            told = f"a template needs the element {name}; a task of operators needs a type"
            faults.add(invalid(task.at, told))
    found = [_ELEMENTS.index(name) for name in elements]
    if found != sorted(found):
        faults.add(invalid(task.at, f"its elements stand in the order {', '.join(_ELEMENTS)}"))
    return elements


def _model(elements: dict[str, Located]) -> str:
    return fields.model(elements["model"].content, elements["model"].at) if "model" in elements else ""


def _truth(elements: dict[str, Located], name: str) -> bool:
    return name in elements and fields.truth(elements[name].content, elements[name].at)


def _plain(node: ASTNode) -> list[object]:
    return [
        node.type,
        node.content,
        node.operator_type,
        node.metadata_json,
        [_plain(child) for child in node.children],
    ]
