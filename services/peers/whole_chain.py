"""Adopting a peer's chain in one piece, under rules whose headers cannot be judged without their blocks.

Walk: `/chain` is written to a file → every block is judged against its parent, and the fork point is found → as many
blocks as are needed to outweigh our chain are staged and swapped in → the rest is appended. The whole chain is judged
before any of it is adopted, so a chain with one bad block changes nothing.
"""

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from tempfile import SpooledTemporaryFile
from typing import IO

from services.errors import PeerLied, TipMoved
from services.peers.adopter import Adopter
from services.peers.client import PeerClaim
from services.peers.stretch import Budget
from services.store.records import Tip
from shared.block import Block, Header
from shared.forkchoice import TipClaim, is_better

_CHUNK = 65_536
# Chains up to this many bytes are kept in memory, longer ones on disk.
_IN_MEMORY = 2**20
# Heights of our chain that are compared at once.
_PAGE = 500


@dataclass(frozen=True, slots=True)
class _Survey:
    """A peer's chain, of which every block was judged."""

    fork: int  # the last height at which it has our block; 0: its genesis block is another
    tip: TipClaim


@dataclass(eq=False)
class WholeChains(Adopter):
    """Chains of peers that are asked for `/chain` alone."""

    # Chains of several peers are read at the same time, and judged in turn: a block may have megabytes.
    _judging: threading.Lock = field(default_factory=threading.Lock, init=False)

    def claim(self, url: str) -> PeerClaim:
        """What the chain of a peer without a status claims. Its blocks are counted; only the first and last are read.

        Raises:
            PeerFailed: it does not answer, or not with a chain.
            RuleError: `wrong_genesis`, or its last block has no valid form.
        """
        height, genesis, text = 0, "", b""
        with self._client.chain(url) as chunks:
            for text in self._client.chain_blocks(chunks):
                height += 1
                if height == 1:
                    genesis = self._rules.adopt_genesis(self._client.parse(text)).hash
        if not height:
            raise PeerLied("The peer's chain is empty.")
        last = self._rules.read_header(self._client.parse(text))
        # These rules have no difficulty: every block adds the same work.
        return PeerClaim(url, genesis, height, TipClaim(self._rules.work(last) * (height - 1), last.hash))

    def adopt(self, claim: PeerClaim, budget: Budget) -> None:
        """Adopt a peer's chain, if it is valid and better than ours.

        Raises:
            RuleError: a block is invalid. Nothing has changed.
            PeerLied: the chain is not better than ours, though the peer claimed that. Nothing has changed.
            PeerFailed: it is too long, or its time is over. Blocks that were appended stay.
            TipMoved: our chain changed while the peer's was judged.
        """
        tip = self._chain.tip()
        with SpooledTemporaryFile(max_size=_IN_MEMORY) as file:
            with self._client.chain(claim.url) as chunks:
                for chunk in chunks:  # `writelines` would not look at max_size before the end
                    file.write(chunk)
            with budget.stopped():
                self._judging.acquire()
            try:
                survey = self._survey(file, tip, budget)
                if is_better(survey.tip, tip.claim):
                    self._follow(file, survey, tip, budget)
                elif self._chain.tip().hash == tip.hash:
                    raise PeerLied("The peer's chain does not hold the work that it claimed.")
                else:
                    raise TipMoved("The chain changed while a peer's was read.")
            finally:
                self._judging.release()

    def _survey(self, file: IO[bytes], tip: Tip, budget: Budget) -> _Survey:
        """Judge every block, and find the fork point. `tip`: ours."""
        window: deque[Header] = deque(maxlen=self._rules.window_size)
        fork = chainwork = 0
        ours = self._our_hashes()
        same = True
        for block in self._blocks(file, 0):
            if window:
                self._rules.check_header(block.header, tuple(window), tip.time_limit(self._clock.now()))
                self._rules.check_body(block)
            window.append(block.header)
            chainwork += self._rules.work(block.header)
            same = same and next(ours, None) == block.hash
            fork += same
            if block.index % _PAGE == 0:
                budget.check()
        if not window:
            raise PeerLied("The peer's chain is empty.")
        return _Survey(fork, TipClaim(chainwork, window[-1].hash))

    def _follow(self, file: IO[bytes], survey: _Survey, tip: Tip, budget: Budget) -> None:
        """Adopt a judged chain: swap in as many blocks as outweigh our chain, then append the others one by one."""
        blocks = self._blocks(file, survey.fork)
        if survey.fork < tip.height:
            branch = self._reorganiser.begin(survey.fork, next(blocks) if survey.fork == 0 else None)
            while not is_better(branch.tip.claim, branch.old_tip.claim):
                block = next(blocks, None)
                if block is None:
                    raise TipMoved("Our chain has become better than the peer's.")
                self._reorganiser.add(branch, block)
                budget.extend()
            self._reorganiser.swap(branch)
        for block in blocks:
            self._acceptor.accept(block)
            budget.extend()
            budget.check()

    def _our_hashes(self) -> Iterator[str]:
        first = 1
        while page := self._chain.headers(first, _PAGE):
            yield from (stored.header.hash for stored in page)
            first += len(page)

    def _blocks(self, file: IO[bytes], skipped: int) -> Iterator[Block]:
        """The blocks in the file after the first `skipped`, each read when it is needed."""
        file.seek(0)
        chunks = iter(lambda: file.read(_CHUNK), b"")
        for text in islice(self._client.chain_blocks(chunks), skipped, None):
            value = self._client.parse(text)
            yield self._rules.read_block(value) if skipped else self._rules.adopt_genesis(value)
            skipped += 1
