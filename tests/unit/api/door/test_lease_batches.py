"""Requests of miners that the door answers together."""

import asyncio
from collections.abc import Sequence
from itertools import chain
from typing import Any

import pytest

from api.door import lease_batches
from api.door.lease_batches import LoopBatches
from api.door.pool import Pool
from services.connections.servers import RedisError
from services.mining.leases import Asked, Handed, Reported, UnknownVoucher
from tests.support.threads import run_in_loop

DONE = Reported(1, 0, 100, None, False)


class _Leases:
    """Answers by the name of the miner."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    def each(self, asked: Sequence[Asked | Handed]) -> list[Any]:
        names = [each.secret for each in asked]
        self.batches.append(names)
        if "store" in names:
            raise RedisError
        if "fault" in names:
            raise ValueError
        return [None if name == "alone" else UnknownVoucher("") if name == "wrong" else DONE for name in names]


class _Job:
    """A request; `found` is what it was answered."""

    def __init__(self, name: str, finished: list[str]) -> None:
        self.name = name
        self.found: object = None
        self._finished = finished

    def read(self) -> Handed | None:
        if self.name == "bug":
            raise KeyError
        if self.name == "refused":
            self.found = "refused"
            return None
        return Handed(self.name, "", (), 0)

    def run(self) -> None:
        self.found = "alone"

    def answer(self, found: object) -> None:
        self.found = found

    def refuse_busy(self) -> None:
        self.found = "busy"
        self.finish()

    def finish(self) -> None:
        self._finished.append(self.name)


def answered(
    leases: _Leases, names: Sequence[str], *, most_waiting: int | None = None
) -> tuple[list[_Job], list[bool]]:
    """Ask for all of them at once, and wait until all are finished that were taken."""
    finished: list[str] = []
    jobs = [_Job(name, finished) for name in names]
    added: list[bool] = []

    async def scene() -> None:
        loop = asyncio.get_running_loop()
        pool = Pool(loop, 2)
        batches: Any = LoopBatches(leases, pool, loop)  # type: ignore[arg-type]
        added.extend(batches.add(job) for job in jobs)
        deadline = loop.time() + 20
        while len(finished) < sum(added) and loop.time() < deadline:
            await asyncio.sleep(0.001)
        pool.close()

    run_in_loop(scene)
    return jobs, added


def test_what_comes_at_once_is_one_batch_in_its_order() -> None:
    leases = _Leases()
    jobs, _ = answered(leases, ["a", "b", "c"])
    assert leases.batches == [["a", "b", "c"]] and all(job.found == DONE for job in jobs)


def test_a_bad_request_costs_only_its_sender() -> None:
    leases = _Leases()
    jobs, _ = answered(leases, ["a", "bug", "refused", "wrong", "alone", "b"])
    found = {job.name: job.found for job in jobs}
    assert leases.batches == [["a", "wrong", "alone", "b"]]
    assert found["a"] == found["b"] == DONE and found["refused"] == "refused" and found["alone"] == "alone"
    assert isinstance(found["bug"], KeyError) and isinstance(found["wrong"], UnknownVoucher)


@pytest.mark.parametrize("name, kind", [("store", RedisError), ("fault", ValueError)])
def test_all_are_told_if_the_store_does_not_answer(name: str, kind: type[Exception]) -> None:
    jobs, _ = answered(_Leases(), ["a", name, "refused"])
    assert [type(job.found) for job in jobs[:2]] == [kind, kind] and jobs[2].found == "refused"


def test_a_crowd_is_several_batches_and_the_rest_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_batches, "MOST", 3)
    monkeypatch.setattr(lease_batches, "MAX_WAITING", 7)
    leases = _Leases()
    jobs, added = answered(leases, list("abcdefgh"))
    assert added == [True] * 7 + [False] and jobs[7].found is None
    assert sorted(map(len, leases.batches)) == [1, 3, 3] and sorted(chain(*leases.batches)) == list("abcdefg")


def test_a_pool_that_is_full_refuses_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.door.pool.MAX_WAITING", 0)
    jobs, _ = answered(_Leases(), ["a", "b"])
    assert [job.found for job in jobs] == ["busy", "busy"]
