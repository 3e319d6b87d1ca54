"""Clocks that differ: the correction of a process's own, the board where the wrong ones are named, and the words."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from fakeredis import FakeRedis
from redis.exceptions import ConnectionError as RedisConnectionError

from services.clocks import (
    COMPARE_SECONDS,
    TOLERANCE,
    ClockBoard,
    CommonClock,
    store_time,
    waiting_words,
    wrong_clock_words,
    wrong_clocks,
)
from services.connections.servers import as_store
from services.store.keys import CLOCKS
from tests.support.clocks import FakeClock

START = 1_750_000_000.0


class Store:
    """A store's clock: it counts questions, and answers late or not at all."""

    def __init__(self, own: FakeClock, ahead: float) -> None:
        self.own = own
        self.ahead = ahead  # of `own` before this one
        self.delay = 0.0
        self.away = False
        self.asked = 0

    def time(self) -> float:
        self.asked += 1
        self.own.time += self.delay
        if self.away:
            raise RedisConnectionError("away")
        return self.own.time - self.ahead - self.delay / 2


def pair(ahead: float) -> tuple[FakeClock, Store, CommonClock]:
    own = FakeClock(START)
    store = Store(own, ahead)
    return own, store, CommonClock(own, store.time, beside=lambda work: work())


def test_a_comparison_whose_store_was_closed_keeps_the_last_result() -> None:
    own, store, clock = pair(300.0)
    assert clock.ahead() == pytest.approx(300.0)

    def closed() -> float:
        raise TypeError("argument must be an int, or have a fileno() method.")

    ask, clock._ask = clock._ask, closed
    own.time += COMPARE_SECONDS
    assert clock.ahead() == pytest.approx(300.0)
    clock._ask = ask
    own.time += COMPARE_SECONDS
    asked = store.asked
    assert clock.ahead() == pytest.approx(300.0) and store.asked == asked + 1


@pytest.mark.parametrize("ahead", [300.0, -300.0, 3600.0, TOLERANCE + 0.1, -TOLERANCE - 0.1])
def test_a_clock_that_differs_is_corrected(ahead: float) -> None:
    own, _, clock = pair(ahead)
    assert clock.now() == pytest.approx(own.time - ahead)
    assert clock.ahead() == pytest.approx(ahead)
    own.time += 5
    assert clock.now() == pytest.approx(own.time - ahead)  # it runs as before


@pytest.mark.parametrize("ahead", [0.0, TOLERANCE - 0.1, -TOLERANCE + 0.1])
def test_a_clock_that_agrees_is_left_alone(ahead: float) -> None:
    own, _, clock = pair(ahead)
    assert clock.now() == own.time and clock.ahead() == 0


def test_the_store_is_asked_now_and_then() -> None:
    own, store, clock = pair(300)
    for _ in range(100):
        clock.now()
    assert store.asked == 1
    own.time += COMPARE_SECONDS - 0.1
    clock.now()
    assert store.asked == 1
    own.time += 0.2
    store.ahead = 0.0  # somebody has set the clock meanwhile
    assert clock.now() == own.time
    assert store.asked == 2


def test_a_clock_that_is_set_back_is_compared_at_once() -> None:
    own, store, clock = pair(3600)
    clock.now()
    own.time -= 3600
    store.ahead = 0.0
    assert clock.now() == own.time and store.asked == 2


def test_a_store_that_is_away_changes_nothing() -> None:
    own, store, clock = pair(300)
    clock.now()
    store.away = True
    own.time += COMPARE_SECONDS + 1
    assert clock.now() == pytest.approx(own.time - 300)
    asked = store.asked
    clock.now()
    assert store.asked == asked  # nor is it asked again and again: each question may take seconds
    own, store, clock = pair(300)
    store.away = True
    assert clock.now() == own.time  # nothing is known, so the process's own clock is used


def test_a_late_answer_is_not_taken_for_a_difference() -> None:
    own, store, clock = pair(0)
    store.delay = 10.0
    store.ahead = 5.0  # as far as a question of ten seconds can tell, they may agree
    clock.now()
    assert clock.ahead() == 0
    store.ahead, store.delay = 60.0, 10.0
    own.time += COMPARE_SECONDS
    assert clock.ahead() == pytest.approx(60)


def test_threads_wait_for_the_first_comparison_only() -> None:
    began, go = threading.Event(), threading.Event()

    def slow() -> float:
        began.set()
        assert go.wait(10)
        return START - 300

    clock = CommonClock(FakeClock(START), slow)
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(clock.now) for _ in range(4)]
        assert began.wait(10)
        go.set()
        assert {answer.result(10) for answer in answers} == {START - 300}


def test_nobody_waits_for_a_later_comparison() -> None:
    own, go, ended = FakeClock(START), threading.Event(), threading.Event()
    answers = [START - 300]

    def ask() -> float:
        if answers:
            return answers.pop()
        assert go.wait(10)
        ended.set()
        return own.time - 60

    clock = CommonClock(own, ask)
    assert clock.ahead() == 300
    own.time += COMPARE_SECONDS
    assert clock.ahead() == 300, "the store hangs, and nobody knows better yet"
    assert clock.ahead() == 300, "one comparison at a time"
    go.set()
    assert ended.wait(10)
    deadline = time.monotonic() + 10
    while clock.ahead() != 60 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert clock.ahead() == 60


# --- the board ---


class Broker(FakeRedis):
    """A broker whose clock is moved."""

    at = START

    def time(self, **_: object) -> tuple[int, int]:  # type: ignore[override] # redis-py types it for both kinds
        return int(self.at), round(self.at % 1 * 1e6)


def test_the_wrong_ones_are_named_until_they_are_right() -> None:
    broker, own = Broker(), FakeClock(START + 300)
    board = ClockBoard(as_store(broker), own)
    board.look("w1")
    (found,) = wrong_clocks(as_store(broker), START)
    assert (found.name, found.ahead) == ("w1", 300) and found.host
    ClockBoard(as_store(broker), FakeClock(START)).look("w2")  # one that is right
    ClockBoard(as_store(broker), FakeClock(START - 90)).look("w3")
    assert [(item.name, item.ahead) for item in wrong_clocks(as_store(broker), START)] == [("w1", 300), ("w3", -90)]
    # Nothing is asked or written in between.
    broker.hdel(CLOCKS, "w1")
    board.look("w1")
    assert [item.name for item in wrong_clocks(as_store(broker), START)] == ["w3"]
    own.time += COMPARE_SECONDS
    board.look("w1")
    assert "w1" in [item.name for item in wrong_clocks(as_store(broker), START)]
    # Somebody sets the clock: no need to wait for the next comparison, since it went back.
    own.time = START
    board.look("w1")
    assert [item.name for item in wrong_clocks(as_store(broker), START)] == ["w3"]


def test_who_has_ended_is_forgotten() -> None:
    broker = Broker()
    ClockBoard(as_store(broker), FakeClock(START + 300)).look("w1")
    broker.at = START + 61
    assert wrong_clocks(as_store(broker), START + 61) == []
    ClockBoard(as_store(broker), FakeClock(START + 361)).look("w2")
    assert list(broker.hgetall(CLOCKS)) == [b"w2"]  # and its entry is gone


def test_a_broker_whose_clock_differs_from_the_stores() -> None:
    # The worker agrees with the store; it is the broker's machine that is behind.
    broker = Broker()
    ClockBoard(as_store(broker), FakeClock(START + 300)).look("right")
    ClockBoard(as_store(broker), FakeClock(START + 400)).look("wrong")
    found = wrong_clocks(as_store(broker), START + 300)
    assert [(item.name, item.ahead) for item in found] == [("wrong", 100)]


def test_the_stores_time_is_asked_for_in_seconds() -> None:
    assert store_time(as_store(FakeRedis())) == pytest.approx(time.time(), abs=5)
    broker = Broker()
    broker.at = START + 0.25
    assert store_time(as_store(broker)) == START + 0.25


def test_entries_are_json() -> None:
    broker = Broker()
    ClockBoard(as_store(broker), FakeClock(START + 300)).look("w1")
    value = json.loads(broker.hget(CLOCKS, "w1"))
    assert set(value) == {"name", "host", "ahead", "at"} and value["at"] == START


# --- words ---


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (0.2, "1 s from now"),
        (59, "59 s from now"),
        (245, "4 min 5 s from now"),
        (3600 * 26 + 61, "26 h 1 min from now"),
    ],
)
def test_waiting_is_told_in_words(left: float, words: str) -> None:
    text = waiting_words(START + left, START)
    assert words in text and ("2025-06-15 " in text or "2025-06-16 " in text)
    assert "and then continues" in text and text.endswith(".")


def test_an_absurd_time_is_told_as_well() -> None:
    assert "9999-12-31" in waiting_words(2.0**53, START)


def test_a_wrong_clock_in_words() -> None:
    assert wrong_clock_words("w1", 300.2, "host1") == "The clock of worker w1 on host1 is 300 s ahead of the store's"
    assert wrong_clock_words("ticker of node1", 9) == "The clock of ticker of node1 is 9 s ahead of the store's"
    assert wrong_clock_words("api", -5) == "The clock of the node's API is 5 s behind the store's"
