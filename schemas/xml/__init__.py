"""Tasks as XML: templates and operator documents, read strictly and written exactly (docs/reference/task-xml.md).

The only home of lxml. What comes in is hostile until it was read: no entities, no document types, no namespaces, no
network, and bounds on size and depth that hold before a tree is made.
"""

from schemas.xml.builtin import BUILTINS, builtin
from schemas.xml.models import KNOWN_MODELS, known_models
from schemas.xml.parser import MAX_DEPTH, MAX_DOCUMENT_BYTES
from schemas.xml.reader import Output, judge, read_ast, read_document, read_output, read_program
from schemas.xml.writer import write_ast, write_document, write_program

__all__ = [
    "BUILTINS",
    "KNOWN_MODELS",
    "MAX_DEPTH",
    "MAX_DOCUMENT_BYTES",
    "Output",
    "builtin",
    "judge",
    "known_models",
    "read_ast",
    "read_document",
    "read_output",
    "read_program",
    "write_ast",
    "write_document",
    "write_program",
]
