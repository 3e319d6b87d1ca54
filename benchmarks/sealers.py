"""The cost of sealers: verifying a chain whose headers are signed, compared with one that anybody may seal.

Three ways are measured: a node that appends blocks to its store, by its CPU time without that of the store; a replay
in one process, by its CPU time; and as `quarry chain verify` does it, by the wall, with a helper process for the
signatures (services/audit/ahead.py), whose start is part of it. The wall says little while other programs have the
cores: the CPU time of the replaying process, without that of its helper, is what the wall is where both cores are free.
"""

import json
import resource
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from redis import Redis

from benchmarks.report import Result
from services.audit.ahead import Ahead, read_ahead
from services.connections.servers import as_store
from services.jobs.queues import RqJobs
from services.launch.embedded import EmbeddedValkey
from services.node import build_node
from services.settings.table import load
from shared import keys, sealing
from shared.chain_spec import ChainSpec, spec_from_object
from shared.keys import KeyPair
from shared.replay import Replay
from shared.rules import rules_for
from shared.transaction import read_transaction, sign

_KEYS = [KeyPair(bytes([number]) * 32) for number in range(1, 33)]
_START = 1_767_225_600
_TURNS = 5
# (Blocks, transfers in each). Long ones, since a replay goes on alone until its helper has started.
_CHAINS = ((20_000, 0), (2_000, 4), (500, 20))
_TARGET = 0.9
_FROM = 20  # transfers in a block from which the target holds for one process alone
_APPENDED = 100  # blocks


def run(say: Callable[[str], None], quick: bool = False) -> list[Result]:
    """Result "sealers"."""
    result = Result("sealers")
    bare = _bare()
    result.notes.append(f"a verification of libsodium alone, called by PyNaCl: {bare:.0f} µs")
    with TemporaryDirectory(prefix="quarry-bench-") as place, EmbeddedValkey(Path(place) / "valkey") as valkey:
        for blocks, transfers in _CHAINS:
            say(f"chains of {blocks} blocks of {transfers} transfers")
            _compare(result, blocks, transfers, valkey.url, 2 if quick else _TURNS)
    return [result]


def _compare(result: Result, count: int, transfers: int, url: str, turns: int) -> None:
    specs = {name: _spec(sealers) for name, sealers in (("open", []), ("sealed", [_KEYS[0].address]))}
    chains = {name: [json.dumps(block) for block in _chain(spec, count, transfers)] for name, spec in specs.items()}
    best = {name: [float("inf")] * 5 for name in specs}
    for _ in range(turns):  # the two take turns
        for name, spec in specs.items():
            found = (_verify(spec, chains[name]), *_verify_ahead(spec, chains[name]), _append(spec, chains[name], url))
            best[name] = [min(pair) for pair in zip(best[name], found, strict=True)]
    each = {name: [1e6 * seconds / count for seconds in times] for name, times in best.items()}
    for place, key, how in (
        (0, "cpu_alone", "one process, CPU"),
        (1, "wall_ahead", "with a helper, by the wall"),
        (2, "own_cpu_ahead", "with a helper, CPU of the replaying process"),
        (3, "cpu_ahead", "with a helper, CPU of both"),
        (4, "append", "appended by a node, its CPU"),
    ):
        result.add(
            f"{key}_{transfers}", each["open"][place] / each["sealed"][place], "", better="higher",
            target=_TARGET if place in (1, 4) or (place == 0 and transfers >= _FROM) else None,
            than=f"{transfers} transfers, {how}: open {each['open'][place]:.0f} µs a block, "
            f"sealed {each['sealed'][place]:.0f} µs",
        )  # fmt: skip


def _spec(sealers: list[str]) -> ChainSpec:
    fields = {"name": "bench", "chain_id": 4711, "genesis_timestamp": _START, "difficulty": 1}
    fields["allocations"] = {key.address: "1000" for key in _KEYS}
    return spec_from_object(fields | ({"sealers": sealers} if sealers else {}))


def _chain(spec: ChainSpec, blocks: int, transfers: int) -> list[dict[str, object]]:
    rules = rules_for(spec)
    replay = Replay(rules)
    found: list[dict[str, object]] = [{**rules.genesis().header.to_object(), "transactions": []}]
    replay.add(found[0])
    for number in range(blocks):
        items = []
        for position in range(transfers):
            key = _KEYS[position % len(_KEYS)]
            unsigned = {"type": "transfer", "chain_id": spec.chain_id, "nonce": number, "sender": key.address}
            unsigned |= {"recipient": _KEYS[-1].address, "amount": "0.001", "fee": "0"}
            items.append(read_transaction(sign(unsigned, key)))
        template = rules.template(replay.window, items, _KEYS[-1].address, _START + number, _KEYS[0])
        found.append(template.with_proof(0))
        replay.add(found[-1])
    return found


def _verify(spec: ChainSpec, blocks: list[str]) -> float:
    """CPU seconds of checking every rule of a chain."""
    sealing.verified.cache_clear()  # a signature that was good is remembered
    replay = Replay(rules_for(spec))
    started = time.process_time()
    for block in blocks:
        replay.add(json.loads(block))
    return time.process_time() - started


def _append(spec: ChainSpec, blocks: list[str], url: str) -> float:
    """CPU seconds of a node that appends the first blocks of a chain, without those of its store."""
    sealing.verified.cache_clear()
    with Redis.from_url(url) as redis:
        redis.flushall()
        settings = replace(load({"QUARRY_NODE": "bench", "QUARRY_REDIS_URL": url}), spec=spec)
        node = build_node(settings, store=as_store(redis), queue=RqJobs(redis))
        node.begin()
        used = blocks[1 : 1 + _APPENDED]
        started = time.process_time()
        for block in used:
            node.acceptor.accept(node.rules.read_block(json.loads(block)))
        return (time.process_time() - started) * len(blocks) / len(used)


def _verify_ahead(spec: ChainSpec, blocks: list[str]) -> tuple[float, float, float]:
    """Seconds by the wall, and CPU seconds of this process and of both, of the same with a helper."""
    sealing.verified.cache_clear()
    with Ahead() as ahead:
        replay = Replay(rules_for(spec, ahead))
        started, used = time.perf_counter(), time.process_time()
        for block, _ in read_ahead(((json.loads(text), 0) for text in blocks), replay.rules, ahead):
            replay.add(block)
        wall, own = time.perf_counter() - started, time.process_time() - used
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)  # the helper has ended
    return wall, own, own + after.ru_utime + after.ru_stime - children.ru_utime - children.ru_stime


def _bare() -> float:
    """Microseconds of a verification of a sealed header's signature."""
    message = b"x" * 400
    signature, key = _KEYS[0].sign(message), _KEYS[0].public_key
    best = float("inf")
    for _ in range(_TURNS):
        started = time.process_time()
        for _ in range(1000):
            keys.verify(key, message, signature)
        best = min(best, time.process_time() - started)
    return 1e3 * best
