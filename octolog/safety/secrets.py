"""Secrets: tokens whose issuer gave them a form, and values that an assignment calls one.

The forms are the issuers' own documentation; each begins with letters that are looked for first, at the speed of a
plain search.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import log2
from typing import Final

from octolog.safety.kinds import Found, Kind
from octolog.safety.words import occurrences

__all__ = ["find_assigned", "find_tokens"]

_END: Final = r"(?![A-Za-z0-9])"
_B64: Final = "A-Za-z0-9_-"
_ISSUED: Final = tuple(
    (kind, starts, re.compile(form))
    for kind, starts, form in (
        (Kind.AWS_KEY, ("AKIA", "ASIA", "ABIA", "ACCA", "AROA", "AIDA"), rf"A(?:KIA|SIA|BIA|CCA|ROA|IDA)[A-Z0-9]{{16}}{_END}"),
        (Kind.GITHUB_TOKEN, ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), rf"gh[pousr]_[A-Za-z0-9]{{36,255}}{_END}"),
        (Kind.GITHUB_TOKEN, ("github_pat_",), r"github_pat_[A-Za-z0-9_]{22,255}"),
        (Kind.SLACK_TOKEN, ("xox",), rf"xox[abeprs](?:\.xox[bp])?-[{_B64}]{{10,250}}"),
        (Kind.SLACK_TOKEN, ("xapp-",), rf"xapp-\d-[{_B64}]{{20,250}}"),
        (Kind.SLACK_TOKEN, ("hooks.slack.com/",), r"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9+/]{20,120}"),
        (Kind.API_KEY, ("sk-",), rf"sk-(?:[a-z]{{2,10}}-)?(?:[a-z]{{2,5}}\d{{2}}-)?(?=[{_B64}]{{0,200}}\d)[{_B64}]{{20,250}}"),
        (Kind.API_KEY, ("sk_live_", "sk_test_", "rk_live_", "rk_test_"), rf"[sr]k_(?:live|test)_[A-Za-z0-9]{{16,250}}{_END}"),
        (Kind.API_KEY, ("AIza",), rf"AIza[{_B64}]{{35}}(?![{_B64}])"),
        (Kind.API_KEY, ("ya29.",), rf"ya29\.[{_B64}]{{20,500}}"),
        (Kind.API_KEY, ("GOCSPX-",), rf"GOCSPX-[{_B64}]{{28}}"),
        (Kind.API_KEY, ("glpat-", "gldt-", "glrt-"), rf"gl(?:pat|dt|rt)-[{_B64}]{{20,64}}"),
        (Kind.API_KEY, ("SG.",), rf"SG\.[{_B64}]{{22}}\.[{_B64}]{{43}}"),
        (Kind.API_KEY, ("npm_",), rf"npm_[A-Za-z0-9]{{36}}{_END}"),
        (Kind.API_KEY, ("pypi-AgE",), rf"pypi-AgE[{_B64}]{{50,500}}"),
        (Kind.API_KEY, ("hf_",), rf"hf_[A-Za-z]{{34}}{_END}"),
        (Kind.API_KEY, ("dop_v1_",), rf"dop_v1_[0-9a-f]{{64}}{_END}"),
        (Kind.API_KEY, ("shpat_", "shpss_"), rf"shp(?:at|ss)_[0-9a-fA-F]{{32}}{_END}"),
        (Kind.API_KEY, ("key-",), rf"key-[0-9a-f]{{32}}{_END}"),
        (Kind.API_KEY, ("lin_api_",), r"lin_api_[A-Za-z0-9]{40}"),
        (Kind.API_KEY, ("hvs.",), rf"hvs\.[{_B64}]{{24,250}}"),
        (Kind.API_KEY, (":AA",), rf":AA[{_B64}]{{33}}(?![{_B64}])"),
        (Kind.API_KEY, ("AccountKey=", "SharedAccessKey="), r"(?:Account|SharedAccess)Key=[A-Za-z0-9+/]{40,90}={0,2}"),
        (Kind.JWT, ("eyJ",), rf"eyJ[{_B64}]{{10,4000}}\.eyJ[{_B64}]{{4,8000}}\.[{_B64}]{{10,1000}}"),
        (Kind.PRIVATE_KEY, ("-----BEGIN",), r"-----BEGIN (?:[A-Z0-9]{2,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----[^-]{0,20000}(?:-----END (?:[A-Z0-9]{2,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----)?"),
        (Kind.PRIVATE_KEY, ("AGE-SECRET-KEY-1",), r"AGE-SECRET-KEY-1[A-Z0-9]{58}"),
    )
)  # fmt: skip
_IN_URL: Final = re.compile(r"://[^\s/:@'\"<>\[\]]{0,128}:(?P<value>[^\s/@'\"<>\[\]]{2,256})@")
_BEARER: Final = re.compile(r"\s{1,3}(?P<value>[A-Za-z0-9._~+/-]{16,2000}={0,2})")

_ASSIGNS: Final = r"[\"'`]?\s{0,3}(?:=>|:=|==?|:|\bis\b(?! not)|\bwas\b|→)\s{0,3}(?:f|b|r|u)?"
_VALUE: Final = (
    r"(?:\"(?P<double>[^\"\n]{1,1000})\"|'(?P<single>[^'\n]{1,1000})'|`(?P<ticks>[^`\n]{1,1000})`"
    r"|(?P<bare>[^\s\"'`,;(){}\[\]<>|]{1,1000}))(?P<call>[(\[]?)"
)
_ASSIGNED: Final = re.compile(_ASSIGNS + _VALUE)
_PASSWORD_WORDS: Final = ("password", "passwd", "pwd", "passphrase", "passcode", "kennwort", "passwort")
_SECRET_WORDS: Final = (
    "api key", "apikey", "api-key", "access key", "accesskey", "secret key", "secretkey", "secret access key",
    "client secret", "clientsecret", "auth token", "authtoken", "access token", "accesstoken", "refresh token",
    "private key", "privatekey", "signing key", "encryption key", "webhook secret", "app secret", "secret", "token",
)  # fmt: skip
_WORDS: Final = (
    *((word, Kind.PASSWORD) for word in _PASSWORD_WORDS),
    *((word, Kind.SECRET) for word in _SECRET_WORDS),
)
_STAND_INS: Final = re.compile(
    r"\$|\{\{|%[(sd]|<|\*{3}|\.{3}|x{4}|…|^(?:your|my|the|some|an?)[-_ ]|^(?:os|process|env|self|settings|config|secrets|vault|request|"
    r"args|options|params|data|ctx)\.|getenv|environ|"
    r"^(?:str|string|none|null|nil|true|false|undefined|required|optional|secret|password|passwd|pwd|token|change-?me|redacted|"
    r"hidden|example|placeholder|todo|tbd|n/a|empty|unset|missing|wrong|invalid|incorrect|expired|bytes|int|any|text)$",
    re.IGNORECASE,
)
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_RUN: Final = re.compile(rf"[{_B64}]+")
_HEX: Final = re.compile(r"[0-9a-fA-F]+")
_TOKEN: Final = re.compile(r"[A-Za-z0-9+/=_.~:-]{16,}")
_MIN_BITS: Final = 3.0
"""Shannon entropy per character from which a value is no word and no counter."""


def find_tokens(text: str) -> Iterator[Found]:
    """Tokens by their issuers' forms, private keys, passwords in URLs."""
    for kind, starts, form in _ISSUED:
        for lead in starts:
            at = text.find(lead)
            while at >= 0:
                match = (
                    form.match(text, at) if at == 0 or not text[at - 1].isalnum() or lead == ":AA" else None
                )
                if match is not None:
                    yield Found(kind, _bot_start(text, at) if lead == ":AA" else at, match.end())
                at = text.find(lead, _next(text, kind, at + len(lead)) if match is None else match.end())
    if "://" in text:
        for match in _IN_URL.finditer(text):
            if _STAND_INS.search(match["value"]) is None:
                yield Found(Kind.PASSWORD, *match.span("value"))


def find_assigned(text: str, prepared: str) -> Iterator[Found]:
    """Passwords and secrets by the name they are given.

    Args:
        text: The text.
        prepared: The same text from `words.normal`.
    """
    for word, kind in _WORDS:
        at = -1  # inside a value no further one begins
        for end in occurrences(word, prepared) if word in prepared else ():
            match = _ASSIGNED.match(text, end) if end > at else None
            if match is None:
                continue
            start, at = _value(match)
            if _is_password(match) if kind is Kind.PASSWORD else _is_secret(text[start:at], word):
                yield Found(kind, start, at)
    for word in ("bearer", "authorization: basic"):
        for end in occurrences(word, prepared) if word in prepared else ():
            match = _BEARER.match(text, end)
            if match is not None and _is_secret(match["value"], "bearer"):
                yield Found(Kind.SECRET, *match.span("value"))


def _next(text: str, kind: Kind, after: int) -> int:
    """Where to look on after a form that did not hold; a JWT's parts are long, and no later start in one differs."""
    if kind is not Kind.JWT:
        return after
    run = _RUN.match(text, after)
    return after if run is None else run.end()


def _bot_start(text: str, at: int) -> int:
    """Where the number before the colon of a bot's token begins."""
    start = at
    while start > max(0, at - 12) and text[start - 1].isdigit():
        start -= 1
    return start


def _value(match: re.Match[str]) -> tuple[int, int]:
    for group in ("double", "single", "ticks"):
        if match[group] is not None:
            return match.span(group)
    start, end = match.span("bare")
    while end > start and match.string[end - 1] in ".:!?":
        end -= 1  # the sentence's, not the value's
    return start, end


def _is_password(match: re.Match[str]) -> bool:
    value = match.string[slice(*_value(match))]
    if _STAND_INS.search(value) is not None or value.startswith("["):
        return False
    if match["bare"] is None:
        return len(value) >= 4 and not (" " in value and not any(map(str.isdigit, value)))  # noqa: PLR2004 -- shorter ones are flags
    if match["call"] or len(value) < 6 or value.startswith(("/", "./", "http")):  # noqa: PLR2004 -- shorter ones are words
        return False
    named = re.fullmatch(r"[A-Za-z_][A-Za-z_.-]*|-?\d[\d.,]*", value) is not None
    return not named or value.isdigit()


def _is_secret(value: str, word: str) -> bool:
    if (
        _TOKEN.fullmatch(value) is None
        or _STAND_INS.search(value) is not None
        or value.startswith(("/", "./", "http"))
    ):
        return False
    if word == "token" and (_UUID.fullmatch(value) or _HEX.fullmatch(value)):
        return False  # ids and digests are called tokens too
    mixed = any(map(str.isdigit, value)) and any(map(str.isalpha, value))
    return (
        mixed
        and _bits_per_char(value) >= _MIN_BITS
        and re.search(r"\d{4}-\d\d-\d\d|^v?\d+(?:\.\d+)+", value) is None
    )


def _bits_per_char(value: str) -> float:
    size = len(value)
    return -sum(n / size * log2(n / size) for n in map(value.count, set(value)))
