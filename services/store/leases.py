"""Leases and miners in Redis. What they mean is in services/mining/leases.py."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple

from redis.exceptions import RedisError

from services.store.base import NodeStore


class Lease(NamedTuple):
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


class Terms(NamedTuple):
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


class Noted(NamedTuple):
    """What became of a report."""

    accepted: int  # shares that count
    is_stale: bool  # the tip has moved or the round has ended


class Take(NamedTuple):
    """A lease that a miner asks for."""

    secret: str  # SHA-256 (hex) of the secret of its voucher
    lease_id: str
    terms: Terms


class Credit(NamedTuple):
    """The shares of one lease, which were verified, each once."""

    secret: str  # SHA-256 (hex) of the secret of its miner's voucher
    lease: Lease
    now: float
    shares: Sequence[int]
    proofs: int  # how many of the shares are proofs of a block
    hashes: int  # that the miner says it has done
    grace: float  # seconds after its beginning for which shares of a lease whose tip has moved still count
    worker: str  # the name under which the hashes count in the round
    mode: Literal["check", "sealed", ""] = ""  # "check" writes nothing; "sealed": a share has just sealed the round


class Refuse(NamedTuple):
    """A report that is refused because of its shares."""

    secret: str  # SHA-256 (hex) of the secret of its miner's voucher
    miner: str


Call = Take | Credit | Refuse
# No voucher has this secret; no round is open; the miner holds too many leases; the voucher has too many miners.
NotTaken = Literal["unknown", "none", "leases", "miners"]
# No voucher has this secret; it has no such lease; a share was handed in before.
NotNoted = Literal["unknown", "ended", "repeated"]


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


# Names of the fields of `miner:…`.
STORED_OF_MINERS = tuple(field.name for field in fields(Miner))[3:]
_NOT_WHOLE = frozenset({"address", "squares", "expected"})
_LEASE = ("secret", "voucher_name", "miner", "round", "version", "height", "parent", "prefix", "difficulty",
          "share_difficulty", "start", "stop", "expires")  # fmt: skip


class LeaseStore(NodeStore):
    """The leases and the miners of one node."""

    def take(self, asked: Take) -> Lease | Stale | NotTaken:
        """Lease the next proofs of the open round to a miner. `Stale`: the round needs a new template first."""
        return _taken(asked, self._scripts.run("lease", [self.keys.prefix], _take_args(asked)))

    def lease(self, lease_id: str) -> Lease | None:
        """One lease; None if there is none, or it has expired."""
        return next(iter(self.leases([lease_id])), None)

    def leases(self, ids: Sequence[str]) -> list[Lease]:
        """Those of some leases that there are, and that have not expired, in one round trip."""
        pipeline = self._redis.pipeline(transaction=False)
        for each in ids:
            pipeline.hmget(self.keys.lease(each), list(_LEASE))
        stored = pipeline.execute() if ids else []
        return [_lease(each, found) for each, found in zip(ids, stored, strict=True) if found[0] is not None]

    def credit(self, done: Credit) -> Noted | NotNoted:
        """Credit a miner with shares."""
        return _noted(self._scripts.run("credit", [self.keys.prefix], _credit_args(done)))

    def refuse(self, refused: Refuse) -> None:
        """Count a report that was refused."""
        self._scripts.run("count_miner", [self.keys.prefix], [*refused])

    def each(self, calls: Sequence[Call]) -> list[Lease | Stale | Noted | NotTaken | NotNoted | RedisError | None]:
        """`take`, `credit` and `refuse` for many at once, in one round trip. Each is atomic, their sequence is not.

        Returns:
            for each what the method returns, or the error that the server gave for this one alone.

        Raises:
            RedisError: the connection failed. Any of them may have happened.
        """
        replies = self._scripts.run_each([_script(call) for call in calls], [self.keys.prefix])
        return [_outcome(call, reply) for call, reply in zip(calls, replies, strict=True)]

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
            pipeline.hmget(self.keys.miner(f"{each}:{found.decode()}"), list(STORED_OF_MINERS))
        values = pipeline.execute() if seen else []
        return [
            _miner(name.decode(), found.decode(), at, stored)
            for (at, _, name, found), stored in zip(seen[:most], values, strict=True)
        ]


def _lease(lease_id: str, found: Sequence[bytes | None]) -> Lease:
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


def _script(call: Call) -> tuple[str, list[Any]]:
    """The script of a call, and its arguments."""
    match call:
        case Take():
            return "lease", _take_args(call)
        case Credit():
            return "credit", _credit_args(call)
        case Refuse():
            return "count_miner", [*call]


def _outcome(call: Call, reply: Any) -> Lease | Stale | Noted | NotTaken | NotNoted | RedisError | None:
    if isinstance(reply, RedisError) or isinstance(call, Refuse):
        return reply if isinstance(reply, RedisError) else None
    return _taken(call, reply) if isinstance(call, Take) else _noted(reply)


def _take_args(asked: Take) -> list[Any]:
    terms = asked.terms
    return [
        asked.secret,
        terms.miner,
        terms.address,
        asked.lease_id,
        terms.now,
        terms.proofs,
        terms.template_seconds,
        terms.arrival_seconds,
        terms.expires,
        terms.per_share,
        terms.most_leases,
        terms.most_miners,
    ]


def _taken(asked: Take, reply: Any) -> Lease | Stale | NotTaken:
    outcome, *found = reply
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
    start, terms = int(first), asked.terms
    return Lease(
        id=asked.lease_id,
        secret=asked.secret,
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


def _credit_args(done: Credit) -> list[Any]:
    secret, lease, now, shares, proofs, hashes, grace, worker, mode = done
    return [secret, lease.id, now, hashes, grace, proofs, worker, mode, *shares]


def _noted(reply: Any) -> Noted | NotNoted:
    outcome, *found = reply
    match outcome:
        case b"unknown":
            return "unknown"
        case b"ended":
            return "ended"
        case b"repeated":
            return "repeated"
    return Noted(int(found[0]), bool(found[1]))


def _miner(voucher: str, name: str, seen: float, stored: Sequence[bytes | None]) -> Miner:
    values = {field: value.decode() for field, value in zip(STORED_OF_MINERS, stored, strict=True) if value}
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
