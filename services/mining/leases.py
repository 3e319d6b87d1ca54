"""Leases: ranges of proofs of the open round for miners that are not trusted, and what their shares are worth.

Walk: `take` (a miner with a voucher leases a range) → it searches → `report` (its shares are verified and credited; a
proof of a block is sealed as a worker's is) → the next lease. A lease is a claim that the node holds for somebody: both
take from the same cursor of the same round. What does not come back is not leased again; a search has no memory.
"""

import math
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from services.errors import Busy, NotFound, PolicyError
from services.mining.policy import MiningPolicy
from services.mining.rounds import ARRIVAL_SECONDS, REFRESH_SECONDS, Rounds
from services.mining.vouchers import Vouchers, digest_of
from services.ports import Ports, Store
from services.store.keys import Keys
from services.store.leases import Lease, LeaseStore, Miner, Noted, Stale, Terms
from services.store.mining import Claim
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


@dataclass(frozen=True, slots=True)
class Reported:
    """What a report has brought."""

    accepted: int  # shares that are credited
    rejected: int  # valid shares that came too late: the tip had moved
    credited: int  # hashes
    sealed: str | None  # hash of the block that one of the shares has made
    is_stale: bool  # the lease is of no use any more


class Leases:
    """The leases of one node, and its `vouchers`. Every method may be called from any thread."""

    def __init__(self, policy: MiningPolicy, rounds: Rounds, ports: Ports, redis: Store, keys: Keys) -> None:
        self._policy = policy
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
        digest = digest_of(secret)
        proofs = min(MOST_PROOFS, max(FEWEST_PROOFS, int(rate * WORK_SECONDS)))
        for _ in range(_ATTEMPTS):
            now = self._clock.now()
            terms = Terms(
                miner,
                address,
                proofs,
                max(1, proofs // SHARES_PER_LEASE),
                now,
                math.floor(now) + LEASE_SECONDS,
                REFRESH_SECONDS,
                ARRIVAL_SECONDS if self._policy.never_idle else 0,
                MOST_LEASES,
                MOST_MINERS,
            )
            found = self._store.take(digest, self._randomness.token(), terms)
            if isinstance(found, Lease):
                self._remember(found)
                return found
            if isinstance(found, Stale):
                self._rounds.renew_old(found.round_id)
            elif found == "none":
                if self._rounds.rest() > 0 or self._rounds.ensure_open() is None or self._is_aside():
                    return None
            elif found == "unknown":
                raise UnknownVoucher("No voucher has this secret, or it was revoked.")
            elif found == "leases":
                raise Busy("too_many_leases", f"A miner holds at most {MOST_LEASES} leases; report to one first.")
            else:
                raise Busy("too_many_leases", f"A voucher has at most {MOST_MINERS:,} miners; use a name of before.")
        return None

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
            self._store.refuse(digest, lease.miner)
            raise
        worker, sealed = f"http:{lease.voucher}", None
        if proofs and not self._credit(digest, lease, shares, proofs, hashes, worker, "check").is_stale:
            # Before its shares are credited: a report that failed here can be sent again.
            sealed = self._seal(lease, proofs, f"{worker}/{lease.miner}")
        noted = self._credit(digest, lease, shares, proofs, hashes, worker, "" if sealed is None else "sealed")
        if sealed is not None:
            self._store.note_block(digest, lease.miner)
            if self._rounds.rest() <= 0:
                self._rounds.ensure_open()  # as a search job does, which goes on to the next round
        credited = noted.accepted * lease.share_difficulty
        return Reported(noted.accepted, len(shares) - noted.accepted, credited, sealed, noted.is_stale)

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
        now = self._clock.now()
        noted = self._store.credit(digest, lease, now, shares, len(proofs), hashes, GRACE_SECONDS, worker, mode)
        match noted:
            case "unknown":
                raise UnknownVoucher("No voucher has this secret, or it was revoked.")
            case "ended":
                raise UnknownLease("The lease has expired, or is not of this voucher.")
            case "repeated":
                raise PolicyError("share_repeated", "A share of the report was handed in before.", field="shares")
        return noted

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
