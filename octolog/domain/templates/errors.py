"""Why a document is refused: the task system's own error, as something that can be raised."""

from __future__ import annotations

from octolog.domain.errors import InvalidContract
from octolog.domain.values import TaskError, TaskErrorType


class DocumentRefused(InvalidContract):
    """A document is no XML (XML_PARSE_ERROR), or breaks a rule (VALIDATION_ERROR).

    Attributes:
        error: The task system's error, with path or location.
    """

    def __init__(self, error: TaskError) -> None:
        super().__init__(error.type, error.path or error.location or "document", error.message)
        self.args = (error,)  # rebuild the error when unpickled
        self.error = error


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
