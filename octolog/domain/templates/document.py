"""A whole document: a template of one atomic task, or a tree of operators, with its name and version."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from octolog.domain.operators import ATOMIC, Operator, OperatorInput, Program
from octolog.domain.tasksystem import ASTNode, AtomicTaskSubtype, NamedText, TaskTemplate, TaskType
from octolog.domain.templates import fields
from octolog.domain.templates.errors import invalid
from octolog.domain.templates.nodes import TASK, Located, attribute, leaf, root
from octolog.domain.templates.reading import inputs_of, legal, program_of
from octolog.domain.templates.writing import ast_of

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


def document_of(tree: ASTNode) -> Document:
    """What a syntax tree says.

    Raises:
        DocumentRefused: VALIDATION_ERROR, with the path of the first thing that is wrong.
    """
    task = root(tree)
    attributes = task.attributes()
    name = attributes.get("name", "")
    version = attributes.get("version", "")
    if "name" in attributes:
        fields.name(name, f"{task.at}/@name")
    if "version" in attributes:
        fields.version(version, f"{task.at}/@version")
    if "type" in attributes:
        program = program_of(tree)
        return Document(name, version, program[0].goal, None, program)
    template, description = template_of(tree)
    program = legal(program_of_template(template, description), [task.at])
    return Document(name, version, description, template, program)


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


def template_of(tree: ASTNode) -> tuple[TaskTemplate, str]:
    """The template that a syntax tree stands for, and its description.

    Raises:
        DocumentRefused: VALIDATION_ERROR, with the path of the first thing that is wrong.
    """
    task = root(tree)
    attributes = task.attributes()
    for name in attributes:
        if name not in _ATTRIBUTES:
            raise invalid(f"{task.at}/@{name}", "does not belong to a template")
    elements = task.parts()
    _check_order(task, elements)
    description = attributes.get("description", "")
    if len(description) > MAX_DESCRIPTION_CHARS:
        raise invalid(
            f"{task.at}/@description", f"{len(description)} characters; at most {MAX_DESCRIPTION_CHARS}"
        )
    inputs = inputs_of(elements["inputs"], tasks=False)[0] if "inputs" in elements else ()
    template = TaskTemplate(
        task_prompt=elements["instructions"].content,
        system_prompt=elements["system"].content,
        model=fields.model(elements["model"].content, elements["model"].at),
        inputs=tuple(NamedText(given.name, given.text) for given in inputs),
        is_manual_xml=_truth(elements, "manual_xml"),
        disable_reparsing=_truth(elements, "disable_reparsing"),
        atomic_subtype=fields.subtype(attributes.get("subtype", "standard"), f"{task.at}/@subtype"),
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


def _check_order(task: Located, elements: dict[str, Located]) -> None:
    for name in _REQUIRED:
        if name not in elements:
            raise invalid(task.at, f"a template needs the element {name}; a task of operators needs a type")
    for name, element in elements.items():
        if name not in _ELEMENTS:
            raise invalid(element.at, "does not belong to a template")
    found = [_ELEMENTS.index(name) for name in elements]
    if found != sorted(found):
        raise invalid(task.at, f"its elements stand in the order {', '.join(_ELEMENTS)}")


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
