"""What is wrong with a bundle, and where."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Final

KEPT: Final = 100
"""Faults that are named; all of them are counted."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong.

    Attributes:
        part: The part of the bundle; empty for the file itself.
        message: What is wrong, one line.
        byte: Where in the file, if it is about the file itself.
        topic: The record's topic, if it is about a record.
        partition: Its partition.
        offset: Its offset.
        task: Root task id, where it is known.
        seq: The fact's number in its tree, where it is known.
    """

    part: str
    message: str
    byte: int | None = None
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    task: str | None = None
    seq: int | None = None

    def __str__(self) -> str:
        if self.topic is not None:
            fact = f" ({self.task}, fact {self.seq})" if self.seq is not None else ""
            where = f"{self.topic}/{self.partition}" + (f"@{self.offset}" if self.offset is not None else "")
            return f"{where}{fact}: {self.message}"
        place = self.part or "the file"
        return (
            f"{place}, byte {self.byte}: {self.message}"
            if self.byte is not None
            else f"{place}: {self.message}"
        )


@dataclass
class Report:
    """What was found.

    Attributes:
        parts: Parts whose sums are right.
        records: Records read.
        facts: Facts whose hash and place are right.
        trees: Trees they are about.
        checkpoints: Checkpoints whose signature and root are right.
        covered: Facts that a checkpoint proves.
        redacted: Records without their personal data: a redacted fact's own hash cannot be found again.
        blobs: Large values that are what their names say.
        keys: Ids of the keys that signed, oldest first.
        sealed_by: Id of the key that signed the manifest; None: nobody did.
        notes: What is right but worth knowing.
        fault_count: Faults found.
        faults: The first of them.
    """

    parts: int = 0
    records: int = 0
    facts: int = 0
    trees: int = 0
    checkpoints: int = 0
    covered: int = 0
    redacted: int = 0
    blobs: int = 0
    keys: list[str] = field(default_factory=list)
    sealed_by: str | None = None
    notes: list[str] = field(default_factory=list)
    fault_count: int = 0
    faults: list[Fault] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """True when nothing is wrong."""
        return not self.fault_count

    def add(self, fault: Fault) -> None:
        """Count a fault, and keep it while there is room."""
        self.fault_count += 1
        if len(self.faults) < KEPT:
            self.faults.append(fault)

    def to_json(self) -> dict[str, Any]:
        """The report as a JSON document."""
        return {"ok": self.ok, **asdict(self)}
