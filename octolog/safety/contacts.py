"""E-mail addresses and phone numbers that stand in a text without a word about them.

Phone numbers are checked against the numbering plans of the world (phonenumbers, Google's libphonenumber). That
takes 0.1 ms each; after the first thousand in one text their form is enough, so that a long list of numbers
cannot hold up a submission. Redacting a number too many does less harm than one too few.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from typing import Final

from octolog.safety.kinds import Found, Kind

__all__ = ["find_emails", "find_phones"]

_MAX_LOCAL_CHARS: Final = 64
_DOMAIN: Final = re.compile(
    r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}(?P<top>xn--[a-z0-9]{2,59}|[^\W\d_]{2,24})(?![\w(])"
)
# RFC 5322 atoms without those that are punctuation around an address far more often than part of one.
_LOCAL: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._%+-'")
_FILES: Final = frozenset(
    [
        "bmp",
        "cfg",
        "conf",
        "css",
        "csv",
        "gif",
        "html",
        "ico",
        "jpeg",
        "jpg",
        "js",
        "json",
        "lock",
        "log",
        "md",
        "pdf",
        "png",
        "py",
        "scss",
        "svg",
        "toml",
        "ts",
        "tsx",
        "txt",
        "webp",
        "xml",
        "yaml",
        "yml",
    ]
)
"""What ends a file's name (`icon@2x.png`) and no domain."""

_CHECKED: Final = 1_000
_AFTER: Final = r"(?![A-Za-z0-9]|[-./]\d)"
_BEFORE: Final = r"(?<![A-Za-z0-9/=]{c})(?<!\d[-.]{c})"
_GAP: Final = "[ \u00a0.-]"
_INTERNATIONAL: Final = re.compile(r"\+(?<![\w+/=]\+)\(?[1-9](?:[ ().\-/\u00a0]{0,2}\d){6,16}(?![A-Za-z0-9])")
_AMERICAN: Final = re.compile(
    rf"(?:\((?<![A-Za-z0-9]\()[2-9]\d\d\)[ -]{{0,2}}|(?:1[ .-])?{_BEFORE.format(c='')}[2-9]\d\d(?P<sep>[-. \u00a0])(?!{_GAP}))"
    rf"\d{{3}}[ .-]\d{{4}}{_AFTER}"
)
_PAIRS: Final = re.compile(rf"0{_BEFORE.format(c='0')}[1-9](?P<sep>[ .-])\d\d(?:(?P=sep)\d\d){{3}}{_AFTER}")
_NATIONAL: Final = (
    ("GB", re.compile(rf"0{_BEFORE.format(c='0')}(?:2\d \d{{4}}|7\d{{3}} \d{{3}}|1\d{{2,3}} \d{{3}}|7\d{{4}}) ?\d{{3,4}}(?: \d{{3}})?{_AFTER}")),
    ("AU", re.compile(rf"0{_BEFORE.format(c='0')}4\d\d \d{{3}} \d{{3}}{_AFTER}")),
    ("JP", re.compile(rf"0{_BEFORE.format(c='0')}\d{{1,2}}-\d{{4}}-\d{{4}}{_AFTER}")),
    ("FR", _PAIRS),
    ("DE", re.compile(rf"0{_BEFORE.format(c='0')}\d{{2,4}}[ /-]\d{{3,5}}[ -]?\d{{3,5}}{_AFTER}")),
)  # fmt: skip


def find_emails(text: str) -> Iterator[Found]:
    """E-mail addresses: from each @, the domain to the right and then the name to the left."""
    at = text.find("@")
    while at >= 0:
        domain = _DOMAIN.match(text, at + 1)
        start = _local_start(text, at) if domain is not None else at
        if domain is not None and start < at and not _is_something_else(text, start, at, domain):
            yield Found(Kind.EMAIL, start, domain.end())
        at = text.find("@", at + 1)


def find_phones(text: str) -> Iterator[Found]:
    """Phone numbers: international ones, North American ones, and a few countries' own spelling."""
    seen = count()
    if "+" in text:
        for match in _INTERNATIONAL.finditer(text):
            end = _international_end(text, *match.span(), seen)
            if end:
                yield Found(Kind.PHONE, match.start(), end)
    for match in _AMERICAN.finditer(text):
        spaced = match["sep"] in {" ", "\u00a0", "."}
        if not spaced or _is_number(match.group(), "US", seen):
            yield Found(Kind.PHONE, *match.span())
    for region, pattern in _NATIONAL:
        for match in pattern.finditer(text):
            if _is_number(match.group(), region, seen):
                yield Found(Kind.PHONE, *match.span())


def _local_start(text: str, at: int) -> int:
    """Where the name before an @ begins; `at` when there is none."""
    start, lowest = at, max(0, at - _MAX_LOCAL_CHARS)
    while start > lowest and (
        text[start - 1] in _LOCAL or (text[start - 1] > "\x7f" and text[start - 1].isalpha())
    ):
        start -= 1
    while start < at and text[start] in ".%'-":
        start += 1
    return start


def _is_something_else(text: str, start: int, at: int, domain: re.Match[str]) -> bool:
    """A file's name, or the `git@host:path` of a repository."""
    if domain["top"].lower() in _FILES:
        return True
    return text[start:at] == "git" and text[domain.end() : domain.end() + 1] in {":", "/"}


def _international_end(text: str, start: int, end: int, seen: Iterator[int]) -> int:
    """Where the number that begins with + ends; what stands behind it may look like more of it."""
    while end - start > len("+1234567"):
        number = text[start:end]
        if _is_number(number, None, seen, like=" " in number or "-" in number):
            return end
        shorter = re.search(r"[ ().\-/\u00a0]{1,2}\d{1,8}$", number)
        if shorter is None:
            return 0
        end = start + shorter.start()
    return 0


def _is_number(number: str, region: str | None, seen: Iterator[int], *, like: bool = False) -> bool:
    """True for a number of the region's plan; `like`: one of the right length is enough."""
    if next(seen) >= _CHECKED:
        return True
    import phonenumbers

    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return False
    if phonenumbers.is_valid_number(parsed):
        return True
    return like and phonenumbers.is_possible_number(parsed)
