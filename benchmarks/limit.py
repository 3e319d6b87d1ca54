"""The hash-rate limit: what one and two real workers do over every ten seconds, by the node's own count."""

import time
from collections.abc import Callable

from benchmarks.mining import ENDLESS, SETTLE_SECONDS, _await_reports, _Search
from benchmarks.node import BenchNode, waited
from benchmarks.report import Result

WINDOW_SECONDS = 10.0
RUN_SECONDS = 25.0
_LOOK_SECONDS = 0.02
_FULL_SECONDS = 6.0


def run(say: Callable[[str], None], quick: bool = False) -> list[Result]:
    """Result "limit"."""
    result = Result("limit")
    seconds = 14.0 if quick else RUN_SECONDS
    with BenchNode(workers=2, upkeep=False, difficulty=ENDLESS, settings={"KERNEL": "auto"}) as node:
        node.post("/mine?wait=0")
        round_id = node.get("/status")["round"]["id"]
        _await_reports(node, round_id, 2)
        search = _Search(node, round_id)
        for workers in (2, 1):
            programs = ["mining0", "mining1"][:workers]
            if workers == 1:
                search.pause("mining1")
            say(f"{workers} worker(s) without a limit")
            time.sleep(SETTLE_SECONDS)
            samples = _samples(node, _FULL_SECONDS)
            full = (samples[-1][1] - samples[0][1]) / (samples[-1][0] - samples[0][0])
            result.notes.append(
                f"{workers} worker(s) without a limit: {full / 1e6:.2f} MH/s with the cores that other programs left, "
                f"{search.rate(_FULL_SECONDS, programs) / 1e6:.2f} MH/s with a core each"
            )
            for name, limit in (("1k", 1000), ("100k", 100_000), ("1m", 1_000_000), ("half", int(full / 2))):
                say(f"{workers} worker(s), at most {limit:,} hashes a second, {seconds:g} s")
                _set(node, limit)
                time.sleep(SETTLE_SECONDS)
                before = _waited(node, programs)
                most, least = _windows(_samples(node, seconds))
                _add(result, f"{name}_{workers}", limit, most, least, (_waited(node, programs) - before) / seconds)
            _set(node, None)
        search.go_on("mining1")
        heeded = _heeded(node)
    result.add(
        "heeded_seconds", heeded, "s", target=1.0, better="lower", than="a limit is set → the last report above it"
    )
    return [result]


def _waited(node: BenchNode, programs: list[str]) -> float:
    """Seconds for which the workers have waited for a core, on average."""
    return sum(waited(node.horse(program)) for program in programs) / len(programs)


def _add(result: Result, name: str, limit: int, most: float, least: float, short: float) -> None:
    """Figures of one limit, as parts of it. `short`: the part of the time for which a worker waited for a core."""
    result.add(f"{name}_most", 100 * most / limit, "% of limit", target=100, better="lower", than="any 10 s of the run")
    result.add(
        f"{name}_least",
        100 * least / limit,
        "% of limit",
        target=95,
        than=f"any 10 s; waiting for a core {100 * short:.0f}% of the time",
    )


def _set(node: BenchNode, limit: int | None) -> None:
    if limit is None:
        node.call("DELETE", "/mining/limit")
    else:
        node.call("POST", "/mining/limit", {"hash_rate_limit": limit})


def _samples(node: BenchNode, seconds: float) -> list[tuple[float, int]]:
    """The node's total of hashes again and again: when it was asked (monotonic seconds), and what it was."""
    found, until = [], time.monotonic() + seconds
    while time.monotonic() < until:
        found.append((time.monotonic(), int(node.redis.hget(node.keys.counters, "hashes") or 0)))
        time.sleep(_LOOK_SECONDS)
    return found


def _windows(samples: list[tuple[float, int]]) -> tuple[float, float]:
    """The most and the least hashes per second over any WINDOW_SECONDS."""
    most, least = 0.0, float("inf")
    for first, (began, before) in enumerate(samples):
        for at, total in samples[first:]:
            if at - began <= WINDOW_SECONDS:
                most = max(most, (total - before) / WINDOW_SECONDS)
            else:
                least = min(least, (total - before) / (at - began))
                break
    return most, least


def _heeded(node: BenchNode) -> float:
    """Seconds from a low limit until the total grows no faster than it."""
    time.sleep(SETTLE_SECONDS)
    _set(node, 1000)
    began = last = time.monotonic()
    before = int(node.redis.hget(node.keys.counters, "hashes") or 0)
    while time.monotonic() < began + 4:
        total = int(node.redis.hget(node.keys.counters, "hashes") or 0)
        if total - before > 1000:
            last = time.monotonic()
        before = total
        time.sleep(_LOOK_SECONDS)
    return last - began
