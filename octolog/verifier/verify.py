"""Everything about a bundle, and the command line for those who have nothing else: `python BUNDLE`."""

from __future__ import annotations

import argparse
import json
import sys
from array import array
from pathlib import Path

from octolog.domain.proof.avro import Malformed
from octolog.verifier.archive import MANIFEST, Archive
from octolog.verifier.facts import INPUTS, TASKS, FactCheck, Scope
from octolog.verifier.records import Found, Schemas, read_records
from octolog.verifier.report import Fault, Report
from octolog.verifier.signatures import CHECKPOINTS, Signatures


def verify_bundle(path: Path, trusted: frozenset[str] | None = None) -> Report:
    """Check a bundle.

    Args:
        path: The file.
        trusted: Key ids that may sign; None: whoever announced itself, and the report names them.

    Raises:
        OSError: When the file cannot be read.
    """
    report = Report()
    archive = Archive(path, report)
    try:
        archive.check()
        if archive.manifest is not None:
            _contents(archive, report, trusted)
    finally:
        archive.close()
    _notes(report)
    return report


def _contents(archive: Archive, report: Report, trusted: frozenset[str] | None) -> None:
    schemas = Schemas(archive)
    try:
        scope = Scope.of(archive.manifest or {})
    except (ValueError, TypeError) as error:
        report.add(Fault(MANIFEST, str(error)))
        return
    signatures = Signatures(archive, schemas, report, trusted)
    signatures.read()
    places = _places(archive)
    for topic, partition in places:
        if topic not in (TASKS, CHECKPOINTS, *INPUTS):
            for found in read_records(archive, schemas, topic, partition, report):
                _named(schemas, found, report)
    for partition in sorted({partition for topic, partition in places if topic in (TASKS, *INPUTS)}):
        inputs: dict[str, array[int]] = {}
        for topic in INPUTS:
            inputs[topic] = array("q")
            for found in read_records(archive, schemas, topic, partition, report):
                inputs[topic].append(found.entry.offset)
                _named(schemas, found, report)
        check = FactCheck(partition, scope, schemas, signatures, inputs, report)
        for found in read_records(archive, schemas, TASKS, partition, report):
            check.add(found)
        check.finish()


def _named(schemas: Schemas, found: Found, report: Report) -> None:
    if found.entry.schema_id >= 0:
        try:
            schemas.name(found.entry.schema_id)
        except Malformed as error:
            report.add(found.fault(str(error)))


def _places(archive: Archive) -> list[tuple[str, int]]:
    """Topics and partitions that the bundle has records of."""
    found = []
    for name in archive.names():
        folder, _, rest = name.partition("/")
        topic, _, file = rest.rpartition("/")
        number = file.removesuffix(".avro")
        if folder == "log" and topic and number.isdigit():
            found.append((topic, int(number)))
    return found


def _notes(report: Report) -> None:
    if report.facts > report.covered:
        left = report.facts - report.covered
        report.notes.append(
            f"no checkpoint covers {left} of {report.facts} facts: their hashes agree, but nobody signed them yet"
        )
    if report.sealed_by is None:
        report.notes.append(
            "nobody signed the manifest: records that are no facts are only as good as the file's source"
        )
    if report.redacted:
        report.notes.append(
            f"{report.redacted} records stand here without personal data, by the word of who made the bundle"
        )
    if report.keys or report.sealed_by:
        report.notes.append(
            "a signature is worth what you know of its key: compare the key ids with what the operator told you"
        )


def main(arguments: list[str] | None = None) -> int:
    """`python BUNDLE`, or `python -m octolog.verifier.verify FILE`; 0: nothing is wrong, 1: something is."""
    parser = argparse.ArgumentParser(prog="verify", description="Check an octolog audit bundle.")
    parser.add_argument("file", nargs="?", type=Path, default=Path(sys.argv[0]), help="default: this file")
    parser.add_argument("--key", action="append", metavar="ID", help="trust these keys alone")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    asked = parser.parse_args(arguments)
    try:
        report = verify_bundle(asked.file, frozenset(asked.key) if asked.key else None)
    except OSError as error:
        sys.stderr.write(f"verify: {error}\n")
        return 1
    sys.stdout.write(json.dumps(report.to_json(), indent=1) + "\n" if asked.json else summary(report))
    return 0 if report.ok else 1


def summary(report: Report) -> str:
    """The report for people."""
    lines = [
        "right: every hash, chain, sum and signature" if report.ok else f"WRONG: {report.fault_count} faults"
    ]
    lines += [f"  {fault}" for fault in report.faults]
    for name in ("parts", "records", "facts", "trees", "checkpoints", "covered", "redacted", "blobs"):
        lines.append(f"{name:12} {getattr(report, name)}")
    lines += [f"key          {key}" for key in report.keys]
    if report.sealed_by:
        lines.append(f"sealed by    {report.sealed_by}")
    lines += [f"note: {note}" for note in report.notes]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
