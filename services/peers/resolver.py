"""The resolver: which peer's chain is better than ours, and adopting it.

Walk: ask all peers for their tips at once → whoever kept its last claims first, then the best claim → headers from the
fork point on, until they outweigh our chain → bodies → verify and stage, or append → swap. The first peer is tried
alone; where it lies or fails, the others are tried in the same run, several at once, so that it takes many who are slow
to keep one who is not from its turn. Nothing that a peer says is believed before it is proven, and headers are proven
first because they are small and cannot be made without work.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import structlog

from services.chain.accept import Acceptor
from services.chain.reorganiser import Reorganiser
from services.errors import LedgerDiffers, PeerFailed, PeerLied, TipMoved
from services.peers.book import Peer, PeerBook
from services.peers.claims import Claims
from services.peers.client import PAGE_LIMIT, PeerClaim, PeerClient
from services.peers.http import AnswerTooLong
from services.peers.stretch import CROWDED_SECONDS, PEER_SECONDS, Budget, OutOfTime, Stretch
from services.peers.whole_chain import WholeChains
from services.ports import Clock
from services.store.chain import ChainStore
from services.store.records import Tip
from shared.block import Block, Header
from shared.errors import NodeError, RuleError, TooEarly
from shared.forkchoice import is_better
from shared.rules import Rules

_log = structlog.get_logger(__name__)

# Headers that are held without knowing that they outweigh our chain, of all peers that are tried at once. They are held
# as hashes: 32 MB.
MAX_UNPROVEN = 1_000_000
# Blocks asked for at once, of all peers that are tried at once; fewer after an answer that was too long.
BODIES = 100
CROWD = 16  # peers that are tried at once
# Seconds that one run may take of the peers' time: less than its job may, which would be killed and leave no note.
RUN_SECONDS = 90.0
# How often a job that asks whom was announced looks for more of them: what comes meanwhile asks for no job.
_HEARD_ROUNDS = 2
_TRIES = 5


class _Changed(PeerFailed):
    """The peer's chain is not the one any more that it claimed a moment ago."""


class _NeedsMore(PeerFailed):
    """A peer that answers needs more memory or time than its share while several are tried. It gets a turn alone."""


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
        on_adopted: Callable[[], None],
    ) -> None:
        self._chain = chain
        self._rules = rules
        self._acceptor = acceptor
        self._reorganiser = reorganiser
        self._book = book
        self._client = client
        self._clock = clock
        self._on_adopted = on_adopted
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
        """Adopt the best valid chain among the due peers in whose name something was announced."""
        rounds: list[Resolution] = []
        while len(rounds) < _HEARD_ROUNDS and (heard := set(self._book.take_heard())):
            rounds.append(self._resolve([peer for peer in self._book.due() if peer.url in heard]))
        return Resolution(
            any(item.replaced for item in rounds),
            sum(item.asked for item in rounds),
            tuple(note for item in rounds for note in item.notes),
        )

    def _resolve(self, peers: list[Peer]) -> Resolution:
        # What is wrong would be carried into what is adopted.
        if self._reorganiser.is_marked():
            return Resolution(False, 0, ("the stored state is marked as wrong: no peer is asked before quarry repair",))
        self._reorganiser.finish()
        before = self._chain.tip().hash
        urls = [peer.url for peer in peers]
        notes: list[str] = []
        claims = self._peers.ask(urls, notes)
        # Work is cheap to claim. So whoever claimed it before and did not deliver comes after those who did not.
        broken = {peer.url: peer.broken for peer in peers}
        claims.sort(key=lambda item: (broken[item.url], -item.tip.chainwork, item.tip.hash))
        self._try_all(claims, self._clock.now() + RUN_SECONDS, notes)
        replaced = self._chain.tip().hash != before
        if replaced:
            self._on_adopted()
        return Resolution(replaced, len(urls), tuple(notes))

    def _try_all(self, claims: list[PeerClaim], run_ends: float, notes: list[str]) -> None:
        """Try the claims that are better than our chain: the first alone, the others several at once, in turns.

        Whoever needs more than its share of memory or time is tried alone in the end.
        """
        alone: list[PeerClaim] = []
        crowd, waiting = 1, self._still_better(claims)
        while waiting and self._clock.now() < run_ends:
            now, waiting = {claim.url: claim for claim in waiting[:crowd]}, waiting[crowd:]
            seconds = CROWDED_SECONDS if waiting or len(now) > 1 else PEER_SECONDS
            alone += self._try_some(now, seconds, run_ends, notes)
            crowd, waiting = CROWD, self._still_better(waiting)
        for claim in self._still_better(alone):
            if self._clock.now() < run_ends:
                self._try(claim, Budget(self._clock, run_ends, BODIES), notes)
            else:
                self._book.failed(claim.url, "unreachable", "The run was over before its turn came.", broken=True)

    def _try_some(
        self, claims: dict[str, PeerClaim], seconds: float, run_ends: float, notes: list[str]
    ) -> list[PeerClaim]:
        """Try several claims at once; those that need a turn alone."""
        alone: list[PeerClaim] = []

        def attempt(url: str) -> None:
            try:
                self._try(claims[url], Budget(self._clock, run_ends, BODIES, seconds, len(claims)), notes)
            except _NeedsMore:
                alone.append(claims[url])

        for answer in self._client.in_parallel(attempt, list(claims)):
            if isinstance(answer, NodeError):
                raise answer  # our own, such as a store without a chain: what the peers do is noted
        return alone

    def _still_better(self, claims: list[PeerClaim]) -> list[PeerClaim]:
        """The claims that are better than our chain is now."""
        tip = self._chain.tip().claim
        better = [claim for claim in claims if is_better(claim.tip, tip)]
        for claim in claims:
            if claim not in better:
                self._book.idle(claim.url)
        return better

    def _try(self, claim: PeerClaim, budget: Budget, notes: list[str]) -> None:
        """Adopt one peer's chain, or note why not.

        Raises:
            _NeedsMore: it gets a turn alone.
        """
        try:
            self._adopt(claim, budget)
            (self._book.proved if budget.progress else self._book.idle)(claim.url)
        except _NeedsMore:
            raise
        except (TooEarly, LedgerDiffers) as error:
            notes.append(f"{claim.url}: {error}")  # not the peer's fault: asked again at the next run
        except (RuleError, PeerLied) as error:
            rule = f"{error.code}: " if isinstance(error, RuleError) else ""
            _log.warning("peer_lied", peer=claim.url, reason=f"{rule}{error}")
            other = isinstance(error, RuleError) and error.code in ("wrong_genesis", "other_variant")
            self._book.failed(claim.url, "other_chain" if other else "lying", f"{rule}{error}", broken=True)
            notes.append(f"{claim.url}: {rule}{error}")
        except PeerFailed as error:
            # A long chain takes more than one run. What was adopted or staged is not fetched again.
            if not (isinstance(error, OutOfTime) and budget.progress):
                if isinstance(error, OutOfTime) and budget.share > 1:
                    raise _NeedsMore(str(error)) from None
                self._book.failed(claim.url, "unreachable", str(error), broken=True)
            notes.append(f"{claim.url}: {error}")

    def _adopt(self, claim: PeerClaim, budget: Budget) -> None:
        """Follow a peer's chain as far as it goes, while it is better than ours."""
        changed: _Changed | None = None
        for _ in range(_TRIES):
            try:
                while self._step(claim, budget):
                    pass
                return
            except TipMoved:
                continue  # we mined or adopted meanwhile: from the new tip, if the claim is still better
            except _Changed as error:
                changed = error
                claim = self.handshake(claim.url)
        if changed is not None:
            raise changed

    def _step(self, claim: PeerClaim, budget: Budget) -> bool:
        """Adopt one stretch of a peer's chain; whether there may be more.

        Stretches that extend our tip are appended block by block, so a sync that is killed goes on where it was.
        """
        tip = self._chain.tip()
        if not is_better(claim.tip, tip.claim):
            return False
        if not self._rules.headers_alone:
            self._whole_chains.adopt(claim, budget)
            return False
        stretch = self._headers(claim, tip, budget)
        if stretch.fork == tip.height:
            for block in self._bodies(claim, stretch, 0, budget):
                self._acceptor.accept(block)
                budget.extend()
        else:
            self._reorganise(claim, stretch, budget)
        return not stretch.ended

    # --- headers ---

    def _headers(self, claim: PeerClaim, tip: Tip, budget: Budget) -> Stretch:
        """Verified headers from the fork point on: as few pages as prove that they outweigh our chain.

        Raises:
            PeerLied: they do not connect, or do not outweigh our chain though the peer claimed that.
            TooEarly: they would outweigh our chain only with headers whose time has not come.
        """
        stretch, page = self._connect(claim, tip, budget)
        while True:
            early = self._check(stretch, page)
            if early is not None:
                stretch.ended = True
            if is_better(stretch.claim, tip.claim):
                return stretch
            if early is not None:
                raise early
            if budget.share > 1 and len(stretch) >= MAX_UNPROVEN // budget.share:
                raise _NeedsMore("The peer has more headers than can be held while others are tried.")
            if stretch.ended or len(stretch) >= MAX_UNPROVEN or stretch.chainwork > claim.tip.chainwork:
                raise self._lie(tip, "The peer's headers do not hold the work that it claimed.")
            page = self._next_page(claim, stretch.window[-1].hash, budget)
            stretch.ended = len(page) < PAGE_LIMIT

    def _check(self, stretch: Stretch, page: list[Header]) -> TooEarly | None:
        """Verify a page's headers and add them to the stretch; the first whose time has not come ends it."""
        now = self._clock.now()
        for header in page:
            try:
                self._rules.check_header(header, tuple(stretch.window), now)
            except TooEarly as error:
                return error
            stretch.add(header, self._rules.work(header))
        return None

    def _connect(self, claim: PeerClaim, tip: Tip, budget: Budget) -> tuple[Stretch, list[Header]]:
        """The stretch that begins at the fork point, empty, and the headers of the first page behind that.

        The peer answers from the first hash of our locator that it has, which may lie below the fork point.
        """
        page = self._page(claim, self._chain.locator(), budget)
        while True:
            if not page:
                raise self._lie(tip, "The peer has no headers where it claims a better chain.")
            fork = page[0].index - 1
            if fork < 1 or self._chain.hash_at(fork) != page[0].previous_hash:
                raise self._lie(tip, "The peer's headers do not connect to our chain.")
            ours = [item.header.hash for item in self._chain.headers(fork + 1, len(page))]
            common = next(
                (i for i, (own, other) in enumerate(zip(ours, page, strict=False)) if own != other.hash), len(ours)
            )
            if common < len(page):
                stretch = self._begin(fork + common)
                # Our chain may have been reorganised since it was compared: then the peer's headers are not to blame.
                if stretch.window[-1].hash != (page[common - 1].hash if common else page[0].previous_hash):
                    raise TipMoved("The chain changed while headers were read.")
                stretch.ended = len(page) < PAGE_LIMIT  # the page as it came, not what is left of it
                return stretch, page[common:]
            full = len(page) == PAGE_LIMIT
            page = self._next_page(claim, page[-1].hash, budget) if full else []

    def _begin(self, fork: int) -> Stretch:
        size = self._rules.window_size
        stored = self._chain.headers(max(1, fork - size + 1), min(fork, size))
        if not stored or stored[-1].header.index != fork:
            raise TipMoved("The chain changed while headers were read.")
        return Stretch(fork, deque((item.header for item in stored), maxlen=size), stored[-1].chainwork)

    def _next_page(self, claim: PeerClaim, last: str, budget: Budget) -> list[Header]:
        """The headers behind one that the peer has just sent."""
        page = self._page(claim, [last], budget)
        if page and page[0].previous_hash != last:
            raise _Changed("The peer's headers do not follow those before: its chain has changed.")
        return page

    def _page(self, claim: PeerClaim, locator: list[str], budget: Budget) -> list[Header]:
        budget.check()
        return [
            self._rules.read_header(value) for value in self._client.headers(claim.url, locator, share=budget.share)
        ]

    def _lie(self, tip: Tip, message: str) -> NodeError:
        """The peer's headers do not fit our chain; that is our own doing if our chain has changed since `tip`."""
        moved = self._chain.tip().hash != tip.hash
        return TipMoved("The chain changed while headers were read.") if moved else PeerLied(message)

    # --- bodies ---

    def _reorganise(self, claim: PeerClaim, stretch: Stretch, budget: Budget) -> None:
        branch = self._reorganiser.begin(stretch.fork)
        held = 0
        with budget.stopped():
            while held < len(stretch) and self._reorganiser.add_known(branch, stretch.hash_at(held)):
                held += 1
        for block in self._bodies(claim, stretch, held, budget):
            self._reorganiser.add(branch, block)
            budget.extend()
        self._reorganiser.swap(branch)

    def _bodies(self, claim: PeerClaim, stretch: Stretch, held: int, budget: Budget) -> Iterator[Block]:
        """The blocks of a stretch but the first `held`, each compared with the header that was verified.

        Raises:
            RuleError: a body is not what its own header commits to. The peer is to blame, never the hash.
            PeerFailed: the peer serves another chain by now.
        """
        wanted = held
        while wanted < len(stretch):
            budget.check()
            limit = min(budget.bodies, len(stretch) - wanted)
            try:
                values = self._client.blocks(claim.url, stretch.fork + 1 + wanted, limit, budget.share)
            except AnswerTooLong:
                if limit == 1:
                    raise
                budget.bodies = limit // 2  # blocks are larger here than they usually are
                continue
            for value in values:
                block = self._rules.read_block(value)
                if block.hash != stretch.hash_at(wanted):
                    raise _Changed("The peer's blocks are not those of its headers: its chain has changed.")
                wanted += 1
                yield block
