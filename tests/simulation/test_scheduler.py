"""Simulated time: order, turns, death."""

from functools import partial

import pytest

from lab.simulated.scheduler import Bell, Process, Scheduler, Task


@pytest.fixture(name="scheduler")
def scheduler_fixture() -> Scheduler:
    def crash(task: str, error: BaseException) -> None:
        raise AssertionError(task) from error

    return Scheduler(crash)


def never() -> bool:
    return False


def test_tasks_take_turns_in_the_order_of_their_time(scheduler: Scheduler) -> None:
    seen: list[tuple[str, float]] = []
    process = Process("one")

    def work(name: str, pause: float) -> None:
        for _ in range(2):
            scheduler.sleep(pause)
            seen.append((name, scheduler.now))

    scheduler.spawn("slow", process, lambda: work("slow", 3.0))
    scheduler.spawn("fast", process, lambda: work("fast", 2.0))
    scheduler.run(never)
    assert seen == [("fast", 2.0), ("slow", 3.0), ("fast", 4.0), ("slow", 6.0)]


def test_the_dead_do_nothing_more_not_even_clean_up(scheduler: Scheduler) -> None:
    seen: list[str] = []
    process = Process("victim")

    def work() -> None:
        try:
            seen.append("began")
            scheduler.sleep(5.0)
            seen.append("survived")
        except Exception:
            seen.append("caught")
        finally:
            try:
                scheduler.checkpoint()
                seen.append("cleaned up")
            finally:
                pass

    scheduler.spawn("victim", process, work)
    scheduler.after(1.0, lambda: setattr(process, "alive", False))
    scheduler.run(never)
    assert seen == ["began"]


def test_a_request_dies_with_its_server_and_not_with_the_server_of_another(scheduler: Scheduler) -> None:
    seen: list[str] = []
    client, server = Process("client"), Process("server")

    def work() -> None:
        try:
            with scheduler.acting_for(server):
                scheduler.sleep(5.0)
        except BaseException as error:
            seen.append(type(error).__name__)
        scheduler.sleep(1.0)
        seen.append("went on")

    scheduler.spawn("request", client, work)
    scheduler.after(1.0, lambda: setattr(server, "alive", False))
    scheduler.run(never)
    assert seen == ["Killed", "went on"]


def test_join_waits_for_all(scheduler: Scheduler) -> None:
    process = Process("one")
    ended: list[float] = []

    def parent() -> None:
        tasks = [scheduler.spawn(f"{n}", process, partial(scheduler.sleep, n)) for n in (3, 1, 2)]
        scheduler.join(tasks)
        ended.append(scheduler.now)

    scheduler.spawn("parent", process, parent)
    scheduler.run(never)
    assert ended == [3.0]


def test_the_end_frees_whoever_waits(scheduler: Scheduler) -> None:
    process = Process("one")
    waits: Task = scheduler.spawn("waits", process, lambda: scheduler.sleep(100.0))
    scheduler.after(1.0, lambda: None)
    scheduler.run(lambda: scheduler.now >= 1.0)
    assert not waits.done
    scheduler.end()
    assert waits.done


def test_a_rest_ends_by_its_time_or_by_the_bell(scheduler: Scheduler) -> None:
    seen: list[tuple[float, bool]] = []
    bell = Bell()

    def work() -> None:
        for _ in range(3):
            rang = scheduler.rest(10.0, bell)
            seen.append((scheduler.now, rang))

    scheduler.spawn("rests", Process("one"), work)
    scheduler.after(4.0, lambda: scheduler.ring(bell))
    scheduler.after(18.0, lambda: scheduler.ring(bell))
    scheduler.run(never)
    assert seen == [(4.0, True), (14.0, False), (18.0, True)]
    scheduler.ring(bell)  # nobody rests any more


def test_who_dies_while_it_rests_does_nothing_more(scheduler: Scheduler) -> None:
    seen: list[str] = []
    bell, process = Bell(), Process("victim")

    def work() -> None:
        scheduler.rest(10.0, bell)
        seen.append("survived")

    def kill() -> None:
        process.alive = False
        scheduler.ring(bell)

    scheduler.spawn("rests", process, work)
    scheduler.after(1.0, kill)
    scheduler.run(never)
    assert seen == []
