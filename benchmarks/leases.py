"""Miners over HTTP: their hash rate beside the node's own workers, and what a thousand of them cost an API process."""

import json
import multiprocessing
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks import bare_miners, shares
from benchmarks.door import running_door
from benchmarks.mining import ENDLESS, SETTLE_SECONDS, _await_reports, _Search
from benchmarks.node import BenchNode, children, waited
from benchmarks.report import Result
from services.mining.leases import WORK_SECONDS
from services.system.programs import ROOT, scrubbed
from worker.claim_size import measure_speed
from worker.kernel import choose
from worker.miner.board import Board
from worker.miner.program import Mine, _work

MINERS = 1000
# Among which the miners are divided.
_VOUCHERS = 4


def run(say: Callable[[str], None], quick: bool = False) -> list[Result]:
    """Result "leases"."""
    result = Result("leases")
    _cost(result, say, 8.0 if quick else 25.0)
    _speed(result, say, 4.0 if quick else 8.0, 3 if quick else 6)
    shares.measure(result, say, 3 if quick else 10)
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


def _cost(result: Result, say: Callable[[str], None], seconds: float) -> None:
    """MINERS miners at work at one API process, at the door, and at bare prototypes of both, one after the other."""
    with (
        BenchNode(workers=0, upkeep=False, difficulty=ENDLESS, settings={"API_PROCESSES": "1"}) as node,
        running_door(node) as (port, door),
        bare_miners.started("granian", node.valkey.near_url) as granian,
        bare_miners.started("asyncio", node.valkey.near_url) as bare,
    ):
        node.post("/mine?wait=0")
        names = [f"bench{number}" for number in range(_VOUCHERS)]
        vouchers = [node.post("/vouchers", {"name": name})["voucher"] for name in names]
        store = node.valkey.pid
        if store is None:
            raise RuntimeError("the store does not run")
        api, bare_api = children(node.processes["api"].pid), children(granian[1])
        found = {}
        for name, at, pids in (
            ("api", node.port, api),
            ("api_prototype", granian[0], bare_api),
            ("door", port, [door]),
            ("door_prototype", bare[0], [bare[1]]),
        ):
            say(f"{MINERS:,} miners for {seconds:g} s, {name}")
            found[name] = _served(at, seconds, vouchers, pids, store)
    for name, served in found.items():
        _show(result, name, served)
    for name in ("api", "door"):
        ratio = found[name].each / found[f"{name}_prototype"].each
        result.add(
            f"{name}_to_prototype", ratio, "times", better="lower", than="processor time of a lease and its report"
        )


@dataclass(frozen=True, slots=True)
class _Served:
    """What miners were answered, and what that cost."""

    seconds: float
    leases: list[float]  # seconds until each answer, sorted
    reports: list[float]
    shares: float  # of a lease
    each: float  # seconds of processor time of the server's process for a lease and its report
    store: float  # the same of Redis
    busy: int  # answers of 503


def _served(port: int, seconds: float, vouchers: list[str], pids: list[int], store: int) -> _Served:
    """Let miners work. `pids`: the processes of the server.

    Raises:
        RuntimeError: a request was refused.
    """
    command = [sys.executable, "-P", "-m", "benchmarks.miners", str(port), str(MINERS), str(seconds), *vouchers]
    environment = scrubbed(os.environ) | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as miners:
        try:
            lines = iter(miners.stdout or ())
            _await_line(lines, "begin")
            before = [sum(map(_processor_seconds, which)) for which in (pids, [store])]
            _await_line(lines, "end")
            spent = [sum(map(_processor_seconds, which)) for which in (pids, [store])]
            found = json.loads(next(lines, "{}"))
        finally:
            miners.kill()
    if found.get("error", "no figures came"):
        raise RuntimeError(f"the miners were refused: {found.get('error')}")
    if not (found["leases"] and found["reports"]):
        raise RuntimeError("no miner was answered")
    pairs = (len(found["leases"]) + len(found["reports"])) / 2
    each, of_store = ((after - at) / pairs for after, at in zip(spent, before, strict=True))
    shares = found["shares"] / len(found["reports"])
    return _Served(found["seconds"], found["leases"], found["reports"], shares, each, of_store, found["busy"])


def _await_line(lines: Iterator[str], wanted: str) -> None:
    if next(lines, "").strip() != wanted:
        raise RuntimeError("the miners have ended")


def _show(result: Result, name: str, served: _Served) -> None:
    rate = MINERS / WORK_SECONDS
    asked = f"{MINERS:,} miners with leases of {WORK_SECONDS:g} s"
    leases, reports = (len(each) / served.seconds for each in (served.leases, served.reports))
    is_ours = not name.endswith("_prototype")
    result.add(
        f"{name}_core_of_{MINERS}",
        100 * served.each * rate,
        "% of a core",
        target=20 if is_ours else None,
        better="lower",
        than=asked if is_ours else "one round trip to Redis a request, no JSON, vouchers, shares or rules",
    )
    found = f"{served.shares:.1f} shares each" if is_ours else ""
    result.add(f"{name}_leases_per_second", leases, "leases/s", than=f"{rate:,.0f} are asked for")
    result.add(f"{name}_reports_per_second", reports, "reports/s", than=found)
    for kind, delays in (("lease", served.leases), ("report", served.reports)):
        for part in (50, 99):
            delay = 1000 * delays[len(delays) * part // 100]
            result.add(f"{name}_{kind}_p{part}_ms", delay, "ms", better="lower")
    result.add(
        f"{name}_store_core", 100 * served.store * rate, "% of a core", better="lower", than="the store's process"
    )
    if served.busy:
        result.notes.append(f"{name}: {served.busy:,} requests were answered with 503, and sent again")
    if min(leases, reports) < 0.95 * rate:
        result.notes.append(
            f"{name}: the machine was too busy to serve {rate:,.0f} a second; the cost is per lease served"
        )


def _processor_seconds(pid: int) -> float:
    """Processor time of a process so far, user and system."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
