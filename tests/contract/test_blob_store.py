"""One suite for every place of blobs: a folder, and a bucket on an S3-compatible server."""

from __future__ import annotations

import os
import random
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import boto3
import pytest

from blobs import Blobs, Shelf, Stored, open_shelf
from blobs.bucket import BucketShelf
from blobs.folder import FolderShelf
from octolog.domain.errors import (
    BlobChanged,
    BlobMissing,
    BlobTooLarge,
    OctologError,
    Refused,
    SettingsError,
    StoreUnavailable,
)
from octolog.domain.values import BlobRef
from tests.s3_server import CREDENTIALS, s3_server

MIB = 1 << 20
PART_BYTES = 5 * MIB  # the least that servers take
LARGE = random.Random(7).randbytes(2 * PART_BYTES + 123_457)
FAR_AHEAD_MS = int((time.time() + 86_400) * 1000)


@dataclass(frozen=True)
class Place:
    """A shelf under test, and a way to change its bytes behind its back."""

    shelf: Shelf
    blobs: Blobs
    overwrite: Callable[[str, bytes], None]


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patched:
        for name, value in CREDENTIALS.items():
            patched.setenv(name, value)
        with s3_server() as url:
            yield url


def _folder(root: Path) -> Place:
    def overwrite(name: str, data: bytes) -> None:
        (root / name[:2] / name).write_bytes(data)

    shelf = FolderShelf(root)
    return Place(shelf, Blobs(shelf, 64 * MIB), overwrite)


def _bucket(url: str, name: str) -> Place:
    client = boto3.client("s3", endpoint_url=url)
    client.create_bucket(Bucket=name)

    def overwrite(blob: str, data: bytes) -> None:
        client.put_object(Bucket=name, Key=f"some/blobs/{blob[:2]}/{blob}", Body=data)

    shelf = BucketShelf(name, "some/blobs", endpoint=url, part_bytes=PART_BYTES)
    return Place(shelf, Blobs(shelf, 64 * MIB), overwrite)


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "folder":
        return _folder(tmp_path / "blobs")
    return _bucket(request.getfixturevalue("s3_url"), f"b{random.SystemRandom().randrange(1 << 60):x}")


class Broken(BytesIO):
    """A source that ends in an error after some bytes, as a dying process would."""

    def __init__(self, data: bytes, after: int) -> None:
        super().__init__(data)
        self.after = after

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() >= self.after:
            raise KeyboardInterrupt
        return super().read(size)


def digest(data: bytes) -> str:
    return sha256(data).hexdigest()


@pytest.mark.parametrize("data", [b"", b"x", b"y" * MIB, LARGE], ids=["nothing", "a byte", "1 MiB", "parts"])
def test_a_value_comes_back_equal(place: Place, data: bytes) -> None:
    ref = place.blobs.put(data, "text/plain")
    assert ref == BlobRef(digest(data), len(data), "text/plain")
    assert place.blobs.read(ref) == data
    place.blobs.check(ref)


def test_the_same_value_twice_is_kept_once(place: Place) -> None:
    for data in (b"small", LARGE):
        assert place.blobs.put(data) == place.blobs.put(data)
    assert {found.name for found in place.shelf.stored()} == {digest(b"small"), digest(LARGE)}
    assert len(list(place.shelf.stored())) == 2
    assert not list(place.shelf.unfinished())


def test_an_unknown_blob_is_named_in_one_line(place: Place) -> None:
    place.blobs.put(b"another")
    with pytest.raises(BlobMissing) as told:
        place.blobs.read(BlobRef(digest(b"never kept"), 10, "text/plain"))
    assert str(told.value) == f"blob {digest(b'never kept')} is not in {place.shelf.url}"


@pytest.mark.parametrize("name", ["../../etc/passwd", "A" * 64, "0" * 63, "", "/" * 64])
def test_a_reference_that_is_no_digest_opens_nothing(place: Place, name: str) -> None:
    with pytest.raises(BlobMissing, match="is no SHA-256"):
        place.blobs.read(BlobRef(name, 10, "text/plain"))


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        (lambda data: data[:1000] + bytes([data[1000] ^ 1]) + data[1001:], "its bytes have SHA-256"),
        (lambda data: data[:-1], "the record says"),
        (lambda data: data + b"!", "has more than"),
        (lambda data: b"", "has 0 bytes"),
    ],
    ids=["a flipped bit", "a byte less", "a byte more", "empty"],
)
def test_a_changed_blob_is_found_and_named(place: Place, changed: Callable[[bytes], bytes], why: str) -> None:
    data = b"0123456789" * 1000
    ref = place.blobs.put(data)
    place.overwrite(ref.sha256, changed(data))
    for read in (place.blobs.read, place.blobs.check):
        with pytest.raises(BlobChanged, match=why) as told:
            read(ref)
        assert str(told.value).startswith(f"blob {ref.sha256} in {place.shelf.url} is not what was stored")


def test_keeping_the_value_again_heals_a_changed_blob(place: Place) -> None:
    ref = place.blobs.put(b"0123456789")
    place.overwrite(ref.sha256, b"0123456780")
    place.blobs.put(b"0123456789")
    assert place.blobs.read(ref) == b"0123456789"


def test_a_file_is_written_only_when_the_blob_is_right(place: Place, tmp_path: Path) -> None:
    ref, out = place.blobs.put(b"0123456789"), tmp_path / "out.json"
    place.blobs.save(ref, out)
    assert out.read_bytes() == b"0123456789"
    place.overwrite(ref.sha256, b"012345678x")
    with pytest.raises(BlobChanged):
        place.blobs.save(ref, tmp_path / "other.json")
    assert {path.name for path in tmp_path.iterdir()} <= {"out.json", "blobs"}


def test_a_broken_upload_is_no_blob_and_the_next_try_goes_on_with_it(place: Place) -> None:
    name = digest(LARGE)
    with pytest.raises(KeyboardInterrupt):
        place.shelf.write(name, len(LARGE), Broken(LARGE, PART_BYTES + 1))
    left = list(place.shelf.unfinished())
    assert [found.name for found in left] == [name]
    assert left[0].size_bytes >= PART_BYTES
    assert not list(place.shelf.stored())
    assert place.blobs.read(place.blobs.put(LARGE)) == LARGE
    assert not list(place.shelf.unfinished())


def test_what_an_upload_left_that_is_not_this_value_is_written_again(place: Place) -> None:
    spoilt = bytes(PART_BYTES) + LARGE[PART_BYTES:]
    with pytest.raises(KeyboardInterrupt):
        place.shelf.write(digest(LARGE), len(LARGE), Broken(spoilt, 2 * PART_BYTES))
    assert place.blobs.read(place.blobs.put(LARGE)) == LARGE


@pytest.mark.parametrize("data", [b"small", LARGE], ids=["small", "parts"])
def test_bytes_that_are_not_those_of_the_name_are_not_kept(place: Place, data: bytes) -> None:
    with pytest.raises(Refused, match="changed while it was stored"):
        place.shelf.write(digest(b"other"), len(data), BytesIO(data))
    assert not list(place.shelf.stored())


def test_many_who_keep_the_same_value_at_once_agree(place: Place) -> None:
    failures: list[BaseException] = []

    def keep() -> None:
        for left in (
            2,
            1,
            0,
        ):  # a server may lose track of an upload that others end; then it is worth a repeat
            try:
                place.blobs.put(LARGE)
                return
            except StoreUnavailable as error:
                if not left:
                    failures.append(error)
            except BaseException as error:  # noqa: BLE001 -- told below
                failures.append(error)
                return

    threads = [threading.Thread(target=keep) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert [found.name for found in place.shelf.stored()] == [digest(LARGE)]
    assert place.blobs.read(BlobRef(digest(LARGE), len(LARGE), "x")) == LARGE


def test_a_blob_is_deleted_only_when_nobody_wrote_it_since(place: Place) -> None:
    ref = place.blobs.put(b"garbage?")
    found = next(iter(place.shelf.stored()))
    assert (found.name, found.size_bytes) == (ref.sha256, 8)
    assert abs(found.written_ms - time.time() * 1000) < 600_000
    assert not place.shelf.remove(found, found.written_ms)
    assert place.blobs.read(ref) == b"garbage?"
    assert place.shelf.remove(found, FAR_AHEAD_MS)
    assert not place.shelf.remove(found, FAR_AHEAD_MS)
    assert not list(place.shelf.stored())


def test_an_upload_that_nobody_finishes_can_be_deleted(place: Place) -> None:
    with pytest.raises(KeyboardInterrupt):
        place.shelf.write(digest(LARGE), len(LARGE), Broken(LARGE, PART_BYTES + 1))
    left = next(iter(place.shelf.unfinished()))
    assert not place.shelf.remove(left, left.written_ms)
    assert place.shelf.remove(left, FAR_AHEAD_MS)
    assert not list(place.shelf.unfinished())


def test_a_value_that_is_too_large_is_refused_with_the_bound(place: Place, tmp_path: Path) -> None:
    small = Blobs(place.shelf, 1000)
    (tmp_path / "big").write_bytes(bytes(1001))
    ref = place.blobs.put(bytes(1001))
    for call in (
        lambda: small.put(bytes(1001)),
        lambda: small.put_file(tmp_path / "big", "x"),
        lambda: small.read(ref),
    ):
        with pytest.raises(BlobTooLarge, match=r"1001 bytes or more; at most 1000 .*OCTOLOG_BLOB_MAX_BYTES"):
            call()
    assert small.read(small.put(bytes(1000))) == bytes(1000)


def test_a_large_file_goes_through_in_bounded_memory(place: Place, tmp_path: Path) -> None:
    size = 40 * MIB
    with (tmp_path / "big").open("wb") as file:
        for n in range(40):
            file.write(bytes([n]) * MIB)
    place.blobs.put(b"warm")  # clients load much at their first use
    tracemalloc.start()
    try:
        ref = place.blobs.put_file(tmp_path / "big", "application/octet-stream")
        place.blobs.save(ref, tmp_path / "copy")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert ref.size_bytes == size
    assert (tmp_path / "copy").stat().st_size == size
    assert peak < 5 * PART_BYTES


def test_a_place_says_that_it_can_be_read_and_written(place: Place) -> None:
    assert place.shelf.url in place.shelf.probe()
    assert not list(place.shelf.stored())


# ------------------------------------------------------------------------------------- one place alone


def test_parts_that_are_there_are_not_sent_again(s3_url: str) -> None:
    place = _bucket(s3_url, "resumed")
    with pytest.raises(KeyboardInterrupt):
        place.shelf.write(digest(LARGE), len(LARGE), Broken(LARGE, 2 * PART_BYTES))
    again = BucketShelf("resumed", "some/blobs", endpoint=s3_url, part_bytes=PART_BYTES)
    sent: list[Any] = []
    again._client.meta.events.register(
        "before-call.s3.UploadPart", lambda **call: sent.append(call["params"])
    )
    again.write(digest(LARGE), len(LARGE), BytesIO(LARGE))
    assert len(sent) == 1  # two of three were there


def test_a_connection_that_breaks_within_a_blob_is_taken_up(
    s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from botocore.exceptions import ResponseStreamingError

    place = _bucket(s3_url, "interrupted")
    ref = place.blobs.put(LARGE)
    asked: list[str] = []
    real = BucketShelf._ask

    def flaky(self: BucketShelf, operation: str, **arguments: Any) -> Any:
        answer = real(self, operation, **arguments)
        asked.append(arguments.get("Range", "from the start"))
        if operation == "get_object" and len(asked) < 3:
            whole = answer["Body"].iter_chunks

            def cut(size: int) -> Iterator[bytes]:
                yield next(iter(whole(size)))
                raise ResponseStreamingError(error="reset by peer")

            monkeypatch.setattr(answer["Body"], "iter_chunks", cut)
        return answer

    monkeypatch.setattr(BucketShelf, "_ask", flaky)
    assert place.blobs.read(ref) == LARGE
    assert asked == ["from the start", f"bytes={MIB}-", f"bytes={2 * MIB}-"]


def test_a_bucket_that_is_not_there_is_a_setting_to_mend(s3_url: str) -> None:
    shelf = open_shelf(f"s3://nowhere-at-all/x?endpoint={s3_url}")
    with pytest.raises(SettingsError, match="NoSuchBucket"):
        Blobs(shelf).put(b"x")


def test_a_folder_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreUnavailable, match="Not a directory"):
        Blobs(FolderShelf(tmp_path / "file")).put(b"x")


def test_a_value_kept_again_gets_a_new_time_and_is_not_collected(tmp_path: Path) -> None:
    place = _folder(tmp_path)
    ref = place.blobs.put(b"old")
    os.utime(tmp_path / ref.sha256[:2] / ref.sha256, (1, 1))
    old = next(iter(place.shelf.stored()))
    assert old.written_ms == 1000
    place.blobs.put(b"old")
    assert not place.shelf.remove(old, int(time.time() * 1000) - 600_000)
    assert place.blobs.read(ref) == b"old"


def test_a_part_that_somebody_writes_is_neither_shared_nor_deleted(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    shelf = FolderShelf(tmp_path)
    with shelf._part(digest(LARGE)) as part:
        part.write(b"half")
        part.flush()
        assert not list(shelf.unfinished())
        held = Stored(digest(LARGE), 4, 0, Path(part.name).name)
        assert not shelf.remove(held, FAR_AHEAD_MS)
        shelf.write(digest(LARGE), len(LARGE), BytesIO(LARGE))
    assert b"".join(shelf.chunks(digest(LARGE))) == LARGE


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://host/x", "is no place for blobs"),
        ("s3:///x", "is no place for blobs"),
        ("s3://key:secret@bucket", "credentials do not belong in a URL"),
        ("s3://bucket?endpont=x", "no option 'endpont'"),
        ("file://host/x", "is no place for blobs"),
    ],
)
def test_a_url_that_names_no_place_says_what_does(url: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told) as error:
        open_shelf(url)
    assert "secret" not in str(error.value)


def test_a_path_and_a_file_url_name_the_same_folder(tmp_path: Path) -> None:
    ref = Blobs(open_shelf(str(tmp_path / "a b"))).put(b"x")
    assert Blobs(open_shelf((tmp_path / "a b").as_uri())).read(ref) == b"x"


def test_every_error_of_a_store_is_one_line() -> None:
    blobs = Blobs(FolderShelf(Path("/nowhere/at/all")))
    with pytest.raises(OctologError) as told:
        blobs.read(replace(BlobRef("0" * 64, 1, "x"), size_bytes=1))
    assert "\n" not in str(told.value)
