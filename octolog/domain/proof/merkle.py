"""Merkle trees over the facts of a partition, as RFC 6962 defines them.

The hash of a leaf is SHA-256 over a zero byte and the leaf, that of a node SHA-256 over a one byte and its two
children. A tree of n leaves splits at the largest power of two below n. Two kinds of proof follow: that a leaf
is in a tree (`inclusion_proof`), and that a tree is the beginning of a later one (`consistency_proof`).

A growing tree is kept as its *peaks*: the roots of the perfect trees that the binary digits of its size name,
largest first. They are all that is needed to add leaves and to say the root.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = sha256().digest()
"""The root of a tree without leaves."""


def leaf_hash(leaf: bytes) -> bytes:
    """The hash of one leaf."""
    return sha256(b"\0" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of a node."""
    return sha256(b"\1" + left + right).digest()


class Peaks:
    """A tree that grows at its end.

    Args:
        size: Leaves so far.
        peaks: Roots of its perfect trees, largest first, one after the other.

    Raises:
        ValueError: When there are not as many peaks as the size has binary ones.
    """

    def __init__(self, size: int = 0, peaks: bytes = b"") -> None:
        if size < 0 or len(peaks) != HASH_BYTES * size.bit_count():
            raise ValueError(f"{len(peaks)} bytes are not the peaks of {size} leaves")
        self.size = size
        self._peaks = [peaks[i : i + HASH_BYTES] for i in range(0, len(peaks), HASH_BYTES)]

    def add(self, leaves: Iterable[bytes]) -> None:
        """Append leaves."""
        size, peaks = self.size, self._peaks
        for leaf in leaves:
            node = sha256(b"\0" + leaf).digest()
            carry = size
            while carry & 1:
                node = sha256(b"\1" + peaks.pop() + node).digest()
                carry >>= 1
            peaks.append(node)
            size += 1
        self.size = size

    def packed(self) -> bytes:
        """The peaks one after the other; with `size` the whole state."""
        return b"".join(self._peaks)

    def root(self) -> bytes:
        """The root of the tree as it is."""
        if not self._peaks:
            return EMPTY_ROOT
        root = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            root = node_hash(peak, root)
        return root


class Tracer:
    """A tree that grows, and the inclusion proofs of some of its leaves: memory grows with those alone."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[tuple[bytes, list[int]]] = []
        self._paths: dict[int, list[bytes]] = {}

    def add(self, leaf: bytes, *, wanted: bool) -> None:
        """Append a leaf; `wanted`: a proof of it will be asked for."""
        node, traced = leaf_hash(leaf), [self.size] if wanted else []
        if wanted:
            self._paths[self.size] = []
        carry = self.size
        while carry & 1:
            node, traced = self._joined(*self._peaks.pop(), node, traced)
            carry >>= 1
        self._peaks.append((node, traced))
        self.size += 1

    def finish(self) -> tuple[bytes, dict[int, list[bytes]]]:
        """The root, and the proofs by leaf; nothing may be added after."""
        if not self._peaks:
            return EMPTY_ROOT, {}
        node, traced = self._peaks.pop()
        while self._peaks:
            node, traced = self._joined(*self._peaks.pop(), node, traced)
        return node, self._paths

    def _joined(
        self, left: bytes, under_left: list[int], right: bytes, under_right: list[int]
    ) -> tuple[bytes, list[int]]:
        for index in under_left:
            self._paths[index].append(right)
        for index in under_right:
            self._paths[index].append(left)
        return node_hash(left, right), under_left + under_right


class Levels:
    """A whole tree in memory, for proofs about any of its leaves: 64 bytes for each.

    Args:
        leaves: All of them, in order.
    """

    def __init__(self, leaves: Iterable[bytes]) -> None:
        self._levels: list[list[bytes]] = [[leaf_hash(leaf) for leaf in leaves]]
        while len(self._levels[-1]) > 1:
            below = self._levels[-1]
            self._levels.append([node_hash(*below[i : i + 2]) for i in range(0, len(below) - 1, 2)])

    @property
    def size(self) -> int:
        """Leaves in the tree."""
        return len(self._levels[0])

    def root(self, size: int) -> bytes:
        """The root when the tree had `size` leaves."""
        return self._span(0, size) if size else EMPTY_ROOT

    def inclusion_proof(self, index: int, size: int) -> tuple[bytes, ...]:
        """What proves leaf `index` to be in the tree of the first `size` leaves; RFC 6962, 2.1.1.

        Raises:
            IndexError: When there is no such leaf or no such tree.
        """
        if not 0 <= index < size <= self.size:
            raise IndexError(f"leaf {index} of {size}; the tree has {self.size}")
        return tuple(self._path(index, 0, size))

    def consistency_proof(self, old: int, size: int) -> tuple[bytes, ...]:
        """What proves the first `old` leaves to begin the tree of the first `size`; RFC 6962, 2.1.2.

        Raises:
            IndexError: When there are no such trees.
        """
        if not 0 < old <= size <= self.size:
            raise IndexError(f"{old} of {size} leaves; the tree has {self.size}")
        return tuple(self._begins(old, 0, size, whole=True))

    def _path(self, index: int, start: int, size: int) -> list[bytes]:
        if size == 1:
            return []
        left = _split(size)
        if index < left:
            return [*self._path(index, start, left), self._span(start + left, size - left)]
        return [*self._path(index - left, start + left, size - left), self._span(start, left)]

    def _begins(self, old: int, start: int, size: int, *, whole: bool) -> list[bytes]:
        if old == size:
            return [] if whole else [self._span(start, size)]
        left = _split(size)
        if old <= left:
            return [*self._begins(old, start, left, whole=whole), self._span(start + left, size - left)]
        return [*self._begins(old - left, start + left, size - left, whole=False), self._span(start, left)]

    def _span(self, start: int, size: int) -> bytes:
        """The root of `size` leaves from `start`, which is a multiple of the power of two at or above `size`."""
        if size & (size - 1) == 0:
            height = size.bit_length() - 1
            return self._levels[height][start >> height]
        left = _split(size)
        return node_hash(self._span(start, left), self._span(start + left, size - left))


def root_from_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes | None:
    """The root that a leaf's proof leads to; None for a proof that fits no such tree; RFC 9162, 2.1.3.2."""
    if not 0 <= index < size:
        return None
    node, last, found = index, size - 1, leaf_hash(leaf)
    for hash_ in proof:
        if last == 0:
            return None
        if node & 1 or node == last:
            found = node_hash(hash_, found)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            found = node_hash(found, hash_)
        node, last = node >> 1, last >> 1
    return found if last == 0 else None


def is_consistent(old: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether the tree of `old` leaves is proved to begin the tree of `size`; RFC 9162, 2.1.4.2."""
    if not 0 < old <= size:
        return False
    if old == size:
        return not proof and old_root == root
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not path:
        return False
    node, last = old - 1, size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    first = second = path[0]
    for hash_ in path[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            first, second = node_hash(hash_, first), node_hash(hash_, second)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            second = node_hash(second, hash_)
        node, last = node >> 1, last >> 1
    return last == 0 and first == old_root and second == root


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1
