"""1 to 10,000 workers on one round, in a simulation.

Each worker claims, scans, reports and claims again; one broker serves the claims one after the other, as Redis does.
The simulation counts what a real round loses: the waits for the broker and the network, the first claims, which are
small, and the hashes done after the block was found, until each worker notices. The broker also serves RQ's heartbeats
and tells every worker of the block. Its time per claim is measured on this machine; all other times are constants of
the worker.
"""

import heapq
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from redis import Redis

from benchmarks.report import Plot, Result, Series
from services.connections.servers import as_store
from services.launch.embedded import EmbeddedValkey
from services.store.keys import Keys
from services.store.mining import MiningStore
from services.store.scripts import source
from shared.block import Template
from worker.claim_size import LONGEST_SECONDS, SLICE_SECONDS
from worker.process import MINING_MONITORING_SECONDS

WORKERS = (1, 2, 10, 50, 100, 500, 1_000, 2_000, 5_000, 10_000)
ROUND_TRIP = 0.0005  # seconds, as within one data centre
ROUND_SECONDS = 30.0  # how long a round takes
SATURATED = 0.9  # share of its time that a saturated broker is busy
LONGEST_REMEDY = 10.0  # seconds: the longest claim that may be lost with a worker
HEARTBEAT_CLAIMS = 1.0  # claims that cost the broker as much as one RQ heartbeat: 11 commands against 8 and a script
NEWS_CLAIMS = 0.25  # claims that cost the broker as much as telling one worker of a block


@dataclass(frozen=True)
class Plan:
    """What is simulated."""

    workers: int
    round_trip: float = ROUND_TRIP
    per_claim: float = 1e-4  # seconds that the broker is busy with one claim
    longest_claim: float = LONGEST_SECONDS
    brokers: int = 1  # each with its own node and an equal part of the workers, as in several regions
    seconds: float = ROUND_SECONDS


@dataclass(frozen=True)
class Outcome:
    """The result of a simulation."""

    efficiency: float  # useful hashes / hashes that the workers could do in the time
    claims_per_second: float  # per broker
    busy: float  # share of its time that a broker is busy
    waited: float  # share of the workers' time spent waiting for claims
    stale: float  # share of their hashes that were done after the block was found

    @property
    def saturated(self) -> bool:
        """Whether the broker, and not the workers, limits how much is searched."""
        return self.busy >= SATURATED


def simulate(plan: Plan, seed: int = 1) -> Outcome:
    """Simulate one round of `plan.seconds`, event by event.

    Nothing is searched: chance decides when a real round ends, but not what it loses per second.
    """
    chance = random.Random(seed)
    workers = max(1, plan.workers // plan.brokers)
    # All workers learn of the round about half a round trip after it opened, and ask for a claim.
    asks = [(chance.uniform(0.4, 0.6) * plan.round_trip, number) for number in range(workers)]
    heapq.heapify(asks)
    spent = [0.0] * workers
    free_at = busy = useful = waited = 0.0
    claims = 0
    # Heartbeats take their share of each second first; claims get the rest.
    share = min(0.999, workers * HEARTBEAT_CLAIMS * plan.per_claim / MINING_MONITORING_SECONDS)
    while asks:
        arrives, number = heapq.heappop(asks)
        if arrives >= plan.seconds:
            continue
        starts = max(arrives, free_at)
        service = chance.uniform(0.7, 1.3) * plan.per_claim / (1 - share)
        free_at = starts + service
        busy += max(0.0, min(free_at, plan.seconds) - starts)
        claims += starts < plan.seconds
        got = free_at + plan.round_trip / 2
        waited += min(got, plan.seconds) - min(arrives - plan.round_trip / 2, plan.seconds)
        # As in worker/claim_size.py: as long as the worker has searched, but from one slice to the longest claim.
        length = min(plan.longest_claim, max(SLICE_SECONDS, spent[number]))
        useful += max(0.0, min(got + length, plan.seconds) - got)
        spent[number] += length
        heapq.heappush(asks, (got + length + plan.round_trip / 2, number))
    # Workers are told one after the other, and each looks at the end of its slice: half a slice later on average.
    news = workers * NEWS_CLAIMS * plan.per_claim / 2 + plan.round_trip / 2
    stale = workers * (SLICE_SECONDS / 2 + news)
    return Outcome(
        efficiency=useful / (workers * plan.seconds + stale),
        claims_per_second=claims / plan.seconds,
        busy=busy / plan.seconds,
        waited=waited / (workers * plan.seconds),
        stale=stale / (useful + stale),
    )


def saturation(plan: Plan) -> int:
    """The number of workers that keep one broker busy all the time."""
    return int(1 / (plan.per_claim * (1 / plan.longest_claim + HEARTBEAT_CLAIMS / MINING_MONITORING_SECONDS)))


def remedied(plan: Plan) -> Plan:
    """The plan with bigger claims and, if these do not suffice, with as few more brokers as possible."""
    target = 0.7 * SATURATED
    for brokers in range(1, plan.workers + 1):
        heartbeats = plan.workers / brokers * HEARTBEAT_CLAIMS * plan.per_claim / MINING_MONITORING_SECONDS
        if heartbeats < target:
            longest = plan.workers / brokers * plan.per_claim / (target - heartbeats)
            if longest <= LONGEST_REMEDY:
                return replace(plan, longest_claim=max(plan.longest_claim, longest), brokers=brokers)
    return replace(plan, longest_claim=LONGEST_REMEDY, brokers=plan.workers)


def measured_claim_seconds(calls: int = 6_400, clients: int = 64) -> float:
    """Seconds per claim of this machine's Valkey (`appendfsync always`), with many clients that ask at once.

    About a tenth of it is this process's own: sending and reading.
    """
    with (
        TemporaryDirectory(prefix="quarry-bench-") as directory,
        EmbeddedValkey(Path(directory) / "valkey") as valkey,
        Redis.from_url(valkey.url) as redis,
    ):
        store, now = MiningStore(as_store(redis), Keys("bench")), time.time()
        redis.hset(store.keys.tip, "hash", "0" * 64)
        template = Template({"index": 2, "previous_hash": "0" * 64}, b"5" * 64, 2**60)
        round_id, version = store.open("r" * 32, "0", template, 0, now)
        digest = redis.script_load(source("claim"))
        connections: list[Any] = [redis.connection_pool.get_connection() for _ in range(clients)]
        turns = []
        for _ in range(calls // clients):
            started = time.perf_counter()
            for number, connection in enumerate(connections):
                arguments = [round_id, f"worker-{number}", 10**6, version, 10**6, now, 1e9, now, 0]
                connection.send_command("EVALSHA", digest, 1, store.keys.prefix, *arguments)
            for connection in connections:
                connection.read_response()
            turns.append(time.perf_counter() - started)
        for connection in connections:
            redis.connection_pool.release(connection)
    # The quickest tenth, not the mean: other programs on this machine must not count as load of the broker.
    return statistics.quantiles(turns, n=10)[0] / clients


def run(say: Callable[[str], None], quick: bool = False) -> list[Result]:
    """Result "simulation"."""
    result = Result("simulation")
    say("claims per second of one broker")
    per_claim = measured_claim_seconds(3_200 if quick else 12_800)
    result.add(
        "broker_claims_per_second", 1 / per_claim, "claims/s", than="this machine's Valkey, fsync always, 64 clients"
    )
    limit = saturation(Plan(1, per_claim=per_claim))
    result.add("workers_at_saturation", limit, "workers", than=f"one broker, claims of {LONGEST_SECONDS:g} s")
    now: list[float] = []
    then: list[float] = []
    for workers in (*WORKERS, 2 * limit):
        say(f"{workers:,} workers")
        plan = Plan(workers, per_claim=per_claim)
        outcome, better = simulate(plan), remedied(plan)
        helped = simulate(better)
        now.append(100 * outcome.efficiency)
        then.append(100 * helped.efficiency)
        text = f"broker {100 * outcome.busy:.0f} % busy, {outcome.claims_per_second:,.0f} claims/s"
        if outcome.saturated:
            brokers = f" and {better.brokers} brokers" if better.brokers > 1 else ""
            text += f": saturated; claims of {better.longest_claim:.1f} s{brokers} give {100 * helped.efficiency:.0f} %"
        name = f"efficiency_{workers}" if workers in WORKERS else "efficiency_beyond"
        result.add(name, 100 * outcome.efficiency, "%", than=f"{workers:,} workers, {text}")
    result.notes.append(
        f"One broker saturates at about {limit:,} workers. Remedies, in this order: bigger claims (up to "
        f"{LONGEST_REMEDY:g} s: a dead worker costs one), then a broker per region, each with a node of its own."
    )
    count = [float(workers) for workers in (*WORKERS, 2 * limit)]
    series = [Series(f"claims of {LONGEST_SECONDS:g} s, one broker", count, now), Series("with remedies", count, then)]
    result.plots.append(Plot("scaling-simulation", "Simulated efficiency", "workers", "% of hashes useful", series))
    return [result]
