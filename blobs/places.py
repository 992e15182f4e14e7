"""From the setting `OCTOLOG_BLOB_URL` to the place it names."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from blobs.folder import FolderShelf
from blobs.shelf import Shelf
from octolog.domain.errors import SettingsError

__all__ = ["open_shelf"]

_OPTIONS: Final = frozenset({"endpoint", "region"})
_FORMS: Final = "a folder, file:///folder, or s3://bucket/prefix[?endpoint=URL&region=NAME]"


def open_shelf(url: str) -> Shelf:
    """The place at a URL; nothing is asked of it yet.

    Args:
        url: A folder's path, `file:///folder`, or `s3://bucket/prefix`, with `?endpoint=URL` for a server other than
            Amazon's and `&region=NAME`. Credentials come as every S3 client takes them (`AWS_ACCESS_KEY_ID`, profiles,
            roles), never in the URL.

    Raises:
        SettingsError: There is no such kind of place, or its library is not installed.
    """
    if "://" not in url:
        return FolderShelf(Path(url).expanduser().absolute())
    parts = urlsplit(url)
    if parts.username or parts.password:
        raise SettingsError(
            "OCTOLOG_BLOB_URL: credentials do not belong in a URL; set AWS_ACCESS_KEY_ID and the like"
        )
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and not parts.query:
        return FolderShelf(Path(unquote(parts.path)))
    if parts.scheme == "s3" and parts.netloc:
        options = dict(parse_qsl(parts.query))
        unknown = sorted(options.keys() - _OPTIONS)
        if unknown:
            raise SettingsError(f"OCTOLOG_BLOB_URL: no option {unknown[0]!r}; there are endpoint and region")
        return _bucket(parts.netloc, parts.path.strip("/"), options)
    raise SettingsError(f"OCTOLOG_BLOB_URL: {url[:80]!r} is no place for blobs; use {_FORMS}")


def _bucket(bucket: str, prefix: str, options: dict[str, str]) -> Shelf:
    try:
        from blobs.bucket import BucketShelf
    except ImportError:
        raise SettingsError(
            "a blob store in a bucket needs the S3 client: pip install 'octolog[s3]'"
        ) from None
    return BucketShelf(bucket, prefix, endpoint=options.get("endpoint"), region=options.get("region"))
