"""Requests of miners that threads of the API hand to each other. The real server is in test_lease_door.py."""

import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest

from api.rest import lease_batches
from api.rest.lease_batches import ThreadBatches
from services.connections.servers import RedisError
from services.mining.leases import Asked, Handed, Reported, UnknownVoucher
from tests.support.waiting import eventually

DONE = Reported(1, 0, 100, None, False)


class _Leases:
    """The first batch waits until `go` is set."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.go = threading.Event()
        self.error: BaseException | None = None

    def each(self, asked: Sequence[Asked | Handed]) -> list[Any]:
        self.batches.append([each.secret for each in asked])
        assert self.go.wait(20)
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        return [UnknownVoucher("") if each.secret == "wrong" else DONE for each in asked]


@pytest.fixture
def leases() -> _Leases:
    return _Leases()


def asked(batches: ThreadBatches, name: str, found: dict[str, object]) -> bool:
    def answer(what: object) -> None:
        found[name] = what
        if name == "bug":
            raise KeyError

    return batches.add(Handed(name, "", (), 0), answer)


def led(batches: ThreadBatches, found: dict[str, object], leases: _Leases) -> threading.Thread:
    """A thread that makes batches, and is in the middle of the first."""

    def first() -> None:
        with suppress(SystemExit):
            asked(batches, "first", found)

    thread = threading.Thread(target=first)
    thread.start()
    eventually(lambda: leases.batches)
    return thread


def test_threads_do_not_wait_for_the_one_that_makes_the_batch(leases: _Leases) -> None:
    batches, found = ThreadBatches(leases), dict[str, object]()  # type: ignore[arg-type]
    thread = led(batches, found, leases)
    for name in ("a", "bug", "wrong", "b"):
        assert asked(batches, name, found)  # returns although the store does not answer
    assert found == {}
    leases.go.set()
    thread.join(20)
    assert leases.batches == [["first"], ["a", "bug", "wrong", "b"]]
    assert found["first"] == found["a"] == found["b"] == DONE and isinstance(found["wrong"], UnknownVoucher)


@pytest.mark.parametrize("error", [RedisError(), ValueError()])
def test_all_of_a_batch_are_told_that_it_failed(leases: _Leases, error: Exception) -> None:
    batches, found = ThreadBatches(leases), dict[str, object]()  # type: ignore[arg-type]
    leases.error = error
    thread = led(batches, found, leases)
    asked(batches, "a", found)
    leases.go.set()
    thread.join(20)
    assert found == {"first": error, "a": DONE}
    assert asked(batches, "later", found) and found["later"] == DONE


def test_the_next_request_makes_batches_if_their_thread_ends(leases: _Leases) -> None:
    batches, found = ThreadBatches(leases), dict[str, object]()  # type: ignore[arg-type]
    leases.error = SystemExit()
    thread = led(batches, found, leases)
    leases.go.set()
    thread.join(20)
    assert asked(batches, "a", found) and found == {"a": DONE}


def test_a_crowd_is_several_batches_and_the_rest_is_turned_away(
    leases: _Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_batches, "MOST", 2)
    monkeypatch.setattr(lease_batches, "MOST_WAITING", 3)
    batches, found = ThreadBatches(leases), dict[str, object]()  # type: ignore[arg-type]
    thread = led(batches, found, leases)
    assert [asked(batches, name, found) for name in "abcd"] == [True, True, True, False]
    leases.go.set()
    thread.join(20)
    assert leases.batches == [["first"], ["a", "b"], ["c"]] and "d" not in found
