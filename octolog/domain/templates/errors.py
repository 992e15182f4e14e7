"""Why a document is refused: the task system's own error, as something that can be raised; and several at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from octolog.domain.errors import InvalidContract
from octolog.domain.values import TaskError, TaskErrorType

Value = TypeVar("Value")

MAX_FAULTS: Final = 20
"""What is told of one document by each who looks at it; the first is the reason, the rest a help."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is wrong with a document.

    Attributes:
        error: What, and where in the tree.
        line: Where in the text, from 1; 0: not known.
        column: Its place in that line, from 1; of an attribute that of its element.
    """

    error: TaskError
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        """Line and column, kind, path and reason, on one line."""
        where = (
            f"{self.line}:{self.column}" if self.line else "",
            str(self.error.type),
            self.error.path or "",
        )
        return ": ".join(part for part in (*where, self.error.message) if part)


class DocumentRefused(InvalidContract):
    """A document is no XML (XML_PARSE_ERROR), or breaks a rule (VALIDATION_ERROR).

    Attributes:
        error: The task system's error, with path or location.
        faults: All that is known to be wrong, this error the first; empty where nobody looked further.
    """

    def __init__(self, error: TaskError, faults: tuple[Fault, ...] = ()) -> None:
        super().__init__(error.type, error.path or error.location or "document", error.message)
        self.args = (error, faults)  # rebuild the error when unpickled
        self.error = error
        self.faults = faults


class Faults:
    """What a reader finds wrong: it raises the last that is wanted, and until then goes on with something instead.

    Args:
        most: How many are wanted. With 1, the first ends the reading.
    """

    def __init__(self, most: int = 1) -> None:
        self._most = most
        self.found: list[TaskError] = []

    def add(self, refused: DocumentRefused) -> None:
        """Take one.

        Raises:
            DocumentRefused: That is enough.
        """
        self.found.append(refused.error)
        if len(self.found) >= self._most:
            raise refused

    def attempt(self, read: Callable[[], Value], instead: Value) -> Value:
        """What can be read, or something instead of it.

        Raises:
            DocumentRefused: That is enough.
        """
        try:
            return read()
        except DocumentRefused as refused:
            if len(self.found) >= self._most:  # raised by `add`, within
                raise
            self.add(refused)
            return instead


def invalid(path: str, message: str, *, invalid_model: bool = False) -> DocumentRefused:
    """A VALIDATION_ERROR.

    Args:
        path: Where, as an XPath.
        message: What is wrong, one line.
        invalid_model: True when it is that the model is unknown.
    """
    return DocumentRefused(
        TaskError(TaskErrorType.VALIDATION_ERROR, message, path=path, invalid_model=invalid_model)
    )


def unparsable(location: str, message: str) -> DocumentRefused:
    """An XML_PARSE_ERROR.

    Args:
        location: Where, as `line:column`.
        message: What is wrong, one line.
    """
    return DocumentRefused(TaskError(TaskErrorType.XML_PARSE_ERROR, message, location=location))
