"""Hash rate, two workers, commands, stopping and memory: real workers search one round that never ends."""

import os
import signal
import statistics
import time
from collections.abc import Callable

from rq import Worker

from benchmarks.loops import midstate_rate, tutorial_rate
from benchmarks.node import BenchNode, children, counted, memory, waited
from benchmarks.report import Plot, Result, Series

ENDLESS = 2**60
LOOP_SECONDS = 2.0
LONG_SECONDS = 12.0  # one worker alone
TURN_SECONDS = 6.0  # one worker, then two, in turns: other load on the machine affects both
SETTLE_SECONDS = 3.5  # workers report every 1.5 s
MEGA = 1e6


def run(say: Callable[[str], None], quick: bool = False) -> list[Result]:
    """Results "hash_rate", "scaling" and "mining"."""
    rate, scaling, mining = Result("hash_rate"), Result("scaling"), Result("mining")
    cores = os.cpu_count() or 1
    say("the tutorial's loop and hashlib with midstate")
    loops, midstates = [tutorial_rate(LOOP_SECONDS)], [midstate_rate(LOOP_SECONDS)]
    with BenchNode(workers=2, upkeep=False, difficulty=ENDLESS, settings={"KERNEL": "auto"}) as node:
        node.post("/mine?wait=0")
        round_id = node.get("/status")["round"]["id"]
        _await_reports(node, round_id, 2)
        search = _Search(node, round_id)
        say(f"one worker for {LONG_SECONDS:g} s")
        search.pause("mining1")
        time.sleep(SETTLE_SECONDS)
        before = [memory(pid) for pid in search.pids("mining0")]
        with counted(node.redis) as used:
            alone = search.rate(LONG_SECONDS, ["mining0"])
        used.pop("hgetall", None)  # the benchmark's own, at both ends
        lone, both = [alone], []
        for turn in range(1 if quick else 3):
            say(f"two workers, then one, turn {turn + 1}")
            search.go_on("mining1")
            time.sleep(SETTLE_SECONDS)
            both.append(search.rate(TURN_SECONDS, ["mining0", "mining1"]))
            search.pause("mining1")
            time.sleep(SETTLE_SECONDS)
            lone.append(search.rate(TURN_SECONDS, ["mining0"]))
        after = [memory(pid) for pid in search.pids("mining0")]
        seconds_searched = time.monotonic() - search.began
        search.go_on("mining1")
        time.sleep(SETTLE_SECONDS)
        stop_seconds, wasted, hashes = _cancel(node, round_id)
    loops.append(tutorial_rate(LOOP_SECONDS))
    midstates.append(midstate_rate(LOOP_SECONDS))
    loop, midstate = statistics.mean(loops), statistics.mean(midstates)

    rate.add("tutorial", loop / MEGA, "MH/s", than="the tutorial's loop, one core, before and after the round")
    rate.add("midstate", midstate / MEGA, "MH/s", than="hashlib from the state after the seal, one core")
    rate.add("per_core", alone / MEGA, "MH/s", than=f"one worker, claims and Redis included, {LONG_SECONDS:g} s")
    rate.add("ratio_to_tutorial", alone / loop, "times", target=50, than="the tutorial's loop in the same run")
    rate.add("ratio_to_midstate", alone / midstate, "times", than="hashlib with midstate in the same run")
    rate.plots.append(
        Plot(
            "hash-rate", "Hash rate of one core", "", "million hashes a second",
            [Series("tutorial's loop", [0], [loop / MEGA]), Series("hashlib, midstate", [1], [midstate / MEGA]),
             Series("Quarry's worker", [2], [alone / MEGA])], logarithmic=True,
        )
    )  # fmt: skip
    one, two = statistics.median(lone), statistics.median(both)
    scaling.add("one_worker", one / MEGA, "MH/s", than="median of turns")
    scaling.add(
        "two_workers", two / one, "times", target=1.9 if cores >= 2 else None, than=f"one worker, on {cores} cores"
    )
    scaling.plots.append(
        Plot(
            "scaling",
            "Workers on one round",
            "workers",
            "million hashes a second",
            [
                Series("measured", [1, 2], [one / MEGA, two / MEGA]),
                Series("ideal", [1, 2], [one / MEGA, 2 * one / MEGA]),
            ],
        )
    )
    per_second = sum(used.values()) / LONG_SECONDS
    mining.add(
        "commands_per_worker_second", per_second, "commands/s", target=10, better="lower",
        than="every command that Redis ran, calls from scripts and RQ's heartbeats included",
    )  # fmt: skip
    mining.notes.append("commands: " + ", ".join(f"{name} {calls}" for name, calls in sorted(used.items())))
    (parent, _), (horse, _) = after
    mining.add("worker_rss_mb", max(parent, horse), "MB", target=180, better="lower", than="the larger of both below")
    for name, start, end in zip(("parent", "horse"), before, after, strict=True):
        mining.add(
            f"{name}_rss_mb", end[0], "MB", than=f"{start[0]:.1f} MB {seconds_searched:.0f} s before; PSS {end[1]:.1f}"
        )
    mining.add("growth_mb", after[1][0] - before[1][0], "MB", than=f"the searching process in {seconds_searched:.0f} s")
    mining.add(
        "stop_seconds", stop_seconds, "s", target=0.5, better="lower",
        than="cancel → last report; slices of 0.25 s, two workers on the machine",
    )  # fmt: skip
    mining.add("wasted", 100 * wasted / hashes, "% of hashes", than="done after the round had ended")
    return [rate, scaling, mining]


class _Search:
    """One endless round and the workers on it."""

    def __init__(self, node: BenchNode, round_id: str) -> None:
        self._node = node
        self._key = node.keys.round_workers(round_id)
        self.began = time.monotonic()
        self._names: dict[str, str] = {}
        for program in ("mining0", "mining1"):
            self._names[program] = self._worker_name(node.processes[program].pid)

    def _worker_name(self, pid: int) -> str:
        for worker in Worker.all(connection=self._node.redis, serializer="json"):
            if worker.pid == pid:
                return str(worker.name)
        raise RuntimeError("a worker is not registered")

    def pids(self, program: str) -> list[int]:
        """Process ids of the worker and of the job that it forked."""
        parent = self._node.processes[program].pid
        return [parent, *children(parent)]

    def pause(self, program: str) -> None:
        for pid in self.pids(program):
            os.kill(pid, signal.SIGSTOP)

    def go_on(self, program: str) -> None:
        for pid in self.pids(program):
            os.kill(pid, signal.SIGCONT)

    def rate(self, seconds: float, programs: list[str]) -> float:
        """Hashes per second of these workers together, each between its last reports before and after.

        Time that a worker waited for a core is subtracted; time that it waited for Redis is not.
        """
        before, shares_before = self._reports(), [waited(self._node.horse(program)) for program in programs]
        time.sleep(seconds)
        after, shares = self._reports(), [waited(self._node.horse(program)) for program in programs]
        total = 0.0
        for program, start, end in zip(programs, shares_before, shares, strict=True):
            (done, at), (done_before, at_before) = after[self._names[program]], before[self._names[program]]
            total += (done - done_before) / (at - at_before) / (1 - (end - start) / seconds)
        return total

    def _reports(self) -> dict[str, tuple[int, float]]:
        found = {}
        for name, value in self._node.redis.hgetall(self._key).items():
            hashes, _, last, *_ = value.split(b":")
            found[name.decode()] = (int(hashes), float(last))
        return found


def _await_reports(node: BenchNode, round_id: str, workers: int) -> None:
    deadline = time.monotonic() + 30
    while len([w for w in node.get(f"/rounds/{round_id}")["workers"] if w["hashes"]]) < workers:
        if time.monotonic() > deadline:
            raise RuntimeError("the workers do not search")
        time.sleep(0.2)


def _cancel(node: BenchNode, round_id: str) -> tuple[float, int, int]:
    """Cancel the round; seconds until the last worker stopped, hashes wasted, and hashes in all."""
    node.call("DELETE", f"/rounds/{round_id}")
    ended = float(node.redis.hget(node.keys.round(round_id), "ended_at") or 0)
    time.sleep(3.0)
    last = max(float(value.split(b":")[2]) for value in node.redis.hgetall(node.keys.round_workers(round_id)).values())
    found = node.get(f"/rounds/{round_id}")
    return last - ended, found["wasted"], found["hashes"]
