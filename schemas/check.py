"""Check the schemas: `python -m schemas.check` prints one line per violation and exits 1 if there is any.

`schemas/released/<version>/` keeps the schemas of each release, self-contained, one file per subject. They
are never edited: values written with them lie in logs. `python -m schemas.check --freeze VERSION` adds those
of a new release.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from octolog.domain.errors import IncompatibleSchema, Refused
from schemas.compatibility import Violation, dialect_violations, full_transitive_violations
from schemas.registry.text import schema_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RELEASED: Final = Path(__file__).parent / "released"
# Types that may contain themselves; none does: trees are arrays of steps that name each other.
RECURSIVE: Final[frozenset[str]] = frozenset()
_VERSION: Final = re.compile(r"\d+\.\d+\.\d+([-.+][0-9A-Za-z.]+)?")


def current_schemas() -> dict[str, str]:
    """Return the self-contained schema of every subject, by full name."""
    from schemas import catalog

    return {name: catalog.schema_json(name) for name in catalog.TOP_LEVEL}


def released_schemas(folder: Path = RELEASED) -> dict[str, dict[str, str]]:
    """Return the schemas of every release, by version, then full name."""
    versions = sorted(entry for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []
    return {
        version.name: {
            file.name.removesuffix(".avsc"): file.read_text(encoding="utf-8")
            for file in sorted(version.glob("*.avsc"))
        }
        for version in versions
    }


def check(current: Mapping[str, str], released: Mapping[str, Mapping[str, str]]) -> tuple[Violation, ...]:
    """Return what is wrong with the current schemas, by themselves and against every release.

    Args:
        current: Self-contained schema by full name.
        released: The same for each released version.
    """
    found: dict[Violation, None] = {}
    for name, schema in current.items():
        history = {version: schemas[name] for version, schemas in released.items() if name in schemas}
        found |= dict.fromkeys(dialect_violations(schema, RECURSIVE))
        found |= dict.fromkeys(full_transitive_violations(name, schema, history))
    for version, schemas in released.items():
        for name in schemas.keys() - current.keys():
            gone = Violation(name, "", "removed or renamed; logs hold its values, so it stays", version)
            found[gone] = None
    return tuple(sorted(found, key=str))


def freeze(
    version: str, folder: Path = RELEASED, current: Mapping[str, str] | None = None
) -> tuple[Path, ...]:
    """Write the current schemas as those of a release, and return the files.

    Args:
        version: Of the release, e.g. `0.1.0`.
        folder: Holds one folder per release.
        current: Self-contained schema by full name; by default those of the catalog.

    Raises:
        Refused: `version` is no version, or was released before with other schemas.
        IncompatibleSchema: The schemas do not pass `check`.
    """
    if not _VERSION.fullmatch(version):
        raise Refused(f"{version!r} is no version; use the form 1.2.3")
    schemas = current_schemas() if current is None else current
    texts = {name: _layout(schema) for name, schema in schemas.items()}
    released = released_schemas(folder)
    if released.get(version, texts) != texts:
        raise Refused(f"{version} is released with other schemas and is never edited; use a new version")
    if violations := check(schemas, released):
        raise IncompatibleSchema(f"{len(violations)} violations, the first: {violations[0]}")
    target = folder / version
    target.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (target / f"{name}.avsc").write_text(text, encoding="utf-8")
    return tuple(target / f"{name}.avsc" for name in sorted(texts))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the check, or freeze a release; return the exit code."""
    parser = argparse.ArgumentParser(prog="schemas.check", description="Check the schemas.")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--freeze", metavar="VERSION", help="add the current schemas as those of a release")
    options = parser.parse_args(arguments)
    try:
        if options.freeze:
            names = [file.name for file in freeze(options.freeze)]
            _report({"frozen": names}, f"{len(names)} files", as_json=options.json)
            return 0
        current, released = current_schemas(), released_schemas()
    except (IncompatibleSchema, Refused) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    violations = check(current, released)
    document = {
        "subjects": len(current),
        "releases": sorted(released),
        "violations": [asdict(violation) for violation in violations],
    }
    against = ", ".join(released) or "no release yet"
    summary = f"{len(current)} subjects against {against}: {len(violations) or 'no'} violations"
    _report(document, "\n".join([*map(str, violations), summary]), as_json=options.json)
    return 1 if violations else 0


def _report(document: Mapping[str, object], text: str, *, as_json: bool) -> None:
    sys.stdout.write(f"{json.dumps(document) if as_json else text}\n")


def _layout(schema: str) -> str:
    """Lay out a schema for people and for diffs; the text itself is the one that registries compare."""
    return json.dumps(json.loads(schema_text(schema)), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main())
