"""Large values: content-addressed, checked at every read, kept in a folder or an S3-compatible bucket.

A record carries `BlobRef` (SHA-256, size, media type); the bytes lie here. The blob is written first and the record
after, so that the log never refers to what is not there.

| module | does |
|---|---|
| `store` | `Blobs`: names values by their SHA-256, bounds and checks them; what the rest of octolog sees |
| `shelf` | what a place for blobs can do |
| `folder` | a folder: part files, fsync, atomic rename |
| `bucket` | an S3-compatible bucket: multipart uploads that are taken up again (the only home of boto3) |
| `places` | from a URL to the place |
"""

from blobs.places import open_shelf
from blobs.shelf import Shelf, Stored
from blobs.store import DEFAULT_MAX_BYTES, Blobs

__all__ = ["DEFAULT_MAX_BYTES", "Blobs", "Shelf", "Stored", "open_shelf"]
