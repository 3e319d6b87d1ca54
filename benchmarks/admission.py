"""Processor time for one raw transaction, from the bytes of the request to the bytes of the answer, without HTTP.

It is measured with several requests in flight, as on a busy node, and one by one. One by one costs more, since the core
sleeps during every write to the disk and then finds its caches cold. The time for the signature alone is measured for
comparison: no node can do without it.
"""

import json
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from api.rpc import protocol
from benchmarks.report import Result
from services.connections.servers import as_store, connect_for_requests
from services.jobs.queues import RqJobs
from services.launch.embedded import EmbeddedValkey
from services.node import Node, build_node
from services.settings.table import load
from services.system import logs
from services.wallet.development import ACCOUNTS
from shared import ethereum

_GROUP = 500  # transactions that are timed together; the median of the groups counts
_GROUPS = 6
_IN_FLIGHT = 4


def measure(result: Result) -> None:
    """Add the processor time of `eth_sendRawTransaction`, which includes the Redis client."""
    logs.configure("warning", "console")
    with TemporaryDirectory(prefix="quarry-bench-") as directory, EmbeddedValkey(Path(directory)) as valkey:
        settings = load({"QUARRY_REDIS_URL": valkey.near_url, "QUARRY_SPEC": "dev"})
        with connect_for_requests(valkey.near_url) as redis, one_core(), ThreadPoolExecutor(_IN_FLIGHT) as threads:
            node = build_node(settings, store=as_store(redis), queue=RqJobs(redis))
            node.begin()
            raws = signed_transactions(settings.spec.chain_id, 2 * (_GROUPS + 1) * _GROUP)
            groups = [raws[start : start + _GROUP] for start in range(0, len(raws), _GROUP)]
            several, alone, signature = [], [], []
            for first, second in zip(groups[::2], groups[1::2], strict=True):
                lanes = [[request_of(raw) for raw in first[lane::_IN_FLIGHT]] for lane in range(_IN_FLIGHT)]
                began = time.process_time()
                list(threads.map(lambda lane: admit(node, lane), lanes))
                several.append(time.process_time() - began)
                lanes = [[request_of(raw) for raw in second]]
                began = time.process_time()
                admit(node, lanes[0])
                alone.append(time.process_time() - began)
                began = time.process_time()
                for raw in second:
                    ethereum.decode_raw(raw)
                signature.append(time.process_time() - began)
    than = f"{_IN_FLIGHT} at a time, without HTTP"
    result.add("admission_cpu", _each(several), "µs", target=180.0, better="lower", than=than)
    result.add("admission_alone_cpu", _each(alone), "µs", better="lower", than="one by one, each waiting for the disk")
    result.add("signature_cpu", _each(signature), "µs", better="lower", than="of these, for reading and recovering")


@contextmanager
def one_core() -> Iterator[None]:
    """Keep all threads on one core: moving the interpreter lock between cores costs more than admission."""
    if not hasattr(os, "sched_setaffinity"):  # not Linux
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def signed_transactions(chain_id: int, count: int) -> list[bytes]:
    """Raw transactions with ascending nonces, in an order in which no two lanes share a sender."""
    senders = ACCOUNTS[: len(ACCOUNTS) // _IN_FLIGHT * _IN_FLIGHT]
    return [
        ethereum.sign_raw(
            private_key=bytes.fromhex(senders[i % len(senders)].private_key[2:]),
            chain_id=chain_id,
            nonce=i // len(senders),
            to=ACCOUNTS[-1].address,
            gas=21_000,
            gas_price=10**10,
            value=1,
            envelope=ethereum.LEGACY,
        )
        for i in range(count)
    ]


def request_of(raw: bytes) -> bytes:
    call = {"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction", "params": [f"0x{raw.hex()}"]}
    return json.dumps(call).encode()


def admit(node: Node, requests: Sequence[bytes]) -> None:
    for request in requests:
        answer = protocol.answer(node, request, controls=False)
        if b'"result"' not in answer:
            raise RuntimeError(f"a transaction was refused: {answer!r}")


def _each(seconds: Sequence[float]) -> float:
    """Microseconds per transaction in the median group. The first group, the warm-up, is left out."""
    return statistics.median(seconds[1:]) / _GROUP * 1e6
