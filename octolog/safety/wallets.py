"""Addresses of crypto wallets: base58 or bech32 with their checksums, or forty hex digits behind 0x."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from octolog.safety.kinds import Found, Kind
from octolog.safety.numbers import is_valid

__all__ = ["find_wallets"]

_BASE58: Final = re.compile(r"[13](?<![A-Za-z0-9][13])[1-9A-HJ-NP-Za-km-z]{25,33}(?![A-Za-z0-9])")
_BECH32: Final = re.compile(r"bc1[02-9ac-hj-np-z]{11,71}(?![A-Za-z0-9])")
_ETHER: Final = re.compile(r"0x[0-9a-fA-F]{40}(?![A-Za-z0-9])")


def find_wallets(text: str) -> Iterator[Found]:
    """Bitcoin and Ethereum addresses."""
    for match in _BASE58.finditer(text):
        if is_valid("bitcoin", match.group()):
            yield Found(Kind.WALLET, *match.span())
    if "bc1" in text:
        for match in _BECH32.finditer(text):
            if is_valid("bitcoin", match.group()):
                yield Found(Kind.WALLET, *match.span())
    if "0x" in text:
        for match in _ETHER.finditer(text):
            yield Found(Kind.WALLET, *match.span())
