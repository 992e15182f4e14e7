"""Whatever is edited in a bundle is found, and where: random edits, parts of other bundles, a seal taken away."""

from __future__ import annotations

import json
import os
import random
import zlib
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from octolog.app.audit.export import export_bundle
from octolog.verifier.archive import SEAL
from octolog.verifier.report import Report
from octolog.verifier.verify import verify_bundle
from octolog.verifier.zipped import Part, directory, local_header, read_local_header
from streams.notary.keys import KeyRing
from streams.topics import RESULTS
from tests.replay.notary import sign
from tests.replay.wandering import wander

EDITS = int(os.environ.get("OCTOLOG_TEST_EDITS", "200"))


@cache
def _bundles() -> tuple[bytes, bytes]:
    """A bundle, and one of another log."""
    with TemporaryDirectory(prefix="octolog-bundles-") as made:
        folder = Path(made)
        found = []
        for seed in (3, 8):
            world = wander(seed, actions=120)
            sign(world, folder / str(seed), every=40)
            export_bundle(world.source, folder / "b.zip", keys=KeyRing(folder / str(seed)))
            found.append((folder / "b.zip").read_bytes())
    return found[0], found[1]


def _parts(bundle: bytes) -> list[tuple[str, bytes]]:
    parts, at = [], 0
    while (head := read_local_header(bundle[at : at + 30], bundle[at + 30 : at + 4_000])) is not None:
        name, _, size, header_bytes = head
        start = at + header_bytes
        parts.append((name, bundle[start : start + size]))
        at = start + size
    return parts


def _packed(parts: list[tuple[str, bytes]]) -> bytes:
    """An archive whose own sums and directory are right again."""
    out, entries = b"", []
    for name, content in parts:
        crc = zlib.crc32(content)
        entries.append(Part(name, crc, len(content), len(out)))
        out += local_header(name, crc, len(content)) + content
    return out + directory(entries, len(out))


def _part_at(bundle: bytes, byte: int) -> str | None:
    """The part that has a byte of the file, or whose header has it; None for what is behind the parts."""
    at = 0
    while (head := read_local_header(bundle[at : at + 30], bundle[at + 30 : at + 4_000])) is not None:
        name, _, size, header_bytes = head
        at += header_bytes + size
        if byte < at:
            return name
    return None


def _names(byte: int, part: str | None) -> Callable[[Report], bool]:
    """Whether a report names a part, or a place in the file at or before a byte."""

    def located(report: Report) -> bool:
        return any(
            (part is not None and fault.part == part)
            or (not fault.part and fault.byte is not None and fault.byte <= byte)
            for fault in report.faults
        )

    return located


def _flip(bundle: bytes, _: bytes, chance: random.Random) -> tuple[bytes, Callable[[Report], bool]]:
    byte = chance.randrange(len(bundle))
    edited = bundle[:byte] + bytes([bundle[byte] ^ 1 << chance.randrange(8)]) + bundle[byte + 1 :]
    return edited, _names(byte, _part_at(bundle, byte))


def _cut(bundle: bytes, _: bytes, chance: random.Random) -> tuple[bytes, Callable[[Report], bool]]:
    size = chance.randrange(len(bundle))
    return bundle[:size], lambda report: any(fault.byte is not None for fault in report.faults)


def _insert(bundle: bytes, _: bytes, chance: random.Random) -> tuple[bytes, Callable[[Report], bool]]:
    byte = chance.randrange(len(bundle) + 1)
    extra = chance.randbytes(chance.choice((1, 7, 300)))
    return bundle[:byte] + extra + bundle[byte:], _names(byte, _part_at(bundle, byte))


def _drop_part(bundle: bytes, _: bytes, chance: random.Random) -> tuple[bytes, Callable[[Report], bool]]:
    parts = _parts(bundle)
    name, _content = parts.pop(chance.randrange(len(parts)))
    return _packed(parts), lambda report: any(
        name in (f.part, f.message.split()[-1]) or name in str(f) for f in report.faults
    )


def _swap_parts(bundle: bytes, _: bytes, chance: random.Random) -> tuple[bytes, Callable[[Report], bool]]:
    parts = _parts(bundle)
    one, two = chance.sample([i for i, (name, _) in enumerate(parts) if not name.startswith("manifest")], 2)
    (a, first), (b, second) = parts[one], parts[two]
    if chance.random() < 0.5 and first != second:  # contents, or places
        parts[one], parts[two] = (a, second), (b, first)
    else:
        parts[one], parts[two] = parts[two], parts[one]
    return _packed(parts), lambda report: any(f.part in (a, b) or f.byte is not None for f in report.faults)


def _splice(bundle: bytes, other: bytes, chance: random.Random) -> tuple[bytes, Callable[[Report], bool]]:
    parts, others = _parts(bundle), dict(_parts(other))
    names = [i for i, (name, content) in enumerate(parts) if others.get(name, content) != content]
    index = chance.choice(names)
    name = parts[index][0]
    parts[index] = name, others[name]
    named = (name, SEAL) if name == "manifest.json" else (name,)
    return _packed(parts), lambda report: any(f.part in named for f in report.faults)


def _record(bundle: bytes, _: bytes, chance: random.Random) -> tuple[bytes, Callable[[Report], bool]]:
    """A bit of a record's value, and the archive's own sums made right again: it must be found in that record."""
    parts = _parts(bundle)
    index = chance.choice([i for i, (name, _) in enumerate(parts) if name.startswith("records/")])
    name, content = parts[index]
    head = len(content) - len(content[content.rindex(content[-16:], 0, len(content) - 16) + 16 :])
    byte = chance.randrange(head + 4, len(content) - 16)
    edited = content[:byte] + bytes([content[byte] ^ 1 << chance.randrange(8)]) + content[byte + 1 :]
    parts[index] = name, edited
    topic = name.split("/")[1]
    return _packed(parts), lambda report: any(f.topic == topic for f in report.faults)


TAMPERINGS = (_flip, _cut, _insert, _drop_part, _swap_parts, _splice, _record)


def test_every_random_edit_of_a_bundle_is_found_and_located(tmp_path: Path) -> None:
    """Bit flips, cuts, insertions; parts dropped, swapped, spliced from another log's bundle; records edited."""
    bundle, other = _bundles()
    (tmp_path / "b.zip").write_bytes(bundle)
    assert verify_bundle(tmp_path / "b.zip").ok
    assert _packed(_parts(bundle)) == bundle
    chance = random.Random(EDITS)
    for number in range(EDITS):
        tampering = TAMPERINGS[number % len(TAMPERINGS)]
        edited, located = tampering(bundle, other, chance)
        if edited == bundle:
            continue
        (tmp_path / "b.zip").write_bytes(edited)
        report = verify_bundle(tmp_path / "b.zip")
        assert not report.ok, (number, tampering.__name__)
        assert located(report), (number, tampering.__name__, [str(f) for f in report.faults])


def test_a_seal_taken_away_is_missed(tmp_path: Path) -> None:
    parts = [part for part in _parts(_bundles()[0]) if part[0] != SEAL]
    (tmp_path / "b.zip").write_bytes(_packed(parts))
    faults = verify_bundle(tmp_path / "b.zip").faults
    assert [fault.part for fault in faults] == [SEAL]


def test_a_record_edited_with_all_sums_made_right_is_found_by_the_seal(tmp_path: Path) -> None:
    """Results are in no hash chain of their own: that they are the ones exported, the seal says."""
    parts = dict(_parts(_bundles()[0]))
    name = next(n for n in parts if n.startswith(f"log/{RESULTS}/"))
    parts[name] = parts[name] + b""
    manifest = json.loads(parts["manifest.json"])
    manifest["octolog"] = "0.0.0"
    for part in manifest["parts"]:
        part["sha256"] = sha256(parts[part["name"]]).hexdigest()
    parts["manifest.json"] = (json.dumps(manifest, sort_keys=True, indent=1) + "\n").encode()
    (tmp_path / "b.zip").write_bytes(_packed(list(parts.items())))
    report = verify_bundle(tmp_path / "b.zip")
    assert [fault.part for fault in report.faults] == [SEAL]
    assert "did not sign this manifest.json" in report.faults[0].message


def test_a_large_part_is_written_as_zip64_has_it() -> None:
    head = local_header("x", 7, 5 << 32)
    assert read_local_header(head[:30], head[30:]) == ("x", 7, 5 << 32, len(head))
    listed = directory([Part("x", 7, 5 << 32, 0)], (5 << 32) + len(head))
    assert b"PK\x06\x06" in listed
    assert b"PK\x06\x07" in listed
