"""Values that only the words before them give away: a birthday, a passport, an account, a bare number.

The words are found first; a value is then looked for right behind each. A text without such a word costs one look
at each of its own words and no more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from octolog.safety.kinds import Found, Kind
from octolog.safety.numbers import is_valid
from octolog.safety.words import Phrases, occurrences

__all__ = ["find_told"]

_REACH_CHARS: Final = 90
_GAP: Final = r"[^\d\n\[\]]{0,32}?(?<![A-Za-z0-9])"
_END: Final = r"(?![A-Za-z0-9]|[-./]\d)"
_MONTH: Final = (
    r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|mär|mai|okt|dez|janv|févr|avr|juin|juil|août|déc|ene|abr|ago|dic)"
    r"[a-zéû]{0,7}\.?"
)
_DATE: Final = (
    r"(?P<value>\d{4}[-/.](?:0?[1-9]|1[0-2])[-/.](?:[0-2]?\d|3[01])|"
    r"(?:[0-2]?\d|3[01])[-/. ](?:[0-2]?\d|3[01])[-/. ](?:19|20)?\d\d|"
    rf"(?:[0-2]?\d|3[01])(?:st|nd|rd|th|\.)?(?: of)?[ -]{_MONTH},?[ -](?:19|20)\d\d|"
    r"(?:19|20)\d{6})"
)
_DATE_FROM_MONTH: Final = rf"(?P<value>{_MONTH} (?:[0-2]?\d|3[01])(?:st|nd|rd|th)?,? (?:19|20)\d\d)"


@dataclass(frozen=True, slots=True)
class _Told:
    """A kind of value that its words announce.

    Attributes:
        kind: What the value is.
        words: What stands before it, in lower case.
        value: Gap and value; the group `value` is what is found.
        validator: Module of python-stdnum; empty: the form is enough.
    """

    kind: Kind
    words: tuple[str, ...]
    value: re.Pattern[str]
    validator: str = ""


def _told(kind: Kind, words: str, value: str, validator: str = "", gap: str = _GAP) -> _Told:
    pattern = re.compile(rf"{gap}(?P<value>{value}){_END}", re.IGNORECASE)
    return _Told(kind, tuple(words.split("|")), pattern, validator)


_BORN: Final = "born|born on|dob|dateofbirth|d.o.b|date of birth|birth date|birthdate|birthday|geboren|geboren am|geburtsdatum|né le|née le|fecha de nacimiento"
_PHONE: Final = "phone|phone number|phonenumber|telephone|tel|mobile|mobile number|cell:|cell phone|cellphone|fax|whatsapp|telefon|handy|móvil|téléphone|call me|call me at|call me on|call us at|call us on|text me|text me at|reach me at|reach me on|sms|contact number"
_TOLD: Final = (
    _Told(Kind.DATE_OF_BIRTH, tuple(_BORN.split("|")), re.compile(rf"[^\d\n\[\]]{{0,24}}?(?<!\d){_DATE}(?!\d)", re.IGNORECASE)),
    _Told(Kind.DATE_OF_BIRTH, tuple(_BORN.split("|")), re.compile(rf"[^\d\n\[\]]{{0,24}}?\b{_DATE_FROM_MONTH}", re.IGNORECASE)),
    _told(Kind.PHONE, _PHONE, r"\+?\(?\d(?:[ ().\-/\u00a0]{0,2}\d){6,14}", gap=r"[^\d\n\[\]+(]{0,20}?(?<![A-Za-z0-9])"),
    _told(Kind.SSN, "ssn|socialsecuritynumber|social security|social security number|social security no|soc sec", r"\d{3}[ .-]?\d{2}[ .-]?\d{4}", "us.ssn"),
    _told(Kind.PASSPORT, "passport|passportnumber|reisepass|passeport|pasaporte", r"[A-Z]{0,2}\d{2}[A-Z0-9]{4,7}"),
    _told(Kind.PASSPORT, "passport|reisepass", r"[CFGHJK][0-9CFGHJKLMNPRTVWXYZ]{8}"),
    _told(Kind.DRIVER_LICENSE, "driver's license|driver’s license|drivers license|driver license|driving licence|driver's licence|driving license|driver licence|dl number|dl no|dl #|führerschein", r"[A-Z]{0,5}\d[A-Z0-9-]{4,17}"),
    _told(Kind.BANK_ACCOUNT, "account number|accountnumber|account no|account nr|account #|acct|acct no|acct number|bank account|kontonummer|checking account|savings account", r"\d(?:[ -]?\d){5,16}"),
    _told(Kind.BANK_ACCOUNT, "routing number|routing no|aba|aba number|routing transit number", r"\d{9}", "us.rtn"),
    _told(Kind.BANK_ACCOUNT, "sort code", r"\d\d[- ]?\d\d[- ]?\d\d"),
    _told(Kind.CARD, "card number|cardnumber|credit card|debit card|card no|maestro|visa|mastercard|amex|card #", r"\d(?:[ -]?\d){11,18}", "luhn"),
    _told(Kind.TAX_ID, "ein|employer identification number|federal tax id|tax id|tin|fein", r"\d{2}-\d{7}"),
    _told(Kind.TAX_ID, "tax file number|tfn", r"\d{3} ?\d{3} ?\d{2,3}", "au.tfn"),
    _told(Kind.TAX_ID, "steuer-id|steuer id|steueridentifikationsnummer|steuernummer|idnr", r"\d{2} ?\d{3} ?\d{3} ?\d{3}", "de.idnr"),
    _told(Kind.TAX_ID, "pan|pan card|pan number", r"[A-Z]{5}\d{4}[A-Z]", "in_.pan", gap=r"[^\d\n\[\]]{0,24}?(?<![A-Za-z0-9])"),
    _told(Kind.HEALTH_ID, "nhs|nhs number|nhs no|patient number", r"\d{3}[ -]?\d{3}[ -]?\d{4}", "gb.nhs"),
    _told(Kind.HEALTH_ID, "mrn|medical record number|medical record|medicare number|medicare|patient id|health card|member id", r"[A-Z]{0,4}-?\d[A-Z0-9-]{4,14}"),
    _told(Kind.NATIONAL_ID, "sin|social insurance number|social insurance", r"\d{3}[ -]?\d{3}[ -]?\d{3}", "ca.sin"),
    _told(Kind.NATIONAL_ID, "pesel", r"\d{11}", "pl.pesel"),
    _told(Kind.NATIONAL_ID, "bsn|burgerservicenummer", r"\d{9}", "nl.bsn"),
    _told(Kind.NATIONAL_ID, "cpr|cpr-nummer|cpr number", r"\d{6}-?\d{4}"),
    _told(Kind.NATIONAL_ID, "fødselsnummer|fodselsnummer", r"\d{6} ?\d{5}", "no.fodselsnummer"),
    _told(Kind.NATIONAL_ID, "personnummer|personal identity number", r"(?:19|20)?\d{6}[-+]?\d{4}", "se.personnummer"),
    _told(Kind.NATIONAL_ID, "aadhaar|aadhar|uidai", r"\d{4} ?\d{4} ?\d{4}", "in_.aadhaar"),
    _told(Kind.NATIONAL_ID, "cpf", r"\d{3}\.?\d{3}\.?\d{3}-?\d{2}", "br.cpf"),
    _told(Kind.NATIONAL_ID, "tc kimlik|kimlik no", r"\d{11}", "tr.tckimlik"),
    _told(Kind.NATIONAL_ID, "amka", r"\d{11}", "gr.amka"),
    _told(Kind.NATIONAL_ID, "oib", r"\d{11}", "hr.oib"),
    _told(Kind.NATIONAL_ID, "national id|national identity|national insurance|identity card|id card|national identification number|nric|cnic|dni|nie", r"[A-Z]{0,2}\d(?:[ -]?[A-Z0-9]){5,13}"),
    _told(Kind.VEHICLE_ID, "vin|chassis number|vehicle identification number", r"(?=[A-Z]{0,16}\d)[A-HJ-NPR-Z0-9]{17}", gap=r"[^\d\n\[\]]{0,16}?(?<![A-Za-z0-9])"),
    _told(Kind.DEVICE_ID, "imei", r"\d{2}-?\d{6}-?\d{6}-?\d", "imei"),
)  # fmt: skip


_TOLD_BY: Final = Phrases((word, told) for told in _TOLD for word in told.words)


def _compact(value: str) -> str:
    return value.replace(" ", "").replace(".", "")


def find_told(text: str, prepared: str) -> Iterator[Found]:
    """Values announced by words.

    Args:
        text: The text.
        prepared: The same text from `words.normal`.
    """
    for word, meanings in _TOLD_BY.within(prepared):
        ends = tuple(occurrences(word, prepared))
        for told in meanings:
            for end in ends:
                match = told.value.match(text, end, end + _REACH_CHARS)
                if match is None:
                    continue
                start, stop = match.span("value")
                if not told.validator or is_valid(told.validator, _compact(text[start:stop])):
                    yield Found(told.kind, start, stop)
