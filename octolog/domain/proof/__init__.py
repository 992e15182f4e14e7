"""Proofs about facts that need neither the log nor octolog: Merkle trees, signed checkpoints, Ed25519.

Nothing here imports anything but the standard library and its siblings: an audit bundle carries a copy of
these modules, and they run there alone.
"""
