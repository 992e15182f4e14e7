"""Which DuckDB file of a node's folder is in use: a rebuilt one takes over by a small file that names it.

Files are never renamed while DuckDB has them open: its write-ahead log lies beside them, under the same name.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from octolog.app.settings import Settings
from projections.duck import FILE_NAME

_POINTER: Final = "knowledge.current"
_GENERATION: Final = re.compile(r"knowledge-(\d+)\.duckdb")


def current_file(settings: Settings) -> Path:
    """The file in use, whether it is there yet or not."""
    folder = settings.knowledge_dir
    try:
        named = (folder / _POINTER).read_text(encoding="utf-8").strip()
    except OSError:
        return folder / FILE_NAME
    return folder / named if _GENERATION.fullmatch(named) else folder / FILE_NAME


def new_file(settings: Settings) -> Path:
    """A file for another generation beside the one in use; what an earlier attempt left there is gone."""
    found = _GENERATION.fullmatch(current_file(settings).name)
    path = settings.knowledge_dir / f"knowledge-{int(found[1]) + 1 if found else 2}.duckdb"
    drop_file(path)
    return path


def use_file(settings: Settings, path: Path) -> None:
    """Make a file the one in use, at once and for good."""
    pointer = settings.knowledge_dir / _POINTER
    draft = pointer.with_suffix(f".{os.getpid()}.tmp")
    with draft.open("w", encoding="utf-8") as file:
        file.write(path.name)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(pointer)


def drop_file(path: Path) -> None:
    """Delete a file with what DuckDB keeps beside it."""
    for name in (path.name, f"{path.name}.wal"):
        path.with_name(name).unlink(missing_ok=True)
