"""Signatures are checked as RFC 8032 says: its vectors, a library's signatures, and no edited one."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from octolog.domain.proof.ed25519 import is_signed

VECTORS = (
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
)
"""RFC 8032, 7.1, tests 1 and 2."""


@pytest.mark.parametrize(("key", "message", "signature"), VECTORS)
def test_the_vectors_of_the_standard_are_accepted(key: str, message: str, signature: str) -> None:
    assert is_signed(bytes.fromhex(key), bytes.fromhex(message), bytes.fromhex(signature))


@pytest.mark.parametrize("seed", range(5))
def test_a_librarys_signature_is_accepted_and_any_edit_refused(seed: int) -> None:
    secret = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
    key, message = secret.public_key().public_bytes_raw(), b"note %d" % seed
    signature = secret.sign(message)
    assert is_signed(key, message, signature)
    assert not is_signed(key, message + b" ", signature)
    for place in (0, 13, 31, 32, 50, 63):
        edited = bytearray(signature)
        edited[place] ^= 1 << seed
        assert not is_signed(key, message, bytes(edited))
    edited_key = bytes([key[0] ^ 1]) + key[1:]
    assert not is_signed(edited_key, message, signature)


def test_a_signature_plus_the_groups_order_is_another_and_refused() -> None:
    key, message, signature = (bytes.fromhex(part) for part in VECTORS[0])
    order = 2**252 + 27742317777372353535851937790883648493
    larger = int.from_bytes(signature[32:], "little") + order
    assert not is_signed(key, message, signature[:32] + larger.to_bytes(32, "little"))


@pytest.mark.parametrize("size", [0, 31, 33])
def test_what_is_no_key_signs_nothing(size: int) -> None:
    assert not is_signed(bytes(size), b"", bytes(64))
