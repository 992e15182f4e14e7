"""Numbers that prove themselves: a check digit, a range, a structure. No word beside them is needed.

Every pattern begins with a digit, which a scan of the text finds quickly, and looks back from there; every
repetition has a bound. So the time grows with the text's length and with nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any, Final

from octolog.safety.kinds import Found, Kind

__all__ = ["find_cards", "find_ibans", "find_identifiers", "is_valid"]

_BRANDS: Final = (
    (
        16,
        re.compile(
            r"4|5[1-5]|2(?:22[1-9]|2[3-9]|[3-6]|7[01]|720)|220[0-4]|6011|64[4-9]|65|62|35(?:2[89]|[3-8])"
        ),
    ),
    (15, re.compile(r"3[47]")),
    (14, re.compile(r"3(?:0[0-5]|[689])")),
)
"""Digits of a card and the prefixes (ISO/IEC 7812) that are issued with so many."""

_SEP: Final = "[ \u00a0.-]"
# Not inside a word, a longer number, or the decimals of one.
_STARTS: Final = r"(?<![A-Za-z0-9]\d)(?<!\d[.,]\d)"
_CARD: Final = re.compile(
    rf"[2-6]{_STARTS}(?:"
    rf"\d{{3}}(?:{_SEP}\d{{4}}){{3}}|"  # 4-4-4-4
    rf"\d{{3}}{_SEP}\d{{6}}{_SEP}\d{{4,5}}|"  # 4-6-5 and 4-6-4
    rf"\d{{13,15}})"
    r"(?![A-Za-z0-9]|\.\d)"
)
_IBAN: Final = re.compile(r"\d(?<=[A-Za-z]{2}\d)(?<![A-Za-z0-9][A-Za-z]{2}\d)\d(?:[ -]?[A-Za-z0-9]){11,30}")


@dataclass(frozen=True, slots=True)
class _Identifier:
    """A number that can be told by its form and check digits alone.

    Attributes:
        kind: What it is.
        validator: Module of python-stdnum.
        form: Its pattern, behind the first digit.
    """

    kind: Kind
    validator: str
    form: re.Pattern[str]


def _digits(kind: Kind, validator: str, rest: str, first: str = r"\d") -> _Identifier:
    return _Identifier(
        kind, validator, re.compile(rf"{first}{_STARTS}(?<!\d-\d){rest}(?![A-Za-z0-9]|[-.]\d)")
    )


_IDENTIFIERS: Final = (
    _digits(Kind.SSN, "us.ssn", r"\d{2}-\d{2}-\d{4}", "[0-8]"),
    _digits(Kind.TAX_ID, "us.itin", r"\d{2}-\d{2}-\d{4}", "9"),
    _digits(Kind.NATIONAL_ID, "br.cpf", r"\d{2}\.\d{3}\.\d{3}-\d{2}"),
    _digits(Kind.TAX_ID, "br.cnpj", r"\d\.\d{3}\.\d{3}/\d{4}-\d{2}"),
    _digits(Kind.NATIONAL_ID, "cl.rut", r"\d?\.\d{3}\.\d{3}-[\dKk]"),
    _digits(Kind.NATIONAL_ID, "be.nn", r"\d\.\d{2}\.\d{2}-\d{3}\.\d{2}"),
    _digits(Kind.NATIONAL_ID, "ch.ssn", r"56\.\d{4}\.\d{4}\.\d{2}", "7"),
    _digits(Kind.NATIONAL_ID, "fr.nir", r" ?\d\d ?(?:0[1-9]|1[0-2]) ?\d[\dAB] ?\d{3} ?\d{3} ?\d\d", "[12]"),
    _digits(Kind.NATIONAL_ID, "fi.hetu", r"\d{5}[-+A-FYXWVU]\d{3}[0-9A-Y]", "[0-3]"),
    _digits(Kind.NATIONAL_ID, "se.personnummer", r"\d{5}-\d{4}"),
    _digits(Kind.NATIONAL_ID, "cn.ric", r"\d{16}[\dXx]", "[1-9]"),
    _digits(Kind.NATIONAL_ID, "kr.rrn", r"\d{5}-[1-8]\d{6}"),
    _digits(Kind.NATIONAL_ID, "es.dni", r"\d{7}-?[A-HJ-NP-TV-Z]"),
    _digits(Kind.NATIONAL_ID, "in_.aadhaar", r"\d{3} \d{4} \d{4}", "[2-9]"),
    _digits(Kind.NATIONAL_ID, "za.idnr", r"\d{5} \d{4} [01][89]\d"),
)
_CODICE: Final = re.compile(
    r"\d(?<=[A-Z]{6}\d)(?<![A-Za-z0-9][A-Z]{6}\d)\d[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z](?![A-Za-z0-9])"
)
_NIE: Final = re.compile(r"\d(?<=[XYZ]\d)(?<![A-Za-z0-9][XYZ]\d)\d{6}-?[A-HJ-NP-TV-Z](?![A-Za-z0-9])")
_CURP: Final = re.compile(
    r"\d(?<=[A-Z]{4}\d)(?<![A-Za-z0-9][A-Z]{4}\d)\d{5}[HM][A-Z]{5}[A-Z0-9]\d(?![A-Za-z0-9])"
)
# Two letters, three pairs, one letter; the first two letters are never these (HMRC).
_NINO: Final = re.compile(
    r"\d(?<=[A-Z]{2}\d|[A-Z] \d)(?<![A-Za-z0-9][A-Z]{2}\d)\d ?\d\d ?\d\d ?[A-D](?![A-Za-z0-9])"
)
_NINO_HEAD: Final = re.compile(
    r"(?<![A-Za-z0-9])(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?$"
)
_LEADS: Final = ((_CODICE, 6, "it.codicefiscale"), (_NIE, 1, "es.nie"), (_CURP, 4, "mx.curp"))


def is_valid(validator: str, number: str) -> bool:
    """True when python-stdnum's module says so; its modules are loaded when first needed."""
    module: Any = import_module(f"stdnum.{validator}")
    check: Callable[[str], bool] = module.is_valid
    return check(number)


def find_cards(text: str) -> Iterator[Found]:
    """Payment cards: an issued prefix, its number of digits, and Luhn's check digit."""
    for match in _CARD.finditer(text):
        digits = re.sub(r"\D", "", match.group())
        if any(len(digits) == size and brand.match(digits) for size, brand in _BRANDS) and _luhn(digits):
            yield Found(Kind.CARD, *match.span())


def find_ibans(text: str) -> Iterator[Found]:
    """IBANs: the country's own length and structure, and the check digits (ISO 13616, mod 97)."""
    match = _IBAN.search(text)
    while match is not None:
        start = match.start() - 2
        end = _iban_end(text, start, match.end())
        if end:
            yield Found(Kind.IBAN, start, end)
        match = _IBAN.search(text, end or match.start() + 2)


def find_identifiers(text: str) -> Iterator[Found]:
    """National and tax numbers that carry their own proof."""
    for known in _IDENTIFIERS:
        for match in known.form.finditer(text):
            if is_valid(known.validator, match.group()):
                yield Found(known.kind, *match.span())
    for pattern, letters, validator in _LEADS:
        for match in pattern.finditer(text):
            start = match.start() - letters
            if is_valid(validator, text[start : match.end()]):
                yield Found(Kind.NATIONAL_ID, start, match.end())
    for match in _NINO.finditer(text):
        head = _NINO_HEAD.search(text[max(0, match.start() - 4) : match.start()])
        if head is not None:
            yield Found(Kind.NATIONAL_ID, match.start() - len(head.group()), match.end())


def _iban_end(text: str, start: int, end: int) -> int:
    """Where the IBAN that begins at `start` ends; 0 when none does. Words may stand right behind it."""
    size = _iban_length(text[start : start + 2].upper())
    if not size:
        return 0
    places = [place for place in range(start, end) if text[place] not in " -"]
    if len(places) < size or (len(places) > size and places[size] == places[size - 1] + 1):
        return 0  # too short, or it would end inside a word
    number = "".join([text[place] for place in places[:size]]).upper()
    return places[size - 1] + 1 if _mod97(number) and _is_iban(number) else 0


@lru_cache(maxsize=1_024)
def _iban_length(country: str) -> int:
    """Characters of the country's IBANs by SWIFT's registry; 0: it has none."""
    from stdnum import numdb

    properties = numdb.get("iban").info(country)[0][1]
    return sum(map(int, re.findall(r"(\d+)!", properties["bban"]))) + 4 if properties else 0


def _is_iban(number: str) -> bool:
    """Structure by the registry; a country's inner check digits are its banks' matter."""
    from stdnum import iban

    return iban.is_valid(number, check_country=False)


def _mod97(number: str) -> bool:
    turned = number[4:] + number[:4]
    return int("".join([str(int(char, 36)) for char in turned])) % 97 == 1


def _luhn(digits: str) -> bool:
    """ISO/IEC 7812-1; on the hot path, or python-stdnum's would do."""
    odd, even = digits[-1::-2], digits[-2::-2]
    return (sum(map(int, odd)) + sum(map(_DOUBLED.__getitem__, map(int, even)))) % 10 == 0


_DOUBLED: Final = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
