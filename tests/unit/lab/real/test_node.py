"""Requests to a real node: from several threads at once, and while its store is too busy to answer in time."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from api.cli import client
from api.cli.client import NodeClient, Refused
from lab.interface import LabError
from lab.real import node
from lab.real.node import RealNode
from tests.support.raw_server import Connection, RawServer, response

AWAY = Refused("The store does not answer (store_unavailable).", 503, "store_unavailable")


class Node:
    """What asking needs of a real node."""

    name = "node 1"
    _answers = RealNode._answers
    answered: Callable[..., object] = RealNode._answered


def test_a_request_is_repeated_until_the_store_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client.time, "sleep", lambda seconds: None)
    answers: list[str | Refused] = [AWAY, AWAY, "yes", "again"]

    def ask() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Refused):
            raise answer
        return answer

    assert Node().answered(ask) == "yes" and answers == ["again"]


@pytest.mark.parametrize(
    ("refusal", "seconds"),
    [(Refused("no", 409, "round_cancelled"), 60.0), (AWAY, -1.0)],
    ids=["another reason", "too long"],
)
def test_it_is_not_repeated_for_another_reason_nor_forever(
    refusal: Refused, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node, "_STORE_SECONDS", seconds)
    asked = []

    def ask() -> None:
        asked.append(1)
        raise refusal

    with pytest.raises(LabError, match=f"node 1: {refusal.message[:10]}"):
        Node().answered(ask)
    assert asked == [1]


def test_threads_that_ask_at_once_keep_their_connections(caplog: pytest.LogCaptureFixture) -> None:
    """The scenario, the watcher, the front and the page share a client, and none has to connect anew each time."""
    threads, rounds = 6, 4
    assert node._CONNECTIONS >= threads
    together = Barrier(threads)

    def answer(connection: Connection) -> None:
        for left in reversed(range(rounds)):
            together.wait(20)  # nobody is answered before all have asked
            connection.send(response(b"{}", "Content-Type: application/json"))
            connection.request = b""
            if left:
                connection.read_request()

    with RawServer(answer) as server, caplog.at_level(logging.DEBUG), ThreadPoolExecutor(threads) as pool:
        asking = NodeClient(server.url, connections=node._CONNECTIONS)
        for _ in range(rounds):
            list(pool.map(lambda _: asking.get("/status"), range(threads)))
        assert len(server.connections) == threads
    assert "pool is full" not in caplog.text
