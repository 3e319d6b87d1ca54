"""1 to 10,000 workers on one round, simulated, for machines that are not here.

Each worker claims, scans, reports and claims again; one broker serves the claims one after the other, as Redis does.
What is counted is what a real round loses: the waits for the broker and the network, the first claims that are small,
and the hashes done after the block was found, until each worker has noticed. The broker's time per claim is measured
on this machine; the rest are the worker's own constants.
"""

import heapq
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from redis import Redis

from benchmarks.report import Plot, Result, Series
from services.connections import as_store
from services.embedded import EmbeddedValkey
from services.store.keys import Keys
from services.store.mining import MiningStore, Searched
from services.store.scripts import source
from shared.block import Template
from worker.claims import LONGEST_SECONDS, SLICE_SECONDS

WORKERS = (1, 2, 10, 50, 100, 500, 1_000, 2_000, 5_000, 10_000)
ROUND_TRIP = 0.0005  # seconds: one data centre
ROUND_SECONDS = 30.0  # what a round is to take, by choice of the difficulty
SATURATED = 0.9  # of the broker's time


@dataclass(frozen=True)
class Plan:
    """What is simulated."""

    workers: int
    round_trip: float = ROUND_TRIP
    per_claim: float = 1e-4  # seconds that the broker is busy with one claim
    longest_claim: float = LONGEST_SECONDS
    brokers: int = 1  # each with its own part of the workers, and its own node: a region
    seconds: float = ROUND_SECONDS


@dataclass(frozen=True)
class Outcome:
    """What came of it."""

    efficiency: float  # useful hashes / what the workers could have done in the time
    claims_per_second: float  # per broker
    busy: float  # share of one broker's time
    waited: float  # share of the workers' time spent waiting for claims
    stale: float  # share of their hashes that came after the block

    @property
    def saturated(self) -> bool:
        """Whether the broker, and not the workers, decides how much is searched."""
        return self.busy >= SATURATED


def simulate(plan: Plan, seed: int = 1) -> Outcome:
    """One round that ends after `plan.seconds`, event by event.

    The simulation has no search in it: that proofs are found at random changes when a round ends, not what is lost.
    """
    chance = random.Random(seed)
    workers = max(1, plan.workers // plan.brokers)
    # All hear of the round at once, half a round trip after it opened, and ask.
    asks = [(chance.uniform(0.4, 0.6) * plan.round_trip, number) for number in range(workers)]
    heapq.heapify(asks)
    spent = [0.0] * workers
    free_at = busy = useful = waited = 0.0
    claims = 0
    while asks:
        arrives, number = heapq.heappop(asks)
        if arrives >= plan.seconds:
            continue
        starts = max(arrives, free_at)
        service = chance.uniform(0.7, 1.3) * plan.per_claim
        free_at = starts + service
        busy += max(0.0, min(free_at, plan.seconds) - starts)
        claims += starts < plan.seconds
        got = free_at + plan.round_trip / 2
        waited += min(got, plan.seconds) - min(arrives - plan.round_trip / 2, plan.seconds)
        # As worker/claims.py: as long as it has searched already, between one slice and the longest.
        length = min(plan.longest_claim, max(SLICE_SECONDS, spent[number]))
        useful += max(0.0, min(got + length, plan.seconds) - got)
        spent[number] += length
        heapq.heappush(asks, (got + length + plan.round_trip / 2, number))
    # News reach a worker within its slice: it searches on for half of one on average.
    stale = workers * (SLICE_SECONDS / 2 + plan.round_trip / 2)
    return Outcome(
        efficiency=useful / (workers * plan.seconds + stale),
        claims_per_second=claims / plan.seconds,
        busy=busy / plan.seconds,
        waited=waited / (workers * plan.seconds),
        stale=stale / (useful + stale),
    )


def remedied(plan: Plan) -> Plan:
    """The plan with bigger claims, and where ten seconds do not suffice, with so many brokers as it takes."""
    wanted = plan.workers * plan.per_claim / (0.5 * SATURATED)  # seconds per claim at half of the broker's time
    longest = max(plan.longest_claim, min(10.0, wanted))
    brokers = max(1, math.ceil(wanted / 10.0))
    return replace(plan, longest_claim=longest, brokers=brokers)


def saturation(plan: Plan) -> int:
    """The number of workers at which one broker has no time left."""
    return int(plan.longest_claim / plan.per_claim)


def measured_claim_seconds(calls: int = 3_000) -> float:
    """Seconds that this machine's Valkey is busy with one claim, `appendfsync always`, many clients at once.

    Claims are sent through a pipeline, which stands for the many: their writes share one fsync per turn of the loop.
    """
    with TemporaryDirectory(prefix="quarry-bench-") as directory, EmbeddedValkey(Path(directory) / "valkey") as valkey:
        with Redis.from_url(valkey.url) as redis:
            store = MiningStore(as_store(redis), Keys("bench"))
            redis.hset(store.keys.tip, "hash", "0" * 64)
            fields = {"index": 2, "previous_hash": "0" * 64}
            round_id, version = store.open("r" * 32, "0", Template(fields, b"5" * 64, 2**60), 0, time.time())
            script = redis.register_script(source("claim"))
            store.claim(round_id, "warm", 1, Searched(), time.time(), 1e9, time.time())
            started = time.perf_counter()
            for turn in range(calls // 100):
                pipeline = redis.pipeline(transaction=False)
                for worker in range(100):
                    args = [round_id, f"w{worker}", 10**6, version, 10**6, time.time() + turn, 1e9, time.time() + 3, 0]
                    script(keys=[store.keys.prefix], args=args, client=pipeline)
                pipeline.execute()
            return (time.perf_counter() - started) / calls


def run(say: Callable[[str], None], quick: bool = False) -> list[Result]:
    """Result "simulation"."""
    result = Result("simulation")
    say("claims per second of one broker")
    per_claim = measured_claim_seconds(1_000 if quick else 5_000)
    result.add(
        "broker_claims_per_second", 1 / per_claim, "claims/s", than="this machine's Valkey, fsync always, shared turns"
    )
    limit = saturation(Plan(1, per_claim=per_claim))
    result.add("workers_at_saturation", limit, "workers", than=f"one broker, claims of {LONGEST_SECONDS:g} s")
    now: list[float] = []
    then: list[float] = []
    for workers in WORKERS:
        say(f"{workers:,} workers")
        plan = Plan(workers, per_claim=per_claim)
        better = remedied(plan)
        outcome, helped = simulate(plan), simulate(better)
        now.append(100 * outcome.efficiency)
        then.append(100 * helped.efficiency)
        text = f"broker {100 * outcome.busy:.0f} % busy, {outcome.claims_per_second:,.0f} claims/s"
        if outcome.saturated:
            text += f": saturated; claims of {better.longest_claim:.1f} s"
            text += f" and {better.brokers} brokers, one per region" if better.brokers > 1 else ""
            text += f" give {100 * helped.efficiency:.0f} %"
        result.add(f"efficiency_{workers}", 100 * outcome.efficiency, "%", than=text)
    result.notes.append(
        f"One broker saturates at about {limit:,} workers. Remedies, in this order: bigger claims (up to 10 s, as a dead "
        "worker costs one claim), then a broker per region: a node of its own that mines for the same address."
    )
    count = [float(workers) for workers in WORKERS]
    series = [Series(f"claims of {LONGEST_SECONDS:g} s, one broker", count, now), Series("with remedies", count, then)]
    result.plots.append(Plot("scaling-simulation", "Simulated efficiency", "workers", "% of hashes useful", series))
    return [result]
