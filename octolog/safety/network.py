"""Addresses of machines: IPv4, IPv6 and MAC; and what only looks like one: versions, sections, times."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Final

from octolog.safety.kinds import Found, Kind

__all__ = ["find_addresses"]

_IPV4: Final = re.compile(r"\d(?<![A-Za-z0-9_.]\d)\d{0,2}(?:\.\d{1,3}){3}(?![A-Za-z0-9_]|\.\d|-[A-Za-z])")
_VERSION_BEFORE: Final = re.compile(
    r"(?:(?:version|release|upgraded?|updated?|build|firmware|driver|sdk|package|section|chapter|clause|§|rev|revision|patch"
    r"|tag|bump(?:ed)?|oid|paragraph|api|schema)s?\b[^\n.;]{0,30}|(?<![A-Za-z])v(?:er)?\.? ?|[=~^><!]=? ?|[A-Za-z]/|[A-Za-z0-9]-)$",
    re.IGNORECASE,
)
_ADDRESS_WORDS: Final = re.compile(
    r"\b(?:ip|ips|ipv4|host|address|server|client|gateway|dns|ssh|ping|peer|subnet)\b", re.IGNORECASE
)
_VERSION_REACH: Final = 48
_JUDGED: Final = 2_000
"""Of so many in one text it is asked whether they are versions; more of them are addresses of a log."""
_COLONS: Final = re.compile(r":[0-9A-Fa-f]{0,4}:")
_IN_ADDRESS: Final = frozenset("0123456789abcdefABCDEF:")
_MAX_IPV6_CHARS: Final = 39
_MAC: Final = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}")
_MAC_DASHED: Final = re.compile(r"(?<![A-Za-z0-9-])[0-9A-Fa-f]{2}(?:-[0-9A-Fa-f]{2}){5}(?![A-Za-z0-9-])")


def find_addresses(text: str) -> Iterator[Found]:
    """Addresses that can name somebody's machine; loopback and unspecified ones name nobody's."""
    for number, match in enumerate(_IPV4.finditer(text)):
        if _is_ipv4(match.group()) and (number >= _JUDGED or not _is_version(text, match.start())):
            yield Found(Kind.IPV4, *match.span())
    if ":" in text:
        yield from _with_colons(text)
    if "-" in text:
        for match in _MAC_DASHED.finditer(text):
            if re.search("[A-Fa-f]", match.group()) and not match.group().isalpha():
                yield Found(Kind.MAC, *match.span())


def _is_ipv4(text: str) -> bool:
    parts = text.split(".")
    if any(len(part) > 1 and part[0] == "0" for part in parts) or max(map(int, parts)) > 255:  # noqa: PLR2004 -- a byte
        return False
    return int(parts[0]) not in {0, 127, 255} and parts != ["1", "2", "3", "4"]


def _is_version(text: str, start: int) -> bool:
    before = text[max(0, start - _VERSION_REACH) : start]
    found = _VERSION_BEFORE.search(before)
    return found is not None and _ADDRESS_WORDS.search(found.group()) is None


def _with_colons(text: str) -> Iterator[Found]:
    """IPv6 and MAC addresses: from each pair of colons, the whole run of characters they are made of."""
    match = _COLONS.search(text)
    while match is not None:
        start, end = _run(text, match.start(), match.end())
        kind = _kind_of(text, start, end)
        if kind is not None:
            yield Found(kind, start, end)
        match = _COLONS.search(text, max(end, match.end()))


def _run(text: str, start: int, end: int) -> tuple[int, int]:
    lowest, highest = max(0, start - _MAX_IPV6_CHARS - 1), min(len(text), end + _MAX_IPV6_CHARS + 1)
    while start > lowest and text[start - 1] in _IN_ADDRESS:
        start -= 1
    while end < highest and text[end] in _IN_ADDRESS:
        end += 1
    if text[end - 1] == ":" and text[end - 2] != ":":
        end -= 1  # a colon that ends a clause
    return start, end


def _kind_of(text: str, start: int, end: int) -> Kind | None:
    found = text[start:end]
    before, after = text[max(0, start - 1) : start], text[end : end + 1]
    if len(found) > _MAX_IPV6_CHARS or before.isalnum() or before == "_" or after.isalnum() or after == "_":
        return None
    if _MAC.fullmatch(found):
        return Kind.MAC
    return Kind.IPV6 if _is_ipv6(found) else None


def _is_ipv6(text: str) -> bool:
    """An address somebody can have: `abc::def` is a name in more than one programming language."""
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        return False
    first = text.split(":", 1)[0].lower()
    if address.is_loopback or address.is_unspecified or not any(map(str.isdigit, text)):
        return False
    return (len(first) >= 3 and any(map(str.isdigit, first))) or first.startswith(("fe8", "fc", "fd", "ff"))  # noqa: PLR2004
