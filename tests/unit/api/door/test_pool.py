"""The threads that run methods."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from api.door import pool as pools
from api.door.pool import Pool
from tests.support.threads import run_in_loop


class _Job:
    def __init__(self, work: Callable[[], None], done: Callable[[], None]) -> None:
        self.run = work
        self.finish = done


def test_all_jobs_are_run_and_finished_in_the_loop() -> None:
    async def scene() -> None:
        pool = Pool(asyncio.get_running_loop(), 8)
        here, where, done = threading.get_ident(), list[int](), asyncio.Event()

        def finished() -> None:
            where.append(threading.get_ident())
            if len(where) == 500:
                done.set()

        for _ in range(500):
            assert pool.submit(_Job(lambda: None, finished))
        await asyncio.wait_for(done.wait(), 20)
        assert set(where) == {here} and pool.threads == 2
        pool.close()

    run_in_loop(scene)


def test_a_job_that_fails_is_finished_all_the_same() -> None:
    async def scene() -> None:
        pool = Pool(asyncio.get_running_loop(), 8)
        done = asyncio.Event()

        def fails() -> None:
            raise ValueError

        pool.submit(_Job(fails, fails))
        pool.submit(_Job(fails, done.set))
        await asyncio.wait_for(done.wait(), 20)
        pool.close()

    run_in_loop(scene)


def test_waiting_jobs_get_more_threads_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        monkeypatch.setattr(pools, "MAX_WAITING", 3)
        pool = Pool(asyncio.get_running_loop(), 5)
        release, running, all_run = threading.Event(), list[int](), threading.Event()
        done = asyncio.Event()

        def waits() -> None:
            running.append(1)
            if len(running) == 5:
                all_run.set()
            release.wait(20)

        for count in range(5):  # as fast as threads take them: a wave of quick jobs must not be refused
            while not pool.submit(_Job(waits, lambda: None)):
                await asyncio.sleep(0.01)
            assert count < 5
        await asyncio.to_thread(all_run.wait, 20)
        assert (len(running), pool.threads) == (5, 5)
        for _ in range(3):
            assert pool.submit(_Job(lambda: None, done.set))
        assert not pool.submit(_Job(lambda: None, lambda: None))  # one more than may wait
        release.set()
        await asyncio.wait_for(done.wait(), 20)
        pool.close()

    run_in_loop(scene)
