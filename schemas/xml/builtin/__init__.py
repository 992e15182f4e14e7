"""Templates that octolog itself uses. They live apart from registered ones and take no part in matching."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final

from octolog.domain.errors import NotFound
from octolog.domain.templates.document import Document
from schemas.xml.reader import read_document

BUILTINS: Final = ("reparse-decomposition", "reparse-alternative", "associative-memory")


@cache
def builtin(name: str) -> Document:
    """One of them.

    Raises:
        NotFound: There is none of that name.
    """
    if name not in BUILTINS:
        raise NotFound(f"no template {name[:80]} of octolog's own; there are {', '.join(BUILTINS)}")
    return read_document(files("schemas.xml.builtin").joinpath(f"{name}.xml").read_bytes())
