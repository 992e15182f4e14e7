"""Looking into syntax trees: a task's attributes and elements, and where they stand.

A node stands for an element; an attribute is a child node whose type begins with `@`. The path of a node is the XPath
of its element: a number stands only where several elements of one name stand side by side.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from octolog.domain.tasksystem import ASTNode, TaskType
from octolog.domain.templates.errors import invalid

TASK: Final = "task"
_SHOWN_CHARS: Final = 60


@dataclass(frozen=True, slots=True)
class Located:
    """A node and where it stands.

    Attributes:
        node: The node.
        at: Its path.
    """

    node: ASTNode
    at: str

    @property
    def content(self) -> str:
        """Its text."""
        return self.node.content

    def attributes(self) -> dict[str, str]:
        """Its attributes; `type` as the operator's name."""
        found = {child.type[1:]: child.content for child in self.node.children if child.type.startswith("@")}
        if (
            self.node.type == TASK
            and self.node.operator_type is not TaskType.UNKNOWN
            and not self.is_template
        ):
            found["type"] = self.node.operator_type.lower()
        return found

    @property
    def is_template(self) -> bool:
        """True for the task of a template document: it begins with its instructions."""
        if self.node.type != TASK:
            return False
        first = next((child for child in self.node.children if not child.type.startswith("@")), None)
        return first is not None and first.type == "instructions"

    def elements(self) -> Iterator[Located]:
        """Its elements, in order."""
        inner = [child for child in self.node.children if not child.type.startswith("@")]
        if len({child.type for child in inner}) == len(
            inner
        ):  # as a rule: counting takes time in large documents
            for child in inner:
                yield Located(child, f"{self.at}/{child.type}")
            return
        total = Counter(child.type for child in inner)
        seen: Counter[str] = Counter()
        for child in inner:
            seen[child.type] += 1
            number = f"[{seen[child.type]}]" if total[child.type] > 1 else ""
            yield Located(child, f"{self.at}/{child.type}{number}")

    def parts(self) -> dict[str, Located]:
        """Its elements by name.

        Raises:
            DocumentRefused: One stands twice.
        """
        found: dict[str, Located] = {}
        for element in self.elements():
            if element.node.type in found:
                raise invalid(element.at, "stands twice")
            found[element.node.type] = element
        return found

    def items(self, name: str) -> list[Located]:
        """Its elements, which must all have one name, and be at least one.

        Raises:
            DocumentRefused: There is none, or another.
        """
        found = list(self.elements())
        for element in found:
            if element.node.type != name:
                raise invalid(element.at, f"does not belong here; only {name} does")
        if not found:
            raise invalid(self.at, f"is empty; it needs at least one {name}")
        return found


def root(node: ASTNode) -> Located:
    """A tree as a document.

    Raises:
        DocumentRefused: It does not begin with a task.
    """
    if node.type != TASK:
        raise invalid(f"/{node.type}", "a document begins with the element task")
    return Located(node, f"/{TASK}")


def leaf(name: str, content: str) -> ASTNode:
    """An element that holds a text."""
    return ASTNode(name, content)


def attribute(name: str, value: str) -> ASTNode:
    """An attribute."""
    return ASTNode(f"@{name}", value)


def shown(text: str) -> str:
    """A text for a message: on one line, cut when it is long."""
    short = text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."
    return repr(short)
