"""The thread that watches processes looks no more once they are meant to end."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from lab.real.hands import Hands
from tests.support.waiting import eventually


@pytest.fixture
def hands() -> Iterator[Hands]:
    made = Hands()
    yield made
    made.end()


def test_everything_is_done_by_one_thread(hands: Hands) -> None:
    looks: list[threading.Thread] = []
    hands.tick(lambda: looks.append(threading.current_thread()))
    eventually(lambda: len(looks) > 1, 20, "two looks")
    assert set(looks) == {hands.do(threading.current_thread)}


def test_a_look_that_waited_for_the_end_is_not_made(hands: Hands) -> None:
    """The nodes of a lab are stopped while the next look waits; it would find their Valkeys gone, and start them."""
    looks: list[int] = []
    hands.tick(lambda: looks.append(1))

    def stop() -> None:
        looks.clear()
        eventually(lambda: hands._thread._work_queue.qsize() > 0, 20, "a look that waits")
        hands.rest()

    hands.do(stop)
    hands.do(lambda: None)  # behind whatever has waited
    assert looks == []
