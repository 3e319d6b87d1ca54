"""Repairing the stored state from the blocks, while the node is marked and nothing else writes.

Walk: mark → finish the last reorganisation → replay everything and write what differs (services/audit/full.py) → one
script writes the tip with its digest and removes the mark. If the repair is killed in between, the node stays marked
and can be repaired again: every single write corrects one record.
"""

import json
from dataclasses import dataclass

import structlog

from services.audit.full import CANNOT_REPAIR, Advance, FullAudit
from services.audit.outcome import Outcome
from services.chain.reorganiser import Reorganiser
from services.errors import Pruned, TipMoved
from services.mempool.admission import Admitted, Mempool
from services.ports import Clock, Randomness
from services.store.chain import ChainStore
from services.store.faults import FaultStore, Finding
from services.store.mender import Mender
from shared.errors import NodeError, RuleError
from shared.rules import Rules
from shared.transaction import Transaction

_log = structlog.get_logger(__name__)

# Transactions of blocks above a damaged one that are kept for the mempool.
_KEPT = 20_000


@dataclass(frozen=True, slots=True)
class Repaired:
    """What a repair did."""

    findings: tuple[Finding, ...]  # what was wrong
    height: int  # of the chain now
    tip: str
    removed: int = 0  # blocks that were removed: a damaged one and those above it
    returned: int = 0  # their transactions that are in the mempool again


class BlockDamaged(NodeError):
    """A block itself is damaged, so what the chain is from there on is not known.

    Args:
        height: of the block.
        findings: what is wrong up to this block, which comes last.
    """

    def __init__(self, height: int, finding: Finding, findings: tuple[Finding, ...]) -> None:
        super().__init__(
            f"Block {height} is damaged (stored: {finding.stored}). quarry repair --truncate keeps the {height - 1} "
            "blocks below it; the node then fetches the others from its peers, if they have them."
        )
        self.height = height
        self.findings = findings


class Repair:
    """Repairs of one node's store."""

    def __init__(
        self,
        chain: ChainStore,
        rules: Rules,
        faults: FaultStore,
        reorganiser: Reorganiser,
        mempool: Mempool,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._chain = chain
        self._rules = rules
        self._faults = faults
        self._reorganiser = reorganiser
        self._mempool = mempool
        self._clock = clock
        self._randomness = randomness
        self._audit = FullAudit(chain, rules, clock)

    def run(self, advance: Advance = lambda done, total: None, *, truncate: bool = False) -> Repaired:
        """Make the stored state the one that the blocks give. If nothing differs, nothing is written.

        API and workers may run meanwhile: while the mark is there, they read but refuse to write.

        Args:
            truncate: if a block is damaged, keep the chain below it.

        Raises:
            Pruned: something differs, and the bodies of old blocks were pruned. Nothing has changed.
            BlockDamaged: a block is damaged, and `truncate` is False. The mark stays.
            TipMoved: another repair has begun meanwhile. The mark stays.
        """
        before: tuple[Finding, ...] = ()
        fault = self._faults.read()
        if fault is None:
            before = tuple(self._audit.certain(advance).findings)
            if not before:
                tip = self._chain.tip()
                return Repaired((), tip.height, tip.hash)
        else:
            before = fault.findings
        kept_from = self._chain.kept_from()
        if kept_from > 1:
            raise Pruned(kept_from, CANNOT_REPAIR.format(kept_from - 1))
        token = self._randomness.token()
        self._faults.mark(token, before, self._clock.now(), repair=True)
        finished = self._finish()
        old_tip = (self._chain.stored.tip_hash() or b"").decode("utf-8", "surrogateescape")
        mender = self._faults.mender()
        mender.name_packed(token)
        old_hashes = self._chain.stored.hashes()
        outcome = self._audit.run(advance, mender=mender, truncate=truncate)
        if outcome.broken is not None and not truncate:
            mender.flush()
            found = tuple(outcome.findings)
            self._faults.mark(self._randomness.token(), found, self._clock.now(), over=token)
            raise BlockDamaged(outcome.broken, found[-1], found)
        removed = old_hashes[outcome.broken - 1 :] if outcome.broken is not None else []
        self._give_up(removed, mender)
        self._end(token, old_tip, outcome)
        if not finished:
            self._reorganiser.finish()
        returned = self._return(removed)
        tip = self._chain.tip()
        _log.warning(
            "repaired", differences=len(outcome.findings), height=tip.height, tip=tip.hash, removed=len(removed)
        )
        return Repaired(tuple(outcome.findings) or before, tip.height, tip.hash, len(removed), returned)

    def _finish(self) -> bool:
        """Finish the last reorganisation, since some transactions may be found by its journal only.

        Returns:
            whether that was possible.
        """
        try:
            self._reorganiser.finish()
        except (NodeError, ValueError, LookupError, AssertionError) as error:  # what it needs is damaged
            _log.warning("reorganisation_unfinished", error=type(error).__name__)
            return False
        return True

    def _end(self, token: str, old_tip: str, outcome: Outcome) -> None:
        assert outcome.digest is not None, "all was checked"
        digest = outcome.digest
        tip = {**outcome.tip, "digest": f"{str(digest).rpartition(':')[0]}:{digest.repairs + 1}"}
        if not self._faults.repaired(token, old_tip, tip):
            raise TipMoved("Another repair has begun meanwhile.")

    def _give_up(self, removed: list[bytes], mender: Mender) -> None:
        """Remove the damaged block, and stage those above it, so that they need not be fetched again."""
        keys, now = self._chain.keys, self._clock.now()
        for number, name in enumerate(removed):
            if number == 0 or self._chain.stored.header(name) is None:
                for key in (keys.blocks, keys.headers, keys.undo, keys.ids):
                    mender.record(key, name, None)
            else:
                mender.stage(name.decode(), now)
        mender.flush()

    def _return(self, removed: list[bytes]) -> int:
        """Put the transactions of the undamaged removed blocks back into the mempool. Returns how many it admitted."""
        back: list[Transaction] = []
        for name in removed[1:]:
            text = self._chain.stored.block(name)
            try:
                block = self._rules.read_block(json.loads(text or b""))
            except (RuleError, ValueError):
                continue
            if block.hash.encode() == name:
                back += [item for item in block.transactions if item.type != "reward"]
            if len(back) > _KEPT:
                break
        outcomes = self._mempool.admit_many(back[:_KEPT]) if back else []
        return sum(isinstance(item, Admitted) for item in outcomes)
