"""The inbox of a node in Redis: what its mining workers hand in, until a process of the node has dealt with it.

An entry is taken by moving it to a second list, where it stays until it is dealt with. So a process that is killed in
between loses nothing: what stays there is taken again (`left_behind`). Whoever has the miners' password can write
anything into the list, so nothing in it is believed.
"""

import re
from dataclasses import dataclass

from services.store.base import NodeStore
from shared.proof import MAX_PROOF

# Bytes of an entry that is read.
_LONGEST = 256
_NO_NAME = re.compile(r"\s")
_FORM = re.compile(
    rb"(proof) ([0-9a-f]{32}) ([0-9]{1,18}) ([0-9]{1,16}) (\S{1,128})|(template) ([0-9a-f]{32}) ([0-9]{1,18})|look"
)
# Entries that are read at once of those that were left behind.
_PAGE = 64
LOOK = "look"


@dataclass(frozen=True, slots=True)
class FoundProof:
    """A proof that a worker says it has found."""

    round_id: str
    version: str  # of the template
    proof: int
    worker: str  # its name

    @property
    def text(self) -> str:
        """As an entry."""
        return f"proof {self.round_id} {self.version} {self.proof} {_NO_NAME.sub('_', self.worker)[:128]}"


@dataclass(frozen=True, slots=True)
class OldTemplate:
    """A worker has found that the template of a round must be renewed."""

    round_id: str
    version: str  # of the template


@dataclass(frozen=True, slots=True)
class Look:
    """The wish that the next round is opened, if one is wanted."""


Entry = FoundProof | OldTemplate | Look


def read_entry(text: bytes) -> Entry | None:
    """What an entry says; None if it is not one of ours."""
    found = _FORM.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None:
        return None
    if found[1]:
        proof, worker = int(found[4]), found[5].decode(errors="replace")
        return FoundProof(found[2].decode(), found[3].decode(), proof, worker) if proof <= MAX_PROOF else None
    return OldTemplate(found[7].decode(), found[8].decode()) if found[6] else Look()


class InboxStore(NodeStore):
    """The inbox of one node."""

    def take(self, seconds: float = 0.0) -> bytes | None:
        """The next entry, which stays among those that are being dealt with; None if none comes within `seconds`."""
        if seconds > 0:
            return self._redis.blmove(self.keys.inbox, self.keys.inbox_taken, seconds, src="LEFT", dest="RIGHT")
        found: bytes | None = self._scripts.run("take_entry", [self.keys.prefix], [])
        return found

    def done(self, entry: bytes) -> None:
        """Forget an entry that was taken: it is dealt with."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.lrem(self.keys.inbox_taken, 1, entry)
        pipeline.execute()

    def left_behind(self) -> list[bytes]:
        """Entries that were taken and are not dealt with, the oldest first; not more than a page."""
        return self._redis.lrange(self.keys.inbox_taken, 0, _PAGE - 1)

    def wish(self) -> None:
        """Ask the desk to open the next round."""
        self._scripts.run("hand_in", [self.keys.prefix], [LOOK, ""])

    def rested(self) -> None:
        """Note that the next round may be opened at once."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.delete(self.keys.resting)
        pipeline.execute()

    def attend(self, seconds: int) -> None:
        """Note that this process deals with the inbox, for so many seconds."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.set(self.keys.desk, "1", ex=seconds)
        pipeline.execute()

    def is_attended(self) -> bool:
        """Whether a process has noted lately that it does."""
        return self._redis.get(self.keys.desk) is not None

    def refuse(self) -> None:
        """Count an entry that is false."""
        self._scripts.run("refuse_entry", [self.keys.prefix], [])
