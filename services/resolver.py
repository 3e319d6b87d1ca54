"""The resolver: which peer's chain is better than ours, and adopting it.

Walk: ask all peers for their tips at once → best claim first → headers from the fork point on, until they outweigh our
chain → bodies → verify and stage, or append → swap. A peer that lies or fails is passed over, and the next best is
tried in the same run. Nothing that a peer says is believed before it is proven, and headers are proven first because
they are small and cannot be made without work.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import structlog

from services.accept import Acceptor
from services.errors import PeerFailed, PeerLied, TipMoved
from services.peer_book import PeerBook, State
from services.peer_client import PAGE_LIMIT, Claim, PeerClient
from services.ports import Clock
from services.reorganiser import Reorganiser
from services.store.chain import ChainStore
from services.store.records import Tip
from shared.block import Block, Header
from shared.errors import RuleError, TooEarly
from shared.forkchoice import TipClaim, is_better
from shared.rules import Rules

_log = structlog.get_logger(__name__)

# Headers of one peer that are held without knowing that they outweigh our chain. They are held as hashes: 32 MB.
MAX_UNPROVEN = 1_000_000
# Blocks asked for at once. The answer is capped in bytes too, so a page may be shorter.
BODIES = 100
_HASH_BYTES = 32
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

    def resolve(self, only: str | None = None) -> Resolution:
        """Adopt the best valid chain among the peers that are due, or of one peer."""
        self._reorganiser.finish()
        before = self._chain.tip().hash
        peers = self._book.due() if only is None else [peer for peer in [self._book.get(only)] if peer is not None]
        urls = [peer.url for peer in peers if peer.approved]
        notes: list[str] = []
        claims = self._claims(urls, notes)
        for claim in sorted(claims, key=lambda item: (-item.tip.chainwork, item.tip.hash)):
            if is_better(claim.tip, self._chain.tip().claim):
                self._try(claim, notes)
        replaced = self._chain.tip().hash != before
        if replaced:
            self._on_adopted()
        return Resolution(replaced, len(urls), tuple(notes))

    def handshake(self, url: str) -> Claim:
        """Ask a peer for its tip and compare genesis blocks.

        Raises:
            PeerFailed: it does not answer.
            RuleError: `wrong_genesis`, naming both: it is on another chain.
        """
        claim = self._client.status(url)
        ours = self._chain.hash_at(1)
        if ours is None or not self._rules.may_share_genesis(ours, claim.genesis):
            raise RuleError(
                "wrong_genesis",
                f"{url} is on another chain: its genesis block is {claim.genesis}, ours is {ours}.",
                field="nodes",
            )
        return claim

    def _claims(self, urls: list[str], notes: list[str]) -> list[Claim]:
        """What the peers claim, asked all at once."""
        claims: list[Claim] = []
        for url, answer in zip(urls, self._client.in_parallel(self.handshake, urls), strict=True):
            if isinstance(answer, Claim):
                self._book.answered(url, answer.height, answer.tip.hash, answer.tip.chainwork)
                claims.append(answer)
            else:
                state: State = "other_chain" if isinstance(answer, RuleError) else "unreachable"
                self._book.failed(url, state, str(answer))
                notes.append(f"{url}: {answer}")
        return claims

    def _try(self, claim: Claim, notes: list[str]) -> None:
        """Adopt one peer's chain, or note why not."""
        try:
            self._adopt(claim)
        except TooEarly as error:
            notes.append(f"{claim.url}: {error}")  # nobody's fault: asked again at the next run
        except (RuleError, PeerLied) as error:
            rule = f"{error.rule}: " if isinstance(error, RuleError) else ""
            _log.warning("peer_lied", peer=claim.url, reason=f"{rule}{error}")
            self._book.failed(claim.url, "lying", f"{rule}{error}")
            notes.append(f"{claim.url}: {rule}{error}")
        except PeerFailed as error:
            self._book.failed(claim.url, "unreachable", str(error))
            notes.append(f"{claim.url}: {error}")

    def _adopt(self, claim: Claim) -> None:
        """Follow a peer's chain as far as it goes, while it is better than ours."""
        for _ in range(_TRIES):
            try:
                while self._step(claim):
                    pass
                return
            except TipMoved:
                continue  # we mined or adopted meanwhile: from the new tip, if the claim is still better

    def _step(self, claim: Claim) -> bool:
        """Adopt one stretch of a peer's chain; whether there may be more.

        Stretches that extend our tip are appended block by block, so a sync that is killed goes on where it was.
        """
        tip = self._chain.tip()
        if not is_better(claim.tip, tip.claim):
            return False
        stretch = self._headers(claim, tip)
        if stretch.fork == tip.height:
            self._extend(claim, stretch)
        else:
            self._reorganise(claim, stretch)
        return not stretch.ended

    # --- headers ---

    def _headers(self, claim: Claim, tip: Tip) -> "_Stretch":
        """Verified headers from the fork point on: as few pages as prove that they outweigh our chain.

        Raises:
            PeerLied: they do not connect, or do not outweigh our chain though the peer claimed that.
        """
        page = self._page(claim, self._chain.locator())
        stretch = self._connect(page)
        while True:
            for header in page:
                self._rules.check_header(header, tuple(stretch.window), self._clock.now())
                stretch.add(header, self._rules.work(header))
            stretch.ended = len(page) < PAGE_LIMIT
            if is_better(stretch.claim, tip.claim):
                return stretch
            if stretch.ended or len(stretch) >= MAX_UNPROVEN or stretch.chainwork > claim.tip.chainwork:
                raise PeerLied("The peer's headers do not hold the work that it claimed.")
            page = self._page(claim, [stretch.window[-1].hash])

    def _page(self, claim: Claim, locator: list[str]) -> list[Header]:
        page = [self._rules.read_header(value) for value in self._client.headers(claim.url, locator)]
        if not page:
            raise PeerLied("The peer has no headers where it claims a better chain.")
        return page

    def _connect(self, page: list[Header]) -> "_Stretch":
        """The stretch that begins at the parent of the page's first header, which must be on our chain."""
        fork = page[0].index - 1
        if fork < 1 or self._chain.hash_at(fork) != page[0].previous_hash:
            raise PeerLied("The peer's headers do not connect to our chain.")
        size = self._rules.window_size
        stored = self._chain.headers(max(1, fork - size + 1), min(fork, size))
        if not stored or stored[-1].header.hash != page[0].previous_hash:
            raise TipMoved("The chain changed while headers were read.")
        window = deque((item.header for item in stored), maxlen=size)
        return _Stretch(fork, window, stored[-1].chainwork)

    # --- bodies ---

    def _extend(self, claim: Claim, stretch: "_Stretch") -> None:
        for block in self._bodies(claim, stretch):
            self._acceptor.accept(block)

    def _reorganise(self, claim: Claim, stretch: "_Stretch") -> None:
        branch = self._reorganiser.begin(stretch.fork)
        for block in self._bodies(claim, stretch):
            self._reorganiser.add(branch, block)
        # Our own chain may have grown since the headers were weighed; then the swap finds another tip.
        self._reorganiser.swap(branch)

    def _bodies(self, claim: Claim, stretch: "_Stretch") -> Iterator[Block]:
        """The blocks of a stretch, each compared with the header that was verified.

        Raises:
            RuleError: a body is not what its own header commits to. The peer is to blame, never the hash.
            PeerFailed: the peer serves another chain by now.
        """
        wanted = 0
        while wanted < len(stretch):
            limit = min(BODIES, len(stretch) - wanted)
            for value in self._client.blocks(claim.url, stretch.fork + 1 + wanted, limit):
                block = self._rules.read_block(value)
                if block.hash != stretch.hash_at(wanted):
                    raise PeerFailed("The peer's blocks are not those of its headers: its chain has changed.")
                wanted += 1
                yield block


class _Stretch:
    """Verified headers after a fork point, held as their hashes."""

    def __init__(self, fork: int, window: deque[Header], chainwork: int) -> None:
        self.fork = fork
        self.window = window
        self.chainwork = chainwork
        self.ended = False  # the peer had no more headers
        self._hashes = bytearray()

    def __len__(self) -> int:
        return len(self._hashes) // _HASH_BYTES

    def add(self, header: Header, work: int) -> None:
        self._hashes += bytes.fromhex(header.hash)
        self.window.append(header)
        self.chainwork += work

    def hash_at(self, position: int) -> str:
        return self._hashes[position * _HASH_BYTES : (position + 1) * _HASH_BYTES].hex()

    @property
    def claim(self) -> TipClaim:
        return TipClaim(self.chainwork, self.window[-1].hash)
