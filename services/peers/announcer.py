"""Telling peers of a new tip at once and of new transactions in batches, and hearing of their tips.

If news is lost, the resolver's scheduled runs find the better chain, and `remind` sends old transactions again.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial

import structlog

from services.chain.accept import Accepted
from services.connections.servers import RedisError
from services.errors import ProxyFailed
from services.jobs.queues import ANNOUNCE, HEARD, RELAY, RESOLVE
from services.peers.book import PeerBook
from services.peers.client import NoSuchAnswer, PeerClient
from services.ports import Clock, Queue
from services.store.chain import ChainStore
from services.store.outbox import Outbox
from services.store.pool import Entry, PoolStore
from shared.errors import NodeError

_log = structlog.get_logger(__name__)

# At most this many transactions, and bytes, in one request: a body may have 1 MiB.
RELAY_BATCH = 200
RELAY_BYTES = 500_000
# Batches that one job hands on before other jobs have their turn: clients may send faster than peers accept.
RELAY_ROUNDS = 5
# After this many seconds in the mempool, transactions are handed on again, repeatedly: a peer may have missed them.
REMIND_SECONDS = 60.0
# If a job is lost, its id keeps the next one from being enqueued for this many seconds at most.
_LOST_SECONDS = 60


class Announcer:
    """News of one node: to its peers and from them."""

    def __init__(
        self,
        node: str,
        public_url: str,
        chain: ChainStore,
        pool: PoolStore,
        outbox: Outbox,
        book: PeerBook,
        client: PeerClient,
        queue: Queue,
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._has_peers = False
        self._looked_at = 0.0
        self._reminded = 0  # how many of the oldest transactions this pass over the mempool has handed on again
        self._pass_began = 0.0
        self._node = node
        self._public_url = public_url
        self._chain = chain
        self._pool = pool
        self._outbox = outbox
        self._book = book
        self._client = client
        self._queue = queue

    # --- enqueuing the jobs ---

    def accepted(self, accepted: Accepted) -> None:
        """Announce a block that this node sealed. Fetched blocks are not announced one by one: a run of the resolver
        announces the tip that it ends at.
        """
        if accepted.sealed_by is not None:
            self.tip_changed()

    def tip_changed(self) -> None:
        """Enqueue a job that announces the tip, once per tip, if there are peers."""
        if self._public_url and self._book.approved():
            tip = self._chain.tip().hash
            self._queue.enqueue_network(ANNOUNCE, self._node, f"announce-{self._node}-{tip[:32]}", tip)

    def admitted(self, ids: Sequence[str]) -> None:
        """Queue new transactions for relay, if there are peers."""
        if ids and self._has_any_peer() and self._outbox.put(ids) == len(ids):
            self.transactions_waiting()  # the outbox was empty, so no job is relaying

    def returned(self, ids: Sequence[str]) -> None:
        """Queue transactions that a reorganisation brought back for relay, like new ones.

        Finishing a reorganisation must not fail because the broker does not answer; then housekeeping enqueues the job.
        """
        with suppress(RedisError):
            self.admitted(ids)

    def _has_any_peer(self) -> bool:
        """Whether there are peers; read once a second at most, since every admission asks."""
        now = self._clock.now()
        if not 0 <= now - self._looked_at <= 1.0:  # the clock may have been set back
            self._has_peers, self._looked_at = bool(self._book.approved()), now
        return self._has_peers

    def transactions_waiting(self) -> None:
        """Enqueue a job that relays the outbox, unless it is empty: one in five seconds per oldest transaction."""
        first = self._outbox.first()
        if first is not None:
            slot = int(self._clock.now() // 5)
            self._queue.enqueue_network(RELAY, self._node, f"relay-{self._node}-{first[:24]}-{slot}")

    def remind(self) -> int:
        """Queue transactions that have waited for REMIND_SECONDS for relay again, the oldest RELAY_BATCH first.

        A peer that was down has missed them, and a new peer has never received them. Without them it cannot mine later
        transactions of their senders.

        Returns:
            how many transactions.
        """
        now = self._clock.now()
        if self._outbox.first() is not None or not self._has_any_peer():
            return 0
        if self._reminded == 0 and 0 <= now - self._pass_began < REMIND_SECONDS:
            return 0
        ids = self._pool.older_than(now - REMIND_SECONDS, RELAY_BATCH, skip=self._reminded)
        if self._reminded == 0 and ids:
            self._pass_began = now
        self._reminded = self._reminded + len(ids) if len(ids) == RELAY_BATCH else 0
        if ids:
            self._outbox.put(ids)
            self.transactions_waiting()
        return len(ids)

    def heard(self, url: str, block_hash: str) -> bool:
        """Take an announcement: the peer at `url` has a new block. Returns whether the peer will be asked for it.

        Anyone can send one, so it is not trusted, and handling it is cheap. It is ignored if the URL is not a peer's,
        if the peer is in its pause, or if our chain has the block. One job asks all peers that were announced before it
        began: each peer at most once a second (`PeerBook.pace`), and about the same block once in 30 s
        (`PeerBook.hear`).
        """
        peer = self._book.get(url)
        if peer is None or not peer.approved or peer.next_try > self._clock.now():
            return False
        stored = self._chain.header(block_hash)
        if stored is not None and self._chain.is_on_chain(stored):
            return False
        if not self._book.hear(url, block_hash):
            return False
        self._ask_the_announced()
        return True

    def news_waiting(self) -> None:
        """Enqueue a job that asks announced peers, if theirs was lost or was about to end when they were announced."""
        if self._book.anything_heard():
            self._ask_the_announced()

    def _ask_the_announced(self) -> None:
        slot = int(self._clock.now() // _LOST_SECONDS)
        self._queue.enqueue_network(RESOLVE, self._node, f"resolve-{self._node}-heard-{slot}", HEARD)

    # --- the jobs ---

    def announce(self, tip: str) -> int:
        """Tell all peers of our tip, unless it is no longer `tip` (a hash). Returns how many were told."""
        ours = self._chain.tip()
        if ours.hash != tip:
            return 0
        news = {"url": self._public_url, "hash": ours.hash, "height": ours.height, "chainwork": ours.chainwork}
        try:
            return self._tell(lambda url: self._client.announce(url, news))
        except ProxyFailed:
            return 0  # the peers' own resolvers find the tip

    def relay(self) -> int:
        """Hand on the transactions of the outbox. After RELAY_ROUNDS batches another job takes the rest.

        Returns:
            how many transactions were sent to the peers.
        """
        sent = 0
        for _ in range(RELAY_ROUNDS):
            ids = self._outbox.peek(RELAY_BATCH)
            if not ids:
                return sent
            entries = sorted(self._pool.entries(ids), key=lambda entry: (entry.sender, entry.nonce))
            for batch in _batches(entries):
                try:
                    self._tell(partial(self._client.submit, transactions=[entry.fields() for entry in batch]))
                except ProxyFailed:
                    return sent  # the transactions stay in the outbox, and housekeeping enqueues another job
                sent += len(batch)
            self._outbox.take(ids)
        self.transactions_waiting()
        return sent

    def _tell(self, tell: Callable[[str], None]) -> int:
        """Tell all peers that are due. Returns how many were told.

        Raises:
            ProxyFailed: none could be asked, because the proxy before all of them does not work.
        """
        urls = [peer.url for peer in self._book.due()]
        told = 0
        unasked: list[ProxyFailed] = []
        for url, answer in zip(urls, self._client.in_parallel(tell, urls), strict=True):
            if isinstance(answer, NoSuchAnswer):
                continue  # the tutorial's nodes answer, but know no announcements
            if isinstance(answer, ProxyFailed):
                unasked.append(answer)
                self._book.not_asked(url, str(answer))
            elif isinstance(answer, NodeError):
                _log.info("peer_not_told", peer=url, reason=str(answer))
                self._book.failed(url, "unreachable", str(answer))  # else all further news would wait for it too
            else:
                told += 1
        if unasked:
            _log.warning("peer_proxy_failed", peers=len(unasked), reason=str(unasked[0]))
        if unasked and len(unasked) == len(urls):
            raise unasked[0]
        return told


def _batches(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Entries in batches, in their order, that fit the usual limit of a peer's requests."""
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        if batch and size + len(entry.text) > RELAY_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += len(entry.text)
    if batch:
        yield batch
