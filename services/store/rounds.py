"""Rounds and mining requests as they are stored: the scripts write them, and these classes read them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class RoundState(StrEnum):
    """Where a round is."""

    OPEN = "open"  # workers search for its proof
    SEALED = "sealed"  # its block was appended
    CANCELLED = "cancelled"  # it ended without a block


class RequestStatus(StrEnum):
    """Where a mining request is."""

    QUEUED = "queued"  # it waits for a round
    STARTED = "started"  # a round is open that will answer it
    FINISHED = "finished"  # a block has answered it
    CANCELLED = "cancelled"  # its round was cancelled on request


@dataclass(frozen=True, slots=True)
class Round:
    """One search for a proof, from its first template to its block. Times are Unix seconds."""

    id: str  # 32 hex digits
    state: RoundState
    height: int  # of the block that it is for
    difficulty: int
    hashes: int  # done by all workers
    wasted: int  # of these, those for a template that did not count any more, or after the end
    version: str  # of the template; "" once the round has ended
    parent: str  # hash; "" once the round has ended
    opened_at: float
    ended_at: float | None
    block: str | None  # hash of the block that ended it
    sealed_by: str | None  # name of the worker that found the proof
    transactions: int  # in the template, besides the reward

    @property
    def is_open(self) -> bool:
        return self.state is RoundState.OPEN

    @classmethod
    def read(cls, values: Sequence[bytes | None], search: Sequence[bytes | None]) -> "Round | None":
        """The round whose stored fields are `values` and `search`; None if there is none.

        Args:
            values: in the order of ROUND_FIELDS.
            search: in the order of SEARCH_FIELDS. Those of `values` count where they are missing: an earlier release
                has written the round.
        """
        if values[0] is None:
            return None
        fields = {name: (value or b"").decode() for name, value in zip(ROUND_FIELDS, values, strict=True)}
        fields |= {name: value.decode() for name, value in zip(SEARCH_FIELDS, search, strict=True) if value is not None}
        return cls(
            id=fields["id"],
            state=RoundState(fields["state"]),
            height=int(fields["height"]),
            difficulty=int(fields["difficulty"]),
            hashes=int(fields["hashes"] or 0),
            wasted=int(fields["wasted"] or 0),
            version=fields["version"],
            parent=fields["parent"],
            opened_at=float(fields["opened_at"]),
            ended_at=float(fields["ended_at"]) if fields["ended_at"] else None,
            block=fields["block"] or None,
            sealed_by=fields["sealed_by"] or None,
            transactions=int(fields["transactions"] or 0),
        )


ROUND_FIELDS = tuple(Round.__dataclass_fields__)
# Of these, the ones that mining workers write, to a key of their own.
SEARCH_FIELDS = ("hashes", "wasted")


@dataclass(frozen=True, slots=True)
class MiningRequest:
    """A request for one block. The next block that this node seals answers the oldest request."""

    status: RequestStatus
    round_id: str | None  # the round that will answer it, or has answered it
    block: str | None  # hash of the block that answered it
    created_at: float  # Unix seconds

    @property
    def is_waiting(self) -> bool:
        return self.status in (RequestStatus.QUEUED, RequestStatus.STARTED)

    @classmethod
    def read(cls, fields: Mapping[bytes, bytes]) -> "MiningRequest | None":
        """The request with these stored fields; None if there is none."""
        if not fields:
            return None
        return cls(
            status=RequestStatus(fields[b"status"].decode()),
            round_id=fields[b"round"].decode() or None,
            block=fields[b"block"].decode() or None,
            created_at=float(fields[b"created_at"]),
        )


@dataclass(frozen=True, slots=True)
class RoundWorker:
    """What one worker has done for one round."""

    hashes: int
    since: float  # Unix seconds of its first claim, later by the time for which it was away
    last: float  # Unix seconds of its last report
    # Hashes that its speed leaves out, because it had another share of the hash-rate limit when it did them. Negative
    # where the speed is taken to have been the share for a second before `since`.
    before: int = 0

    @property
    def rate(self) -> int:
        """Hashes per second, while it searched."""
        seconds = self.last - self.since
        return int((self.hashes - self.before) / seconds) if seconds > 0 else 0

    @classmethod
    def read(cls, value: bytes) -> "RoundWorker":
        """The worker whose stored text is `value`."""
        hashes, since, last, *before = value.split(b":")
        return cls(int(hashes), float(since), float(last), *map(int, before))
