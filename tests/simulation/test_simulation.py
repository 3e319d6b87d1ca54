"""The schedules of every test run. checker.py has what they check, plan.py what goes wrong in them."""

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import fakeredis
import pytest

from lab.simulated.database import SortedSet
from lab.simulated.memory import MemoryRedis
from lab.simulated.plan import Faults, Mode, draw
from lab.simulated.schedules import run_seed
from lab.simulated.world import World
from services.store.keys import Keys
from services.system.programs import ROOT
from tests.support import verifier


def regressions() -> list[tuple[Mode, int]]:
    """The seeds that failed once."""
    lines = (Path(__file__).parent / "seeds.txt").read_text("utf-8").splitlines()
    return [(line.split()[0], int(line.split()[1])) for line in lines if line and line[0] != "#"]  # type: ignore[misc]


# Each must be met by the schedules of every test run.
FAULTS = {
    "preempted", "race lost by swap", "race lost by append", "race lost by admission", "death", "reply cut",
    "death in a reorganisation", "death between proof and append", "stalled", "job lost", "relay lost",
    "job doubled", "node crashed",
    "request dropped", "answer dropped", "request doubled", "request slow", "answer truncated", "partitioned",
    "drips at /headers", "peer flips", "announced for another",
    "network fell apart", "broker flushed", "double spend", "transaction sent again", "reorganisations",
    "record: replaced", "record: dropped", "record: evicted", "record: expired", "acknowledged",
    "handed in", "death before a proof is handed in", "taken over from a dead desk",
}  # fmt: skip


@pytest.mark.timeout(300)  # ten seconds of a processor, which a busy machine has not in two minutes
def test_a_slice_of_schedules_keeps_the_promises_and_meets_every_fault() -> None:
    met: Counter[str] = Counter()
    for seed in (2, *range(106, 136)):  # 2 meets a flushed broker early
        if seed > 115 and met.keys() >= FAULTS:
            break  # which seeds meet a rare fault changes with the code
        outcome = run_seed(seed, "safety")
        assert outcome.failure is None, f"safety seed {seed}: {outcome.failure}"
        assert outcome.height > 2, "nothing was mined, so nothing was tested"
        met.update(outcome.met)
    missing = FAULTS - met.keys()
    assert not missing, f"never met: {sorted(missing)}"
    assert sum(what.startswith("lie: ") for what in met) >= 5


@pytest.mark.parametrize("seed", [201, 202, 203, 204, 205])
def test_a_healed_network_agrees_and_mines_what_waits(seed: int) -> None:
    outcome = run_seed(seed, "liveness")
    assert outcome.failure is None, f"liveness seed {seed}: {outcome.failure}"
    assert outcome.met["converged"] == outcome.met["all mined"] == 1


@pytest.mark.parametrize(("mode", "seed"), regressions())
def test_a_seed_that_failed_once(mode: Mode, seed: int) -> None:
    outcome = run_seed(seed, mode)
    assert outcome.failure is None, f"{mode} seed {seed}: {outcome.failure}"


def test_a_seed_replays_identically() -> None:
    first, second, other = run_seed(7, "safety"), run_seed(7, "safety"), run_seed(8, "safety")
    assert first == second
    assert first.digest != other.digest
    assert first.met.total() > 100


def test_a_seed_replays_identically_in_another_process() -> None:
    text = "from lab.simulated.schedules import run_seed; print(run_seed(7, 'safety').digest)"
    found = subprocess.run(
        [sys.executable, "-c", text],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "99"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert found.stdout.strip() == run_seed(7, "safety").digest


def test_an_independent_verifier_agrees_about_every_nodes_chain() -> None:
    world = World(draw(3, "safety"))
    assert world.run().failure is None
    for node in world.nodes:
        tip = node.checker.tip
        blocks = [json.loads(world.tree.states[name].block.canonical) for name in tip.hashes()]
        found = verifier.verify(world.plan.spec.to_object(), blocks)
        assert (found.tip, found.supply, found.chainwork) == (tip.block.hash, tip.replay.supply, tip.claim.chainwork)
        balances = {address: account.balance for address, account in found.accounts.items() if account.balance}
        expected = {name: account.balance for name, account in tip.replay.accounts.items() if account.balance}
        assert balances == expected


def test_healing_leaves_no_fault() -> None:
    healed = Faults(**dict.fromkeys(Faults.__dataclass_fields__, 0.5)).healed()
    assert {name for name in Faults.__dataclass_fields__ if getattr(healed, name)} == {"preempt"}


# --- the store in memory does what a Redis does ---


class _AllKeys:
    """The changed keys of a store that does not tell which: all of them."""

    def __init__(self, redis: Any) -> None:
        self._redis = redis

    @property
    def changed(self) -> set[bytes]:
        return set(self._redis.scan_iter(count=10_000))

    @changed.setter
    def changed(self, value: set[bytes]) -> None:
        pass


class FakeStore(fakeredis.FakeRedis):
    """A fakeredis server for one schedule, with what the checker needs."""

    def __init__(self) -> None:
        super().__init__(server=fakeredis.FakeServer())

    @property
    def database(self) -> _AllKeys:
        return _AllKeys(self)


def contents(raw: Any, fake: bool) -> dict[bytes, Any]:
    """Every key except the streams of events, whose ids the server makes, and the lists that wake who waits for an
    answer: fakeredis takes them away after ten real seconds, which a long schedule takes.
    """
    found: dict[bytes, Any] = {}
    for name in raw.scan_iter():
        if name.endswith((b":events", b":search-news")) or b":answer:" in name:
            continue
        if not fake:
            stored: Any = raw.database.keys[name]
            if name.endswith(b":records"):
                stored = _rounded(stored)
            found[name] = stored.scores if isinstance(stored, SortedSet) else stored
            continue
        match raw.type(name):
            case b"hash" if name.endswith(b":records"):
                found[name] = _rounded(raw.hgetall(name))
            case b"hash":
                found[name] = raw.hgetall(name)
            case b"list":
                found[name] = raw.lrange(name, 0, -1)
            case b"zset":
                found[name] = dict(raw.zrange(name, 0, -1, withscores=True))
            case _:
                found[name] = raw.get(name)
    return found


def _rounded(records: dict[bytes, bytes]) -> dict[bytes, Any]:
    """Terminal records with rounded numbers: only the real cjson cuts them after 14 digits."""
    return {name: {**(value := json.loads(text)), "at": round(value["at"], 2)} for name, text in records.items()}


@pytest.mark.parametrize(
    ("seed", "seconds"), [(2, 8.0), *(pytest.param(seed, 60.0, marks=pytest.mark.slow) for seed in (2, 9, 15))]
)
def test_the_store_in_memory_does_what_fakeredis_does(seed: int, seconds: float) -> None:
    plan = replace(draw(seed, "safety"), seconds=seconds)
    memory, fake = World(plan), World(plan, store=FakeStore)
    ours, theirs = memory.run(), fake.run()
    assert ours.failure is None
    assert ours == theirs
    assert seconds < 60 or ours.met["reorganisations"] > 0
    for one, other in zip(memory.nodes, fake.nodes, strict=True):
        assert isinstance(one.raw, MemoryRedis)
        assert Keys(one.name).tip.encode() in contents(one.raw, fake=False)
        assert contents(one.raw, fake=False) == contents(other.raw, fake=True)


# --- long runs ---


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mode", ["safety", "liveness"])
def test_many_schedules(mode: Mode) -> None:
    failed = [seed for seed in range(1000, 1300) if run_seed(seed, mode).failure is not None]
    assert failed == [], f"python -m lab.simulated --mode {mode} --seeds 1 --log --first {failed[0]}"
