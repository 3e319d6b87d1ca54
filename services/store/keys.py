"""The whole Redis schema: every key of a node, what it holds, and what writes it.

All keys of a node begin with `quarry:{NODE}:`. The braces put them in one slot of a Redis Cluster, so one script may
touch any of them. `docs/redis-schema.md` is this file as a page. A test compares the keys and fields of both with the
scripts.
"""

from services.settings.values import NODE_NAME
from services.store.mining_keys import MiningKeys
from services.store.network_keys import NetworkKeys
from services.store.operator_keys import OperatorKeys

# Broker-wide: node name -> JSON of what a worker needs to serve it (services/registry.py).
NODES = "quarry:nodes"
# Broker-wide: name of a process whose clock is wrong -> JSON {name, host, ahead, at} (services/clocks.py).
CLOCKS = "quarry:clocks"
# Broker-wide: name of a worker -> "token until", who has the name and until when, Unix seconds (worker_name.lua).
WORKERS = "quarry:workers"


class Keys(NetworkKeys, MiningKeys, OperatorKeys):
    """Names of one node's keys. Types and writers are beside each. Those about peers and branches are in
    `network_keys`, those about vouchers and leases in `mining_keys`, those that operators write in `operator_keys`.
    """

    def __init__(self, node: str) -> None:
        if not NODE_NAME.fullmatch(node):
            raise ValueError("a node's name is 1 to 32 lower-case letters, digits and hyphens")
        self.prefix = f"quarry:{{{node}}}:"

    # --- chain: append.lua, swap.lua, initialise.lua ---

    @property
    def tip(self) -> str:
        """HASH {hash, height, chainwork, supply, timestamp, digest, sealed_at, sealed_transactions, time_offset,
        next_timestamp, timestamp_interval}: the last block.

        Every commit compares it. `sealed_at` and `sealed_transactions` describe the last block that a round of this
        node sealed. The last three are the clock of a development chain (services/store/block_times.py).
        """
        return self._key("tip")

    @property
    def blocks(self) -> str:
        """HASH block hash -> canonical block, exactly the bytes that were hashed."""
        return self._key("blocks")

    @property
    def headers(self) -> str:
        """HASH block hash -> JSON {header…, chainwork, size, transactions}."""
        return self._key("headers")

    @property
    def heights(self) -> str:
        """LIST of block hashes; the block of height h is at position h - 1."""
        return self._key("heights")

    @property
    def ids(self) -> str:
        """HASH block hash -> its transaction ids, 32 bytes each, in order."""
        return self._key("ids")

    @property
    def undo(self) -> str:
        """HASH block hash -> JSON of the ledger entries before it."""
        return self._key("undo")

    @property
    def transactions(self) -> str:
        """HASH transaction id (32 bytes) -> "height:position". Readers check it against `ids`."""
        return self._key("transactions")

    def history(self, address: str) -> str:
        """LIST of "height:position": the transactions that name an address, oldest first."""
        return self._key(f"history:{address}")

    # --- packs: pack.lua, unpack.lua ---

    @property
    def packs(self) -> str:
        """HASH height of its first block -> the records of consecutive old blocks (services/store/pack_form.py)."""
        return self._key("packs")

    @property
    def pack_starts(self) -> str:
        """ZSET height of a pack's first block, scored by itself. Blocks that could not be packed have one too."""
        return self._key("pack-starts")

    @property
    def pack_names(self) -> str:
        """HASH bucket -> records of packed blocks and transactions: five bytes of a hash or id, the height in four."""
        return self._key("pack-names")

    @property
    def packed(self) -> str:
        """HASH {height, blocks, transactions, bytes, names, buckets, changes, held, microseconds, pruned}: totals of
        the packs. `services/store/packing.py` describes the fields.
        """
        return self._key("packed")

    @property
    def schema(self) -> str:
        """STRING number of the form of what is stored (services/store/schema.py). Absent: 1."""
        return self._key("schema")

    @property
    def rules(self) -> str:
        """STRING number of the rules that every block is known to keep (services/chain/earlier_chains.py)."""
        return self._key("rules")

    @property
    def upgrades(self) -> str:
        """STRING JSON of [height, digest] of each upgrade that every block is known to keep; absent: of none
        (services/chain/upgrades.py).
        """
        return self._key("upgrades")

    # --- development: turn.lua ---

    @property
    def run(self) -> str:
        """STRING random token of the node's last start (services/store/development.py)."""
        return self._key("run")

    @property
    def turn(self) -> str:
        """STRING token of the process that sets balances now. Expires in seconds."""
        return self._key("turn")

    # --- ledger: append.lua, swap.lua, initialise.lua ---

    @property
    def accounts(self) -> str:
        """HASH address -> "balance:nonce", balance in base units. Absent: 0:0."""
        return self._key("accounts")

    @property
    def allowances(self) -> str:
        """HASH "owner:spender" -> base units. Absent: 0."""
        return self._key("allowances")

    @property
    def fault(self) -> str:
        """HASH {token, sentence, findings, total, at, repairing}: what is wrong with the stored state.

        The fields are those of `Fault` (services/store/faults.py).
        """
        return self._key("fault")

    # --- mempool: admit.lua, drop.lua, append.lua, requeue.lua, restore.lua ---

    @property
    def entries(self) -> str:
        """HASH id -> "sender nonce admitted_at replacements" and, after a newline, the canonical transaction."""
        return self._key("pool:entries")

    @property
    def order(self) -> str:
        """ZSET (all scores 0) of order members: highest fee first, then arrival (lua/pool.lua)."""
        return self._key("pool:order")

    @property
    def ends(self) -> str:
        """ZSET (all scores 0) of the order member of each queue's highest nonce: what may be displaced."""
        return self._key("pool:ends")

    @property
    def expiry(self) -> str:
        """ZSET id -> Unix seconds of admission."""
        return self._key("pool:expiry")

    @property
    def pool(self) -> str:
        """HASH {sequence, bytes, restored}: arrivals so far, which also serve as revisions; bytes of the entries; how
        often the mempool was changed by going back.
        """
        return self._key("pool:totals")

    def queue(self, sender: str) -> str:
        """ZSET order member, scored by nonce: one sender's transactions."""
        return self._key(f"pool:queue:{sender}")

    def sender(self, sender: str) -> str:
        """HASH {revision, next, total, total_revision}: a queue's last change, its first free nonce, what it costs."""
        return self._key(f"pool:sender:{sender}")

    @property
    def records(self) -> str:
        """HASH id -> JSON {status, reason, at}: why a transaction left the mempool without being mined."""
        return self._key("pool:records")

    @property
    def record_times(self) -> str:
        """ZSET id -> Unix seconds of its record."""
        return self._key("pool:record-times")

    # --- snapshots: take_snapshot.lua, swap.lua, restore.lua, finish.lua ---

    @property
    def snapshots(self) -> str:
        """ZSET id of a snapshot, scored by itself. Capped."""
        return self._key("snapshots")

    @property
    def snapshot_totals(self) -> str:
        """HASH {next, bytes}: the id that the next snapshot gets; bytes of the mempools that are kept."""
        return self._key("snapshot-totals")

    def snapshot(self, snapshot_id: str) -> str:
        """HASH {tip, height, at, transactions, bytes} and what other parts keep: one snapshot.

        `services/store/snapshots.py` describes the fields.
        """
        return self._key(f"snapshot:{snapshot_id}")

    def snapshot_pool(self, snapshot_id: str) -> str:
        """HASH order member -> entry of the mempool: what waited when the snapshot was taken. Absent: nothing."""
        return self._key(f"snapshot-pool:{snapshot_id}")

    @property
    def restoring(self) -> str:
        """HASH as `snapshot_pool`, of the snapshot that the journal restores. Absent: nothing is put back."""
        return self._key("restoring")

    # --- mining: request.lua, open_round.lua, claim.lua, cancel.lua, append.lua ---

    @property
    def requests(self) -> str:
        """LIST of the ids of waiting mining requests, oldest first."""
        return self._key("requests")

    def request(self, request_id: str) -> str:
        """HASH {status, round, block, created_at}: one mining request. Expires after its answer. Capped."""
        return self._key(f"request:{request_id}")

    def answer(self, request_id: str) -> str:
        """LIST that receives one item when the request is answered: `/mine` blocks on it. Expires in seconds."""
        return self._key(f"answer:{request_id}")

    @property
    def requests_answered(self) -> str:
        """LIST of the ids of answered mining requests, oldest first. Capped."""
        return self._key("requests-answered")

    @property
    def open_round(self) -> str:
        """STRING id of the round in progress; absent when there is none."""
        return self._key("round")

    @property
    def aside(self) -> str:
        """STRING id of the round that is open for a block of another branch. Expires (services/mining/aside.py)."""
        return self._key("aside")

    def round(self, round_id: str) -> str:
        """HASH {id, state, version, parent, height, difficulty, prefix, renewed_at, opened_at, transactions, arrivals,
        aside, ended_at, block, sealed_by, proof}: one round (services/store/rounds.py). Mining workers only read it.

        The last four are written when it ends, `proof` only for a round aside. An ended round keeps only
        what can still be asked of it, and expires.
        """
        return self._key(f"round:{round_id}")

    def round_templates(self, round_id: str) -> str:
        """HASH version -> "difficulty prefix", a line break, and the template: that of an open round, and those that it
        had before on its tip and whose proofs still count. Capped. Mining workers only read it.
        """
        return self._key(f"round-templates:{round_id}")

    def round_of(self, block_hash: str) -> str:
        """STRING id of the round that sealed a block. Expires with the round."""
        return self._key(f"round-of:{block_hash}")

    @property
    def rounds_ended(self) -> str:
        """LIST of the ids of ended rounds, oldest first. Capped."""
        return self._key("rounds-ended")

    def round_workers(self, round_id: str) -> str:
        """HASH worker name -> "hashes:since:last", or with ":before": its part of the round (`RoundWorker`). Expires
        with the round.
        """
        return self._key(f"round-workers:{round_id}")

    def round_trace(self, round_id: str) -> str:
        """STRING `traceparent` of the trace in which a round was opened. Expires after an hour."""
        return self._key(f"round-trace:{round_id}")

    @property
    def searchers(self) -> str:
        """ZSET search job name -> Unix seconds until which it counts as searching or lingering."""
        return self._key("searchers")

    @property
    def hash_rate(self) -> str:
        """HASH {limit} and `worker:NAME` -> "share demand until basis": the hash-rate limit of the node, and how its
        workers share it (lua/share.lua).
        """
        return self._key("hash-rate")

    @property
    def held(self) -> str:
        """STRING tip hash on which a cancelled round must not be opened again by auto-mining."""
        return self._key("held")

    @property
    def modes(self) -> str:
        """HASH {automine, interval}: what control methods have set instead of the node's settings (set_modes.lua)."""
        return self._key("modes")

    @property
    def pulse(self) -> str:
        """HASH {at, asked}: interval mining: the time that its intervals are counted from, and its last request."""
        return self._key("pulse")

    # --- JSON-RPC: services/store/filters.py ---

    def filter(self, filter_id: str) -> str:
        """STRING JSON of one JSON-RPC filter. Expires if it is not polled."""
        return self._key(f"filter:{filter_id}")

    @property
    def filters(self) -> str:
        """ZSET id of a filter -> Unix seconds of its expiry. Counts the filters."""
        return self._key("filters")

    # --- events: every script that changes something ---

    @property
    def events(self) -> str:
        """STREAM of {type, data}: what happened (services/store/events.py). Capped."""
        return self._key("events")

    @property
    def counters(self) -> str:
        """HASH name -> total since the chain began: rounds, blocks by origin, hashes, wasted hashes, reorganisations by
        depth, records of the mempool by status.
        """
        return self._key("counters")
