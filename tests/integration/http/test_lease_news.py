"""`/leases/news` of both servers: miners hear something in time, whatever else happens on the node."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import Mock

import pytest

from api.access import served
from api.app import create_app
from api.door import lease_news
from api.rest import leases
from services.node import Node
from services.store.events import Message, StoredEvent
from tests.support.waiting import eventually


@contextmanager
def repeating(work: Callable[[], object]) -> Iterator[None]:
    """Do something every twentieth of a second meanwhile."""
    end = threading.Event()

    def repeat() -> None:
        while not end.wait(0.05):
            work()

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


def test_a_comment_comes_although_the_state_of_the_node_changes(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Miners take a stream that says nothing for half a minute for broken, and proxies close it."""
    monkeypatch.setattr(leases, "_HEARTBEAT_SECONDS", 0.4)
    app = create_app(node)
    response = app.test_client().get("/leases/news", buffered=False)
    stream = iter(response.response)
    assert next(stream).startswith(b"event: tip")
    (listener,) = served(app).news._listeners
    found: queue.Queue[Any] = queue.Queue()
    with repeating(lambda: listener.put(Message("1-0", "state", {}))):
        threading.Thread(target=lambda: found.put(next(stream)), daemon=True).start()
        assert found.get(timeout=10) == b": still here\n\n"


class Loop:
    """Does at once what is to be done in an event loop."""

    def call_soon_threadsafe(self, work: Callable[..., object], *arguments: object) -> None:
        work(*arguments)

    def is_closed(self) -> bool:
        return False

    def time(self) -> float:
        return time.monotonic()


@pytest.fixture
def news(node: Node) -> lease_news.LeaseNews:
    loop: Any = Loop()
    return lease_news.LeaseNews(node, loop)


def test_a_comment_of_the_door_comes_although_transactions_do(
    node: Node, news: lease_news.LeaseNews, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_news, "_HEARTBEAT_SECONDS", 0.4, raising=False)

    def since(_: object, after: str, wait: float) -> list[StoredEvent]:
        time.sleep(0.05)
        return [StoredEvent("1-0", "transaction", "0a" * 32)]

    monkeypatch.setattr(type(node.mining.events), "since", since)
    sent: list[bytes] = []
    listener = Mock(send=sent.append)
    news.listeners.add(listener)
    news.begin()
    eventually(lambda: b": still here\n\n" in sent, 10, "a comment")
    news.listeners.clear()
    eventually(lambda: news._reader is None)


def test_a_miner_that_left_does_not_ask_in_place_of_one_that_waits(news: lease_news.LeaseNews) -> None:
    asked: list[str] = []

    def waiter(name: str, is_over: bool) -> Any:
        return Mock(ask=lambda: not is_over and asked.append(name) is None)

    news.waiters.update(waiter(f"over {number}", True) for number in range(20))
    news.waiters.add(waiter("waits", False))
    news._wake(1)
    assert asked == ["waits"]
