"""`/events`: what is sent, to how many listeners, and what slow or silent ones cost."""

import json
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from api.access import served
from api.app import create_app
from api.rest import events as stream
from services.node import Node
from services.store import news
from services.store.events import Message
from services.store.news import News
from tests.support.clocks import FakeClock
from tests.support.http import Client, FlaskDoor
from tests.support.keys import ALICE
from tests.support.nodes import MakeNode, grow, mine, redis_of, transfer
from tests.support.running import RunningNode
from tests.support.scene import reorganise
from tests.support.searching import claim_of
from tests.support.waiting import eventually


@pytest.fixture
def told(node: Node) -> Iterator["queue.Queue[Message]"]:
    """What one listener hears."""
    source = News(node.mining.events, node.overviews, node.clock)
    with source.listen() as listener:
        yield listener


def heard(listener: "queue.Queue[Message]", kind: str, seconds: float = 20.0) -> Message:
    """The next message of a kind."""
    deadline = time.monotonic() + seconds
    while True:
        message = listener.get(timeout=max(deadline - time.monotonic(), 0.01))
        if message.type == kind:
            return message


def test_blocks_and_rounds_are_told_one_by_one(node: Node, told: "queue.Queue[Message]") -> None:
    block = mine(node)
    opened = heard(told, "round")
    assert opened.data["height"] == 2 and node.mining.round(opened.data["id"]) is not None
    assert heard(told, "block").data == {"height": 2, "hash": block.hash}


def test_a_block_is_told_that_comes_before_the_reader_runs(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    class Late(threading.Thread):
        def start(self) -> None:
            grow(node)
            super().start()

    source = News(node.mining.events, node.overviews, node.clock)
    monkeypatch.setattr(news.threading, "Thread", Late)
    with source.listen() as listener:
        assert heard(listener, "block").data["height"] == 2


def test_a_clock_that_is_set_back_does_not_hold_up_the_state(node: Node) -> None:
    clock = FakeClock(time.time() + 3600)
    source = News(node.mining.events, node.overviews, clock)
    with source.listen() as listener:
        grow(node)
        heard(listener, "state")
        clock.time -= 3600
        grow(node)
        heard(listener, "state")


def test_an_event_that_cannot_be_read_ends_nothing(
    node: Node, told: "queue.Queue[Message]", monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong with one event, the process's reader goes on after it: it would not be started again."""
    failures: list[str] = []
    monkeypatch.setattr(news._log, "exception", failures.append)
    monkeypatch.setattr(type(node.clock), "sleep", lambda _, seconds: time.sleep(seconds / 20))
    for number, fields in enumerate(
        ({"type": "block", "data": "no-height no-hash"}, {"neither": "type", "nor": "data"})
    ):
        redis_of(node).xadd(node.mining.keys.events, fields)
        eventually(lambda number=number: len(failures) == number + 1)
        block = mine(node)
        assert heard(told, "block").data == {"height": block.header.index, "hash": block.hash}
    assert failures == ["news_failed"] * 2


def test_a_cancelled_round_is_told(node: Node, told: "queue.Queue[Message]") -> None:
    node.requests.ask()
    round_id = node.mining.situation().open_round
    node.requests.cancel(round_id)
    assert heard(told, "cancelled").data == {"id": round_id}


def test_a_reorganisation_is_told(make_node: MakeNode) -> None:
    node, rival = make_node(), make_node()
    grow(node)
    source = News(node.mining.events, node.overviews, node.clock)
    with source.listen() as listener:
        blocks = reorganise(node, rival, 1, 2)
        told = heard(listener, "reorganisation")
    assert told.data == {"fork": 1, "height": 3, "hash": blocks[-1].hash}


def test_many_transactions_are_told_as_a_few_states(node: Node, told: "queue.Queue[Message]") -> None:
    client = Client(FlaskDoor(create_app(node)))
    began = time.monotonic()
    for nonce in range(200):
        client.submit(transfer(ALICE, nonce))
    states: list[Message] = []
    while not states or states[-1].data["mempool"]["size"] < 200:
        states.append(heard(told, "state"))
    most = 2 + (time.monotonic() - began) / news._STATE_SECONDS  # one at once, then two a second
    assert len(states) <= most and told.empty()
    assert states[-1].data["mempool"]["bytes"] > 0 and states[-1].data["round"] is None


def test_the_progress_of_a_round_is_told_while_it_is_open(node: Node, told: "queue.Queue[Message]") -> None:
    node.requests.ask()
    round_id = node.mining.situation().open_round
    state = heard(told, "state").data
    assert (state["round"]["id"], state["requests"], state["round"]["workers"]) == (round_id, 1, {})
    from services.store.searches import Searched

    found = node.mining.round(round_id)
    assert found is not None
    claim_of(node, round_id, "anna", 100, Searched(found.version, 700))
    state = eventually(lambda: (found := heard(told, "state").data)["round"]["hashes"] and found)
    assert state["round"]["workers"] == {"anna": 700}


def test_a_quiet_node_tells_nothing(told: "queue.Queue[Message]") -> None:
    with pytest.raises(queue.Empty):
        told.get(timeout=1.3)


def test_a_slow_listener_loses_the_oldest_and_holds_up_nobody(node: Node) -> None:
    source = News(node.mining.events, node.overviews, node.clock)
    with source.listen() as slow, source.listen() as quick:
        for number in range(250):
            source._tell(Message(str(number), "block", {"height": number}))
            assert quick.get_nowait().id == str(number)
        kept = [slow.get_nowait().id for _ in range(slow.qsize())]
    assert kept == [str(number) for number in range(150, 250)]


def test_the_reader_ends_with_the_last_listener_and_begins_with_the_next(node: Node) -> None:
    source = News(node.mining.events, node.overviews, node.clock)
    with source.listen():
        reader = source._reader
        assert reader is not None and reader.is_alive()
    eventually(lambda: not reader.is_alive())
    with source.listen() as listener:
        grow(node)
        assert heard(listener, "block").data["height"] == 2


def test_an_outage_of_the_store_is_survived(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    source = News(node.mining.events, node.overviews, node.clock)
    whole, failures = node.mining.events.since, iter([RedisConnectionError("gone")])

    def broken(*arguments: Any) -> Any:
        for failure in failures:
            raise failure
        return whole(*arguments)

    monkeypatch.setattr(type(node.mining.events), "since", lambda _, *arguments: broken(*arguments))
    with source.listen() as listener:
        grow(node)
        assert heard(listener, "block").data["height"] == 2


def test_the_last_events_can_be_looked_up(node: Node) -> None:
    client = Client(FlaskDoor(create_app(node)))
    blocks = [grow(node), grow(node)]
    client.submit(transfer(ALICE, 0))
    found = node.mining.events.latest(100)
    assert [(item.type, item.data["hash"]) for item in found] == [("block", block.hash) for block in blocks]
    assert [item.data["height"] for item in node.mining.events.latest(2)] == [3]  # the transaction is one of the two


def test_text_in_an_event_cannot_forge_another() -> None:
    text = news.as_text(Message("1-0", "cancelled", {"id": "x\n\nevent: block\ndata: {}"}))
    assert text.count("\n") == 4 and text.endswith("\n\n") and text.startswith("id: 1-0\nevent: cancelled\ndata: ")


def test_a_silent_stream_has_a_heartbeat_and_its_place_is_given_back(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "_HEARTBEAT_SECONDS", 0.2)
    app = create_app(node)
    response = app.test_client().get("/events", buffered=False)
    assert response.mimetype == "text/event-stream" and response.headers["X-Accel-Buffering"] == "no"
    parts = response.iter_encoded()
    assert next(parts) == b"retry: 2000\n\n"
    assert next(parts) == b": still here\n\n"
    assert len(served(app).news._listeners) == 1
    response.close()
    assert not served(app).news._listeners


def test_a_stream_that_was_never_read_gives_its_place_back(node: Node) -> None:
    app = create_app(node)
    with app.test_request_context("/events"):
        response = app.full_dispatch_request()
        assert len(served(app).news._listeners) == 1
        body: Any = response.get_app_iter({"REQUEST_METHOD": "GET"})
        body.close()  # as a server does if the client has gone before the first byte
    assert not served(app).news._listeners


def test_a_look_at_the_headers_takes_no_place(node: Node) -> None:
    app = create_app(node)
    for _ in range(3):
        answer = Client(FlaskDoor(app)).door.call("HEAD", "/events")
        assert (answer.status, answer.body) == (200, b"") and "event-stream" in answer.type
    assert not served(app).news._listeners


@pytest.fixture(scope="module")
def few_streams(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """A node whose one API process serves four streams."""
    settings = {"API_PROCESSES": "1", "API_THREADS": "11"}
    with RunningNode(tmp_path_factory.mktemp("streams") / "node", workers=1, variables=settings) as running:
        yield running


def test_over_a_real_server_streams_are_told_capped_and_given_back(few_streams: RunningNode) -> None:
    door, client = few_streams.door, few_streams.client
    with ExitStack() as stack:
        streams = [stack.enter_context(door.open("GET", "/events")) for _ in range(4)]
        for one in streams:
            assert one.status == 200 and one.readline() == b"retry: 2000\n"
        client.get("/events").refused(429, "too_many_streams")
        client.get("/status").ok()
        heights: list[int] = []
        readers = [threading.Thread(target=lambda one=one: heights.append(next_block(one))) for one in streams]
        for reader in readers:
            reader.start()
        height = client.post("/mine?wait=20").ok()["index"]
        for reader in readers:
            reader.join(30)
        assert heights == [height] * 4
    # The server notices with the next thing that it sends: at the latest the heartbeat.
    eventually(lambda: open_again(few_streams), 15)


def next_block(response: Any) -> int:
    """The height of the next block event."""
    kind = ""
    while line := response.readline().decode().strip() or True:
        if isinstance(line, str):
            name, _, value = line.partition(": ")
            if name == "event":
                kind = value
            elif name == "data" and kind == "block":
                return int(json.loads(value)["height"])
    raise AssertionError("the stream ended")


def open_again(running: RunningNode) -> bool:
    with running.door.open("GET", "/events") as response:
        return response.status == 200


def test_events_are_kept_apart_by_node(make_node: MakeNode) -> None:
    one, other = make_node(), make_node()
    grow(one)
    assert other.mining.events.latest(10) == [] and len(one.mining.events.latest(10)) == 1
    assert redis_of(one) is not redis_of(other)
