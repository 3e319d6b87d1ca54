"""How much memory a chain takes in Redis, and how much an idle node takes."""

import json
import os
import signal
import subprocess
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from redis import Redis

from benchmarks.catch_up import KEYS, Source
from benchmarks.node import BenchNode, descendants, memory
from benchmarks.report import Result
from services.audit.full import FullAudit
from services.node import Node
from services.store import packing
from services.store.searches import Searched
from services.system.programs import module_command, scrubbed

BLOCKS = 2_560
TRANSACTIONS = 20_000
PER_BLOCK = 500
ASKED = 500
TIMES = 3
IDLE_SECONDS = 5.0


def run(say: Callable[[str], None], quick: bool = False) -> list[Result]:
    """Results "storage" and "idle"."""
    storage, idle = Result("storage"), Result("idle")
    allocations = {key.address: "1000" for key in KEYS}
    with BenchNode(workers=0, upkeep=False, difficulty=1, allocations=allocations) as node:
        say("writing a chain")
        source = Source(node, KEYS)
        source.grow(1, len(KEYS))  # every account has an entry
        source.grow(packing.BLOCKS - 1, 0)
        _pack(source.node)
        begun = _lasting(node)
        empty = _grown(node.redis, lambda: source.grow(BLOCKS, 0)) / BLOCKS
        say("packing it")
        before = _speeds(source.node, node.redis)
        seconds = _cpu(node.redis, lambda: _pack(source.node))
        after = _speeds(source.node, node.redis)
        old_empty = (_lasting(node) - begun) / BLOCKS
        begun, histories = _lasting(node), _histories(node)
        log = _log_bytes(node.directory)
        blocks = TRANSACTIONS // PER_BLOCK
        full = _grown(node.redis, lambda: source.grow(blocks, PER_BLOCK))
        histories = (_histories(node) - histories) / TRANSACTIONS
        size = len(json.dumps(source.node.chain.block_object(source.node.chain.tip().hash)["transactions"][1]))
        written = (_log_bytes(node.directory) - log) / TRANSACTIONS
        source.grow(packing.BLOCKS, 0)  # blocks are packed when there are enough
        _pack(source.node)
        old = (_lasting(node) - begun - (blocks + packing.BLOCKS) * old_empty) / TRANSACTIONS
        say("pruning it")
        pruned = _pruned(source.node, node, blocks, old_empty, old)
        asked = _grown(node.redis, lambda: _ask(source.node, node.redis, ASKED)) / ASKED
        say("timing its scripts")  # last, since the log of slow commands takes memory
        packed, pruning = _longest_scripts(source, node.redis)
    per_transaction = (full - blocks * empty) / TRANSACTIONS
    storage.add(
        "bytes_per_block", empty, "bytes", than="used memory per empty block, all its indexes and undo included"
    )
    storage.add(
        "bytes_per_transaction", per_transaction, "bytes", than=f"used memory per transfer of {size} canonical bytes"
    )
    storage.add(
        "old_bytes_per_block", old_empty, "bytes", target=220, better="lower",
        than="the same for a packed block, without the stream of events, which has a limit",
    )  # fmt: skip
    storage.add(
        "old_bytes_per_transaction", old, "bytes", target=300, better="lower",
        than="the same for a transfer in a packed block",
    )  # fmt: skip
    storage.add(
        "history_bytes_per_transaction", histories, "bytes",
        than="of these: the histories of its two accounts, which are the same in packed blocks as in others",
    )  # fmt: skip
    storage.add(
        "pack_ms", 1000 * seconds / (BLOCKS / packing.BLOCKS), "ms", target=50 * packing.BLOCKS, better="lower",
        than=f"processor time of {packing.BLOCKS} empty blocks, with the store's; at a block a second, 5 % of a core"
        f" are {50 * packing.BLOCKS} ms",
    )  # fmt: skip
    storage.add(
        "pack_script_ms", packed, "ms", target=100, better="lower",
        than=f"the longest script of packing and unpacking, by the store's slow log, best of {TIMES}; packs have up to"
        f" {packing.TRANSACTIONS:,} transfers",
    )  # fmt: skip
    storage.add(
        "prune_script_ms", pruning, "ms", target=100, better="lower", than="the same of pruning these",
    )  # fmt: skip
    storage.add(
        "pruned_bytes_per_block", pruned.block, "bytes",
        than=f"the same for an empty block whose body was pruned, against {old_empty:.0f} packed",
    )  # fmt: skip
    storage.add(
        "pruned_bytes_per_transaction", pruned.transaction, "bytes",
        than=f"the same for a transfer in a pruned block, against {old:.0f} packed: its id, and where it is",
    )  # fmt: skip
    storage.add(
        "prune_ms", pruned.milliseconds, "ms", target=50 * packing.BLOCKS, better="lower",
        than=f"processor time of pruning a pack of {packing.BLOCKS} empty blocks, with the store's",
    )  # fmt: skip
    for name, about in _READERS.items():
        storage.add(
            f"packed_{name}_speed", before[name] / after[name], "x", target=0.9, better="higher",
            than=f"{about} of {BLOCKS:,} packed empty blocks, against the same before they were packed; processor time,"
            f" best of {TIMES}",
        )  # fmt: skip
    storage.add(
        "log_bytes_per_transaction", written, "bytes", than="append-only file per transfer, before it is rewritten"
    )
    storage.add(
        "bytes_per_asked_block",
        asked,
        "bytes",
        than="used memory per empty block that was requested: with round, request and answer, which are removed"
        " after a day or 10,000 more",
    )
    say("an idle node")
    for workers in (1,) if quick else (1, os.cpu_count() or 1):
        _weigh(idle, workers)
    return [storage, idle]


_READERS = {"stream": "the canonical blocks (`/chain`, export)", "verify": "the full check (`quarry chain verify`)"}


def _speeds(node: Node, redis: "Redis") -> dict[str, float]:
    """Seconds of processors that reading the whole chain takes, by kind of reader; the best of TIMES."""
    audit = FullAudit(node.chain, node.rules, node.clock)
    readers: dict[str, Callable[[], object]] = {
        "stream": lambda: deque(node.chain.stream(1, node.chain.tip().height), maxlen=0),
        "verify": audit.run,
    }
    return {name: min(_cpu(redis, read) for _ in range(TIMES)) for name, read in readers.items()}


def _cpu(redis: "Redis", work: Callable[[], object]) -> float:
    """Seconds of processors that this process and the store take for something."""

    def spent() -> float:
        store = redis.info("cpu")
        return time.process_time() + float(store["used_cpu_user"]) + float(store["used_cpu_sys"])

    began = spent()
    work()
    return spent() - began


def _longest_scripts(source: Source, redis: "Redis") -> tuple[float, float]:
    """Milliseconds of the longest script of packing and unpacking blocks with many transfers, the best of TIMES, and of
    pruning them. The clock goes on while other programs have the core.
    """
    node, longest = source.node, []
    source.grow(packing.TRANSACTIONS // PER_BLOCK + 1, PER_BLOCK)
    source.grow(packing.BLOCKS, 0)
    for _ in range(TIMES):
        _watch_scripts(redis)
        _pack(node)
        node.chain.packs.unpack_above(node.chain.kept_from(), 0.0)
        longest.append(_longest_script(redis))
    _pack(node)
    _watch_scripts(redis)
    _prune(node, 1)
    return min(longest), _longest_script(redis)


def _watch_scripts(redis: "Redis") -> None:
    """Have the store note how long each command takes from now on."""
    redis.config_set("slowlog-max-len", 10_000)
    redis.config_set("slowlog-log-slower-than", 100)  # µs
    redis.slowlog_reset()


def _longest_script(redis: "Redis") -> float:
    """Milliseconds of the longest script since `_watch_scripts`; what is shorter than a tenth counts as that."""
    found = redis.slowlog_get(10_000)
    redis.config_set("slowlog-log-slower-than", -1)
    scripts = (entry["duration"] for entry in found if entry["command"].upper().startswith(b"EVAL"))
    return max([100, *scripts]) / 1000


def _pack(node: Node) -> None:
    """Pack the whole chain but its end."""
    while node.chain.packs.pack_next(1, node.clock.now):
        pass


@dataclass(frozen=True, slots=True)
class _Pruned:
    """What pruned blocks take: bytes for an empty block and a transfer, and milliseconds for a pack."""

    block: float
    transaction: float
    milliseconds: float


def _pruned(node: Node, bench: BenchNode, full: int, block: float, transaction: float) -> _Pruned:
    """Prune the whole chain but its end: first the empty blocks, then those with transfers.

    Args:
        full: how many blocks have transfers. After them come as many empty ones as a pack has.
        block, transaction: bytes of a packed empty block, and of a transfer in a packed block.
    """
    chain = node.chain
    chain.schema.adopt(0.0, prunes=True)
    chain.prunes.prune_next(1, node.clock.now())  # the first pack has transfers as well
    start, begun = chain.kept_from(), _lasting(bench)
    seconds = _cpu(bench.redis, lambda: _prune(node, full + packing.BLOCKS + 1))
    empty = chain.kept_from() - start
    freed_block = (begun - _lasting(bench)) / empty
    start, begun = chain.kept_from(), _lasting(bench)
    _prune(node, 1)
    freed = begun - _lasting(bench) - (chain.kept_from() - start) * freed_block
    milliseconds = 1000 * seconds / (empty / packing.BLOCKS)
    return _Pruned(block - freed_block, transaction - freed / TRANSACTIONS, milliseconds)


def _prune(node: Node, keep: int) -> None:
    while node.chain.prunes.prune_next(keep, node.clock.now()):
        pass


def _lasting(node: BenchNode) -> int:
    """Bytes of the data in Redis, without the stream of events, which keeps about the last 10,000."""
    return _dataset(node.redis) - int(node.redis.memory_usage(node.keys.events, samples=0) or 0)


def _histories(node: BenchNode) -> float:
    """Bytes of the lists of the accounts' transactions, with what Redis needs to find them."""
    keys = list(node.redis.scan_iter(node.keys.history("*"), count=1000))
    return sum(float(node.redis.memory_usage(key, samples=0) or 0) for key in keys)


def _ask(node: Node, redis: "Redis", blocks: int) -> None:
    """Request and mine blocks one by one in rounds, as a worker does. The jobs that this enqueues are deleted."""
    for _ in range(blocks):
        node.requests.ask()
        round_id = node.mining.situation().open_round
        claim = node.searches.claim(round_id, uuid.uuid4().hex, 100, Searched())
        assert claim is not None and claim.proofs
        node.searches.report(round_id, "a-worker", Searched(claim.version, 100))
        assert node.rounds.seal(claim, claim.proofs.start, "a-worker") is not None  # at difficulty 1 any proof will do
    for key in redis.scan_iter(match="rq:*", count=1000):
        redis.delete(key)


def _grown(redis: "Redis", grow: Callable[[], None]) -> int:
    """By how many bytes the data in Redis grows during `grow`, without the buffers of clients and log."""
    before = _dataset(redis)
    grow()
    return _dataset(redis) - before


def _dataset(redis: "Redis") -> int:
    return int(redis.info("memory")["used_memory_dataset"])


def _log_bytes(directory: Path) -> int:
    return sum(path.stat().st_size for path in (directory / "valkey" / "appendonlydir").glob("*.aof"))


def _weigh(result: Result, workers: int) -> None:
    """Memory of an idle `quarry up` with the plain kernel and `workers` mining workers."""
    with TemporaryDirectory(prefix="quarry-bench-") as directory:
        command = module_command(
            "api.cli", "up", "--json", "--port", "0", "--data-dir", directory, "--workers", str(workers)
        )
        process = subprocess.Popen(
            command,
            env=scrubbed(os.environ) | {"QUARRY_KERNEL": "plain"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        try:
            assert process.stdout is not None
            if not process.stdout.readline():
                raise RuntimeError("quarry up did not start")
            time.sleep(IDLE_SECONDS)
            sizes = [memory(pid) for pid in (process.pid, *descendants(process.pid))]
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)
    about = f"{len(sizes)} processes of `quarry up`, plain kernel, {workers} mining worker(s)"
    suffix = "" if workers == 1 else f"_{workers}_workers"
    result.add(f"pss_mb{suffix}", sum(pss for _, pss in sizes), "MB", target=400, better="lower", than=about)
    result.add(f"rss_mb{suffix}", sum(rss for rss, _ in sizes), "MB", than="the same, shared pages counted in each")
