"""Leases and miners in Redis. What they mean is in services/mining/leases.py."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal

from services.store.base import NodeStore


@dataclass(frozen=True, slots=True)
class Lease:
    """A range of proofs that one miner has leased, and what it needs to search them. Times are Unix seconds."""

    id: str  # 32 hex digits
    secret: str  # SHA-256 (hex) of the secret by which it was taken
    voucher: str  # name
    miner: str  # name
    round_id: str
    version: str  # of the template
    height: int  # of the block
    parent: str  # hash of the tip that the block follows
    prefix: bytes  # what proofs are appended to: the template's seal
    difficulty: int
    share_difficulty: int
    proofs: range
    expires: int


@dataclass(frozen=True, slots=True)
class Terms:
    """What a miner asks for, and what a node gives at most. Times are Unix seconds."""

    miner: str
    address: str  # "" for none
    proofs: int
    per_share: int  # proofs for one share, at most
    now: float
    expires: int
    template_seconds: float  # a template that is older needs to be renewed
    arrival_seconds: float  # the same if transactions have arrived since; 0: they do not count
    most_leases: int  # of one miner
    most_miners: int  # of one voucher


@dataclass(frozen=True, slots=True)
class Stale:
    """A round needs a new template before proofs of it are leased."""

    round_id: str


@dataclass(frozen=True, slots=True)
class Noted:
    """What became of a report."""

    accepted: int  # shares that count
    is_stale: bool  # the tip has moved or the round has ended


@dataclass(frozen=True, slots=True)
class Miner:
    """What one miner has done since its first lease."""

    voucher: str  # name
    name: str
    seen: float  # Unix seconds of its last lease or report
    address: str = ""  # for payouts; "" for none
    difficulty: int = 1  # of the shares of its last lease
    credited: int = 0  # hashes
    squares: float = 0.0  # the sum of share difficulty², which is the variance of `credited`
    reported: int = 0  # hashes, as it says
    shares: int = 0
    late: int = 0  # shares that came too late to count
    refused: int = 0  # reports
    proofs: int = 0  # of blocks, handed in while they could be appended
    blocks: int = 0  # that were appended
    expected: float = 0.0  # blocks that so much credit finds on average

    @property
    def usual_difficulty(self) -> int:
        """Of its shares, weighted by their credit."""
        return max(1, round(self.squares / self.credited)) if self.credited else self.difficulty


_STORED = tuple(field.name for field in fields(Miner))[3:]
_NOT_WHOLE = frozenset({"address", "squares", "expected"})
_LEASE = ("secret", "voucher_name", "miner", "round", "version", "height", "parent", "prefix", "difficulty",
          "share_difficulty", "start", "stop", "expires")  # fmt: skip


class LeaseStore(NodeStore):
    """The leases and the miners of one node."""

    def take(
        self, secret: str, lease_id: str, terms: Terms
    ) -> Lease | Stale | Literal["unknown", "none", "leases", "miners"]:
        """Lease the next proofs of the open round to a miner.

        Args:
            secret: SHA-256 (hex) of the secret of its voucher.

        Returns:
            the lease; or `Stale`; or "unknown": no voucher has this secret; "none": no round is open; "leases" or
            "miners": the miner holds too many leases, or the voucher has too many miners.
        """
        args = [
            secret,
            terms.miner,
            terms.address,
            lease_id,
            terms.now,
            terms.proofs,
            terms.template_seconds,
            terms.arrival_seconds,
            terms.expires,
            terms.per_share,
            terms.most_leases,
            terms.most_miners,
        ]
        outcome, *found = self._scripts.run("lease", [self.keys.prefix], args)
        match outcome:
            case b"unknown":
                return "unknown"
            case b"none":
                return "none"
            case b"leases":
                return "leases"
            case b"miners":
                return "miners"
            case b"stale":
                return Stale(found[0].decode())
        voucher, round_id, version, parent, prefix, difficulty, share_difficulty, first, height = found
        start = int(first)
        return Lease(
            id=lease_id,
            secret=secret,
            voucher=voucher.decode(),
            miner=terms.miner,
            round_id=round_id.decode(),
            version=version.decode(),
            height=int(height),
            parent=parent.decode(),
            prefix=prefix,
            difficulty=int(difficulty),
            share_difficulty=int(share_difficulty),
            proofs=range(start, start + terms.proofs),
            expires=terms.expires,
        )

    def lease(self, lease_id: str) -> Lease | None:
        """One lease; None if there is none, or it has expired."""
        found = self._redis.hmget(self.keys.lease(lease_id), list(_LEASE))
        if found[0] is None:
            return None
        values = {name: value or b"" for name, value in zip(_LEASE, found, strict=True)}
        return Lease(
            id=lease_id,
            secret=values["secret"].decode(),
            voucher=values["voucher_name"].decode(),
            miner=values["miner"].decode(),
            round_id=values["round"].decode(),
            version=values["version"].decode(),
            height=int(values["height"]),
            parent=values["parent"].decode(),
            prefix=values["prefix"],
            difficulty=int(values["difficulty"]),
            share_difficulty=int(values["share_difficulty"]),
            proofs=range(int(values["start"]), int(values["stop"])),
            expires=int(values["expires"]),
        )

    def credit(
        self, secret: str, lease: Lease, now: float, shares: Sequence[int], proofs: int, hashes: int, grace: float,
        worker: str, mode: Literal["check", "sealed", ""] = "",
    ) -> Noted | Literal["unknown", "ended", "repeated"]:  # fmt: skip
        """Credit a miner with the shares of one lease, which were verified, each once.

        Args:
            secret: SHA-256 (hex) of the secret of its voucher.
            proofs: how many of the shares are proofs of a block.
            hashes: that the miner says it has done.
            grace: seconds after its beginning for which shares of a lease whose tip has moved still count.
            worker: the name under which the hashes count in the round.
            mode: "check" writes nothing; "sealed": one of the shares has just sealed the round.

        Returns:
            what became of them; or "unknown": no voucher has this secret; "ended": it has no such lease; "repeated": a
            share was handed in before.
        """
        args = [secret, lease.id, now, hashes, grace, proofs, worker, mode, *shares]
        outcome, *found = self._scripts.run("credit", [self.keys.prefix], args)
        match outcome:
            case b"unknown":
                return "unknown"
            case b"ended":
                return "ended"
            case b"repeated":
                return "repeated"
        return Noted(int(found[0]), bool(found[1]))

    def refuse(self, secret: str, miner: str) -> None:
        """Count a report that was refused because of its shares."""
        self._scripts.run("count_miner", [self.keys.prefix], [secret, miner, "refused"])

    def note_block(self, secret: str, miner: str) -> None:
        """Count a block that a miner's proof has sealed."""
        self._scripts.run("count_miner", [self.keys.prefix], [secret, miner, "blocks"])

    def miners(self, most: int) -> list[Miner]:
        """The miners that were seen last, the last one first, at most `most` of all vouchers."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.zrange(self.keys.vouchers_seen, 0, most - 1, desc=True)
        ids = [found.decode() for found in pipeline.execute()[0]]
        for each in ids:
            pipeline.hget(self.keys.voucher(each), "name")
            pipeline.zrange(self.keys.miners(each), 0, most - 1, desc=True, withscores=True)
        replies = pipeline.execute() if ids else []
        seen = [
            (at, each, name, found)
            for each, name, miners in zip(ids, replies[::2], replies[1::2], strict=True)
            for found, at in miners
            if name is not None
        ]
        seen.sort(key=lambda item: (-item[0], item[1], item[3]))
        for _, each, _, found in seen[:most]:
            pipeline.hmget(self.keys.miner(f"{each}:{found.decode()}"), list(_STORED))
        values = pipeline.execute() if seen else []
        return [
            _miner(name.decode(), found.decode(), at, stored)
            for (at, _, name, found), stored in zip(seen[:most], values, strict=True)
        ]


def _miner(voucher: str, name: str, seen: float, stored: Sequence[bytes | None]) -> Miner:
    values = {field: value.decode() for field, value in zip(_STORED, stored, strict=True) if value}
    numbers = {field: int(value) for field, value in values.items() if field not in _NOT_WHOLE}
    return Miner(
        voucher,
        name,
        seen,
        address=values.get("address", ""),
        squares=float(values.get("squares", 0)),
        expected=float(values.get("expected", 0)),
        **numbers,
    )
