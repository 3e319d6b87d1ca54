"""The hash-rate limit of a node: how its workers share it, and that searches heed it."""

import threading
import time
from collections import Counter

import pytest
from redis import Redis

from services.launch.embedded import EmbeddedValkey
from services.mining.pace import AIM
from services.node import Node
from services.store.figures import RoundFigures, round_figures
from services.store.searches import Searched
from tests.integration.mining.searchers import SPEED, Searchers, mining
from tests.support.nodes import TestNode, round_of
from tests.support.searching import claim_of
from tests.support.waiting import eventually
from worker.jobs.search import _Search
from worker.kernel.plain import PlainKernel

ENDLESS = 2**60
LEASE = 2.0


class Sharing:
    """Workers that claim again and again, on a clock that stands still."""

    def __init__(self, here: TestNode) -> None:
        self.here = here
        self.node = here.node
        here.node.requests.ask()
        self.round_id = here.node.rounds.ensure_open() or "none"
        self.shares: dict[str, float | None] = {}

    def claim(self, worker: str, demand: float = 1e6, hashes: int = 0) -> float | None:
        version = round_of(self.node.mining, self.round_id).version
        found = claim_of(self.node, self.round_id, worker, 10, Searched(version, hashes), demand=demand)
        assert found is not None
        assert bool(found.proofs) is (found.share != 0)
        self.shares[worker] = found.share
        return found.share

    def leave(self, worker: str) -> None:
        self.node.searches.leave(worker)
        del self.shares[worker]

    def total(self) -> float:
        return sum(share or 0.0 for share in self.shares.values())

    def figures(self) -> RoundFigures:
        found = round_of(self.node.mining, self.round_id)
        return round_figures(found, self.node.mining.round_workers(self.round_id), self.here.clock.now())


@pytest.fixture
def sharing(here: TestNode) -> Sharing:
    return Sharing(here)


def test_without_a_limit_a_claim_brings_no_share(sharing: Sharing) -> None:
    assert sharing.claim("w1") is None
    assert sharing.here.redis.exists(sharing.node.chain.keys.hash_rate) == 0


def test_one_worker_has_all_and_a_second_waits_for_its_half(sharing: Sharing) -> None:
    sharing.node.mining.limit_hash_rate(1000)
    assert sharing.claim("w1") == 1000
    assert sharing.claim("w2") == 0, "the first still holds everything"
    assert sharing.claim("w1") == 500
    assert sharing.claim("w2") == 500
    assert sharing.claim("w3") == 0
    assert [sharing.claim(name) for name in ("w1", "w2", "w3")] == pytest.approx([333.333] * 3, abs=0.01)
    assert sharing.total() <= 1000


def test_a_worker_that_leaves_or_dies_makes_room(sharing: Sharing) -> None:
    sharing.node.mining.limit_hash_rate(1000)
    for name in ("w1", "w2", "w1", "w2"):
        sharing.claim(name)
    sharing.leave("w2")
    assert sharing.claim("w1") == 1000
    for name in ("w2", "w1", "w2"):
        sharing.claim(name)
    sharing.here.clock.time += LEASE - 0.5
    assert sharing.claim("w1") == 500
    sharing.here.clock.time += 0.6  # the second has not claimed again in time
    assert sharing.claim("w1") == 1000


def test_what_one_cannot_use_the_others_get(sharing: Sharing) -> None:
    sharing.node.mining.limit_hash_rate(1000)
    for _ in range(3):
        for name, demand in (("slow", 100), ("w1", 10**6), ("w2", 10**6)):
            sharing.claim(name, demand)
    assert sharing.shares == {"slow": 100, "w1": 450, "w2": 450}
    for _ in range(3):
        for name, demand in (("slow", 100), ("w1", 200), ("w2", 100)):
            sharing.claim(name, demand)
    assert sharing.total() == pytest.approx(1000, abs=0.01), "a worker may prove faster than it thought"


def test_a_small_limit_is_not_divided_below_what_makes_sense(sharing: Sharing) -> None:
    sharing.node.mining.limit_hash_rate(60)
    for _ in range(3):
        for number in range(5):
            sharing.claim(f"w{number}")
    assert sharing.shares == {"w0": 30, "w1": 30, "w2": 0, "w3": 0, "w4": 0}
    sharing.node.mining.limit_hash_rate(1)
    for _ in range(2):
        for number in range(5):
            sharing.claim(f"w{number}")
    assert [share for share in sharing.shares.values() if share] == [1]


def test_a_lower_limit_is_never_exceeded_by_the_shares_of_before(sharing: Sharing) -> None:
    sharing.node.mining.limit_hash_rate(1000)
    for name in ("w1", "w2", "w1", "w2"):
        sharing.claim(name)
    sharing.node.mining.limit_hash_rate(100)
    assert sharing.claim("w1") == 0, "the second may still do 500"
    assert sharing.claim("w2") == 50
    assert sharing.claim("w1") == 50
    sharing.node.mining.limit_hash_rate(None)
    assert [sharing.claim("w1"), sharing.claim("w2")] == [None, None]


def test_a_share_by_a_wrong_clock_binds_nobody(sharing: Sharing) -> None:
    sharing.node.mining.limit_hash_rate(1000)
    key = sharing.node.chain.keys.hash_rate
    sharing.here.redis.hset(key, "worker:lost", f"900.000 1000 {sharing.here.clock.now() + 3600} 900.000")
    assert sharing.claim("w1") == 1000
    assert not sharing.here.redis.hexists(key, "worker:lost")


def test_figures_follow_the_limit(sharing: Sharing) -> None:
    sharing.claim("w1", demand=5000)
    sharing.here.clock.time += 60
    sharing.claim("w1", demand=5000, hashes=300_000)
    assert sharing.figures().rate == 5000
    sharing.node.mining.limit_hash_rate(1000)
    sharing.here.clock.time += 0.2
    sharing.claim("w1", demand=5000, hashes=1000)
    assert sharing.figures().rate == 1000, "at once, not as an average over the last minute"
    sharing.here.clock.time += 1
    sharing.claim("w1", demand=5000, hashes=970)
    found = sharing.figures()
    assert (found.rate, found.hashes) == (985, 301_970), "and the hashes stay true"
    assert found.expected_seconds == pytest.approx(
        round_of(sharing.node.mining, sharing.round_id).difficulty / 985, abs=0.001
    )
    sharing.node.mining.limit_hash_rate(None)
    sharing.claim("w1", demand=5000, hashes=10)
    assert sharing.figures().rate == 5000
    sharing.here.clock.time += 1
    sharing.claim("w1", demand=5000, hashes=5000)
    assert (sharing.figures().rate, sharing.figures().hashes) == (5000, 306_980)


def test_the_limit_outlives_a_start(here: TestNode) -> None:
    here.node.mining.limit_hash_rate(7)
    here.node.begin()
    assert here.node.mining.hash_rate_limit() == here.node.overview().hash_rate_limit == 7
    here.node.mining.limit_hash_rate(None)
    assert here.node.mining.hash_rate_limit() is here.node.overview().hash_rate_limit is None


# --- searches ---


class Recorder(PlainKernel):
    """A kernel that notes how many hashes each thread does when."""

    def __init__(self) -> None:
        super().__init__()
        self.scans: list[tuple[float, str, int]] = []

    def scan(self, prefix: bytes, difficulty: int, start: int, stop: int) -> int | None:
        self.scans.append((time.monotonic(), threading.current_thread().name, stop - start))
        return super().scan(prefix, difficulty, start, stop)

    def done(self, since: float, until: float = float("inf")) -> int:
        return sum(hashes for at, _, hashes in list(self.scans) if since <= at < until)


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """The kernel of every search in this process."""
    kernel = Recorder()
    monkeypatch.setattr("worker.context.Context.kernel", kernel)
    return kernel


def most(recorder: Recorder, seconds: float, since: float) -> int:
    """The most hashes in any window of so many seconds that begins after `since`."""
    starts = [at for at, _, _ in list(recorder.scans) if at >= since]
    return max(recorder.done(at, at + seconds) for at in starts)


def begin(node: Node, queue: Searchers, workers: int) -> str:
    node.requests.ask()
    round_id = node.mining.situation().open_round
    eventually(lambda: len(queue.running) == workers)
    return round_id


def test_two_searches_keep_to_one_limit_and_hear_of_another_at_once(
    valkey: EmbeddedValkey, redis: Redis, recorder: Recorder
) -> None:
    limit = 20_000
    with mining(valkey.url, redis, workers=2, difficulty=ENDLESS) as (node, queue):
        begin(node, queue, 2)
        eventually(lambda: recorder.done(0) > 10_000)
        node.mining.limit_hash_rate(limit)
        lowered = time.monotonic() + 1.0  # heeded within a second
        eventually(lambda: time.monotonic() > lowered + 2.0)
        # In any second no more than the limit, and what a bucket holds.
        assert most(recorder, 1.0, lowered) <= limit * AIM * 1.09
        assert recorder.done(lowered, lowered + 2.0) > limit
        each = Counter(name for at, name, _ in recorder.scans if at > lowered)
        assert len(each) == 2, "both take part"

        round_id = node.mining.situation().open_round
        found = round_figures(round_of(node.mining, round_id), node.mining.round_workers(round_id), node.clock.now())
        assert found.rate < 1.05 * limit

        node.mining.limit_hash_rate(None)
        lifted = time.monotonic()
        eventually(lambda: recorder.done(lifted, lifted + 1.0) > 2 * limit)


def test_a_search_at_one_hash_a_second_stops_at_once(valkey: EmbeddedValkey, redis: Redis, recorder: Recorder) -> None:
    with mining(valkey.url, redis, workers=1, difficulty=ENDLESS) as (node, queue):
        node.mining.limit_hash_rate(1)
        round_id = begin(node, queue, 1)
        eventually(lambda: recorder.done(0) > 0)
        assert recorder.done(0) <= 3
        assert node.mining.searchers(node.clock.now()) == 1, "it counts as searching while it waits"
        node.requests.cancel(round_id)
        eventually(lambda: not redis.hexists(node.chain.keys.hash_rate, "worker:thread-0"), seconds=1.0)
        eventually(lambda: round_of(node.mining, round_id).hashes == recorder.done(0))


def test_short_rounds_are_limited_too(valkey: EmbeddedValkey, redis: Redis, recorder: Recorder) -> None:
    limit = 3000
    with mining(valkey.url, redis, workers=2, difficulty=50) as (node, _):
        node.mining.limit_hash_rate(limit)
        began = time.monotonic()
        answers = [node.requests.wait(node.requests.ask(), 30) for _ in range(8)]
        seconds = time.monotonic() - began
    assert all(answer.status == "finished" for answer in answers)
    hashes = node.mining.counters()["hashes"]
    assert hashes <= limit * (seconds + 0.1), "hashes after a proof are not done, and each slice waits for its time"


def test_a_worker_has_a_limit_of_its_own(valkey: EmbeddedValkey, redis: Redis, recorder: Recorder) -> None:
    with mining(valkey.url, redis, workers=1, difficulty=ENDLESS, hash_rate=5000) as (node, queue):
        begin(node, queue, 1)
        began = time.monotonic()
        eventually(lambda: recorder.done(0) > 2500)
        node.mining.limit_hash_rate(1_000_000)  # the lower of both holds
        eventually(lambda: time.monotonic() > began + 1.5)
        assert most(recorder, 1.0, 0) <= 5000 * AIM * 1.09
        assert recorder.done(began, began + 1.5) > 5000 * 0.6
        assert _Search(node.rounds, queue.running[0], 0.0)._cap == 5000
    assert SPEED > 5000
