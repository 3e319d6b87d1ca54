"""Miners over HTTP: their hash rate beside the node's own workers, and what a thousand of them cost an API process."""

import http.client
import json
import multiprocessing
import os
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.door import _door
from benchmarks.mining import ENDLESS, SETTLE_SECONDS, _await_reports, _Search
from benchmarks.node import BenchNode, children, waited
from benchmarks.report import Result
from services.mining.leases import WORK_SECONDS
from shared.proof import accepts
from worker.claim_size import measure_speed
from worker.kernel import choose
from worker.miner.board import Board
from worker.miner.program import Mine, _work

MINERS = 1000
# Hashes per second of a simulated miner: its leases have so few proofs that the benchmark can search them.
_RATE = 2000


def run(say: Callable[[str], None], quick: bool = False) -> list[Result]:
    """Result "leases"."""
    result = Result("leases")
    _cost(result, say, 1500 if quick else 6000)
    _speed(result, say, 4.0 if quick else 8.0, 3 if quick else 6)
    return [result]


def _speed(result: Result, say: Callable[[str], None], seconds: float, turns: int) -> None:
    """Two processes of `quarry miner` beside two workers on Redis, in turns."""
    with BenchNode(workers=2, upkeep=False, difficulty=ENDLESS, settings={"KERNEL": "auto"}) as node:
        node.post("/mine?wait=0")
        round_id = node.get("/status")["round"]["id"]
        _await_reports(node, round_id, 2)
        search = _Search(node, round_id)
        voucher = node.post("/vouchers", {"name": "bench"})["voucher"]
        with _miner(Mine(node.url, voucher, "bench", None, 2, "auto")) as (board, pids):
            ratios, rates = [], []
            for turn in range(turns):
                say(f"two workers and two miners in turns, {turn + 1} of {turns}")
                _all(pids, signal.SIGSTOP)
                time.sleep(SETTLE_SECONDS)
                redis = search.rate(seconds, ["mining0", "mining1"])
                for program in ("mining0", "mining1"):
                    search.pause(program)
                _all(pids, signal.SIGCONT)
                time.sleep(SETTLE_SECONDS)
                over_http = _rate(board, pids, seconds)
                for program in ("mining0", "mining1"):
                    search.go_on(program)
                ratios.append(over_http / redis)
                rates.append(over_http)
    result.add("http_rate", statistics.median(rates) / 1e6, "MH/s", than="two processes, with a core each")
    result.add(
        "of_redis",
        statistics.median(ratios),
        "times",
        target=0.98,
        than="two workers on Redis, a core each, in turns",
    )


@contextmanager
def _miner(mine: Mine) -> Iterator[tuple[Board, list[int]]]:
    """The processes of a miner."""
    kernel = choose(mine.kernel)
    kernel.warm_up()
    board, speed = Board(), measure_speed(kernel)
    context = multiprocessing.get_context("fork")
    arguments = (mine, kernel, speed, board, os.getpid())
    processes = [context.Process(target=_work, args=arguments) for _ in range(mine.workers)]
    for process in processes:
        process.start()
    try:
        yield board, [process.pid for process in processes if process.pid is not None]
    finally:
        board.stop()
        for process in processes:
            if process.pid is not None:
                os.kill(process.pid, signal.SIGCONT)
            process.join(5)
            process.kill()


def _all(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        os.kill(pid, number)


def _rate(board: Board, pids: list[int], seconds: float) -> float:
    """Hashes per second of a miner, without the time for which its processes waited for a core."""
    before, waits, began = board.count("hashes"), [waited(pid) for pid in pids], time.monotonic()
    time.sleep(seconds)
    done, spent = board.count("hashes") - before, time.monotonic() - began
    lost = statistics.mean(waited(pid) - wait for pid, wait in zip(pids, waits, strict=True))
    return done / (spent - lost)


def _cost(result: Result, say: Callable[[str], None], leases: int) -> None:
    """Processor time of one API process for a lease and its report, times those of MINERS miners in a second."""
    settings = {"API_PROCESSES": "1"}
    with BenchNode(workers=0, upkeep=False, difficulty=ENDLESS, settings=settings) as node:
        node.post("/mine?wait=0")
        voucher = node.post("/vouchers", {"name": "bench"})["voucher"]
        with _door(node) as (port, door):
            api = children(node.processes["api"].pid)
            for name, at, pids in (("api", node.port, api), ("door", port, [door])):
                say(f"{leases:,} leases and reports of {MINERS:,} miners, {name}")
                _exchange(at, voucher, leases // 10)
                before = sum(_processor_seconds(pid) for pid in pids)
                shares = _exchange(at, voucher, leases)
                each = (sum(_processor_seconds(pid) for pid in pids) - before) / leases
                result.add(f"{name}_us_per_lease", 1e6 * each, "µs", than=f"with its report of {shares:.1f} shares")
                result.add(
                    f"{name}_core_of_{MINERS}",
                    100 * each * MINERS / WORK_SECONDS,
                    "% of a core",
                    target=20 if name == "door" else None,
                    better="lower",
                    than=f"{MINERS:,} miners with leases of {WORK_SECONDS:g} s, one process",
                )


def _exchange(port: int, voucher: str, leases: int) -> float:
    """Take and work off leases, as MINERS miners in turn; shares per lease."""
    head = {"Authorization": f"Bearer {voucher}", "Content-Type": "application/json"}
    connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=60) for _ in range(8)]
    shares = 0
    for number in range(leases):
        connection = connections[number % len(connections)]
        lease = _post(connection, "/leases", {"name": f"miner {number % MINERS}", "rate": _RATE}, head)
        seal, difficulty = lease["seal"].encode(), lease["share_difficulty"]
        found = [proof for proof in range(lease["start"], lease["stop"]) if accepts(seal, difficulty, proof)]
        hashes = lease["stop"] - lease["start"]
        answer = _post(connection, f"/leases/{lease['lease']}", {"shares": found, "hashes": hashes}, head)
        shares += answer["accepted"]
    for connection in connections:
        connection.close()
    return shares / leases


def _post(connection: http.client.HTTPConnection, path: str, body: Any, head: dict[str, str]) -> Any:
    connection.request("POST", path, json.dumps(body), head)
    with connection.getresponse() as response:
        text = response.read()
    if response.status != 200:
        raise RuntimeError(f"{path}: {response.status} {text.decode()}")
    return json.loads(text)


def _processor_seconds(pid: int) -> float:
    """Processor time of a process so far, user and system."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
