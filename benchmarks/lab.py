"""The lab's simulation beside theory: each figure with its formula and the 95 % interval over seeds.

Judged at 99.9 %: of this many true claims judged at 95 %, some would fail in almost every run.
"""

import os
import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import partial

from benchmarks import lab_theory
from benchmarks.report import Result
from lab import formulas
from lab.verdicts import Observation, Verdict, judge

DELAYS = (0.02, 0.05, 0.1, 0.2, 0.5)  # of the interval
ATTACKERS = (0.1, 0.2, 0.3, 0.4)
CONFIRMATIONS = (1, 2, 4, 6)
SELFISH = (0.2, 0.25, 0.3, 0.35, 0.4, 0.45)
LOW_HASH = (0.15, 0.2)
LIARS = (0.2, 0.3, 0.4, 0.49)
# Of all lies that benchmarks/timestamps.py tries, those that were the worst at some share.
WORST_LIES = (
    "the truth",
    "as far back as allowed",
    "lose time at the cap of six intervals",
    "greatest of the next ten",
    "least of the next ten",
)
MOST = 1.1  # of the target's interval
RATE = 20_000  # blocks per second and core


class Claims:
    """Verdicts of one result, as lines."""

    def __init__(self, result: Result) -> None:
        self.result = result
        self.held: list[bool] = []
        result.notes.append(f"{'':48}measured  95 % interval       formula  judged at 99.9 %")

    def note(self, verdict: Verdict, more: str = "") -> None:
        self.held.append(verdict.held)
        self.result.notes.append(line(verdict, more))

    def end(self) -> Result:
        count = len(self.held)
        than = "formula in the 99.9 % interval"
        self.result.add("claims_held", sum(self.held), f"of {count}", target=count, than=than)
        return self.result


def run(say: Callable[[str], None], quick: bool = False) -> list[Result]:
    """Results "lab_stale", "lab_double_spend", "lab_selfish", "lab_time" and "lab_speed"."""
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        return [part(pool, say, quick) for part in (stale, double_spends, selfish, lies, speed)]


def stale(pool: Executor, say: Callable[[str], None], quick: bool = False) -> Result:
    seeds, blocks = (5, 10_000) if quick else (10, 30_000)
    claims = Claims(Result("lab_stale"))
    for delay in DELAYS:
        say(f"stale blocks at a delay of {delay} intervals")
        values = pool.map(partial(lab_theory.stale_share, delay, blocks=blocks), range(seeds))
        claims.note(mean(f"stale blocks, delay {delay:g} T", list(values), formulas.stale_rate(1.0, delay)))
    return claims.end()


def double_spends(pool: Executor, say: Callable[[str], None], quick: bool = False) -> Result:
    attempts = 500 if quick else 2000
    claims = Claims(Result("lab_double_spend"))
    for ties in (False, True):
        for q, confirmations in [(q, z) for q in ATTACKERS for z in CONFIRMATIONS] + [(0.15, 2)]:
            say(f"double spends: {q:.0%} of the hash rate, {confirmations} confirmations" + ", ties too" * ties)
            won = sum(pool.map(partial(lab_theory.double_spend, q, confirmations, ties), range(attempts), chunksize=50))
            exact = formulas.double_spend(q, confirmations, formulas.GIVE_UP)
            expected, more = exact, f"Nakamoto {formulas.nakamoto(q, confirmations):.4f}"
            if ties:
                expected = formulas.double_spend_with_ties(q, confirmations, formulas.GIVE_UP)
                more = f"{won / attempts - exact:+.4f} by ties"
            name = f"double spend{', ties too' * ties}, q = {q:.2f}, z = {confirmations}"
            claims.note(share(name, won, attempts, expected), more)
    return claims.end()


def selfish(pool: Executor, say: Callable[[str], None], quick: bool = False) -> Result:
    seeds, blocks = (5, 10_000) if quick else (10, 30_000)
    claims = Claims(Result("lab_selfish"))
    for alpha in SELFISH:
        say(f"selfish mining, {alpha:.0%}")
        values = pool.map(partial(lab_theory.selfish, alpha, blocks=blocks), range(seeds))
        verdict = mean(f"selfish revenue, alpha = {alpha:.2f}", list(values), formulas.selfish_revenue(alpha))
        gain = (verdict.value or 0) - alpha
        claims.note(verdict, f"gain {gain:+.4f}")
        if alpha in (0.2, 0.3):
            better, than = ("lower", "loses below 1/4") if alpha < 0.25 else ("higher", "gains above 1/4")
            claims.result.add(f"gain_{alpha:.2f}", gain, "of all blocks", target=0.0, better=better, than=than)
    for alpha in LOW_HASH:
        say(f"selfish mining with low hashes, {alpha:.0%}")
        values = pool.map(partial(lab_theory.selfish_low_hash, alpha, blocks=3 * blocks), range(seeds))
        expected = formulas.selfish_low_hash_revenue(alpha)
        verdict = mean(f"lowest quarter of hashes only, alpha = {alpha:.2f}", list(values), expected)
        gain = (verdict.value or 0) - alpha
        claims.note(verdict, f"gain {gain:+.4f}")
        claims.result.add(f"low_hash_gain_{alpha:.2f}", gain, "of all blocks", than="above 0: our tie rule pays it")
    return claims.end()


def lies(pool: Executor, say: Callable[[str], None], quick: bool = False) -> Result:
    """How far liars move the block interval; it has no formula, but a bound."""
    seeds, blocks = (4, 600) if quick else (6, 1500)
    result = Result("lab_time")
    result.notes.append(f"mean block interval in targets of 10 s, while a share lies about time: {seeds} seeds each")
    result.notes.append(f"{'':48}" + "".join(f"{of:<8.0%}" for of in LIARS).rstrip())
    longest, shortest = ("", 0.0), ("", 9.0)
    for lie in WORST_LIES:
        say(f"lies about time: {lie}")
        cells = []
        for of in LIARS:
            found = statistics.fmean(pool.map(partial(_interval, of, lie, blocks), range(seeds)))
            cells.append(found)
            longest = max(longest, (f"{lie}, {of:.0%}", found), key=lambda item: item[1])
            shortest = min(shortest, (f"{lie}, {of:.0%}", found), key=lambda item: item[1])
        result.notes.append(f"{lie:48}" + "".join(f"{cell:<8.3f}" for cell in cells).rstrip())
    result.add("interval_longest", longest[1], "targets", target=MOST, better="lower", than=longest[0])
    result.add("interval_shortest", shortest[1], "targets", target=2 - MOST, than=shortest[0])
    return result


def speed(pool: Executor, say: Callable[[str], None], quick: bool = False) -> Result:
    say("blocks per second")
    many = 20_000 if quick else 100_000
    result = Result("lab_speed")
    for name, nodes, attacked in (("two", 2, False), ("eight", 8, False), ("eight_one_selfish", 8, True)):
        rate = lab_theory.blocks_per_second(nodes, many, attacked=attacked)
        result.add(f"blocks_per_second_{name}", rate, "1/s and core", target=RATE, than="processor time")
    return result


def mean(claim: str, values: Sequence[float], expected: float) -> Verdict:
    return judge([Observation(claim, value=value, expected=expected, measured=True) for value in values])


def share(claim: str, successes: int, trials: int, expected: float) -> Verdict:
    return judge([Observation(claim, value=successes / trials, expected=expected, trials=trials, measured=True)])


def line(verdict: Verdict, more: str = "") -> str:
    value, low, high, expected = (x or 0.0 for x in (verdict.value, verdict.low, verdict.high, verdict.expected))
    judged = "held" if verdict.held else "DID NOT HOLD"
    return f"{verdict.claim:48}{value:<9.4f} {low:.4f} to {high:.4f}   {expected:<8.4f} {judged:5} {more}".rstrip()


def _interval(of: float, lie: str, blocks: int, seed: int) -> float:
    return lab_theory.interval(of, lie, seed, blocks)
