"""How far miners who lie about the time can move the block interval: a simulation with the consensus functions.

A share of the hash rate writes timestamps by a strategy (lab/strategies/time_lies.py); the rest writes the true time.
The figure is the true mean time between blocks, which should be the chain spec's interval.
"""

import os
import random
import statistics
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

from benchmarks.report import Result
from lab.strategies.time_lies import LIES, Lie
from lab.strategy import Times
from shared.block import Header
from shared.chain_spec import ChainSpec
from shared.difficulty import WINDOW, next_difficulty
from shared.timestamps import max_ahead, median_time

INTERVAL = 10  # seconds
SPEC = ChainSpec(name="liars", chain_id=7, genesis_timestamp=0, difficulty=100_000, block_interval=INTERVAL)
SETTLED = 200  # blocks before the count begins
SHARES = (0.2, 0.35, 0.49)
# Seconds ahead that the rules could allow: an earlier rule's 120, and 6, 3 and 2 intervals.
ALLOWED = (120, 60, 30, 20)
SEEDS, BLOCKS = 8, 2000
TARGET = 1.1  # how many intervals liars may make of one


def mean_interval(
    lie: Lie, share: float, ahead: int, seed: int, blocks: int = BLOCKS, *, spec: ChainSpec = SPEC
) -> float:
    """Mean true seconds between blocks while `share` of the hash rate uses `lie`, up to `ahead` seconds ahead."""
    rng = random.Random(seed)
    rate = spec.difficulty / spec.block_interval
    start = now = 10.0**6
    window = [Header(1, int(now), "", spec.difficulty, "", 0, "")]
    for i in range(SETTLED + blocks):
        if i == SETTLED:
            start = now
        difficulty = next_difficulty(window, spec)
        now += rng.expovariate(rate / difficulty)
        earliest, latest = median_time(window), int(now) + ahead
        stamp = int(now)
        if rng.random() < share:
            stamp = min(lie(Times(window, stamp, earliest, latest, spec.difficulty, spec)), latest)
        window.append(Header(window[-1].index + 1, max(stamp, earliest), "", difficulty, "", 0, ""))
        del window[:-WINDOW]
    return (now - start) / blocks


def _measure(plan: tuple[str, float, int, int, int]) -> float:
    name, share, ahead, seeds, blocks = plan
    lie = LIES[name]
    return statistics.mean(mean_interval(lie, share, ahead, seed, blocks) for seed in range(seeds))


def _other_intervals(seeds: int, blocks: int) -> list[tuple[int, float, float]]:
    """Several intervals in seconds, each with its mean, in intervals, for honest miners and the worst of 3 lies."""
    found = []
    worst = ("as far back as allowed", "lose time at the cap of six intervals", "greatest of the next ten")
    for interval in (1, 2, 5, 30, 60, 600):
        spec, ahead = replace(SPEC, block_interval=interval), max_ahead(interval)

        def mean(name: str, share: float, spec: ChainSpec = spec, ahead: int = ahead) -> float:
            lie = LIES[name]
            times = [mean_interval(lie, share, ahead, seed, blocks, spec=spec) for seed in range(seeds)]
            return statistics.mean(times) / spec.block_interval

        found.append((interval, mean("the truth", 0.0), max(mean(name, 0.49) for name in worst)))
    return found


def run(say: Callable[[str], None], quick: bool = False) -> list[Result]:
    """Result "timestamps"."""
    seeds, blocks = (2, 500) if quick else (SEEDS, BLOCKS)
    result = Result("timestamps")
    plans = [(name, share, ahead, seeds, blocks) for name in LIES for share in SHARES for ahead in ALLOWED]
    say(f"{len(plans)} means of {seeds} seeds, {blocks} blocks each")
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        means = dict(zip([plan[:3] for plan in plans], pool.map(_measure, plans), strict=True))
    result.notes.append(
        f"True mean interval in seconds while a share of the hash rate lies; the chain spec asks for {INTERVAL} s."
    )
    result.notes.append(f"{'most seconds ahead':50}" + "".join(f"{ahead:<21}" for ahead in ALLOWED).rstrip())
    result.notes.append(
        f"{'share that lies':50}" + "".join(f"{share:<7.0%}" for _ in ALLOWED for share in SHARES).rstrip()
    )
    for name in LIES:
        cells = "".join(f"{means[name, share, ahead]:<7.2f}" for ahead in ALLOWED for share in SHARES)
        result.notes.append(f"{name:50}{cells}".rstrip())
    for ahead in ALLOWED:
        (name, share, _), worst = max(
            ((key, mean) for key, mean in means.items() if key[2] == ahead), key=lambda item: item[1]
        )
        goal = TARGET * INTERVAL if ahead == max_ahead(INTERVAL) else None
        text = f"{name}, {share:.0%}"
        result.add(f"longest_{ahead}", worst, "s", target=goal, better="lower", than=text)
    least = min(mean for (_, _, ahead), mean in means.items() if ahead == max_ahead(INTERVAL))
    result.add("shortest", least, "s", target=(2 - TARGET) * INTERVAL)
    say("other intervals")
    result.notes.append(f"{'interval (s)':16}{'honest (intervals)':22}worst of three strategies, 49 %")
    for interval, honest, lied in _other_intervals(seeds, blocks):
        result.notes.append(f"{interval:<16}{honest:<22.3f}{lied:.3f}")
    return [result]
