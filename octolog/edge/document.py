"""JSON as the edge accepts it: bounded, without doubled keys, NaN, Infinity or broken Unicode."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, BinaryIO, Final, NoReturn, cast

from octolog.domain.errors import InvalidContract
from octolog.safety import redact

MAX_DOCUMENT_BYTES: Final = 1024 * 1024
"""Longest document that is parsed at all. Source: seed A's largest input, 1 MB."""

MAX_DEPTH: Final = 100
"""Deepest nesting; every later reader of the log has to get over it too."""

_SHOWN_CHARS: Final = 60
_JUDGED_CHARS: Final = 2_000
"""A value is judged before it is cut: half a number is no number."""


def read_bounded(source: BinaryIO, what: str, max_bytes: int = MAX_DOCUMENT_BYTES) -> bytes:
    """All of a stream, unless it is longer than `max_bytes`: then no more of it is read.

    Raises:
        InvalidContract: TOO_LARGE.
    """
    data = source.read(max_bytes + 1)
    check_size(len(data), what, max_bytes, more=True)
    return data


def parse_object(
    document: bytes | str | Mapping[str, object], what: str, max_bytes: int = MAX_DOCUMENT_BYTES
) -> dict[str, Any]:
    """One JSON object; a mapping is treated as the JSON it stands for.

    Args:
        document: JSON text, or a mapping of JSON values.
        what: How messages call it, e.g. `contract`.
        max_bytes: Longest document.

    Raises:
        InvalidContract: MALFORMED_JSON, DUPLICATE_KEY, TOO_LARGE, or VALIDATION for a value that is no JSON.
    """
    if isinstance(document, Mapping):
        for value in document.values():  # before it is copied: no value makes a document shorter
            check_size(len(value) if isinstance(value, str) else 0, what, max_bytes, more=True)
    elif isinstance(document, str):
        check_size(len(document), what, max_bytes, more=True)
    text = document if isinstance(document, bytes | str) else _dump(document, what)
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    check_size(len(data), what, max_bytes)
    try:
        value = json.loads(data.decode("utf-8-sig", "surrogatepass"), object_pairs_hook=_unique)
    except UnicodeDecodeError as error:
        _malformed(what, f"is no UTF-8 text (byte {error.start})")
    except RecursionError:
        _malformed(what, f"nests deeper than {MAX_DEPTH}")
    except json.JSONDecodeError as error:
        _malformed(what, f"is no JSON: {error}")
    except ValueError:  # Python's own limit on the digits of an integer
        _malformed(what, "holds a number with more than 4300 digits")
    if not isinstance(value, dict):
        _malformed(what, f"must be a JSON object, not {kind_of(value)}")
    found = cast("dict[str, Any]", value)
    _check_values(found, "", 1)
    return found


def canonical_json(value: object) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text.

    Raises:
        ValueError: For NaN and Infinity.
        TypeError: For what is no JSON.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def shown(value: object) -> str:
    """A value for a message: on one line, cut when it is long, without what messages must not spread."""
    text = redact(json.dumps(value, ensure_ascii=False, default=repr)[:_JUDGED_CHARS]).text
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."


def kind_of(value: object) -> str:
    """What JSON calls a value's type, with its article."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"


def check_size(size: int, what: str, max_bytes: int = MAX_DOCUMENT_BYTES, *, more: bool = False) -> None:
    """Raise InvalidContract (TOO_LARGE) for a document longer than `max_bytes`."""
    if size > max_bytes:
        has = f"more than {max_bytes}" if more else str(size)
        raise InvalidContract(
            "TOO_LARGE",
            what,
            f"{has} bytes; at most {max_bytes}: put large values in files and name them",
        )


def _dump(document: Mapping[str, object], what: str) -> str:
    try:
        return json.dumps(dict(document), ensure_ascii=False, default=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        _malformed(what, f"is no JSON: {error}")


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, Mapping):
        return dict(cast("Mapping[str, object]", value))
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise InvalidContract("DUPLICATE_KEY", shown(name)[1:-1], "stands twice in one object")
            seen.add(name)
    return found


def _check_values(value: object, path: str, depth: int) -> None:
    """Refuse what `json.loads` lets through and JSON, or UTF-8, does not."""
    if depth > MAX_DEPTH:
        raise InvalidContract("VALIDATION", path.split(".", 1)[0], f"nests deeper than {MAX_DEPTH}")
    match value:
        case float() if not math.isfinite(value):
            name = "NaN" if math.isnan(value) else "Infinity"
            raise InvalidContract("VALIDATION", path, f"{name} is no JSON number")
        case str():
            _check_text(value, path)
        case list():
            for index, item in enumerate(cast("list[object]", value)):
                _check_values(item, f"{path}[{index}]", depth + 1)
        case dict():
            for name, item in cast("dict[str, object]", value).items():
                _check_text(name, path or "name")
                _check_values(item, f"{path}.{name}" if path else name, depth + 1)
        case _:
            pass


def _check_text(text: str, path: str) -> None:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InvalidContract(
                "VALIDATION", path, f"character {error.start} is half of a surrogate pair, which is no text"
            ) from None


def _malformed(what: str, message: str) -> NoReturn:
    raise InvalidContract("MALFORMED_JSON", what, message) from None
