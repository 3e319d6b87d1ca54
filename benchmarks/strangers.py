"""A node under attack: hundreds of connections at once that never read, never finish a request, or wait.

Each kind runs against the real server for some seconds; a connection that the server ends is opened again. The
memory of all processes, the store included, is measured, and how soon the node still answers.
"""

import http.client
import json
import secrets
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import Any

from benchmarks.node import BenchNode
from benchmarks.node import memory as memory_of
from benchmarks.report import Result
from services.store.records import encode_header
from shared.block import Block, Header
from shared.canonical import canonical
from shared.hashing import sha256
from shared.keys import KeyPair
from shared.reward import make_reward
from shared.transaction import sign, signing_message

CONNECTIONS = 200
MIXED = 1_000
BLOCKS = 90  # of a megabyte each
_TRANSACTIONS = 1_750  # that fill a block
_SECONDS = 20.0
_RENEW_SECONDS = 1.0  # until a connection that was ended is opened again


def run(say: Callable[[str], None], quick: bool = False) -> list[Result]:
    """Result "strangers"."""
    result = Result("strangers")
    seconds = 6.0 if quick else _SECONDS
    with BenchNode(workers=1, ticker=False) as node:
        say(f"writing {BLOCKS} blocks of a megabyte")
        fill(node, BLOCKS)
        before = memory(node)
        result.add("memory_before_mb", before, "MB")
        for name, request in unread(node).items():
            say(f"{CONNECTIONS} connections that never read: {name}")
            report(result, name, node, [request] * CONNECTIONS, seconds)
        say(f"{MIXED} connections that wait, drip and listen")
        with strangers(node, mixed(node, MIXED), drip=True):
            time.sleep(2)
            slowest, accepted = answers(node, seconds)
        result.add("mixed_readyz_max_s", slowest, "s", target=1.0, better="lower")
        result.add(
            "mixed_accepted_max_s", accepted, "s", target=2.0, better="lower", than="a transaction, with retries"
        )
        time.sleep(12)  # until slow clients are ended and memory is given back
        result.add("memory_after_mb", memory(node) - before, "MB more than before")
    with BenchNode(workers=0, ticker=False, settings={"SPEC": "tutorial"}) as node:
        say("a tutorial's chain of 90 MB")
        fill_tutorial(node, BLOCKS)
        report(result, "tutorial_chain", node, [get("/chain")] * CONNECTIONS, seconds)
    return [result]


def report(result: Result, name: str, node: BenchNode, requests: Sequence[bytes], seconds: float) -> None:
    """Add memory and answer times while strangers send requests and never read the answers."""
    before, most = memory(node), [0.0]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.2):
            most[0] = max(most[0], memory(node))

    watcher = threading.Thread(target=watch)
    with strangers(node, requests):
        watcher.start()
        slowest = readyz(node, seconds)
        done.set()
        watcher.join()
    result.add(
        f"{name}_memory_mb", most[0] - before, "MB", target=128, better="lower", than="all processes and the store"
    )
    result.add(f"{name}_readyz_max_s", slowest, "s", target=1.0, better="lower")


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def post(path: str, body: bytes, sent: int | None = None) -> bytes:
    """A POST of which only the first `sent` bytes of the body are sent."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    )
    return head.encode() + b"\r\n" + body[:sent]


def rpc(calls: Sequence[tuple[str, list[Any]]]) -> bytes:
    values = [
        {"jsonrpc": "2.0", "id": number, "method": name, "params": params}
        for number, (name, params) in enumerate(calls)
    ]
    return post("/rpc", json.dumps(values).encode())


def unread(node: BenchNode) -> dict[str, bytes]:
    """Name → request, of requests with large answers."""
    heights = [hex(height) for height in range(2, 52)]
    logs = [("eth_getLogs", [{"fromBlock": hex(first), "toBlock": hex(first + 4)}]) for first in range(2, 52, 5)]
    return {
        "chain": get("/chain"),
        "page": get("/chain?from=2&limit=500"),
        "headers": get("/headers?limit=500"),
        "blocks": get("/blocks?limit=500"),
        "block": get("/blocks/7"),
        "transaction": get(f"/transactions/{node.get('/blocks/91')['transactions'][3]['id']}"),
        "rpc_blocks": rpc([("eth_getBlockByNumber", [height, True]) for height in heights]),
        "rpc_receipts": rpc([("eth_getBlockReceipts", [height]) for height in heights]),
        "rpc_logs": rpc(logs),
        "address_page": get(f"/address/{node.key.address}"),
        "resolve": get("/nodes/resolve?wait=1"),
    }


def mixed(node: BenchNode, connections: int) -> list[bytes]:
    """Waiting calls, bodies sent in part, event streams, unread chains, and connections that send nothing."""
    body = b" " * 100_000
    kinds = [
        get("/nodes/resolve?wait=60"),
        get("/mine?wait=60"),
        post("/transactions/new", body, 10),
        post("/rpc", body, 10),
        get("/events"),
        get("/chain"),
        post("/transactions/batch", body, 0),
        b"",
    ]
    return [kinds[number % len(kinds)] for number in range(connections)]


@contextmanager
def strangers(node: BenchNode, requests: Sequence[bytes], *, drip: bool = False) -> Iterator[None]:
    """Keep connections open that send their request and read nothing; with `drip`, also a byte more every second."""
    stop = threading.Event()

    def connect(request: bytes) -> socket.socket | None:
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.settimeout(2)
        try:
            one.connect(("127.0.0.1", node.port))
            one.sendall(request)
        except OSError:
            one.close()
            return None
        one.setblocking(False)
        return one

    def work() -> None:
        with ExitStack() as stack:
            open_ones: dict[int, socket.socket | None] = dict.fromkeys(range(len(requests)))
            stack.callback(lambda: [one.close() for one in open_ones.values() if one is not None])
            while not stop.is_set():
                for number, one in open_ones.items():
                    if one is None:
                        open_ones[number] = connect(requests[number])
                    elif ended(one) or (drip and requests[number].startswith(b"POST") and not more(one)):
                        one.close()
                        open_ones[number] = None
                stop.wait(_RENEW_SECONDS)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield
    finally:
        stop.set()
        worker.join()


def ended(one: socket.socket) -> bool:
    """Whether the server has refused or ended a connection. What it has sent stays unread."""
    poll = selectors.DefaultSelector()
    with poll:
        poll.register(one, selectors.EVENT_READ)
        if not poll.select(0):
            return False
    try:
        return b"HTTP/1.1 4" in (first := one.recv(16, socket.MSG_PEEK)) or b"HTTP/1.1 503" in first or not first
    except OSError:
        return True


def more(one: socket.socket) -> bool:
    try:
        one.send(b" ")
    except BlockingIOError:
        return True
    except OSError:
        return False
    return True


def readyz(node: BenchNode, seconds: float) -> float:
    """The longest time of /readyz within some seconds, in seconds."""
    until, slowest = time.monotonic() + seconds, 0.0
    while True:
        began = time.monotonic()
        node.get("/readyz")
        slowest = max(slowest, time.monotonic() - began)
        if time.monotonic() >= until:
            return slowest
        time.sleep(0.1)


def memory(node: BenchNode) -> float:
    """Megabytes of all processes of the node, shared pages counted once."""
    total = 0.0
    for pid in node.pids():
        with suppress(OSError, KeyError, ValueError):  # a forked job may just have ended
            total += memory_of(pid)[1]
    return total


def answers(node: BenchNode, seconds: float) -> tuple[float, float]:
    """The longest time of /readyz, and the longest until a signed transaction was accepted, with retries after 503."""
    key, until, slowest, accepted = KeyPair(secrets.token_bytes(32)), time.monotonic() + seconds, 0.0, 0.0
    chain_id = node.get("/spec")["chain_id"]
    for nonce in range(60):  # fewer than may wait for a block
        if time.monotonic() > until:
            break
        slowest = max(slowest, readyz(node, 0.0))
        signed = sign(transfer(key, chain_id, nonce, node.key.address, "0"), key)
        began = time.monotonic()
        while not accepts(node, signed):
            if time.monotonic() - began > 30:
                raise RuntimeError("no transaction is accepted any more")
            time.sleep(0.2)
        accepted = max(accepted, time.monotonic() - began)
        time.sleep(0.2)
    return slowest, accepted


def accepts(node: BenchNode, fields: dict[str, Any]) -> bool:
    """Whether a transaction is accepted; False if the node says that it is busy."""
    try:
        node.post("/transactions/new", fields)
    except (RuntimeError, OSError, http.client.HTTPException) as error:
        if isinstance(error, RuntimeError) and "503" not in str(error) and "429" not in str(error):
            raise
        return False
    return True


def transfer(key: KeyPair, chain_id: int, nonce: int, recipient: str, amount: str) -> dict[str, Any]:
    return {
        "type": "transfer",
        "chain_id": chain_id,
        "nonce": nonce,
        "sender": key.address,
        "recipient": recipient,
        "amount": amount,
        "fee": "0",
    }


def fill(node: BenchNode, blocks: int) -> None:
    """Write blocks of a megabyte straight into the store.

    Links, heights and transactions have the right form. Proofs, roots and sums are wrong, but no reader checks them.
    """
    keys, redis, spec = node.keys, node.redis, node.get("/spec")
    tip = redis.hgetall(keys.tip)
    parent, first, work = tip[b"hash"].decode(), int(tip[b"height"]) + 1, int(tip[b"chainwork"])
    key = KeyPair(secrets.token_bytes(32))
    unsigned = [transfer(key, spec["chain_id"], nonce, node.key.address, "0") for nonce in range(_TRANSACTIONS)]
    signed = [sign(fields, key) for fields in unsigned]
    ids = [sha256(signing_message(fields)) for fields in unsigned]
    begin = int(time.time()) - 10 * blocks
    for height in range(first, first + blocks):
        reward = make_reward(spec["chain_id"], height, node.key.address, 10**18)
        header = Header(height, begin + 10 * height, parent, spec["difficulty"], "ab" * 32, height, "")
        text = canonical({**header.to_object(), "transactions": [reward.fields, *signed]})
        header = replace(header, hash=sha256(text).hex())
        block = Block(header, (reward,), text)
        stored = json.loads(encode_header(block, work + header.difficulty)) | {"transactions": 1 + len(signed)}
        work += header.difficulty
        pipeline = redis.pipeline(transaction=False)
        pipeline.hset(keys.blocks, block.hash, text)
        pipeline.hset(keys.headers, block.hash, json.dumps(stored))
        pipeline.rpush(keys.heights, block.hash)
        names = [bytes.fromhex(reward.id), *ids]
        pipeline.hset(keys.ids, block.hash, b"".join(names))
        pipeline.hset(keys.transactions, mapping={name: f"{height}:{at}" for at, name in enumerate(names)})
        pipeline.rpush(keys.history(node.key.address), *(f"{height}:{at}" for at in range(5)))
        pipeline.hset(keys.tip, mapping={"hash": block.hash, "height": height, "chainwork": work})
        pipeline.execute()
        parent = block.hash


def fill_tutorial(node: BenchNode, blocks: int) -> None:
    """Write blocks of a megabyte under the tutorial's rules straight into the store."""
    keys, redis = node.keys, node.redis
    genesis = json.loads(redis.hget(keys.blocks, redis.lindex(keys.heights, 0)))
    parent = redis.hgetall(keys.tip)[b"hash"].decode()
    items = [{"sender": f"{number:064x}", "recipient": "x" * 64, "amount": 1} for number in range(5_500)]
    for height in range(2, 2 + blocks):
        fields = {**genesis, "index": height, "proof": height, "previous_hash": parent, "transactions": items}
        text = canonical(fields)
        block_hash = sha256(text).hex()
        stored = {**json.loads(redis.hget(keys.headers, redis.lindex(keys.heights, 0)))}
        stored |= {"index": height, "proof": height, "previous_hash": parent, "hash": block_hash, "size": len(text)}
        stored |= {"transactions": len(items), "chainwork": str(height - 1)}
        pipeline = redis.pipeline(transaction=False)
        pipeline.hset(keys.blocks, block_hash, text)
        pipeline.hset(keys.headers, block_hash, json.dumps(stored))
        pipeline.rpush(keys.heights, block_hash)
        pipeline.hset(keys.tip, mapping={"hash": block_hash, "height": height, "chainwork": height - 1})
        pipeline.execute()
        parent = block_hash
