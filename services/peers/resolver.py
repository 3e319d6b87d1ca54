"""The resolver: which peers' chains are better than ours, and in which order to try them.

Walk: all peers are asked for their tips at once → claims are sorted: peers without broken claims first, and among them
the best claim → the first is tried alone → if it lies or fails, the others are tried in the same run, several at once,
so that many slow peers are needed to delay an honest one. How the chain of one peer is adopted is in
`services/peers/header_chain.py`; under rules whose headers cannot be judged without their blocks, in
`services/peers/whole_chain.py`.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from services.chain.accept import Acceptor
from services.chain.reorganiser import Reorganiser
from services.errors import LedgerDiffers, PeerFailed, PeerLied, ProxyFailed, Pruned, TipMoved
from services.peers.bodies import NoBodies
from services.peers.book import Peer, PeerBook
from services.peers.claims import Claims
from services.peers.client import PeerClaim, PeerClient
from services.peers.header_chain import HeaderChains, Others
from services.peers.sightings import Sightings
from services.peers.stretch import CROWDED_SECONDS, PEER_SECONDS, Budget, ChainChanged, NeedsMore, OutOfTime
from services.peers.whole_chain import WholeChains
from services.ports import Clock
from services.store.chain import ChainStore
from shared.errors import NodeError, RuleError, TooEarly
from shared.forkchoice import is_better
from shared.rules import Rules

_log = structlog.get_logger(__name__)

# Blocks that are asked for at once, of all peers that are tried at once; fewer after an answer that was too long.
BODIES = 100
CROWD = 16  # peers that are tried at once
# Seconds that one run may take of the peers' time. It is less than the job's time limit: a job that is killed notes
# nothing about its peers.
RUN_SECONDS = 90.0
# How many times a job looks for announced peers: an announcement that arrives while it runs enqueues no other job.
_HEARD_ROUNDS = 2
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Resolution:
    """What came of one run."""

    replaced: bool  # our chain was replaced or became longer
    asked: int  # peers
    notes: tuple[str, ...] = ()  # one sentence per peer that failed


class Resolver:
    """Consensus with the peers of one node."""

    def __init__(
        self,
        chain: ChainStore,
        rules: Rules,
        acceptor: Acceptor,
        reorganiser: Reorganiser,
        book: PeerBook,
        client: PeerClient,
        clock: Clock,
        sightings: Sightings,
        on_adopted: Callable[[], None],
    ) -> None:
        """`on_adopted` is called after each run that has changed our chain."""
        self._chain = chain
        self._rules = rules
        self._reorganiser = reorganiser
        self._book = book
        self._client = client
        self._clock = clock
        self._on_adopted = on_adopted
        self._header_chains = HeaderChains(chain, rules, acceptor, reorganiser, client, clock, sightings)
        self._whole_chains = WholeChains(chain, rules, acceptor, reorganiser, client, clock)
        self._peers = Claims(chain, rules, book, client, self._whole_chains, clock)
        self.discover = self._peers.discover
        self.handshake = self._peers.handshake
        self.handshakes = self._peers.handshakes

    def resolve(self, only: str | None = None) -> Resolution:
        """Adopt the best valid chain among the peers that are due, or of one peer."""
        peers = self._book.due() if only is None else [peer for peer in [self._book.get(only)] if peer is not None]
        return self._resolve([peer for peer in peers if peer.approved])

    def resolve_heard(self) -> Resolution:
        """Adopt the best valid chain among the due peers for which a block was announced."""
        rounds: list[Resolution] = []
        while len(rounds) < _HEARD_ROUNDS and (heard := set(self._book.take_heard())):
            rounds.append(self._resolve([peer for peer in self._book.due() if peer.url in heard]))
        return Resolution(
            any(item.replaced for item in rounds),
            sum(item.asked for item in rounds),
            tuple(note for item in rounds for note in item.notes),
        )

    def _resolve(self, peers: list[Peer]) -> Resolution:
        # Adopting would build on a wrong state.
        if self._reorganiser.is_marked():
            return Resolution(False, 0, ("the stored state is marked as wrong: no peer is asked before quarry repair",))
        self._reorganiser.finish()
        before = self._chain.tip().hash
        urls = [peer.url for peer in peers]
        notes: list[str] = []
        claims = self._peers.ask(urls, notes)
        # Work is cheap to claim: a peer that claimed more than it delivered comes after those that did not.
        broken = {peer.url: peer.broken for peer in peers}
        claims.sort(key=lambda item: (broken[item.url], -item.tip.chainwork, item.tip.hash))
        self._try_all(claims, self._clock.now() + RUN_SECONDS, self._all_claims(claims, urls, notes), notes)
        replaced = self._chain.tip().hash != before
        if replaced:
            self._on_adopted()
        return Resolution(replaced, len(urls), tuple(notes))

    def _all_claims(self, claims: list[PeerClaim], asked: list[str], notes: list[str]) -> Others:
        """A function that returns the claims of all peers: those that were not asked in this run are asked then."""
        known = list(claims)
        lock = threading.Lock()
        complete: list[bool] = []

        def every() -> Sequence[PeerClaim]:
            with lock:
                if not complete:
                    rest = [peer.url for peer in self._book.due() if peer.url not in asked]
                    known.extend(self._peers.ask(rest, notes))
                    complete.append(True)
                return known

        return every

    def _try_all(self, claims: list[PeerClaim], run_ends: float, others: Others, notes: list[str]) -> None:
        """Try the claims that are better than our chain: the first alone, then the others, several at once.

        A peer that needs more than its share of memory or time is tried alone at the end.
        """
        alone: list[PeerClaim] = []
        crowd, waiting = 1, self._still_better(claims)
        while waiting and self._clock.now() < run_ends:
            now, waiting = {claim.url: claim for claim in waiting[:crowd]}, waiting[crowd:]
            seconds = CROWDED_SECONDS if waiting or len(now) > 1 else PEER_SECONDS
            alone += self._try_some(now, seconds, run_ends, others, notes)
            crowd, waiting = CROWD, self._still_better(waiting)
        for claim in self._still_better(alone):
            if self._clock.now() < run_ends:
                self._try(claim, Budget(self._clock, run_ends, BODIES), others, notes)
            else:
                self._book.failed(claim.url, "unreachable", "The run was over before its turn came.", broken=True)

    def _try_some(
        self, claims: dict[str, PeerClaim], seconds: float, run_ends: float, others: Others, notes: list[str]
    ) -> list[PeerClaim]:
        """Try several claims at once; the claims that need a turn alone."""
        alone: list[PeerClaim] = []

        def attempt(url: str) -> None:
            try:
                budget = Budget(self._clock, run_ends, BODIES, seconds, len(claims))
                self._try(claims[url], budget, others, notes)
            except NeedsMore:
                alone.append(claims[url])

        for answer in self._client.in_parallel(attempt, list(claims)):
            if isinstance(answer, NodeError):
                raise answer  # an error of this node, such as a store without a chain: `_try` notes those of peers
        return alone

    def _still_better(self, claims: list[PeerClaim]) -> list[PeerClaim]:
        """The claims that are better than our chain is now."""
        tip = self._chain.tip().claim
        better = [claim for claim in claims if is_better(claim.tip, tip)]
        for claim in claims:
            if claim not in better:
                self._book.idle(claim.url)
        return better

    def _try(self, claim: PeerClaim, budget: Budget, others: Others, notes: list[str]) -> None:
        """Adopt one peer's chain, or note why not.

        Raises:
            NeedsMore: it gets a turn alone.
        """
        try:
            self._adopt(claim, budget, others)
            note = self._book.proved if budget.progress else self._book.idle
            note(claim.url)
        except NeedsMore:
            raise
        except (TooEarly, LedgerDiffers) as error:
            notes.append(f"{claim.url}: {error}")  # not the peer's fault, so the next run asks it again
        except (RuleError, PeerLied) as error:
            rule = f"{error.code}: " if isinstance(error, RuleError) else ""
            parted = self._peers.other_upgrades(claim) if rule else ""
            reason = f"{parted} {rule}{error}".strip()
            other = bool(parted) or (isinstance(error, RuleError) and error.code in ("wrong_genesis", "other_variant"))
            _log.warning("peer_parted" if parted else "peer_lied", peer=claim.url, reason=reason)
            self._book.failed(claim.url, "other_chain" if other else "lying", reason, broken=True)
            notes.append(f"{claim.url}: {reason}")
        except (NoBodies, Pruned) as error:  # nobody's fault: the blocks are gone, there or here
            _log.warning("blocks_pruned", peer=claim.url, reason=str(error))
            self._book.failed(claim.url, "pruned", str(error))
            notes.append(f"{claim.url}: {error}")
        except ProxyFailed as error:
            self._book.not_asked(claim.url, str(error))
            notes.append(f"{claim.url}: {error}")
        except PeerFailed as error:
            # A long chain takes more than one run. What was adopted or staged is not fetched again.
            if not (isinstance(error, OutOfTime) and budget.progress):
                if isinstance(error, OutOfTime) and budget.share > 1:
                    raise NeedsMore(str(error)) from None
                self._book.failed(claim.url, "unreachable", str(error), broken=True)
            notes.append(f"{claim.url}: {error}")

    def _adopt(self, claim: PeerClaim, budget: Budget, others: Others) -> None:
        """Follow a peer's chain to its end, as long as it is better than ours."""
        changed: ChainChanged | None = None
        for _ in range(_TRIES):
            try:
                while self._adopt_some(claim, budget, others):
                    pass
                return
            except TipMoved:
                continue  # this node mined or adopted a block: start from the new tip, if the claim is still better
            except ChainChanged as error:
                changed = error
                claim = self.handshake(claim.url)
        if changed is not None:
            raise changed

    def _adopt_some(self, claim: PeerClaim, budget: Budget, others: Others) -> bool:
        """Adopt one stretch of a peer's chain, or all of it. Returns whether there may be more."""
        tip = self._chain.tip()
        if not is_better(claim.tip, tip.claim):
            return False
        if self._rules.headers_alone:
            return self._header_chains.adopt(claim, tip, budget, others)
        self._whole_chains.adopt(claim, budget)
        return False
