"""Prints the code generated for a record: `python -m schemas.compiled octolog.task.AttemptEnded`."""

from __future__ import annotations

import sys

from schemas import catalog
from schemas.compiled import source_of


def main(names: list[str]) -> int:
    """Print the code for each named record; 2 when a name is unknown."""
    unknown = [name for name in names if name not in catalog.RECORDS]
    if unknown or not names:
        known = "\n  ".join(sorted(catalog.RECORDS))
        sys.stderr.write(f"{', '.join(unknown) or 'Nothing'} to print; name one of:\n  {known}\n")
        return 2
    for name in names:
        sys.stdout.write(source_of(catalog.RECORDS[name]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
