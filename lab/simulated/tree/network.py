"""Blocks, links, shares of the hash rate and strategies: a network of which nothing else is simulated.

A miner finds blocks as a Poisson process: the time to its next one is exponential with the mean difficulty / hash rate.
Nodes choose between tips by `shared/forkchoice.py`, and difficulties follow `shared/difficulty.py`. A node that hears
of a block has all blocks before it as well. Everything follows from the seed, or from a list of draws (`replay`).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from heapq import heappop, heappush
from itertools import accumulate, count
from random import Random
from typing import Any

from lab.simulated.tree.blocks import Block, digest_of, genesis
from lab.simulated.tree.clocks import stamp
from lab.simulated.tree.draws import BadDraws, Draw, Luck
from lab.simulated.tree.links import Links
from lab.simulated.tree.miner import Miner, StrategyError
from lab.simulated.tree.nodes import Node, Watcher
from lab.simulated.tree.payments import Payment, Pools
from lab.strategy import Strategy
from shared.chain_spec import ChainSpec
from shared.forkchoice import TipClaim, is_better
from shared.proof import meets
from shared.timestamps import max_ahead


class Network:
    """A network of miners in virtual time, which begins at 0 seconds."""

    def __init__(
        self,
        rates: Sequence[float],
        *,
        spec: ChainSpec,
        seed: int = 0,
        links: Links | None = None,
        strategies: Mapping[int, Strategy] | None = None,
        draws: Sequence[Draw] | None = None,
        better: Callable[[TipClaim, TipClaim], bool] = is_better,
        began: float | None = None,
        first: Block | None = None,
    ) -> None:
        """
        Args:
            rates: hashes per second of each node.
            spec: its difficulty and interval; the difficulty is constant where `block_interval` is 0.
            links: between the nodes; None: news takes no time.
            strategies: by the node's index, from 0. Other nodes publish each block at once.
            draws: the blocks that are found, in place of random ones.
            better: the rule by which nodes choose between tips; another than ours is for comparison.
            began: Unix seconds of the clock at the beginning; None: the genesis block's.
            first: the genesis block, if it is at hand already.
        """
        self.spec = spec
        self.now = 0.0
        self.began = float(spec.genesis_timestamp) if began is None else began
        self.better = better
        self.links = links if links is not None else Links(len(rates))
        self.watcher: Watcher | None = None
        self.pools: Pools | None = None
        self.on_strategy_error: Callable[[int, StrategyError], None] | None = None
        self.luck = Luck(seed)
        self._jitter = Random(f"jitter {seed}").random
        self._draws = iter(draws) if draws is not None else None
        self._draw: Draw | None = None
        start = first if first is not None else genesis(spec)
        self.blocks = [start]  # in the order in which they were found
        self.nodes = [Node(index, rate, start) for index, rate in enumerate(rates)]
        self.adjusts = spec.block_interval > 0  # whether the difficulty follows the blocks
        self.ahead = max_ahead(spec.block_interval)
        self._events: list[Any] = []
        self._order = count().__next__
        # The process of finds: what is left of an exponential time of rate 1, at the time `_since`.
        self._total = 0.0
        self._cumulative: list[float] = []
        self._left = self._since = 0.0
        self._next_find = math.inf
        if self._draws is None:
            self._left = self.luck.wait()
        else:
            self._next_draw()
        self.weigh()
        for index, strategy in (strategies or {}).items():
            self.set_strategy(index, strategy)

    # --- running ---

    def run(self, *, until: float = math.inf, blocks: float = math.inf, stop: Callable[[], bool] | None = None) -> None:
        """Let things happen until a time, until so many more blocks were found, or until `stop` says so.

        Returns at once where nothing can happen any more. `stop` is asked after each event.
        """
        wanted = len(self.blocks) + blocks
        events = self._events
        while len(self.blocks) < wanted:
            if events and events[0][0] <= self._next_find:
                if events[0][0] > until:
                    break
                self._next_event()
            elif self._next_find <= until and self._next_find < math.inf:
                self.now = self._next_find
                self._find()
            else:
                break
            if stop is not None and stop():
                return
        if until < math.inf and len(self.blocks) < wanted:
            self.now = until

    def at(self, time: float, call: Callable[..., None], *arguments: Any) -> None:
        """Call something at a time."""
        heappush(self._events, (time, self._order(), None, call, arguments))

    def settle(self) -> None:
        """Let all news arrive that is on its way, without another block. The clock goes on to the last of them."""
        while self._events:
            self._next_event()
        if self._next_find < self.now:
            self._next_find = self._since = self.now

    def _next_event(self) -> None:
        self.now, _, block, source, targets = heappop(self._events)
        if block is None:
            source(*targets)
        else:
            self._arrive(block, source, targets)

    # --- finding ---

    def weigh(self) -> None:
        """Take the nodes' hash rates and the difficulties of their next blocks as they are now.

        A change of the rate stretches or shortens what is left of the exponential time, which keeps its law.
        """
        if self._draws is not None:
            return
        if self.adjusts:
            spec = self.spec
            weights = [node.rate / node.tip.next_difficulty(spec) for node in self.nodes]
        else:
            weights = [node.rate / self.spec.difficulty for node in self.nodes]
        self._left -= (self.now - self._since) * self._total
        self._since = self.now
        self._cumulative = list(accumulate(weights))
        self._total = self._cumulative[-1]
        self._next_find = self.now + self._left / self._total if self._total > 0 else math.inf

    def _next_draw(self) -> None:
        assert self._draws is not None
        self._draw = next(self._draws, None)
        self._next_find = self._draw.time if self._draw is not None else math.inf

    def _find(self) -> None:
        """A node finds a block."""
        draw = self._draw
        if draw is None:
            index = bisect_right(self._cumulative, self.luck.random() * self._total)
            node = self.nodes[min(index, len(self.nodes) - 1)]
        else:
            node = self.nodes[draw.finder - 1]
        difficulty = node.tip.next_difficulty(self.spec) if self.adjusts else self.spec.difficulty
        if draw is not None:
            if not meets(bytes.fromhex(draw.hash), difficulty):
                raise BadDraws(f"The hash {draw.hash} does not meet the difficulty {difficulty}.")
            self._next_draw()
            self.make(node, difficulty, draw.hash, draw.timestamp)
            return
        hash = self.luck.hash(difficulty)
        self._left, self._since = self.luck.wait(), self.now
        self._next_find = self.now + self._left / self._total
        self.make(node, difficulty, hash)

    def make(self, node: Node, difficulty: int, hash: str, timestamp: int | None = None) -> Block:
        """A block on the node's tip, with what follows from it."""
        parent = node.tip
        payments, fees = self._payments_for(node) if self.pools is not None else ((), 0)
        timestamp = stamp(self, node) if timestamp is None else timestamp
        miner = node.miner  # now, since a strategy that failed is taken away
        block = Block(
            hash,
            parent,
            difficulty,
            height=parent.height + 1,
            chainwork=parent.claim.chainwork + difficulty,
            finder=node.index,
            found_at=self.now,
            timestamp=timestamp,
            published=miner is None,
            payments=payments,
            fees=fees,
        )
        self.blocks.append(block)
        if self.watcher is not None:
            self.watcher.found(block)
        if miner is not None:
            self._strategic(node, miner.found, block)
            if self.watcher is not None and not block.published:
                self.watcher.withheld(node.index, block)
        else:
            if node.tip is parent or self.better(block.claim, node.tip.claim):
                self.move(node.index, block)
            self.send(node.index, block)
        return block

    # --- hearing ---

    def send(self, index: int, block: Block) -> None:
        """Tell all nodes that can be reached of a block, and of all before it."""
        now = self.now
        for delay, jitter, targets in self.links.routes(index):
            if jitter:
                for target in targets:
                    late = delay + jitter * self._jitter()
                    heappush(self._events, (now + late, self._order(), block, index, (target,)))
            else:
                heappush(self._events, (now + delay, self._order(), block, index, targets))

    def _arrive(self, block: Block, source: int, targets: tuple[int, ...]) -> None:
        if self.adjusts and block.timestamp > self.began + self.now + self.ahead:
            # Too early: tried again when the clocks allow it.
            heappush(self._events, (block.timestamp - self.ahead - self.began, self._order(), block, source, targets))
            return
        nodes, better, claim = self.nodes, self.better, block.claim
        watcher, simple = self.watcher, self.watcher is None and self.pools is None and not self.adjusts
        for target in targets:
            node = nodes[target]
            if self.links.disturbed and not self.links.reaches(source, target):
                continue  # the way was cut meanwhile
            if watcher is not None:
                watcher.heard(target, block)
            if node.miner is not None:
                self._strategic(node, node.miner.heard, block)
            elif better(claim, node.tip.claim):
                if simple:
                    node.tip = block
                else:
                    self.move(target, block)

    def hear(self, index: int, block: Block) -> None:
        """Give one node news of a block, and of all before it, now."""
        node = self.nodes[index]
        if node.miner is not None:
            self._strategic(node, node.miner.heard, block)
        elif self.better(block.claim, node.tip.claim):
            self.move(index, block)

    def move(self, index: int, tip: Block) -> None:
        """Have a node work on another block."""
        node = self.nodes[index]
        old, node.tip = node.tip, tip
        if old is tip:
            return
        if self.pools is not None:
            self.pools.moved(index, old, tip)
        if self.watcher is not None:
            self.watcher.moved(index, old, tip)
        if self.adjusts:
            self.weigh()

    def shown(self, index: int, blocks: list[Block]) -> None:
        """A miner published blocks that it had withheld."""
        if self.watcher is not None:
            self.watcher.shown(index, blocks)

    def reconnect(self) -> None:
        """Have each node tell the others what it has, as nodes do when a link works again."""
        for node in self.nodes:
            self.send(node.index, node.public)
            if self.pools is not None:
                for payment in list(self.pools.waiting[node.index].values()):
                    self._spread(node.index, payment)

    # --- strategies ---

    def set_strategy(self, index: int, strategy: Strategy | None) -> None:
        """Have a node follow a strategy from now on. None: it publishes what it withheld, and is ordinary again."""
        node = self.nodes[index]
        if node.miner is not None:
            node.miner.surrender()
        node.miner = Miner(self, index, strategy, node.tip) if strategy is not None else None

    def _strategic(self, node: Node, event: Callable[[Block], None], block: Block) -> None:
        try:
            event(block)
        except StrategyError as error:
            self.failed(node, error)

    def failed(self, node: Node, error: StrategyError) -> None:
        if self.on_strategy_error is None:
            raise error
        self.on_strategy_error(node.index, error)

    # --- payments ---

    def keep_accounts(self, wallets: list[str]) -> Pools:
        """Have payments from now on; `wallets` are the nodes' addresses."""
        if self.pools is None:
            self.pools = Pools(self.spec, wallets)
        return self.pools

    def pay(self, index: int, payment: Payment) -> bool:
        """Give a payment to a node, which tells the others. Whether the node keeps it."""
        assert self.pools is not None
        self.pools.all[payment.id] = payment
        kept = self.pools.receive(index, payment, self.nodes[index].tip)
        if kept:
            self._spread(index, payment)
        return kept

    def _spread(self, index: int, payment: Payment) -> None:
        for delay, _, targets in self.links.routes(index):
            self.at(self.now + delay, self._payment_arrives, index, payment, targets)

    def _payment_arrives(self, source: int, payment: Payment, targets: tuple[int, ...]) -> None:
        assert self.pools is not None
        for target in targets:
            if not self.links.disturbed or self.links.reaches(source, target):
                self.pools.receive(target, payment, self.nodes[target].tip)

    def _payments_for(self, node: Node) -> tuple[tuple[str, ...], int]:
        assert self.pools is not None
        if node.miner is not None and node.miner.takes is not None:
            try:
                return self.pools.choose(node.index, node.tip, node.miner.takes)
            except StrategyError as error:
                self.failed(node, error)
        return self.pools.choose(node.index, node.tip, None)

    def waiting_fees(self, index: int) -> int:
        """Base units that the node's next block can earn."""
        return self._payments_for(self.nodes[index])[1] if self.pools is not None else 0

    # --- results ---

    def best(self) -> Block:
        """The best tip that a node shows."""
        best = self.nodes[0].public
        for node in self.nodes[1:]:
            if self.better(node.public.claim, best.claim):
                best = node.public
        return best

    def digest(self) -> str:
        """SHA-256, hex, of all blocks with their parents, finders and times."""
        return digest_of(self.blocks)
