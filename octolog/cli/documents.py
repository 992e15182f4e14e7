"""Documents that are refused: told with everything that is wrong with them, not with the first of it alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from octolog.cli.command import REFUSED, Call
from octolog.cli.output import error_document, print_json, warn
from octolog.domain.errors import InvalidContract


@contextmanager
def every_fault_told(call: Call) -> Iterator[None]:
    """Where a document is refused, say a line for each fault; as JSON they stand under `errors` beside `error`."""
    try:
        yield
    except InvalidContract as refused:
        from octolog.domain.templates.errors import DocumentRefused
        from octolog.domain.templates.verdict import fault_json

        if not isinstance(refused, DocumentRefused) or not refused.faults:
            raise
        if call.as_json:
            print_json(error_document(refused) | {"errors": [fault_json(fault) for fault in refused.faults]})
        for fault in refused.faults:
            warn(str(fault))
        raise typer.Exit(REFUSED) from None
