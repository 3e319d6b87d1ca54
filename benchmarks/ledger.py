"""The cost of checking the stored state: at the start, in housekeeping, by a replay, and in each append."""

import hashlib
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from redis import Redis

from benchmarks.catch_up import KEYS, Source
from benchmarks.report import Result
from services.audit.full import FullAudit
from services.audit.quick import QuickAudit
from services.connections.servers import as_store
from services.jobs.queues import RqJobs
from services.launch.embedded import EmbeddedValkey
from services.node import Node, build_node
from services.settings.table import load
from services.store.arguments import named_addresses
from services.store.digest import Digest, header_term, ledger_sum, sum_of
from services.store.records import encode_account, encode_entries, encode_header
from shared.addresses import checksummed
from shared.chain_spec import spec_from_object
from shared.ledger import Entries
from shared.replay import Replay

BLOCKS = 100_000
_CHUNK = 1_000
# (Blocks per turn, transfers per block). Appending with and without the digest takes turns.
_APPENDS = ((40, 0), (6, 100))
_TURNS = 9


def run(say: Callable[[str], None], quick: bool = False) -> list[Result]:
    """Result "ledger"."""
    result = Result("ledger")
    blocks = BLOCKS // 10 if quick else BLOCKS
    with TemporaryDirectory(prefix="quarry-bench-") as directory:
        with EmbeddedValkey(Path(directory) / "valkey", durability="unsafe") as valkey:
            redis = Redis.from_url(valkey.url)
            node = _node(redis, "bench")
            say(f"a chain of {blocks:,} blocks, each with a reward to another account")
            fill(node, redis, blocks)
            say("checking it")
            checks(node, blocks, result)
            say("appending")
            for count, transfers in _APPENDS:
                appends(redis, count, transfers, result)
            redis.close()
    return [result]


def checks(node: Node, blocks: int, result: Result) -> None:
    """The quick check, the sample of the housekeeping, and the full check."""
    quick = []
    for _ in range(3):
        started = time.perf_counter()
        checked = QuickAudit(node.chain, node.rules, node.randomness).run()
        quick.append(time.perf_counter() - started)
        if checked.findings or not checked.has_digest:
            raise RuntimeError(f"the check found differences in a correct chain: {checked.findings[:3]}")
    result.add(
        "start_seconds", min(quick), "s", target=blocks / BLOCKS, better="lower",
        than=f"{blocks:,} blocks and accounts; best of {', '.join(f'{seconds:.2f}' for seconds in quick)}; "
        f"{checked.blocks} blocks one by one",
    )  # fmt: skip
    samples = []
    for _ in range(50):
        started = time.perf_counter()
        node.watchman.sample()
        samples.append(time.perf_counter() - started)
    result.add("housekeeping_ms", 1000 * statistics.median(samples), "ms", than="the sample of every five seconds")
    for signatures, name in ((False, "replay_seconds"), (True, "verify_seconds")):
        started = time.perf_counter()
        found = FullAudit(node.chain, node.rules, node.clock).run(signatures=signatures).findings
        result.add(name, time.perf_counter() - started, "s", than="every record of all blocks")
        if found:
            raise RuntimeError(f"the check found differences in a correct chain: {found[:3]}")


def appends(redis: Any, count: int, transfers: int, result: Result) -> None:
    """Append with the digest, and to a tip that has none, for which none is computed. The two take turns."""
    sources = {name: Source(None, KEYS, _node(redis, name)) for name in ("with", "without")}
    redis.hdel(sources["without"].node.chain.keys.tip, "digest")
    times: dict[str, list[float]] = {name: [] for name in sources}
    for _ in range(_TURNS):
        for name, source in sources.items():
            times[name].append(sum(_append(source, transfers) for _ in range(count)) / count)
    tips = {name: source.node.chain.tip().digest for name, source in sources.items()}
    if not tips["with"] or tips["without"]:
        raise RuntimeError("one node must have a digest, and the other must have none")
    each = {name: 1000 * min(values) for name, values in times.items()}
    result.add(
        f"append_{transfers}_ms", each["with"], "ms", target=1.05 * each["without"], better="lower",
        than=f"a block of {transfers} transfers, validated and appended; without the digest {each['without']:.3f} ms",
    )  # fmt: skip
    for source in sources.values():
        for key in redis.scan_iter(source.node.chain.keys.prefix + "*", count=1000):
            redis.unlink(key)


def _append(source: Source, transfers: int) -> float:
    """Append one block; the seconds that took, without the preparation of the block."""
    node = source.node
    nonces = {key.address: node.chain.account(key.address).nonce for key in KEYS} if transfers else {}
    items = []
    for i in range(transfers):
        key = KEYS[i % len(KEYS)]
        items.append(source._transfer(key, nonces[key.address] + i // len(KEYS), KEYS[(i + 1) % len(KEYS)].address))
    window = node.chain.window(node.chain.tip())
    template = node.rules.template(window, items, node.settings.reward_address, node.clock.now())
    block = node.rules.read_block(template.with_proof(0))
    started = time.perf_counter()
    node.acceptor.accept(block)
    return time.perf_counter() - started


def fill(node: Node, redis: Any, blocks: int) -> None:
    """Write a valid chain straight into the store, with all records that appending would write."""
    rules, keys, replay = node.rules, node.chain.keys, Replay(node.rules)
    replay.add(json.loads(rules.genesis().canonical))
    headers = header_term(1, rules.genesis().hash.encode(), redis.hget(keys.headers, rules.genesis().hash))
    for start in range(2, blocks + 1, _CHUNK):
        pipeline = redis.pipeline(transaction=False)
        for height in range(start, min(start + _CHUNK, blocks + 1)):
            recipient = checksummed(hashlib.sha256(b"%d" % height).digest()[:20])
            now = node.settings.spec.genesis_timestamp + 10 * height
            value = rules.template(replay.window, [], recipient, now).with_proof(0)
            block, change = replay.step(value, signatures=False)
            header = encode_header(block, replay.chainwork)
            headers += header_term(height, block.hash.encode(), header.encode())
            ids = bytes.fromhex("".join(item.id for item in block.transactions))
            pipeline.hset(keys.blocks, block.hash, block.canonical)
            pipeline.hset(keys.headers, block.hash, header)
            pipeline.hset(keys.undo, block.hash, encode_entries(change.before))
            pipeline.hset(keys.ids, block.hash, ids)
            pipeline.rpush(keys.heights, block.hash)
            for position, item in enumerate(block.transactions):
                pipeline.hset(keys.transactions, bytes.fromhex(item.id), f"{height}:{position}")
                for address in named_addresses(item):
                    pipeline.rpush(keys.history(address), f"{height}:{position}")
            for address, account in change.after.accounts.items():
                pipeline.hset(keys.accounts, address, encode_account(account))
        pipeline.execute()
    tip = replay.tip
    assert tip is not None
    entries = Entries(replay.accounts, replay.allowances, replay.supply)
    fields = {
        "hash": tip.hash, "height": tip.index, "chainwork": replay.chainwork, "supply": replay.supply,
        "timestamp": tip.timestamp, "digest": str(Digest(tip.hash, ledger_sum(entries), sum_of([headers]))),
    }  # fmt: skip
    redis.hset(keys.tip, mapping={name: str(value) for name, value in fields.items()})


def _node(redis: Any, name: str) -> Node:
    allocations = {key.address: "1000" for key in KEYS}
    spec = spec_from_object(
        {
            "name": "bench", "chain_id": 990_001, "development": True, "difficulty": 1,
            "genesis_timestamp": 1_700_000_000, "allocations": allocations,
        }
    )  # fmt: skip
    settings = replace(load({"QUARRY_NODE": name}), spec=spec, reward_address=KEYS[0].address)
    node = build_node(settings, store=as_store(redis), queue=RqJobs(redis))
    node.begin()
    return node
