"""Bad input, one by one: a stable code in one envelope, no traceback, no echo, and nothing has changed."""

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from api.app import create_app
from tests.integration.http.bad_requests import TABLE
from tests.integration.http.bad_transactions import MARKER, Bad
from tests.support.http import Client, Door, FlaskDoor
from tests.support.keys import ALICE, TOKEN
from tests.support.nodes import forget, grow, local_node, redis_of, transfer
from tests.support.queues import RecordedJobs
from tests.support.running import RunningNode
from tests.support.stored import digest

# As strict as a node in a cluster: no free transactions, 64 nonces ahead.
SPEC = {"development": False}


class Watched:
    """A node to send bad requests to, and a digest of all that it has stored: no key may change."""

    def __init__(self, door: Door, state: Callable[[], object]) -> None:
        self.door = door
        self.state = state


@pytest.fixture(scope="session")
def watched_app(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """The application in this process. Its chain has one payment of ALICE's; one more of hers waits, at nonce 3."""
    node = local_node(redis_url, tmp_path_factory.mktemp("watched"), SPEC)
    grow(node, transfer(ALICE, 0))
    door = FlaskDoor(create_app(node, TOKEN))
    Client(door).submit(transfer(ALICE, 3))
    redis, queue = redis_of(node), node.queue
    assert isinstance(queue, RecordedJobs)
    yield Watched(door, lambda: (digest(redis, node.settings.node), queue.enqueued))
    forget(node)


@pytest.fixture(scope="session")
def watched_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """The same behind the real server."""
    with RunningNode(tmp_path_factory.mktemp("server") / "node", workers=0, upkeep=False, spec=SPEC) as running:
        with running.redis() as redis:
            here = local_node(running.valkey.url, Path(running.directory), SPEC, NODE=running.name)
            grow(here, transfer(ALICE, 0))
            here.chain._redis.close()
            running.client.submit(transfer(ALICE, 3))
            yield Watched(running.door, lambda: (digest(redis, running.name), redis.keys("rq:queue:*")))


def check(watched: Watched, bad: Bad) -> None:
    before = watched.state()
    answer = watched.door.call(bad.method, bad.path, bad.body, **bad.headers)
    assert watched.state() == before, "a refused request changed something"
    if bad.method == "HEAD":
        assert (answer.status, answer.body) == (bad.status, b"")
    else:
        problem = answer.refused(bad.status, bad.code)
        assert bad.field is None or problem["field"] == bad.field
    text = answer.body.decode() + repr(answer.headers)
    assert MARKER not in text and "Traceback" not in text and ".py" not in text
    assert len(answer.body) < 500
    if bad.status == 405:
        assert {"GET", "POST", "DELETE"} & set(answer.headers["allow"].split(", "))
    if bad.status == 401:
        assert "Bearer" in answer.headers["www-authenticate"]


@pytest.mark.parametrize("bad", TABLE, ids=lambda bad: bad.name)
def test_bad_input_is_refused_and_changes_nothing(watched_app: Watched, bad: Bad) -> None:
    check(watched_app, bad)


def test_the_real_server_refuses_the_same(watched_server: Watched) -> None:
    # One test: the application's answers were tested above; this is about what the server does with them.
    wrong = []
    for bad in TABLE:
        if bad.status == 413:
            continue  # answered while we still send, which may break our pipe: test_http_server.py sends the head alone
        try:
            check(watched_server, bad)
        except (AssertionError, OSError) as error:
            wrong.append(f"{bad.name}: {error!r}"[:400])
    assert wrong == []


def test_what_is_not_wrong_is_accepted(watched_app: Watched) -> None:
    """The table's requests fail only because of what is wrong with each: without it, they pass."""
    before = watched_app.state()
    client = Client(watched_app.door)
    repeated = json.dumps(transfer(ALICE, 3)).encode()
    for kind in ("application/json", "application/json; charset=utf-8", "Application/JSON"):
        client.door.call("POST", "/transactions/new", repeated, Content_Type=kind).ok(201)
    client.door.call("POST", "/transactions/new", b" \n" + repeated, Content_Type="application/json").ok(201)
    for host in ("localhost", "LOCALHOST:5000", "127.0.0.1", "127.1.2.3:80", "[::1]:5000", "[::1]"):
        client.get("/status", Host=host).ok()
    for authorization in (f"Bearer {TOKEN}", "Basic " + base64.b64encode(f"x:{TOKEN}".encode()).decode()):
        answer = client.door.call("DELETE", "/rounds/" + "0" * 32, None, Authorization=authorization)
        answer.refused(404, "unknown_round")
    deep = b"[" * 32 + b"]" * 32
    client.door.call("POST", "/transactions/new", deep, Content_Type="application/json").refused(400, "not_an_object")
    assert watched_app.state() == before
