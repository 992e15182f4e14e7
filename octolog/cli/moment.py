"""A point in the log, as people write it: an offset, or a time."""

from __future__ import annotations

from datetime import UTC, datetime

from octolog.domain.errors import Refused


def parse_moment(text: str | None) -> int | datetime | None:
    """An offset (digits), or a time in ISO 8601; a time without zone is in UTC.

    Raises:
        Refused: For anything else.
    """
    if text is None:
        return None
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(f"{text[:60]!r} is neither an offset nor a time such as 2026-01-31T12:00:00Z") from None
    return when if when.tzinfo is not None else when.replace(tzinfo=UTC)
