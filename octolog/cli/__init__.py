"""The command line. Imports what a command needs when it runs: `octolog --help` loads no Kafka and no DuckDB."""

from __future__ import annotations

import sys

__all__ = ["main"]

INTERRUPTED = 130
"""What a shell expects of a program ended by Ctrl-C: 128 + SIGINT."""


def main() -> None:
    """Run the command line and exit with its code: 0 done, 1 refused or failed, 2 wrong usage."""
    try:
        from octolog.cli.application import build

        build()(prog_name="octolog")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
