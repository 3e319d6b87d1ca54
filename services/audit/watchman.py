"""When the stored state is checked: at each start, a few blocks at each housekeeping, all of it quickly once an hour.

If something differs, the store is marked (services/store/faults.py). Then nothing is admitted, mined or adopted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from services.audit.full import FullAudit, OutOfTime
from services.audit.quick import SUMS, Checked, QuickAudit
from services.errors import NotBegun, TipMoved
from services.ports import Clock, Randomness
from services.store.chain import ChainStore
from services.store.digest import Digest, account_term, allowance_term, header_term, read_digest, sum_of
from services.store.faults import Fault, FaultStore, Finding
from shared.rules import Rules

_log = structlog.get_logger(__name__)

# Seconds that a replay at the start may take, since the start waits for it. It names what differs, or gives a store its
# first digest.
REPLAY_SECONDS = 30.0
# Blocks that one housekeeping compares.
SAMPLED = 3
# Headers that are read at once.
_PAGE = 1000
_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class Watchman:
    """The checks of one node's store."""

    chain: ChainStore
    rules: Rules
    faults: FaultStore
    clock: Clock
    randomness: Randomness

    def at_start(self) -> Fault | None:
        """Check the stored state, and mark it if it is wrong. A store without a digest is given one."""
        known = self.faults.read()
        if known is not None:
            _log.error("ledger_differs", reason=known.sentence)
            _say(known.findings)
            return known
        checked = self._quick()
        if checked is None:
            return None
        if checked.findings:
            return self._mark(checked.findings)
        if not checked.has_digest:
            return self._adopt()
        _log.info(
            "ledger_checked", height=checked.tip.height if checked.tip else 0, blocks_sampled=checked.blocks, ok=True
        )
        return None

    def now(self) -> Fault | None:
        """The whole quick check, while the node runs. The mark is written if something differs."""
        checked = None if self.faults.read() is not None else self._quick()
        return self._mark(checked.findings) if checked is not None and checked.findings else None

    def sample(self) -> Fault | None:
        """Compare some blocks that are drawn at random."""
        tip = self.chain.tip()
        if self.faults.is_marked():
            return None
        audit = QuickAudit(self.chain, self.rules, self.randomness)
        for height, sample in audit.blocks(sorted(audit.draw(SAMPLED, tip.height))):
            if sample is None or not sample.findings:
                continue
            # A reorganisation between two commands looks like damage, but not at a second look.
            before = self.chain.tip().hash
            _, again = next(audit.blocks([height]))
            if again is not None and again.findings == sample.findings and self.chain.tip().hash == before:
                return self._mark(again.findings)
        return None

    def _quick(self) -> Checked | None:
        """A quick check, and a second one if something differs. None: there is no chain, or it is being reorganised."""
        audit = QuickAudit(self.chain, self.rules, self.randomness)
        try:
            checked = audit.run()
            return audit.run() if checked.findings else checked
        except (NotBegun, TipMoved):
            return None

    def _mark(self, findings: Sequence[Finding]) -> Fault | None:
        if any(finding.kind in SUMS for finding in findings):
            # A replay names the entries that have changed a sum.
            findings = self._named() or sorted(findings, key=lambda finding: finding.kind in SUMS)
        self.faults.mark(self.randomness.token(), findings, self.clock.now())
        fault = self.faults.read()
        _say(findings)
        return fault

    def _named(self) -> list[Finding]:
        """The entries that differ, by a replay; none if that takes too long."""
        try:
            outcome = self._replay()
        except (OutOfTime, TipMoved):
            return []
        return [finding for finding in outcome if finding.kind not in SUMS]

    def _replay(self) -> list[Finding]:
        audit = FullAudit(self.chain, self.rules, self.clock)
        return audit.run(signatures=False, until=self.clock.now() + REPLAY_SECONDS).findings

    def _adopt(self) -> Fault | None:
        """Give a store of an older release its digest, after a replay if that does not take too long."""
        _log.info("ledger_digest_missing", reason="written by an older release: computing it once from the blocks")
        try:
            findings = self._replay()
        except OutOfTime:
            _log.warning(
                "ledger_not_replayed",
                reason=f"longer than {REPLAY_SECONDS:g} s: quarry chain verify compares all of it",
            )
            findings = []
        except TipMoved:
            return None
        if findings:
            return self._mark(findings)
        for _ in range(_ATTEMPTS):  # the chain may grow meanwhile
            found = self._computed()
            if found is None:
                break
            if self.faults.adopt_digest(*found):
                _log.info("ledger_digest_written", digest=found[2])
                break
        return None

    def _computed(self) -> tuple[str, str, str] | None:
        """Hash of the tip, its stored digest, and the digest of the stored state. None: the tip has a valid one now."""
        copy = self.chain.stored.ledger()
        tip = copy.tip[b"hash"].decode()
        old = copy.tip.get(b"digest", b"").decode()
        if read_digest(old, tip) is not None:
            return None
        terms = [account_term(*item) for item in copy.accounts.items()]
        terms += [allowance_term(*item) for item in copy.allowances.items()]
        headers = sum(
            header_term(height, block_hash, text or b"")
            for height, block_hash, text in self.chain.stored.headers(copy.height, _PAGE)
        )
        return tip, old, str(Digest(tip, sum_of(terms), sum_of([headers])))


def _say(findings: Sequence[Finding]) -> None:
    """Log the first findings, a line each."""
    for finding in findings[:10]:
        _log.error("ledger_differs", kind=finding.kind, name=finding.name, stored=finding.stored, right=finding.right)
