"""Templates that octolog itself uses. They live apart from registered ones and take no part in matching."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final

from octolog.domain.errors import NotFound
from octolog.domain.evaluator.prompts import TEMPLATES
from octolog.domain.operators import RecoveryKind
from octolog.domain.templates.document import Document, program_of_template
from schemas.xml.reader import read_document

_RECOVERIES: Final = {
    "reparse-decomposition": (
        RecoveryKind.DECOMPOSITION,
        "Splits a task that was too large for one attempt into smaller ones.",
    ),
    "reparse-alternative": (
        RecoveryKind.ALTERNATIVE,
        "Tries a task again in another way after its output broke the rules.",
    ),
}
"""Their words are the evaluator's."""

_VERSION: Final = "1"
BUILTINS: Final = (*_RECOVERIES, "associative-memory")


@cache
def builtin(name: str) -> Document:
    """One of them.

    Raises:
        NotFound: There is none of that name.
    """
    if name not in BUILTINS:
        raise NotFound(f"no template {name[:80]} of octolog's own; there are {', '.join(BUILTINS)}")
    if name in _RECOVERIES:
        kind, purpose = _RECOVERIES[name]
        return Document(
            name, _VERSION, purpose, TEMPLATES[kind], program_of_template(TEMPLATES[kind], purpose)
        )
    return read_document(files("schemas.xml.builtin").joinpath(f"{name}.xml").read_bytes())
