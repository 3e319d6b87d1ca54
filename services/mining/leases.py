"""Leases: ranges of proofs of the open round for miners that are not trusted, and what their shares are worth.

Walk: `take` (a miner with a voucher leases a range) → it searches → `report` (its shares are verified and credited; a
proof of a block is sealed as a worker's is) → the next lease. A lease is a claim that the node holds for somebody: both
take from the same cursor of the same round. What does not come back is not leased again; a search has no memory.
"""

import math
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from services.connections.servers import RedisError
from services.errors import Busy, NotFound, PolicyError
from services.mining.desk import Desk
from services.mining.policy import MiningPolicy
from services.mining.rounds import Rounds
from services.mining.searches import ARRIVAL_SECONDS, REFRESH_SECONDS
from services.mining.vouchers import Vouchers, digest_of
from services.ports import Ports, Store
from services.store.keys import Keys
from services.store.leases import Call, Credit, Lease, LeaseStore, Miner, Noted, NotNoted, Refuse, Stale, Take, Terms
from services.store.searches import Claim
from services.store.vouchers import VoucherStore
from shared.errors import NodeError
from shared.proof import meets, proof_hash
from shared.shares import SHARES_PER_LEASE

# A lease has as many proofs as its miner says it searches in this time: the most that a lost lease costs the miner.
WORK_SECONDS: Final = 1.5
FEWEST_PROOFS: Final = 1_024
MOST_PROOFS: Final = 2**36
# Seconds for which a lease can be reported to. A slow miner may need longer than it thought.
LEASE_SECONDS: Final = 30
# Seconds after its beginning for which shares of a lease still count although the tip has moved.
GRACE_SECONDS: Final = 5.0
# Leases that one miner has not worked off, miners of one voucher, and shares of one report.
MOST_LEASES: Final = 64
MOST_MINERS: Final = 1_000
MOST_SHARES: Final = 256
# Leases that this process remembers, so that a report reads the store once less.
_REMEMBERED: Final = 20_000
_ATTEMPTS: Final = 20


class UnknownVoucher(NodeError):
    """No voucher has this secret, or it was revoked."""


class UnknownLease(NotFound):
    """The voucher has no such lease, or it has expired."""


class Reported(NamedTuple):
    """What a report has brought."""

    accepted: int  # shares that are credited
    rejected: int  # valid shares that came too late: the tip had moved
    credited: int  # hashes
    sealed: str | None  # hash of the block that one of the shares has made
    is_stale: bool  # the lease is of no use any more


class Asked(NamedTuple):
    """What a miner asks for: the arguments of `Leases.take`."""

    secret: str
    miner: str
    address: str
    rate: int


class Handed(NamedTuple):
    """What a miner hands in: the arguments of `Leases.report`."""

    secret: str
    lease_id: str
    shares: Sequence[int]
    hashes: int


class _Wrong(NamedTuple):
    """A report that is refused, and how that is counted."""

    error: PolicyError
    counted: Refuse


class Leases:
    """The leases of one node, and its `vouchers`. Every method may be called from any thread."""

    def __init__(
        self, policy: MiningPolicy, rounds: Rounds, desk: Desk, ports: Ports, redis: Store, keys: Keys
    ) -> None:
        self._policy = policy
        self._desk = desk
        self._store = LeaseStore(redis, keys)
        self._vouchers = VoucherStore(redis, keys)
        self.vouchers = Vouchers(self._vouchers, ports.clock, ports.randomness)
        self._rounds = rounds
        self._clock = ports.clock
        self._randomness = ports.randomness
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Lease] = OrderedDict()

    def take(self, secret: str, miner: str, address: str, rate: int) -> Lease | None:
        """Lease proofs of the open round, or of the one that is wanted and opens now. None: no round is open.

        Args:
            secret: of the miner's voucher, or its short code.
            miner: its name; any that is safe to show.
            address: for payouts; "" for none.
            rate: hashes per second that it says it does.

        Raises:
            UnknownVoucher: no voucher has this secret.
            Busy: `too_many_leases`.
        """
        asked = Asked(secret, miner, address, rate)
        for _ in range(_ATTEMPTS):
            found = self._store.take(self._take(asked))
            if isinstance(found, Lease):
                self._remember(found)
                return found
            if isinstance(found, Stale):
                self._rounds.renew_old(found.round_id)
            elif found == "none":
                if self._rounds.rest() > 0 or self._rounds.ensure_open() is None or self._is_aside():
                    return None
            else:
                raise _not_taken(found)
        return None

    def _take(self, asked: Asked) -> Take:
        """What the store is asked for."""
        now = self._clock.now()
        proofs = min(MOST_PROOFS, max(FEWEST_PROOFS, int(asked.rate * WORK_SECONDS)))
        terms = Terms(
            asked.miner,
            asked.address,
            proofs,
            max(1, proofs // SHARES_PER_LEASE),
            now,
            math.floor(now) + LEASE_SECONDS,
            REFRESH_SECONDS,
            ARRIVAL_SECONDS if self._policy.never_idle else 0,
            MOST_LEASES,
            MOST_MINERS,
        )
        return Take(digest_of(asked.secret), self._randomness.token(), terms)

    def report(self, secret: str, lease_id: str, shares: Sequence[int], hashes: int) -> Reported:
        """Credit the shares of a lease, and seal the block if one of them is its proof.

        Args:
            shares: proofs; at most MOST_SHARES.
            hashes: that the miner says it has done for this lease since its last report; 0 to 2^53 - 1.

        Raises:
            UnknownVoucher: no voucher has this secret.
            UnknownLease: it has no such lease.
            PolicyError: `share_outside_lease`, `share_repeated`, `share_too_easy`. Nothing is credited; it is counted.
        """
        digest = digest_of(secret)
        lease = self._of(digest, lease_id)
        try:
            proofs = _verified(lease, shares)
        except PolicyError:
            self._store.refuse(Refuse(digest, lease.miner))
            raise
        worker, sealed = _worker_of(lease), None
        if proofs:
            # Before its shares are credited: a report that failed here can be sent again, and counts as it would have.
            is_stale = self._credit(digest, lease, shares, proofs, hashes, worker, "check").is_stale
            sealed = None if is_stale else self._seal(lease, proofs, f"{worker}/{lease.miner}")
            sealed = sealed or self._sealed_before(lease, proofs)
        noted = self._credit(digest, lease, shares, proofs, hashes, worker, "" if sealed is None else "sealed")
        if sealed is not None:
            self._desk.sealed()
        return _reported(lease, shares, noted, sealed)

    def _credit(
        self,
        digest: str,
        lease: Lease,
        shares: Sequence[int],
        proofs: Sequence[int],
        hashes: int,
        worker: str,
        mode: Literal["check", "sealed", ""],
    ) -> Noted:
        """As `LeaseStore.credit`. Raises: as `report`."""
        done = Credit(digest, lease, self._clock.now(), shares, len(proofs), hashes, GRACE_SECONDS, worker, mode)
        noted = self._store.credit(done)
        if not isinstance(noted, Noted):
            raise _not_noted(noted)
        return noted

    def each(self, asked: Sequence[Asked | Handed]) -> list[Lease | Reported | NodeError | RedisError | None]:
        """`take` and `report` for many miners at once, in one round trip to the store; two where leases were taken in
        another process. One's fault is its own.

        Returns:
            for each the lease, what the report has brought, or the error. None: nothing was done, since more is needed
            than the one round trip, such as a new template or a block; the caller calls `take` or `report` for it.

        Raises:
            RedisError: the store does not answer. Any of them may have happened.
        """
        found: list[Lease | Reported | NodeError | RedisError | None] = [None] * len(asked)
        self._recall(asked)
        places: list[int] = []
        calls: list[Call] = []
        for place, each in enumerate(asked):
            call = self._take(each) if isinstance(each, Asked) else self._credit_of(each)
            if call is not None:
                places.append(place)
                calls.append(call.counted if isinstance(call, _Wrong) else call)
                found[place] = call.error if isinstance(call, _Wrong) else None
        outcomes = self._store.each(calls) if calls else []
        for place, made, outcome in zip(places, calls, outcomes, strict=True):
            match made, outcome:
                case _, Lease():
                    self._remember(outcome)
                    found[place] = outcome
                case Credit(), Noted():
                    found[place] = _reported(made.lease, made.shares, outcome, None)
                case _, RedisError():
                    found[place] = outcome
                case Take(), "unknown" | "leases" | "miners":
                    found[place] = _not_taken(outcome)
                case Credit(), "unknown" | "ended" | "repeated":
                    found[place] = _not_noted(outcome)
        return found

    def _recall(self, asked: Sequence[Asked | Handed]) -> None:
        """Remember leases that are reported to here, and were taken in another process."""
        missing = {each.lease_id for each in asked if isinstance(each, Handed) and each.lease_id not in self._known}
        for lease in self._store.leases(sorted(missing - {""})) if missing else ():
            self._remember(lease)

    def _credit_of(self, handed: Handed) -> "Credit | _Wrong | None":
        """What the store is asked for; None if that is not known at once, or a block comes first."""
        digest = digest_of(handed.secret)
        lease = self._known.get(handed.lease_id)
        if lease is None or lease.secret != digest:
            return None
        try:
            if _verified(lease, handed.shares):
                return None
        except PolicyError as error:
            return _Wrong(error, Refuse(digest, lease.miner))
        now, worker = self._clock.now(), _worker_of(lease)
        return Credit(digest, lease, now, handed.shares, 0, handed.hashes, GRACE_SECONDS, worker)

    def miners(self, most: int) -> list[Miner]:
        """The miners that were seen last, the last one first."""
        return self._store.miners(most)

    def _of(self, digest: str, lease_id: str) -> Lease:
        """A lease that a voucher may report to.

        Raises:
            UnknownVoucher, UnknownLease.
        """
        with self._lock:
            known = self._known.get(lease_id)
        if known is not None and known.secret == digest:
            return known  # whether the voucher still holds it is asked when its shares are credited
        holder = self._vouchers.holder(digest)
        if holder is None:
            raise UnknownVoucher("No voucher has this secret, or it was revoked.")
        found = self._store.lease(lease_id) if known is None else known
        if found is None or self._vouchers.holder(found.secret) != holder:
            raise UnknownLease("The lease has expired, or is not of this voucher.")
        return found

    def _remember(self, lease: Lease) -> None:
        with self._lock:
            self._known[lease.id] = lease
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)

    def _is_aside(self) -> bool:
        """Whether the open round is one aside, of which nothing is leased."""
        return bool(self._rounds.aside())

    def _seal(self, lease: Lease, proofs: Sequence[int], worker: str) -> str | None:
        claim = Claim(lease.round_id, lease.version, lease.prefix, lease.difficulty, lease.proofs)
        for proof in proofs:
            accepted = self._rounds.seal(claim, proof, worker)
            if accepted is not None:
                return accepted.block.hash
        return None

    def _sealed_before(self, lease: Lease, proofs: Sequence[int]) -> str | None:
        """The block that has ended the lease's round, if a process made it of one of these proofs, and ended then."""
        block = self._rounds.block_of(lease.round_id)
        return block if any(proof_hash(lease.prefix, proof).hex() == block for proof in proofs) else None


def _worker_of(lease: Lease) -> str:
    """The name under which the hashes of a lease count in its round."""
    return f"http:{lease.voucher}"


def _reported(lease: Lease, shares: Sequence[int], noted: Noted, sealed: str | None) -> Reported:
    credited = noted.accepted * lease.share_difficulty
    return Reported(noted.accepted, len(shares) - noted.accepted, credited, sealed, noted.is_stale)


def _not_taken(why: Literal["unknown", "leases", "miners"]) -> NodeError:
    """Why a miner gets no lease."""
    match why:
        case "unknown":
            return UnknownVoucher("No voucher has this secret, or it was revoked.")
        case "leases":
            return Busy("too_many_leases", f"A miner holds at most {MOST_LEASES} leases; report to one first.")
        case "miners":
            return Busy("too_many_leases", f"A voucher has at most {MOST_MINERS:,} miners; use one of their names.")


def _not_noted(why: NotNoted) -> NodeError:
    """Why shares are not credited."""
    match why:
        case "unknown":
            return UnknownVoucher("No voucher has this secret, or it was revoked.")
        case "ended":
            return UnknownLease("The lease has expired, or is not of this voucher.")
        case "repeated":
            return PolicyError("share_repeated", "A share of the report was handed in before.", field="shares")


def _verified(lease: Lease, shares: Sequence[int]) -> list[int]:
    """Those of the shares that are proofs of the block. Raises: PolicyError, as `Leases.report`."""
    if any(share not in lease.proofs for share in shares):
        raise PolicyError("share_outside_lease", "A share of the report lies outside the lease.", field="shares")
    if len(set(shares)) != len(shares):
        raise PolicyError("share_repeated", "The report has a share twice.", field="shares")
    proofs = []
    for share in shares:
        digest = proof_hash(lease.prefix, share)
        if not meets(digest, lease.share_difficulty):
            raise PolicyError("share_too_easy", "A share of the report does not meet the difficulty.", field="shares")
        if meets(digest, lease.difficulty):
            proofs.append(share)
    return proofs
