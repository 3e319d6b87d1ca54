"""Places for requests that wait, and the wait itself."""

from threading import BoundedSemaphore

import pytest

from api.rpc import waiting
from api.serving import budget
from api.serving.budget import Budget, Kind
from services.errors import Busy


def test_so_many_wait_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_places", BoundedSemaphore(1))
    with waiting.place(), pytest.raises(Busy) as caught, waiting.place():
        raise AssertionError("there was one place")
    assert caught.value.code == "too_many_waiting"
    with waiting.place():
        pass  # it was given back


def test_a_place_counts_in_the_budget_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    account = Budget(4, 2**20)
    monkeypatch.setattr(budget, "_thread", type("Thread", (), {"budget": account, "answer": None}))
    with waiting.place():
        assert account.held(Kind.WAIT) == 1
        with pytest.raises(Busy), waiting.place():
            raise AssertionError("the process has one thread for it")
    assert account.held(Kind.WAIT) == 0
    with waiting.place():
        assert account.held(Kind.WAIT) == 1
