"""Merkle trees as RFC 6962 has them: its own examples, every small tree, and no proof for what is not so."""

from __future__ import annotations

from hashlib import sha256

import pytest

from octolog.domain.proof.merkle import EMPTY_ROOT, Levels, Peaks, Tracer, is_consistent, root_from_inclusion

LEAVES = tuple(
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
)
"""The leaves of Certificate Transparency's reference tests."""
ROOT_OF_8 = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
ROOT_OF_3 = "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"


def _leaves(count: int) -> list[bytes]:
    return [sha256(b"%d" % number).digest() for number in range(count)]


def test_roots_are_those_of_the_reference_tests() -> None:
    levels = Levels(LEAVES)
    assert levels.root(0) == EMPTY_ROOT
    assert levels.root(3).hex() == ROOT_OF_3
    assert levels.root(8).hex() == ROOT_OF_8


def test_a_growing_tree_has_the_roots_of_the_whole_one() -> None:
    leaves = _leaves(70)
    levels, peaks = Levels(leaves), Peaks()
    for size, leaf in enumerate(leaves, 1):
        peaks.add([leaf])
        assert peaks.root() == levels.root(size)
        again = Peaks(peaks.size, peaks.packed())
        again.add(leaves[size:])
        assert again.root() == levels.root(70)


def test_peaks_that_fit_no_size_are_refused() -> None:
    with pytest.raises(ValueError, match="not the peaks of 3 leaves"):
        Peaks(3, bytes(32))


@pytest.mark.parametrize("size", range(1, 20))
def test_every_leaf_is_proved_to_be_in_its_tree_and_nowhere_else(size: int) -> None:
    leaves = _leaves(20)
    levels = Levels(leaves)
    for index in range(size):
        proof = levels.inclusion_proof(index, size)
        assert root_from_inclusion(leaves[index], index, size, proof) == levels.root(size)
        assert root_from_inclusion(leaves[index + 1], index, size, proof) != levels.root(size)
        for other in range(size):
            if other != index:
                assert root_from_inclusion(leaves[index], other, size, proof) != levels.root(size)
        if proof:
            assert root_from_inclusion(leaves[index], index, size, proof[:-1]) is None
        assert root_from_inclusion(leaves[index], index, size, (*proof, bytes(32))) is None


@pytest.mark.parametrize("size", range(1, 20))
def test_every_earlier_tree_is_proved_to_begin_the_later_one(size: int) -> None:
    levels = Levels(_leaves(20))
    for old in range(1, size + 1):
        proof = levels.consistency_proof(old, size)
        assert is_consistent(old, levels.root(old), size, levels.root(size), proof)
        assert not is_consistent(old, bytes(32), size, levels.root(size), proof)
        assert not is_consistent(old, levels.root(old), size, bytes(32), proof)
        for place in range(len(proof)):
            edited = (*proof[:place], bytes(32), *proof[place + 1 :])
            assert not is_consistent(old, levels.root(old), size, levels.root(size), edited)


@pytest.mark.parametrize("size", range(20))
def test_a_traced_leaf_has_the_proof_of_the_whole_tree(size: int) -> None:
    leaves = _leaves(size)
    levels, tracer, wanted = Levels(leaves), Tracer(), set(range(0, size, 3))
    for index, leaf in enumerate(leaves):
        tracer.add(leaf, wanted=index in wanted)
    root, paths = tracer.finish()
    assert root == levels.root(size)
    assert {i: tuple(path) for i, path in paths.items()} == {
        i: levels.inclusion_proof(i, size) for i in wanted
    }


def test_a_leaf_beyond_the_tree_has_no_proof() -> None:
    with pytest.raises(IndexError, match="leaf 3 of 3"):
        Levels(_leaves(5)).inclusion_proof(3, 3)
