"""Checkpoints and keys as the log has them; what is not rightly signed is a fault, and is not believed."""

from __future__ import annotations

from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass, field

from octolog.domain.audit import Checkpoint, NotaryKeyAnnounced
from octolog.domain.errors import NotFound, UndecodableRecord
from octolog.domain.proof.notes import checkpoint_note, key_id, key_note
from octolog.ports import LogReader, LogRecord
from schemas.codec import Codec
from streams.notary.keys import is_signed
from streams.topics import CHECKPOINTS


@dataclass(slots=True)
class Witness:
    """What notaries have signed.

    Attributes:
        keys: Announced keys, by id, in the order of the log.
        checkpoints: By partition, in the order of the log.
        faults: Offset and reason of what cannot be believed.
    """

    keys: dict[str, NotaryKeyAnnounced] = field(default_factory=dict[str, NotaryKeyAnnounced])
    checkpoints: defaultdict[int, list[Checkpoint]] = field(default_factory=lambda: defaultdict(list))
    faults: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])

    def add(self, record: LogRecord, codec: Codec) -> None:
        """Take in the next record of the topic."""
        try:
            said = codec.decode(record.value)
        except UndecodableRecord as error:
            self.faults.append((record.offset, str(error)))
            return
        fault = "a record of another kind"
        if isinstance(said, NotaryKeyAnnounced):
            fault = self._announced(said)
        elif isinstance(said, Checkpoint):
            fault = self._signed(said)
        if fault:
            self.faults.append((record.offset, fault))

    def _announced(self, said: NotaryKeyAnnounced) -> str:
        if said.key_id != key_id(said.public_key):
            return f"the key is not {said.key_id[:16]}..."
        signer = said
        if said.previous_key_id is not None:
            known = self.keys.get(said.previous_key_id)
            if known is None:
                return f"the key {said.key_id[:16]}... follows one that was not announced"
            signer = known
        if not is_signed(
            signer.public_key, key_note(said.public_key, said.previous_key_id, said.at_ms), said.signature
        ):
            return f"the announcement of key {said.key_id[:16]}... is not signed by {signer.key_id[:16]}..."
        self.keys.setdefault(said.key_id, said)
        return ""

    def _signed(self, said: Checkpoint) -> str:
        key = self.keys.get(said.key_id)
        if key is None:
            return f"a checkpoint by key {said.key_id[:16]}..., which was not announced"
        note = checkpoint_note(said.topic, said.partition, said.size, said.end_offset, said.root, said.at_ms)
        if not is_signed(key.public_key, note, said.signature):
            return f"a checkpoint that key {said.key_id[:16]}... did not sign"
        self.checkpoints[said.partition].append(said)
        return ""


def read_witness(reader: LogReader, codec: Codec) -> Witness:
    """Everything notaries have signed so far; nothing where the topic does not exist. Closes the reader.

    Raises:
        BrokerUnavailable: When Kafka does not answer.
    """
    witness = Witness()
    with closing(reader):
        try:
            ends = reader.ends([CHECKPOINTS])
        except NotFound:
            return witness
        until = {place: end for place, end in ends.items() if end > 0}
        for batch in reader.read(dict.fromkeys(until, 0), until=until) if until else ():
            for record in batch:
                witness.add(record, codec)
    return witness
