"""Adopting a peer's chain by its headers: verified headers first, then the blocks of those that are worth it.

Walk: headers from the fork point on, until they outweigh our chain → bodies → append, or verify, stage and swap in.
Nothing that a peer says is trusted before it is proven. Headers are proven first, because they are small and cannot be
made without work.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from services.errors import PeerFailed, PeerLied, ProxyFailed, TipMoved
from services.peers.adopter import Adopter
from services.peers.bodies import BodySources
from services.peers.client import PAGE_LIMIT, BodiesGone, PeerClaim
from services.peers.http import AnswerTooLong
from services.peers.sightings import Sightings
from services.peers.stretch import Budget, ChainChanged, NeedsMore, Stretch
from services.store.records import Tip
from shared.block import Block, Header
from shared.errors import NodeError, RuleError, TooEarly
from shared.forkchoice import is_better

# Headers that are held before they are known to outweigh our chain, of all peers that are tried at once. Held as
# hashes, they take 32 MB.
MAX_UNPROVEN = 1_000_000

Others = Callable[[], Sequence[PeerClaim]]


@dataclass(eq=False)
class HeaderChains(Adopter):
    """Chains of peers whose headers can be judged without their blocks."""

    _sightings: Sightings

    def adopt(self, claim: PeerClaim, tip: Tip, budget: Budget, others: Others = tuple) -> bool:
        """Adopt one stretch of a peer's chain, which is better than ours at `tip`. Returns whether there may be more.

        A stretch that extends our tip is appended block by block, so a sync that is killed resumes where it was.

        Args:
            others: called if the peer has pruned bodies that are needed: the other peers' claims.

        Raises:
            RuleError: a header or a block is invalid, or a body is not the one that its header commits to.
            TooEarly: the headers outweigh our chain only together with headers that are too early.
            PeerLied: the headers do not connect to our chain, or do not outweigh it, though the peer claimed that.
            ChainChanged: the peer serves another chain than the one that it claimed.
            NeedsMore: it must be tried alone.
            NoBodies: neither the peer nor another has the bodies. What has been adopted or staged stays.
            Pruned: its chain leaves ours at a block whose body, or that of the next one, we have pruned.
            PeerFailed: it does not answer, or its time is over. What has been adopted or staged stays.
            TipMoved: our chain changed while the peer's was read.
        """
        stretch = self._headers(claim, tip, budget)
        sources = BodySources(claim, others)
        try:
            if stretch.fork == tip.height:
                for block in self._bodies(sources, stretch, 0, budget):
                    self._acceptor.accept(block)
                    budget.extend()
            else:
                self._reorganise(sources, stretch, budget)
        except RuleError as error:
            self._sightings.refused(claim.url, stretch, error)
            raise
        except PeerFailed:
            self._sightings.headers(claim.url, stretch)
            raise
        return not stretch.ended

    # --- headers ---

    def _headers(self, claim: PeerClaim, tip: Tip, budget: Budget) -> Stretch:
        """Verified headers from the fork point on: as few pages as prove that they outweigh our chain."""
        stretch, page = self._connect(claim, tip, budget)
        try:
            return self._outweighing(claim, stretch, page, tip, budget)
        except NodeError:
            self._sightings.headers(claim.url, stretch)
            raise

    def _outweighing(self, claim: PeerClaim, stretch: Stretch, page: list[Header], tip: Tip, budget: Budget) -> Stretch:
        """The stretch, with the headers of `page` and of as many further pages as are needed."""
        while True:
            early = self._check(claim, stretch, page, tip.time_limit(self._clock.now()))
            if early is not None:
                stretch.ended = True
            if is_better(stretch.claim, tip.claim):
                return stretch
            if early is not None:
                raise early
            if budget.share > 1 and len(stretch) >= MAX_UNPROVEN // budget.share:
                raise NeedsMore("The peer has more headers than can be held while others are tried.")
            if stretch.ended or len(stretch) >= MAX_UNPROVEN or stretch.chainwork > claim.tip.chainwork:
                raise self._lie(tip, "The peer's headers do not hold the work that it claimed.")
            page = self._next_page(claim, stretch.window[-1].hash, budget)
            stretch.ended = len(page) < PAGE_LIMIT

    def _check(self, claim: PeerClaim, stretch: Stretch, page: list[Header], now: float) -> TooEarly | None:
        """Verify a page's headers and add them to the stretch, up to the first that is too early. Returns its error.

        Args:
            now: see `Tip.time_limit`.
        """
        for header in page:
            try:
                self._rules.check_header(header, tuple(stretch.window), now)
            except TooEarly as error:
                return error
            except RuleError as error:
                self._sightings.header(claim.url, stretch, header, error)
                raise
            stretch.add(header, self._rules.work(header))
        return None

    def _connect(self, claim: PeerClaim, tip: Tip, budget: Budget) -> tuple[Stretch, list[Header]]:
        """An empty stretch that begins at the fork point, and the headers of the first page that follow it.

        The peer's answer begins after the first hash of our locator that it has, which may lie below the fork point.
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
                # If our chain was reorganised since it was compared, the peer's headers are not to blame.
                if stretch.window[-1].hash != (page[common - 1].hash if common else page[0].previous_hash):
                    raise TipMoved("The chain changed while headers were read.")
                stretch.ended = len(page) < PAGE_LIMIT  # the whole page, not what is left of it
                return stretch, page[common:]
            full = len(page) == PAGE_LIMIT
            page = self._next_page(claim, page[-1].hash, budget) if full else []

    def _begin(self, fork: int) -> Stretch:
        """An empty stretch that begins after height `fork` of our chain."""
        size = self._rules.window_size
        stored = self._chain.headers(max(1, fork - size + 1), min(fork, size))
        if not stored or stored[-1].header.index != fork:
            raise TipMoved("The chain changed while headers were read.")
        return Stretch(fork, deque((item.header for item in stored), maxlen=size), stored[-1].chainwork)

    def _next_page(self, claim: PeerClaim, last: str, budget: Budget) -> list[Header]:
        """The headers that follow one that the peer has just sent."""
        page = self._page(claim, [last], budget)
        if page and page[0].previous_hash != last:
            raise ChainChanged("The peer's headers do not follow those before: its chain has changed.")
        return page

    def _page(self, claim: PeerClaim, locator: list[str], budget: Budget) -> list[Header]:
        budget.check()
        return [
            self._rules.read_header(value) for value in self._client.headers(claim.url, locator, share=budget.share)
        ]

    def _lie(self, tip: Tip, message: str) -> NodeError:
        """The error for headers that do not fit our chain. If our chain has changed since `tip`, that is the reason."""
        moved = self._chain.tip().hash != tip.hash
        return TipMoved("The chain changed while headers were read.") if moved else PeerLied(message)

    # --- bodies ---

    def _reorganise(self, sources: BodySources, stretch: Stretch, budget: Budget) -> None:
        branch = self._reorganiser.begin(stretch.fork)
        held = 0
        with budget.stopped():
            while held < len(stretch) and self._reorganiser.add_known(branch, stretch.hash_at(held)):
                held += 1
        for block in self._bodies(sources, stretch, held, budget):
            self._reorganiser.add(branch, block)
            budget.extend()
        self._reorganiser.swap(branch)

    def _bodies(self, sources: BodySources, stretch: Stretch, held: int, budget: Budget) -> Iterator[Block]:
        """The blocks of a stretch without the first `held`, each compared with the header that was verified.

        Raises:
            RuleError, ChainChanged: the peer that sent the headers sent another block.
        """
        wanted = held
        while wanted < len(stretch):
            budget.check()
            height = stretch.fork + 1 + wanted
            source, values = self._ask(sources, height, len(stretch) - wanted, budget)
            if not values:
                sources.drop(source, height)
            for value in values:
                stretch.at = value
                try:
                    block = self._rules.read_block(value)
                except RuleError:
                    if sources.is_own(source):
                        raise
                    sources.drop(source, height)
                    break
                if block.hash != stretch.hash_at(wanted):
                    if sources.is_own(source):
                        raise ChainChanged("The peer's blocks are not those of its headers: its chain has changed.")
                    sources.drop(source, height)
                    break
                stretch.at = block
                wanted += 1
                yield block

    def _ask(self, sources: BodySources, height: int, most: int, budget: Budget) -> tuple[PeerClaim, Sequence[Any]]:
        """Ask for blocks from a height on: who was asked, and what it sent: nothing, if it has none.

        Raises:
            PeerFailed: the peer that sent the headers does not send them, or the proxy failed.
        """
        while True:
            source, at_once = sources.at(height)
            limit = min(budget.bodies, most, at_once)
            try:
                return source, self._client.blocks(source.url, height, limit, budget.share)
            except AnswerTooLong:
                if limit > 1:
                    budget.bodies = limit // 2  # these blocks are larger than most
                    budget.check()
                    continue
                if sources.is_own(source):
                    raise
            except ProxyFailed:
                raise
            except PeerFailed as error:
                if sources.is_own(source) and not isinstance(error, BodiesGone):
                    raise
            return source, ()
