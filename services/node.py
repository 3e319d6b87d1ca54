"""The composition root: one node, put together behind its ports."""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from services.audit.repair import Repair
from services.audit.watchman import Watchman
from services.chain.accept import Acceptor
from services.chain.earlier_chains import require_todays_rules
from services.chain.finishing import Finisher
from services.chain.packer import Packer
from services.chain.prefixes import RecentHashes
from services.chain.reorganiser import Reorganiser
from services.chain.snapshots import Snapshots
from services.chain.upgrades import require_upgrades_kept
from services.clocks import CommonClock, WrongClock, store_time, wrong_clocks
from services.development.clock import ChainClock
from services.development.clock_part import ClockPart
from services.development.forks import Forks
from services.development.going_back import GoingBack
from services.development.mining import MiningOnDemand
from services.development.snapshots_part import SnapshotsPart
from services.development.states import States
from services.mempool.admission import Admitted, Mempool
from services.mempool.judgement import PoolPolicy
from services.mempool.prefixes import WaitingIds
from services.mining.aside import RoundsAside
from services.mining.desk import Desk
from services.mining.leases import Leases
from services.mining.modes import MiningModes
from services.mining.policy import MiningPolicy
from services.mining.requests import Requests
from services.mining.rounds import Rounds
from services.mining.seal_log import SealLog
from services.mining.sealer import Sealer, sealer_of
from services.mining.searches import Searches
from services.mining.templates import TemplateMaker
from services.operators.names import Names
from services.operators.tokens import Operators
from services.peers.announcer import Announcer
from services.peers.book import PeerBook
from services.peers.client import PeerClient
from services.peers.consensus import Consensus
from services.peers.http import PeerHttp, SystemPeerHttp
from services.peers.proxy import proxy_of
from services.peers.resolver import Resolver
from services.peers.sightings import Sightings
from services.peers.tips import Tips
from services.ports import Clock, Ports, Queue, Randomness, Store, SystemClock, SystemRandomness
from services.settings.table import Settings
from services.store.block_times import BlockTimesStore
from services.store.branch import BranchStore
from services.store.chain import ChainStore
from services.store.development import DevelopmentStore
from services.store.faults import FaultStore
from services.store.filters import FilterStore
from services.store.inbox import InboxStore
from services.store.keys import Keys
from services.store.mining import MiningStore
from services.store.modes import ModesStore
from services.store.names import NameStore
from services.store.outbox import Outbox
from services.store.overview import NodeOverview, OverviewStore
from services.store.payouts import PayoutStore
from services.store.peers import PeerStore
from services.store.pool import PoolStore
from services.store.resolutions import ResolutionStore
from services.store.slots import Slots
from services.store.snapshot_copy import SnapshotCopy
from services.store.snapshots import SnapshotStore
from services.store.state import StateStore
from services.store.tips import TipStore
from services.store.tokens import TokenStore
from services.token.logs import LogSearch
from services.token.wallet_blocks import WalletBlocks
from services.wallet.development import kept_phrase
from shared.errors import NodeError, RuleError
from shared.hashing import sha256
from shared.rules import Rules, rules_for
from shared.transaction import Transaction

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Node:
    """The parts of one node that `api` and `worker` call."""

    settings: Settings
    rules: Rules
    clock: Clock
    queue: Queue
    chain: ChainStore
    pool: PoolStore
    mining: MiningStore
    overviews: OverviewStore
    mempool: Mempool
    acceptor: Acceptor
    rounds: Rounds
    searches: Searches
    desk: Desk
    tips: Tips
    requests: Requests
    modes: MiningModes
    leases: Leases
    payouts: PayoutStore
    peers: PeerBook
    reorganiser: Reorganiser
    packer: Packer
    resolver: Resolver
    announcer: Announcer
    consensus: Consensus
    snapshots: Snapshots
    wallet_blocks: WalletBlocks
    logs: LogSearch
    filters: FilterStore
    slots: Slots
    randomness: Randomness
    faults: FaultStore
    watchman: Watchman
    repair: Repair
    going_back: GoingBack
    forks: Forks
    development: DevelopmentStore
    chain_clock: ChainClock
    on_demand: MiningOnDemand
    states: States
    names: Names
    operators: Operators
    recent: RecentHashes
    waiting: WaitingIds
    broker: Store | None = None  # where processes note that their clocks are wrong

    def overview(self) -> NodeOverview:
        """The state of the node, in one round trip to the store, or in two while a round is open.

        Raises:
            NotBegun: the store holds no chain.
            Damaged: the tip cannot be read.
        """
        return self.overviews.read(self.clock.now())

    def instance(self) -> str:
        """64 hexadecimal digits that no other node has, and that change with each start of this one; "" before that."""
        run = self.development.run()
        return sha256(b"quarry-run:" + run.encode()).hex() if run else ""

    def wrong_clocks(self) -> list[WrongClock]:
        """The clocks that differ from the store's: of this process, and of the node's workers, ticker and peers."""
        ahead = self.clock.ahead() if isinstance(self.clock, CommonClock) else 0.0
        own = [WrongClock("api", "", round(ahead, 1))] if ahead else []
        found = wrong_clocks(self.broker, self.clock.now()) if self.broker is not None else []
        peers = [WrongClock(f"peer {peer.url}", "", peer.ahead) for peer in self.peers.approved() if peer.is_off]
        return [*own, *found, *peers]

    def submit(self, transactions: Sequence[Transaction], *, replaces: bool = True) -> list[Admitted | NodeError]:
        """Admit transactions whose signatures are good, and have new ones relayed to peers. With auto-mining, open a
        round if none is open and the desk does not open one after a rest.

        Args:
            replaces: see `Mempool.admit_many`.

        Returns:
            per transaction, the acknowledgement or the refusal.

        Raises:
            LedgerDiffers: the stored state is marked as wrong.
        """
        outcomes = self.mempool.admit_many(transactions, replaces=replaces)
        if not all(isinstance(item, Admitted) for item in outcomes):
            self._acknowledge_mined(transactions, outcomes)
        new = [item for item in outcomes if isinstance(item, Admitted) and item.new]
        if new:
            _log.debug("transactions_admitted", ids=[item.id for item in new])
        if new and not new[-1].attended and self.rounds.automines(new[-1].automine):
            self.rounds.ensure_open()
        if self.rules.relays:
            self.announcer.admitted([item.id for item in new])
        return outcomes

    def submit_one(self, transaction: Transaction, *, replaces: bool = True) -> Admitted:
        """As `submit`, for one transaction.

        Raises:
            NodeError: the refusal.
        """
        [outcome] = self.submit([transaction], replaces=replaces)
        if isinstance(outcome, NodeError):
            raise outcome
        return outcome

    def _acknowledge_mined(self, transactions: Sequence[Transaction], outcomes: list[Admitted | NodeError]) -> None:
        """Replace the refusal of a transaction that is in a block already by an acknowledgement that names the block.

        A client whose first answer was lost sends the transaction again. This writes nothing, so it does not matter if
        the chain changes between the refusal and this look.
        """
        refused = [
            position
            for position, outcome in enumerate(outcomes)
            if isinstance(outcome, RuleError) and outcome.code == "nonce_too_low"
        ]
        found = self.chain.locate_many([transactions[position].id for position in refused])
        for position in refused:
            identifier = transactions[position].id
            if identifier in found:
                place = found[identifier]
                outcomes[position] = Admitted(identifier, place.height, new=False, block=place.block_hash)

    def begin(self) -> None:
        """Write the genesis block and the peers of the settings, if they are missing; let the settings say how the node
        mines; finish an interrupted reorganisation; check the stored state, and mark it if it is wrong.

        Raises:
            WrongChain: the store holds a chain of another spec, one that breaks later rules or upgrades, or what a
                later release has written.
        """
        for wrong in self.wrong_clocks():
            _log.warning("clock_differs", process=wrong.name, seconds_ahead=wrong.ahead)
        self.chain.initialise()
        self.modes.begin()
        if self.settings.payout_depth:
            self.payouts.begin(self.settings.payout_window)
        self.reorganiser.finish()
        require_todays_rules(self.chain)
        require_upgrades_kept(self.chain)
        self.chain.schema.adopt(self.clock.now(), prunes=self.settings.keep > 0)
        self.development.begin_run(self.randomness.token())
        self.watchman.at_start()
        for url in self.settings.peers:
            if url != self.settings.public_url and self.peers.get(url) is None:
                self.peers.add(url)


def build_node(
    settings: Settings,
    *,
    store: Store,
    queue: Queue,
    clock: Clock | None = None,
    randomness: Randomness | None = None,
    http: PeerHttp | None = None,
    broker: Store | None = None,
    rules: Rules | None = None,
    sealer: Sealer | None = None,
) -> Node:
    """A node on `store`, whose jobs go to `queue`. Nothing is written before `begin`.

    Args:
        clock: None for this machine's, corrected by the store's.
        rules, sealer: None for those of the chain spec, and for the key that the settings name.
        broker: given if `Node.wrong_clocks` is to include the processes that share it.
    """
    clock = clock or CommonClock(SystemClock(), lambda: store_time(store))
    randomness = randomness or SystemRandomness()
    http = http or SystemPeerHttp(private=settings.reaches_private_peers, proxy=proxy_of(settings))
    rules = rules or rules_for(settings.spec)
    keys = Keys(settings.node)
    chain = ChainStore(store, keys, rules)
    faults = FaultStore(store, keys)
    pool = PoolStore(store, keys)
    mining = MiningStore(store, keys)
    mempool = Mempool(pool, PoolPolicy.of(settings), rules, clock)
    book = PeerBook(PeerStore(store, keys), clock, settings.max_peers)
    client = PeerClient(http, settings.spec.largest_block, floats=rules.floats)
    announcer = Announcer(
        settings.node, settings.public_url, chain, pool, Outbox(store, keys), book, client, queue, clock
    )

    def on_return(ids: Sequence[str]) -> None:
        if rules.relays:
            announcer.returned(ids)

    branches, block_times = BranchStore(store, keys), BlockTimesStore(store, keys)
    chain_clock = ChainClock(chain, block_times, rules, clock, lambda: bool(book.approved()))
    finisher = Finisher(chain, branches, pool, mempool, rules, clock, on_return, chain_clock.restore)
    reorganiser = Reorganiser(chain, branches, finisher, rules, clock)
    acceptor = Acceptor(
        chain, rules, clock, reorganiser.finish, pool.senders, (SealLog(clock).accepted, announcer.accepted)
    )
    policy = MiningPolicy.of(settings)
    templates = TemplateMaker(chain, pool, rules, clock, sealer or sealer_of(settings))
    ports = Ports(clock, queue, randomness)
    rounds = Rounds(policy, mining, templates, acceptor, mempool, rules, ports)
    desk = Desk(InboxStore(store, keys), mining, rounds, clock)
    requests = Requests(policy, mining, rounds, clock, randomness)
    going_back = GoingBack(chain, SnapshotStore(store, keys), reorganiser, rounds, book, clock, chain_clock.kept)
    aside = RoundsAside(policy, mining, rounds, rules, ports)
    forks = Forks(chain, pool, rules, reorganiser, going_back, aside, rounds, book, announcer, clock)
    wallet_blocks = WalletBlocks(chain, rules)
    tip_store = TipStore(store, keys)
    sightings = Sightings(tip_store, chain, rules, clock)
    resolver = Resolver(chain, rules, acceptor, reorganiser, book, client, clock, sightings, announcer.tip_changed)
    modes = MiningModes(
        policy, ModesStore(store, keys), rounds, clock, randomness,
        may_change=settings.spec.development, block_interval=settings.spec.block_interval,
    )  # fmt: skip
    states = States(
        chain, pool, StateStore(store, keys), reorganiser, rules, clock, lambda: kept_phrase(settings),
        lambda: bool(book.approved()), [ClockPart(chain, chain_clock), SnapshotsPart(SnapshotCopy(store, keys), rules)],
    )  # fmt: skip
    return Node(
        settings=settings,
        rules=rules,
        clock=clock,
        queue=queue,
        chain=chain,
        pool=pool,
        mining=mining,
        overviews=OverviewStore(store, keys),
        mempool=mempool,
        acceptor=acceptor,
        rounds=rounds,
        searches=Searches(policy, mining, ports),
        desk=desk,
        tips=Tips(chain, tip_store, book),
        requests=requests,
        modes=modes,
        leases=Leases(policy, rounds, desk, ports, store, keys),
        payouts=PayoutStore(store, keys),
        peers=book,
        reorganiser=reorganiser,
        packer=Packer(chain.packs, chain.prunes, clock, settings.pack_depth, settings.keep),
        resolver=resolver,
        announcer=announcer,
        consensus=Consensus(settings.node, ResolutionStore(store, keys), resolver, queue, clock),
        snapshots=Snapshots(chain, rules.initial()),
        wallet_blocks=wallet_blocks,
        logs=LogSearch(chain, wallet_blocks, settings.spec.token.address),
        filters=FilterStore(store, keys),
        slots=Slots(store, keys),
        randomness=randomness,
        faults=faults,
        watchman=Watchman(chain, rules, faults, clock, randomness),
        states=states,
        repair=Repair(chain, rules, faults, reorganiser, mempool, clock, randomness),
        going_back=going_back,
        forks=forks,
        development=DevelopmentStore(store, keys),
        chain_clock=chain_clock,
        on_demand=MiningOnDemand(requests, rounds, chain_clock, queue, clock),
        operators=Operators(TokenStore(store, keys), clock, randomness),
        names=Names(NameStore(store, keys), settings, accounts=rules.has_accounts, randomness=randomness),
        recent=RecentHashes(chain),
        waiting=WaitingIds(pool),
        broker=broker,
    )
