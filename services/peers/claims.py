"""What the peers claim of their chains, and whether they have our genesis block. Nothing of it is proven."""

from collections.abc import Sequence

import structlog

from services.errors import PeerFailed, ProxyFailed
from services.peers.book import PeerBook, State
from services.peers.client import NoSuchAnswer, PeerClaim, PeerClient
from services.peers.urls import normal_url
from services.peers.whole_chain import WholeChains
from services.ports import Clock
from services.store.chain import ChainStore
from shared.errors import InputError, NodeError, RuleError
from shared.rules import Rules
from shared.upgrades import parting

_log = structlog.get_logger(__name__)

# Peers are asked for their peers once in this many seconds.
DISCOVERY_SECONDS = 60
# Whole chains that are read at once: each may take one block's memory, and a chain's size on disk.
_WHOLE_AT_ONCE = 16


class Claims:
    """Asking peers for their tips."""

    def __init__(
        self,
        chain: ChainStore,
        rules: Rules,
        book: PeerBook,
        client: PeerClient,
        whole_chains: WholeChains,
        clock: Clock,
    ) -> None:
        self._chain = chain
        self._rules = rules
        self._book = book
        self._client = client
        self._whole_chains = whole_chains
        self._clock = clock

    def handshake(self, url: str) -> PeerClaim:
        """Ask a peer for its tip and compare genesis blocks.

        Raises:
            PeerFailed: it does not answer.
            RuleError: `wrong_genesis`, naming both: it is on another chain.
        """
        claim = self._claim(url)
        ours = self._chain.hash_at(1)
        if ours is None or not self._rules.may_share_genesis(ours, claim.genesis):
            raise RuleError(
                "wrong_genesis",
                f"{url} is on another chain: its genesis block is {claim.genesis}, ours is {ours}.",
                field="nodes",
            )
        return claim

    def handshakes(self, urls: Sequence[str]) -> list[PeerClaim | NodeError]:
        """Handshakes with several peers at once; per peer its claim or the refusal."""
        if self._rules.headers_alone:
            return self._client.in_parallel(self.handshake, urls)
        parts = [urls[start : start + _WHOLE_AT_ONCE] for start in range(0, len(urls), _WHOLE_AT_ONCE)]
        return [answer for part in parts for answer in self._client.in_parallel(self.handshake, part)]

    def ask(self, urls: Sequence[str], notes: list[str]) -> list[PeerClaim]:
        """What the peers claim, asked all at once, each once a second at most. Failures are noted."""
        self._book.pace(urls)
        claims: list[PeerClaim] = []
        unasked: list[str] = []
        for url, answer in zip(urls, self.handshakes(urls), strict=True):
            if isinstance(answer, PeerClaim):
                other = self.other_upgrades(answer)
                tip = answer.tip
                self._book.answered(url, answer.height, tip.hash, tip.chainwork, answer.time, reason=other)
                if other:
                    notes.append(f"{url}: {other}")
                claims.append(answer)
            elif isinstance(answer, ProxyFailed):
                self._book.not_asked(url, str(answer))
                unasked.append(str(answer))
                notes.append(f"{url}: {answer}")
            else:
                state: State = "other_chain" if isinstance(answer, RuleError) else "unreachable"
                self._book.failed(url, state, str(answer))
                notes.append(f"{url}: {answer}")
        if unasked:
            _log.warning("peer_proxy_failed", peers=len(unasked), reason=unasked[0])
        return claims

    def other_upgrades(self, claim: PeerClaim) -> str:
        """One sentence about a peer whose upgrades are not ours: from where on it is on another chain; "": they are.

        Until that height its blocks are judged and adopted as those of any peer.
        """
        height = parting(self._rules.spec, claim.upgrades)
        if height is None:
            return ""
        theirs = claim.upgrades[-1][1] if claim.upgrades else "none"
        ours = self._rules.spec.upgrades_digest or "none"
        return f"Its upgrades differ from ours (theirs: {theirs}, ours: {ours}): the chains part at height {height}."

    def discover(self, own: str) -> None:
        """Ask one peer, each time another, for its peers, and keep these as candidates. `own` is our URL."""
        peers = [peer.url for peer in self._book.due() if peer.state == "ok"]
        if not peers:
            return
        asked = peers[int(self._clock.now() // DISCOVERY_SECONDS) % len(peers)]
        try:
            named = self._client.peers(asked)
        except PeerFailed as error:
            _log.info("discovery_failed", peer=asked, reason=str(error))
            return
        self._book.learn(url for url in map(_normal, named) if url is not None and url != own)

    def _claim(self, url: str) -> PeerClaim:
        try:
            return self._client.status(url)
        except NoSuchAnswer:
            if self._rules.headers_alone:
                raise
            return self._whole_chains.claim(url)


def _normal(url: str) -> str | None:
    """A URL that a peer names, in normal form; None if no peer can have it."""
    try:
        return normal_url(url)
    except InputError:
        return None
