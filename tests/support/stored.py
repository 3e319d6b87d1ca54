"""What a store holds, compared with a replay of its blocks."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, cast

from redis import Redis

from services.node import Node
from services.store.records import decode_account
from shared.block import Block
from shared.chain_spec import ChainSpec
from shared.ledger import Account, Entries
from shared.replay import Replay
from shared.rules import rules_for


def replayed(blocks: Sequence[bytes], spec: ChainSpec) -> tuple[Replay, list[tuple[Any, Any, int]]]:
    """A replay of canonical blocks, and the ledger after each: accounts, allowances, supply."""
    replay = Replay(rules_for(spec))
    ledgers = []
    for text in blocks:
        replay.add(json.loads(text))
        ledgers.append((dict(replay.accounts), dict(replay.allowances), replay.supply))
    return replay, ledgers


def assert_store_equals_replay(node: Node, redis: Redis) -> Replay:
    """Assert that every key of the chain holds what a replay of its blocks computes. Returns the replay."""
    keys, rules = node.chain.keys, node.rules
    tip = node.chain.tip()
    streamed = list(node.chain.stream(1, tip.height))
    replay, ledgers = replayed(streamed, node.settings.spec)
    blocks = [rules.genesis(), *(rules.read_block(json.loads(text)) for text in streamed[1:])]
    hashes = [block.hash for block in blocks]

    assert texts(redis.lrange(keys.heights, 0, -1)) == hashes
    assert (tip.height, tip.hash, tip.chainwork, tip.supply, tip.timestamp) == (
        len(blocks), hashes[-1], replay.chainwork, replay.supply, blocks[-1].header.timestamp,
    )  # fmt: skip
    accounts = {name.decode(): decode_account(value) for name, value in _hash(redis, keys.accounts).items()}
    assert accounts == replay.accounts
    allowances = {name.decode(): int(value) for name, value in _hash(redis, keys.allowances).items()}
    assert allowances == {f"{owner}:{spender}": amount for (owner, spender), amount in replay.allowances.items()}
    minted = node.settings.spec.reward * (len(blocks) - 1)
    assert replay.supply == sum(node.settings.spec.allocations.values()) + minted
    assert sum(account.balance for account in accounts.values()) == replay.supply

    assert set(texts(redis.hkeys(keys.blocks))) >= set(hashes)
    work = 0
    for block in blocks:
        work += rules.work(block.header)
        stored = node.chain.header(block.hash)
        assert stored is not None
        assert (stored.header, stored.chainwork, stored.size, stored.transactions) == (
            block.header, work, block.size, len(block.transactions),
        )  # fmt: skip
        assert node.chain.transaction_ids(block.hash) == [transaction.id for transaction in block.transactions]

    index, history = _expected_indexes(blocks)
    assert _hash(redis, keys.transactions) == index
    prefix = keys.history("")
    stored_history = {
        name.removeprefix(prefix): texts(redis.lrange(name, 0, -1))
        for name in texts(redis.scan_iter(match=prefix + "*", count=1000))
    }
    assert stored_history == history

    for height in range(len(blocks), 1, -1):
        assert _undone(ledgers[height - 1], node.chain.undo(hashes[height - 1])) == ledgers[height - 2]
    return replay


def queues_of(node: Node) -> dict[str, list[str]]:
    """Sender -> ids in the mempool, by nonce."""
    found: dict[str, list[tuple[int, str]]] = {}
    for page in node.pool.by_fee():
        for entry in page:
            found.setdefault(entry.sender, []).append((entry.nonce, entry.id))
    return {sender: [item for _, item in sorted(items)] for sender, items in found.items()}


def assert_mempool_agrees(node: Node, redis: Redis) -> None:
    """The mempool's indexes agree with each other and with the ledger."""
    keys, pool = node.chain.keys, node.pool
    entries = _hash(redis, keys.entries)
    assert int(cast(bytes, redis.hget(keys.pool, "bytes")) or b"0") == sum(map(len, entries.values()))
    order = {item.decode()[-64:] for item in cast(list[bytes], redis.zrange(keys.order, 0, -1))}
    expiry = set(texts(redis.zrange(keys.expiry, 0, -1)))
    assert {name.decode() for name in entries} == order == expiry
    ends, queued = set(), set()
    for sender, ids in queues_of(node).items():
        nonces = [entry.nonce for entry in pool.queue(sender)]
        account = node.chain.account(sender).nonce
        assert [entry.id for entry in pool.queue(sender)] == ids
        assert nonces[0] >= account
        following = next(nonce for nonce in range(account, account + len(nonces) + 1) if nonce not in nonces)
        assert pool.next_nonce(sender) == following
        ends.add(cast(list[bytes], redis.zrange(keys.queue(sender), -1, -1))[0])
        queued |= set(ids)
    assert set(cast(list[bytes], redis.zrange(keys.ends, 0, -1))) == ends
    assert queued == order
    for transaction_id in queued:
        assert node.chain.locate(transaction_id) is None
        assert pool.record(transaction_id) is None


def _expected_indexes(blocks: Sequence[Block]) -> tuple[dict[bytes, bytes], dict[str, list[str]]]:
    index: dict[bytes, bytes] = {}
    history: dict[str, list[str]] = {}
    for block in blocks:
        for position, item in enumerate(block.transactions):
            place = f"{block.index}:{position}"
            index[bytes.fromhex(item.id)] = place.encode()
            names = {item.fields.get(name) for name in ("sender", "recipient", "owner")} - {None, "0"}
            for name in names:
                history.setdefault(str(name), []).append(place)
    return index, history


def _undone(ledger: tuple[Any, Any, int], undo: Entries) -> tuple[Any, Any, int]:
    accounts: dict[str, Account] = {**ledger[0], **undo.accounts}
    allowances: dict[tuple[str, str], int] = {**ledger[1], **undo.allowances}
    return (
        {address: account for address, account in accounts.items() if account != Account()},
        {key: amount for key, amount in allowances.items() if amount},
        undo.supply,
    )


def texts(values: Any) -> list[str]:
    """A reply's byte strings as text."""
    return [value.decode() for value in values]


def dump(redis: Redis) -> dict[bytes, bytes]:
    """Every key and its serialised value: equal dumps are equal databases."""
    names = list(redis.scan_iter(count=1000))
    with redis.pipeline(transaction=False) as pipeline:
        for name in names:
            pipeline.dump(name)
        return dict(zip(names, pipeline.execute(), strict=True))


def _hash(redis: Redis, name: str) -> dict[bytes, bytes]:
    return cast(dict[bytes, bytes], redis.hgetall(name))


def digest(redis: "Redis", node: str) -> str:
    """A digest of everything that a node has stored: every key, counters and events included.

    The audit log is left out: it says of each request with a token what came of it, also that it was refused.
    """
    log = {f"quarry:{{{node}}}:{name}".encode() for name in ("acts", "refused-acts")}
    keys = sorted(key for key in redis.scan_iter(f"quarry:{{{node}}}:*", count=1000) if key not in log)
    # Two round trips and not two for each key: hundreds of tests compare digests.
    with redis.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.type(key)
        kinds = pipeline.execute()
        # The dump of a large hash depends on the order of its table, which may change while the content does not.
        for key, kind in zip(keys, kinds, strict=True):
            pipeline.hgetall(key) if kind == b"hash" else pipeline.dump(key)
        values = pipeline.execute()
    whole = hashlib.sha256()
    for key, value in zip(keys, values, strict=True):
        content = repr(sorted(value.items())).encode() if isinstance(value, dict) else value or b""
        whole.update(key + b"\0" + content + b"\0")
    return whole.hexdigest()
