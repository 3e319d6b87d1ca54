"""What must be true of a node's store after every write.

The checker reads keys directly and judges blocks by its own replay. It uses `shared/`, as the nodes do, and none of
their services. Every block that any node stores is replayed once, on the state after its parent.
"""

import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from services.store.digest import Digest, account_term, allowance_term, header_term, read_digest, sum_of
from services.store.keys import Keys
from services.store.records import decode_account
from shared.block import Block
from shared.errors import NodeError
from shared.forkchoice import TipClaim, is_better
from shared.ledger import Account
from shared.replay import Replay
from shared.rules import Rules
from shared.transaction import Transaction, check_signature, read_transaction


class Violation(AssertionError):
    """A promise was broken."""


def require(true: object, what: str) -> None:
    """Raise Violation unless `true`."""
    if not true:
        raise Violation(what)


@dataclass(frozen=True)
class State:
    """The state of the chain that ends with one block."""

    block: Block
    parent: "State | None"
    replay: Replay  # not changed any more
    places: Mapping[str, str]  # transaction id -> "height:position"
    history: Mapping[str, tuple[str, ...]]  # address -> places

    @property
    def claim(self) -> TipClaim:
        return self.replay.claim

    def hashes(self) -> list[str]:
        """Hashes of all blocks, from genesis on."""
        found = []
        state: State | None = self
        while state is not None:
            found.append(state.block.hash)
            state = state.parent
        return found[::-1]


class Tree:
    """Every valid block that was seen on any node."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        genesis = rules.genesis()
        replay = Replay(rules)
        replay.add(json.loads(genesis.canonical))
        self.genesis = State(genesis, None, replay, {}, {})
        self.states = {genesis.hash: self.genesis}
        self._transactions: dict[bytes, Transaction] = {}

    def transaction(self, text: bytes) -> Transaction:
        """A waiting transaction. Each is read and verified once.

        Raises:
            Violation: it is not validly signed.
        """
        known = self._transactions.get(text)
        if known is None:
            known = read_transaction(json.loads(text))
            try:
                check_signature(known, self.rules.spec)
            except NodeError as error:
                raise Violation(f"the mempool holds a forged transaction: {error}") from None
            self._transactions[text] = known
        return known

    def learn(self, block_hash: str, text: bytes) -> State:
        """The state after a stored block, replayed if it is new.

        Raises:
            Violation: it is not valid, or its parent is unknown.
        """
        known = self.states.get(block_hash)
        if known is not None:
            return known
        value = json.loads(text)
        parent = self.states.get(value["previous_hash"])
        require(parent, f"block {block_hash[:8]} is stored, but not its parent")
        assert parent is not None
        replay = _copy(parent.replay)
        try:
            block = replay.add(value)
        except NodeError as error:
            raise Violation(f"block {block_hash[:8]} is stored, but invalid: {error}") from None
        require(block.hash == block_hash, "a block is stored under another hash")
        minted = self.rules.spec.reward * (block.index - 1)
        require(replay.supply == self.genesis.replay.supply + minted, "the supply is not allocations and rewards")
        require(sum(item.balance for item in replay.accounts.values()) == replay.supply, "balances miss the supply")
        places, history = dict(parent.places), dict(parent.history)
        for position, item in enumerate(block.transactions):
            require(item.id not in places, "a transaction is on the chain twice")
            place = places[item.id] = f"{block.index}:{position}"
            for address in {item.sender, item.recipient, item.owner} - {"0", None}:
                history[str(address)] = (*history.get(str(address), ()), place)
        state = self.states[block_hash] = State(block, parent, replay, places, history)
        return state


def _copy(replay: Replay) -> Replay:
    copy = Replay(replay.rules)
    copy.accounts, copy.allowances = dict(replay.accounts), dict(replay.allowances)
    copy.supply, copy.chainwork = replay.supply, replay.chainwork
    copy._window = deque(replay.window, maxlen=replay.rules.window_size)
    return copy


@dataclass
class Checker:
    """The invariants of one node."""

    name: str
    raw: Any  # the store, without the simulation's hooks
    tree: Tree
    honest: frozenset[str]  # URLs of peers that never lie
    parted: frozenset[str] = frozenset()  # URLs of those that never lie, and are on another chain from some height on
    acknowledged: set[str] = field(default_factory=set)
    goes_back: bool = False  # set while the node goes back on demand
    tip: State = field(init=False)
    reorganisations: int = 0
    statuses: set[str] = field(default_factory=set)  # seen in terminal records

    def __post_init__(self) -> None:
        self.keys = Keys(self.name)
        self.tip = self.tree.genesis
        self._known: set[bytes] = set()  # hashes of stored blocks
        self._answered: dict[str, str] = {}

    def check(self, changed: set[bytes]) -> None:
        """Check what a write can have broken. `changed`: the keys that it touched."""
        names = {name.decode().removeprefix(self.keys.prefix).partition(":")[0] for name in changed}
        if not self.raw.hgetall(self.keys.tip):
            return  # before genesis
        if "blocks" in names:
            self._check_blocks()
        if "tip" in names:
            self._follow_tip()
        if names & {"tip", "heights", "accounts", "allowances"}:
            self._check_ledger()
        journal = self.raw.get(self.keys.journal)
        if journal is None and names & {"tip", "journal", "transactions", "history"}:
            self._check_index()
        if names & {"pool", "tip", "journal"}:
            self._check_pool(settled=journal is None)
        if names & {"pool", "tip", "journal", "transactions"}:
            self._check_acknowledged(journal)
        if names & {"round", "requests", "request"}:
            self._check_mining()
        if "peers" in names:
            self._check_peers()

    def check_all(self) -> None:
        """Check everything, whatever has changed."""
        everything = "blocks tip journal pool:x transactions heights round requests request:x peers"
        self.check({(self.keys.prefix + name).encode() for name in everything.split()})

    def heard(self, state: State) -> None:
        """Called once for each block that the node stores."""

    # --- chain ---

    def _check_blocks(self) -> None:
        """Every stored block is valid, on the chain or not."""
        blocks = self.raw.hgetall(self.keys.blocks)
        for block_hash in [name for name in blocks if name not in self._known]:
            self._known.add(block_hash)
            self.heard(self.tree.learn(block_hash.decode(), blocks[block_hash]))
        for name in (self.keys.headers, self.keys.ids):
            require(self.raw.hgetall(name).keys() == blocks.keys(), f"blocks and {name} name different blocks")

    def _follow_tip(self) -> None:
        fields = self.raw.hgetall(self.keys.tip)
        tip = self.tree.states.get(fields[b"hash"].decode())
        require(tip, "the tip is not a stored block")
        assert tip is not None
        if tip is self.tip:
            return
        better = is_better(tip.claim, self.tip.claim) or self.goes_back
        require(better, f"the tip {tip.block.hash[:8]} is worse than the one before")
        if tip.parent is not self.tip:
            self.reorganisations += 1
            require(self.raw.get(self.keys.journal) is not None, "an append skipped blocks, or forgot some")
        self.tip = tip
        found = (int(fields[b"height"]), int(fields[b"chainwork"]), int(fields[b"supply"]), int(fields[b"timestamp"]))
        expected = (tip.block.index, tip.claim.chainwork, tip.replay.supply, tip.block.header.timestamp)
        require(found == expected, f"the tip's totals are {found}, not {expected}")

    def _check_ledger(self) -> None:
        hashes = [item.decode() for item in self.raw.lrange(self.keys.heights, 0, -1)]
        require(hashes == self.tip.hashes(), "the list of heights is not the chain that ends with the tip")
        accounts = {name.decode(): decode_account(text) for name, text in self.raw.hgetall(self.keys.accounts).items()}
        replay = self.tip.replay
        require(accounts == replay.accounts, f"the accounts are not the replayed ones: {_odd(accounts, replay)}")
        allowances = {name.decode(): int(text) for name, text in self.raw.hgetall(self.keys.allowances).items()}
        expected = {f"{owner}:{spender}": amount for (owner, spender), amount in replay.allowances.items()}
        require(allowances == expected, "the allowances are not the replayed ones")
        self._check_digest(hashes)

    def _check_digest(self, hashes: list[str]) -> None:
        """The digest in the tip is that of the stored ledger, and no audit has marked a difference."""
        raw, keys = self.raw, self.keys
        require(not raw.hgetall(keys.fault), "the state is marked as wrong, though it is right")
        tip = self.tip.block.hash
        stored = read_digest(raw.hgetall(keys.tip)[b"digest"].decode(), tip)
        require(stored, "the tip has no digest of its own")
        headers = zip(hashes, raw.hmget(keys.headers, hashes), strict=True)
        terms = [account_term(*item) for item in raw.hgetall(keys.accounts).items()]
        terms += [allowance_term(*item) for item in raw.hgetall(keys.allowances).items()]
        found = sum_of(header_term(i, name.encode(), text) for i, (name, text) in enumerate(headers, start=1))
        expected = Digest(tip, sum_of(terms), found)
        require(stored == expected, f"the digest is {stored}, but the stored state gives {expected}")

    def _check_index(self) -> None:
        """The indexes are those of the chain, unless a journal says that they are behind."""
        index = {name.hex(): text.decode() for name, text in self.raw.hgetall(self.keys.transactions).items()}
        require(index == self.tip.places, "the transaction index is not the chain's")
        addresses = {*self.tip.history, *self.tip.replay.accounts}
        for address in addresses:
            found = tuple(item.decode() for item in self.raw.lrange(self.keys.history(address), 0, -1))
            require(found == self.tip.history.get(address, ()), f"the history of {address[:8]} is not the chain's")

    # --- mempool ---

    def _check_pool(self, *, settled: bool) -> None:
        """`settled`: no reorganisation is half done."""
        keys, raw = self.keys, self.raw
        entries = raw.hgetall(keys.entries)
        ids = {name.decode() for name in entries}
        order = [item.decode() for item in raw.zrange(keys.order, 0, -1)]
        require(len(order) == len(ids) and {item[-64:] for item in order} == ids, "pool:order is not the entries")
        require({item.decode() for item in raw.zrange(keys.expiry, 0, -1)} == ids, "pool:expiry is not the entries")
        used = int((raw.hgetall(keys.pool) or {b"bytes": b"0"}).get(b"bytes", b"0"))
        require(used == sum(map(len, entries.values())), "pool:totals has another number of bytes")
        queued: dict[str, dict[int, tuple[str, Transaction]]] = {}
        members = {item[-64:]: item for item in order}
        for name, text in entries.items():
            head, _, body = text.partition(b"\n")
            sender, nonce = head.decode().split(" ")[:2]
            item = self.tree.transaction(body)
            require(
                (item.sender, item.nonce, item.id) == (sender, int(nonce), name.decode()), "an entry is mislabelled"
            )
            require(int(nonce) not in queued.setdefault(sender, {}), "two entries have one nonce")
            queued[sender][int(nonce)] = (members[item.id], item)
        ends = {item.decode() for item in raw.zrange(keys.ends, 0, -1)}
        require(ends == {queue[max(queue)][0] for queue in queued.values()}, "pool:ends is not the end of each queue")
        for sender, queue in queued.items():
            self._check_queue(sender, queue, settled=settled)
        stray = {
            sender for sender in self.tip.replay.accounts if sender not in queued and raw.hgetall(keys.sender(sender))
        }
        require(not stray, "an empty queue has left its bookkeeping behind")
        records = {name.decode(): json.loads(text) for name, text in raw.hgetall(keys.records).items()}
        require(not ids & records.keys(), "a waiting transaction has a terminal record")
        self.statuses.update(record["status"] for record in records.values())

    def _check_queue(self, sender: str, queue: dict[int, tuple[str, Transaction]], *, settled: bool) -> None:
        stored = dict(self.raw.zrange(self.keys.queue(sender), 0, -1, withscores=True))
        expected = {member.encode(): float(nonce) for nonce, (member, _) in queue.items()}
        require(stored == expected, f"the queue of {sender[:8]} is not its entries")
        if not settled:
            return
        nonce = self.tip.replay.accounts.get(sender, Account()).nonce
        require(min(queue) >= nonce, "a nonce below the account's waits")
        first_free = nonce
        while first_free in queue:
            first_free += 1
        fields = self.raw.hgetall(self.keys.sender(sender))
        require(
            int(fields[b"next"]) == first_free, f"next is {fields[b'next']!r}, but {first_free} is the first free nonce"
        )
        if fields.get(b"total_revision") == fields[b"revision"]:
            total = sum(item.fee + (item.amount if item.payer == item.sender else 0) for _, item in queue.values())
            require(int(fields[b"total"]) == total, "a queue's total is not the sum of its costs")

    def _check_acknowledged(self, journal: bytes | None) -> None:
        missing = self.acknowledged - self.tip.places.keys()
        if missing:
            missing -= {name.decode() for name in self.raw.hgetall(self.keys.entries)}
        if missing:
            missing -= {name.decode() for name in self.raw.hgetall(self.keys.records)}
        if missing and journal is not None:  # whichever process finishes the journal brings them back
            for block_hash in json.loads(journal)["detached"]:
                missing -= {item.id for item in self.tree.states[block_hash].block.transactions}
        require(not missing, f"acknowledged, and gone without a trace: {sorted(missing)[:1]}")

    # --- mining and peers ---

    def _check_mining(self) -> None:
        raw, keys = self.raw, self.keys
        waiting = [item.decode() for item in raw.lrange(keys.requests, 0, -1)]
        require(len(set(waiting)) == len(waiting), "a mining request waits twice")
        for request in waiting:
            require(
                raw.hgetall(keys.request(request)).get(b"status") in (b"queued", b"started"), "an ended request waits"
            )
        opened = raw.get(keys.open_round)
        if opened is not None:
            require(raw.hgetall(keys.round(opened.decode())).get(b"state") == b"open", "the open round has ended")
        for name in [request for request in self.requests if request not in self._answered]:
            fields = raw.hgetall(keys.request(name))
            if fields.get(b"status") == b"finished":
                block = fields[b"block"].decode()
                require(block in self.tree.states, "a request was answered with a block that is not stored")
                require(block not in self._answered.values(), "one block answered two requests")
                self._answered[name] = block
            elif fields:
                require(fields[b"status"] == b"cancelled" or name in waiting, "a request is forgotten")

    requests: set[str] = field(default_factory=set)  # ids of mining requests that were acknowledged

    def _check_peers(self) -> None:
        for url, text in self.raw.hgetall(self.keys.peers).items():
            peer = json.loads(text)
            if url.decode() in self.honest:
                require(peer["state"] not in ("lying", "other_chain"), f"an honest peer is condemned: {peer['reason']}")
            elif url.decode() in self.parted:
                require(peer["state"] != "lying", f"a peer with other upgrades is held for a liar: {peer['reason']}")


def _odd(accounts: Mapping[str, Account], replay: Replay) -> list[str]:
    addresses = sorted({*accounts, *replay.accounts})
    return [address[:8] for address in addresses if accounts.get(address) != replay.accounts.get(address)]
