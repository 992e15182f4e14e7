"""Replaying the audit log: deciding it again, folding it, and looking at one tree as of a moment.

| function | does |
|---|---|
| `verify` | checks every hash, decides every fact again, accounts for every input; names the first difference |
| `verify_hashes` | checks hashes, chains, positions and checkpoints, from the bytes alone |
| `rebuild` | folds the facts into state, with a digest that two replays can be compared by |
| `state_at` | one tree as of an offset or a time |
"""

from __future__ import annotations

from streams.replay.fold import PartitionState, Rebuilt, rebuild, state_digest
from streams.replay.hash_pass import HashesReport, verify_hashes
from streams.replay.report import Difference, FieldDifference, Lost, PartitionReport, Report
from streams.replay.source import KafkaSource, Source
from streams.replay.tree_view import TreeView, state_at
from streams.replay.verify import verify

__all__ = [
    "Difference",
    "FieldDifference",
    "HashesReport",
    "KafkaSource",
    "Lost",
    "PartitionReport",
    "PartitionState",
    "Rebuilt",
    "Report",
    "Source",
    "TreeView",
    "rebuild",
    "state_at",
    "state_digest",
    "verify",
    "verify_hashes",
]
