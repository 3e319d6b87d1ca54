"""The composition root: one node, put together behind its ports."""

from dataclasses import dataclass

from services.accept import Accepted, Acceptor
from services.mempool import Mempool
from services.ports import Clock, Queue, Randomness, SystemClock, SystemRandomness
from services.rounds import RoundPolicy, Rounds
from services.settings import Settings
from services.store.chain import ChainStore
from services.store.keys import Keys
from services.store.mining import MiningStore
from services.store.pool import PoolStore
from services.store.port import Store
from services.templates import TemplateMaker
from shared.rules import Rules, rules_for


@dataclass(frozen=True, slots=True)
class Node:
    """The parts of one node that doors (`api`, `worker`) call."""

    settings: Settings
    rules: Rules
    clock: Clock
    queue: Queue
    chain: ChainStore
    pool: PoolStore
    mining: MiningStore
    mempool: Mempool
    acceptor: Acceptor
    rounds: Rounds


def build_node(
    settings: Settings,
    *,
    store: Store,
    queue: Queue,
    clock: Clock | None = None,
    randomness: Randomness | None = None,
) -> Node:
    """A node on `store`, whose jobs go to `queue`. Nothing is written before `node.chain.initialise()`."""
    clock = clock or SystemClock()
    randomness = randomness or SystemRandomness()
    rules = rules_for(settings.spec)
    keys = Keys(settings.node)
    chain = ChainStore(store, keys, rules)
    pool = PoolStore(store, keys)
    mining = MiningStore(store, keys)
    mempool = Mempool(pool, settings.pool_policy, rules, clock)
    acceptor = Acceptor(chain, rules, clock)

    def on_block(_: Accepted) -> None:
        """What follows a block of our own."""

    rounds = Rounds(
        RoundPolicy(settings.node, settings.reward_address, settings.automine, settings.max_requests),
        mining,
        TemplateMaker(chain, pool, rules, clock),
        acceptor,
        mempool,
        rules,
        queue,
        clock,
        randomness,
        on_block,
    )
    return Node(settings, rules, clock, queue, chain, pool, mining, mempool, acceptor, rounds)
