"""Blobs in an S3-compatible bucket: `<prefix>/<ab>/<sha256>`, as in a folder, so that one can be copied to the other.

Large blobs go up in parts. The server keeps the parts of an upload that was broken off; the next try, by whomever,
finds them by the blob's name and sends only those that are missing. Two that send the same blob at once may share an
upload: their parts are the same bytes.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from functools import cached_property, wraps
from hashlib import md5, sha256
from typing import Any, BinaryIO, Final, ParamSpec, TypeVar

from boto3.session import Session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    NoRegionError,
)

from blobs.shelf import CHUNK_BYTES, Stored
from octolog.domain.errors import BlobMissing, OctologError, Refused, SettingsError, StoreUnavailable

__all__ = ["BucketShelf"]

PART_BYTES: Final = 8 * 1024 * 1024
"""A part of a larger blob; also the longest blob that goes up in one request. A bucket takes 10,000 parts."""

_FRESH_MS: Final = 3_600_000
"""A blob written within this time need not get a new time: the collector's grace is longer."""

_READ_TRIES: Final = 4
_NAME_CHARS: Final = 64
_GONE: Final = frozenset({"404", "NoSuchKey", "NotFound", "NoSuchUpload"})
_NOT_ALLOWED: Final = frozenset(
    {"403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "NoSuchBucket"}
)
_P = ParamSpec("_P")
_R = TypeVar("_R")


class BucketShelf:
    """Keeps blobs in a bucket (`blobs.shelf.Shelf`).

    Args:
        bucket: Its name; it must exist.
        prefix: Of every key; may be empty.
        endpoint: URL of a server other than Amazon's; None: as the S3 client's own settings say.
        region: Its region; None: likewise.
        part_bytes: Size of a part, bytes; at least 5 MiB on most servers.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        endpoint: str | None = None,
        region: str | None = None,
        part_bytes: int = PART_BYTES,
    ) -> None:
        self._bucket, self._prefix = bucket, f"{prefix}/" if prefix else ""
        self._endpoint, self._region, self._part_bytes = endpoint, region, part_bytes
        self.url = f"s3://{bucket}/{prefix}".rstrip("/")

    def write(self, name: str, size_bytes: int, source: BinaryIO) -> None:
        """Keep the bytes; see `Shelf.write`."""
        if self._is_there(name, size_bytes, source):
            return
        if size_bytes > self._part_bytes:
            self._write_parts(name, size_bytes, source)
            return
        data = source.read()
        if sha256(data).hexdigest() != name:
            raise _other_value()
        self._ask("put_object", Key=self._key(name), Body=data, ContentMD5=_md5_header(data))

    def chunks(self, name: str) -> Iterator[bytes]:
        """The bytes; see `Shelf.chunks`. A connection that breaks is taken up where it broke."""
        done, failures = 0, 0
        while True:
            more = {"Range": f"bytes={done}-"} if done else {}
            try:
                body = self._ask("get_object", Key=self._key(name), **more)["Body"]
                for chunk in body.iter_chunks(CHUNK_BYTES):
                    done += len(chunk)
                    yield chunk
                return
            except BlobMissing:
                raise BlobMissing(f"blob {name} is not in {self.url}") from None
            except BotoCoreError as error:  # within the body
                failures += 1
                if failures == _READ_TRIES:
                    raise StoreUnavailable(f"blob store {self.url}: {error}") from error

    def stored(self) -> Iterator[Stored]:
        """Every blob."""
        for page in self._pages("list_objects_v2", Prefix=self._prefix):
            for item in page.get("Contents", ()):
                name = self._name(item["Key"])
                if name is not None:
                    yield Stored(name, item["Size"], _ms(item["LastModified"]))

    def unfinished(self) -> Iterator[Stored]:
        """Every upload in parts that was not finished."""
        for page in self._pages("list_multipart_uploads", Prefix=self._prefix):
            for item in page.get("Uploads", ()):
                name = self._name(item["Key"])
                if name is not None:
                    size = sum(part["Size"] for part in self._parts(name, item["UploadId"]).values())
                    yield Stored(name, size, _ms(item["Initiated"]), item["UploadId"])

    def remove(self, found: Stored, before_ms: int) -> bool:
        """Delete a blob or an unfinished upload; see `Shelf.remove`."""
        try:
            if found.handle:
                if found.written_ms >= before_ms:
                    return False
                self._ask("abort_multipart_upload", Key=self._key(found.name), UploadId=found.handle)
                return True
            if _ms(self._ask("head_object", Key=self._key(found.name))["LastModified"]) >= before_ms:
                return False
            self._ask("delete_object", Key=self._key(found.name))
        except BlobMissing:
            return False
        return True

    def probe(self) -> str:
        """Write an object and take it out again."""
        key = f"{self._prefix}parts/probe"
        self._ask("put_object", Key=key, Body=b"")
        self._ask("delete_object", Key=key)
        return f"bucket {self.url}" + (f" at {self._endpoint}" if self._endpoint else "")

    def _is_there(self, name: str, size_bytes: int, source: BinaryIO) -> bool:
        """Whether the blob is there, whole as far as the server's own sum tells, and not due for collection."""
        try:
            head = self._ask("head_object", Key=self._key(name))
        except BlobMissing:
            return False
        if (
            head["ContentLength"] != size_bytes
            or time.time_ns() // 1_000_000 - _ms(head["LastModified"]) > _FRESH_MS
        ):
            return False
        expected = self._expected_tag(source)
        source.seek(0)
        return bool(head["ETag"] == expected)

    def _expected_tag(self, source: BinaryIO) -> str:
        """The sum a server has of these bytes: their MD5, or the MD5 of the parts' MD5s, as it went up."""
        sums = [md5(part, usedforsecurity=False) for part in _pieces(source, self._part_bytes)] or [
            md5(usedforsecurity=False)
        ]
        if len(sums) == 1:
            return f'"{sums[0].hexdigest()}"'
        whole = md5(b"".join(each.digest() for each in sums), usedforsecurity=False)
        return f'"{whole.hexdigest()}-{len(sums)}"'

    def _write_parts(self, name: str, size_bytes: int, source: BinaryIO) -> None:
        key = {"Key": self._key(name)}
        try:
            upload = self._begun(name) or self._ask("create_multipart_upload", **key)["UploadId"]
            parts = self._send(name, upload, source)
            self._ask("complete_multipart_upload", **key, UploadId=upload, MultipartUpload={"Parts": parts})
        except (BlobMissing, StoreUnavailable) as error:
            # No such upload, in the words of this server: whoever shared it was done first, or it was collected.
            source.seek(0)
            if not self._is_there(name, size_bytes, source):
                why = f"the upload of {name} was broken off ({error}); try again"
                raise StoreUnavailable(f"blob store {self.url}: {why}") from error

    def _send(self, name: str, upload: str, source: BinaryIO) -> list[dict[str, Any]]:
        """Send the parts that are not there; all of them, as the server wants them named at the end."""
        known, parts, digest = self._parts(name, upload), list[dict[str, Any]](), sha256()
        for number, data in enumerate(_pieces(source, self._part_bytes), 1):
            digest.update(data)
            tag = f'"{md5(data, usedforsecurity=False).hexdigest()}"'
            if known.get(number, {}).get("ETag") != tag:
                there = {"Key": self._key(name), "UploadId": upload, "PartNumber": number}
                tag = self._ask("upload_part", **there, Body=data, ContentMD5=_md5_header(data))["ETag"]
            parts.append({"PartNumber": number, "ETag": tag})
        if digest.hexdigest() != name:
            self._ask("abort_multipart_upload", Key=self._key(name), UploadId=upload)
            raise _other_value()
        return parts

    def _begun(self, name: str) -> str | None:
        """The newest upload of this blob that was not finished."""
        found = [
            (_ms(item["Initiated"]), str(item["UploadId"]))
            for page in self._pages("list_multipart_uploads", Prefix=self._key(name))
            for item in page.get("Uploads", ())
            if item["Key"] == self._key(name)
        ]
        return max(found)[1] if found else None

    def _parts(self, name: str, upload: str) -> dict[int, dict[str, Any]]:
        pages = self._pages("list_parts", Key=self._key(name), UploadId=upload)
        return {part["PartNumber"]: part for page in pages for part in page.get("Parts", ())}

    def _key(self, name: str) -> str:
        return f"{self._prefix}{name[:2]}/{name}"

    def _name(self, key: str) -> str | None:
        """The blob that a key is of; None for what is not ours."""
        name = key.rpartition("/")[2]
        return name if len(name) == _NAME_CHARS and key == self._key(name) else None

    def _ask(self, operation: str, **arguments: Any) -> Any:
        return _told(self, getattr(self._client, operation))(Bucket=self._bucket, **arguments)

    def _pages(self, operation: str, **arguments: Any) -> Iterator[Any]:
        pages = iter(self._client.get_paginator(operation).paginate(Bucket=self._bucket, **arguments))
        following = _told(self, lambda: next(pages, None))
        while (page := following()) is not None:
            yield page

    @cached_property
    def _client(self) -> Any:
        config = Config(
            connect_timeout=10,
            read_timeout=60,
            retries={"mode": "standard", "max_attempts": 4},
            # Sums that not every S3-compatible server knows; ours are Content-MD5, and SHA-256 at every read.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path"} if self._endpoint else None,
        )
        session = Session()
        try:
            return session.client("s3", endpoint_url=self._endpoint, region_name=self._region, config=config)
        except (BotoCoreError, ValueError) as error:
            raise SettingsError(f"blob store {self.url}: {error}") from None


def _told(shelf: BucketShelf, call: Callable[_P, _R]) -> Callable[_P, _R]:
    """The client's errors as ours."""

    @wraps(call)
    def guarded(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return call(*args, **kwargs)
        except (NoCredentialsError, NoRegionError) as error:
            raise SettingsError(
                f"blob store {shelf.url}: {error}; set AWS_ACCESS_KEY_ID and the like"
            ) from None
        except ClientError as error:
            raise _refusal(shelf.url, error) from error
        except BotoCoreError as error:
            raise StoreUnavailable(f"blob store {shelf.url}: {error}") from error

    return guarded


def _refusal(url: str, error: ClientError) -> OctologError:
    said = error.response.get("Error", {})
    code = str(said.get("Code", ""))
    if code in _GONE:
        return BlobMissing(f"{url}: {code}")
    told = f"blob store {url}: {code}: {said.get('Message', '')}"
    return SettingsError(told) if code in _NOT_ALLOWED else StoreUnavailable(told)


def _other_value() -> Refused:
    return Refused("the value changed while it was stored; try again")


def _pieces(source: BinaryIO, size_bytes: int) -> Iterator[bytes]:
    while data := source.read(size_bytes):
        yield data


def _md5_header(data: bytes) -> str:
    return base64.b64encode(md5(data, usedforsecurity=False).digest()).decode()


def _ms(at: Any) -> int:
    return int(at.timestamp() * 1000)
