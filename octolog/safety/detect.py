"""Finding personal data and secrets in a text: every detector in turn, and places that never overlap."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable
from functools import lru_cache
from itertools import chain
from typing import Final

from octolog.safety.contacts import find_emails, find_phones
from octolog.safety.context import find_told
from octolog.safety.kinds import PLACEHOLDER, SECRETS, SEVERITY, Found, Kind
from octolog.safety.network import find_addresses
from octolog.safety.numbers import find_cards, find_ibans, find_identifiers
from octolog.safety.secrets import find_assigned, find_tokens
from octolog.safety.wallets import find_wallets
from octolog.safety.words import INVISIBLE, key_as_words, normal

__all__ = ["detect", "detect_value"]

_UUID: Final = re.compile(
    r"(?<![0-9A-Za-z])[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?![0-9A-Za-z])"
)
_DIGIT: Final = re.compile(r"\d")
# No card, phone number or identifier has fewer, or wider gaps.
_SIX_DIGITS: Final = re.compile(r"\d(?:\D{0,3}\d){5}")
# Whatever is found has a digit, an @, or one of these; most texts have neither and are done here.
_HINT: Final = re.compile(r"[\d@:=]|-----BEGIN|eyJ|passw|secret|\bis\b", re.IGNORECASE)
_MRZ: Final = re.compile(r"P[A-Z<][A-Z]{3}(?<![A-Z0-9]P.{4})[A-Z<]{20,39}(?:\s{1,2}[A-Z0-9<]{30,44})?")

# Where two kinds claim the same place, the one that knows more of it names it.
_PRECEDENCE: Final = {kind: rank for rank, kind in enumerate((
    Kind.PRIVATE_KEY, Kind.JWT, Kind.AWS_KEY, Kind.GITHUB_TOKEN, Kind.SLACK_TOKEN, Kind.API_KEY, Kind.PASSWORD,
    Kind.SECRET, Kind.IBAN, Kind.CARD, Kind.SSN, Kind.HEALTH_ID, Kind.TAX_ID, Kind.NATIONAL_ID, Kind.PASSPORT,
    Kind.DRIVER_LICENSE, Kind.DEVICE_ID, Kind.VEHICLE_ID, Kind.WALLET, Kind.BANK_ACCOUNT, Kind.DATE_OF_BIRTH,
    Kind.EMAIL, Kind.IPV4, Kind.IPV6, Kind.MAC, Kind.PHONE,
))}  # fmt: skip


def detect(text: str, *, key: str = "") -> tuple[Found, ...]:
    """Personal data and secrets in a text, in order; no two overlap.

    Args:
        text: Any text; 2 MB take about a second.
        key: The JSON key the text is the value of, if it is one: `{"ssn": "123456789"}`.
    """
    return detect_value(text, key_as_words(key) if key else "")


def detect_value(text: str, before: str) -> tuple[Found, ...]:
    """As `detect`, with the words that stand before the text."""
    if not before and _HINT.search(text) is None:
        return ()
    skip, size = len(before), len(text)
    whole = f'{before}{text}"' if before.endswith('"') else before + text
    places = None if whole.isascii() or INVISIBLE.search(whole) is None else _seen(whole)
    if places is not None:
        whole = "".join([whole[place] for place in places])
    kept = _apart(_outside(whole, list(_candidates(whole))))
    if places is not None:
        kept = [Found(kind, places[start], places[end - 1] + 1) for kind, start, end in kept]
    clipped = (Found(kind, max(0, start - skip), min(size, end - skip)) for kind, start, end in kept)
    return tuple(each for each in clipped if each.start < each.end)


def _seen(text: str) -> list[int]:
    """Places of the characters that a reader sees: invisible ones must not split a value."""
    hidden = {match.start() for match in INVISIBLE.finditer(text)}
    return [place for place in range(len(text)) if place not in hidden]


def _candidates(text: str) -> Iterable[Found]:
    prepared = normal(text)
    parts: list[Iterable[Found]] = [find_tokens(text), find_assigned(text, prepared)]
    if "@" in text:
        parts.append(find_emails(text))
    if "P<" in text:
        parts.append(Found(Kind.PASSPORT, *match.span()) for match in _MRZ.finditer(text))
    if _DIGIT.search(text) is not None:
        parts += _numbers(text, prepared)
    return chain.from_iterable(parts)


def _numbers(text: str, prepared: str) -> Iterable[Iterable[Found]]:
    # UUIDs are everywhere here and no number of anybody's; without them many a text has no number left.
    others = _UUID.sub(_blank, text) if "-" in text else text
    if _DIGIT.search(others) is None:
        return
    if _SIX_DIGITS.search(others) is not None:
        yield from (find_cards(others), find_identifiers(others), find_phones(others))
    yield from (find_ibans(others), find_addresses(others), find_wallets(others), find_told(others, prepared))


def _blank(uuid: re.Match[str]) -> str:
    return "x" * len(uuid.group())


def _outside(text: str, found: list[Found]) -> list[Found]:
    """What does not touch a placeholder, and of the numbers what is no part of a UUID."""
    left = [match.span() for match in PLACEHOLDER.finditer(text)] if "[" in text else []
    ids = [match.span() for match in _UUID.finditer(text)] if "-" in text else []
    kept = [each for each in found if not _touches(each, left)]
    return [each for each in kept if each.kind in SECRETS or not _touches(each, ids)]


def _touches(found: Found, spans: list[tuple[int, int]]) -> bool:
    after = bisect_left(spans, (found.end, 0))
    return after > 0 and spans[after - 1][1] > found.start


def _apart(found: list[Found]) -> list[Found]:
    """Places that overlap become one, of the kind that knows most of it: nothing found is left standing."""
    found.sort(key=lambda each: (each.start, each.end))
    apart: list[Found] = []
    for each in found:
        if apart and each.start < apart[-1].end:
            last = apart[-1]
            kind = min(last.kind, each.kind, key=_rank)
            apart[-1] = Found(kind, last.start, max(last.end, each.end))
        else:
            apart.append(each)
    return apart


@lru_cache(maxsize=len(Kind))
def _rank(kind: Kind) -> tuple[int, int]:
    return -SEVERITY[kind], _PRECEDENCE[kind]
