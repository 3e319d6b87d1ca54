"""Many schedules of whole networks, each drawn from a seed; every seed that fails is printed.

python -m lab.simulated --seeds 1000 --mode safety|liveness|parting
python -m lab.simulated --first 42 --seeds 1 --log    # one seed, event by event
"""

import argparse
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from lab.simulated.parting import Parting
from lab.simulated.plan import Mode, draw
from lab.simulated.world import Outcome, World


def run_seed(seed: int, mode: Mode, keep_log: bool = False) -> Outcome:
    """Run the schedule of one seed."""
    world = Parting(seed, keep_log=keep_log) if mode == "parting" else World(draw(seed, mode), keep_log=keep_log)
    return world.run()


def main(arguments: list[str]) -> int:
    """Run schedules. Returns 0 if no promise was broken, else 1, after it has printed the seeds that failed."""
    parser = argparse.ArgumentParser("python -m lab.simulated")
    parser.add_argument("--seeds", type=int, default=100, help="how many")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--mode", choices=("safety", "liveness", "parting"), default="safety")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--log", action="store_true", help="print every event")
    chosen = parser.parse_args(arguments)
    seeds = range(chosen.first, chosen.first + chosen.seeds)
    started, simulated, failed = time.monotonic(), 0.0, 0
    met: Counter[str] = Counter()
    with ProcessPoolExecutor(chosen.processes) as pool:
        runs = [pool.submit(run_seed, seed, chosen.mode, chosen.log) for seed in seeds]
        for run in runs:
            outcome = run.result()
            met.update(outcome.met)
            simulated += outcome.seconds
            for line in outcome.lines:
                print(line)
            if outcome.failure is not None:
                failed += 1
                print(f"{chosen.mode} seed {outcome.seed} FAILED: {outcome.failure}", flush=True)
    elapsed = time.monotonic() - started
    for what, count in sorted(met.items()):
        print(f"{count:9}  {what}")
    print(
        f"{len(seeds)} {chosen.mode} schedules, {failed} failed; {simulated / len(seeds):.0f} s simulated each; "
        f"{len(seeds) / elapsed / chosen.processes:.2f} per second and process"
    )
    return 1 if failed else 0
