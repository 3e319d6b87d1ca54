"""`/chain` is streamed: in bounded memory, whatever the chain's length, and never as a mixture of two chains."""

import http.client
import json
import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest

from api.app import create_app
from services.errors import TipMoved
from services.node import Node
from services.store.blocks import PAGE
from tests.support.http import FlaskDoor, SocketDoor
from tests.support.keys import ALICE, BOB, CAROL, KEYS
from tests.support.nodes import MakeNode, grow, local_node, redis_of, transfer
from tests.support.processes import rss
from tests.support.running import RunningNode

BLOCKS = 1500
PAYMENTS = 2  # in each block
MEMO = "x" * 7000
MEBIBYTE = 2**20


@pytest.fixture(scope="module")
def long_chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """One API process on a chain of 1,500 blocks and 22 MiB."""
    running = RunningNode(
        tmp_path_factory.mktemp("long") / "node",
        workers=0,
        upkeep=False,
        spec={"difficulty": 1},
        variables={"API_PROCESSES": "1"},
    )
    with running:
        node = local_node(running.valkey.url, running.directory, {"difficulty": 1}, NODE=running.name)
        # The block's bytes are what counts here, so a few long payments are spread over many blocks.
        payments = [
            transfer(KEYS[number % len(KEYS)], number // len(KEYS), fee="0", data=MEMO)
            for number in range((BLOCKS - 1) * PAYMENTS)
        ]
        for first in range(0, len(payments), PAYMENTS):
            grow(node, *payments[first : first + PAYMENTS])
        node.chain._redis.close()
        yield running


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of processes from /proc")
def test_streaming_takes_no_more_memory_than_a_few_pages(long_chain: RunningNode) -> None:
    door, pids = long_chain.door, long_chain.pids("api")
    for _ in range(3):
        assert long_chain.client.get("/chain?limit=200").status == 200  # what the process uses in any case
    before = most = rss(pids)
    size = 0
    for _ in range(2):
        with door.open("GET", "/chain") as response:
            while piece := response.read(MEBIBYTE):
                size += len(piece)
                most = max(most, rss(pids))
    assert size > 2 * 20 * MEBIBYTE
    assert most - before < 8 * MEBIBYTE


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of processes from /proc")
def test_readers_who_do_not_read_cost_no_memory_and_no_chain(long_chain: RunningNode) -> None:
    door, pids = long_chain.door, long_chain.pids("api")
    long_chain.client.get("/chain?limit=200")
    before = rss(pids)
    request = b"GET /chain HTTP/1.1\r\nHost: localhost\r\n\r\n"
    stalled = [door.raw(request) for _ in range(4)]
    try:
        for connection in stalled:
            assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
        assert len(read_whole(door)["chain"]) == BLOCKS
        # Four times the chain would be 88 MiB.
        assert rss(pids) - before < 30 * MEBIBYTE
    finally:
        for connection in stalled:
            connection.close()


def test_a_reorganisation_cuts_a_real_response_off(long_chain: RunningNode) -> None:
    heights = f"quarry:{{{long_chain.name}}}:heights"
    with long_chain.redis() as redis, long_chain.door.open("GET", "/chain") as response:
        hashes = redis.lrange(heights, 0, -1)
        received = response.read(1000)
        try:
            # The chain that was being sent ends early: everything behind its first tenth is replaced by less.
            redis.ltrim(heights, 0, BLOCKS // 10)
            # The server ends a chunked response properly even where the application broke it off. The text shows it.
            with suppress(http.client.IncompleteRead, ConnectionError):
                while part := response.read1(65_536):  # piece by piece: what came before a reset counts
                    received += part
        finally:
            redis.rpush(heights, *hashes[BLOCKS // 10 + 1 :])
    assert len(received) > 1000
    with pytest.raises(ValueError):
        json.loads(received)
    assert "TipMoved" in long_chain.log("api")
    assert len(read_whole(long_chain.door)["chain"]) == BLOCKS


def read_whole(door: SocketDoor) -> dict[str, list[object]]:
    with door.open("GET", "/chain") as response:
        found: dict[str, list[object]] = json.loads(response.read())
    return found


def branches(make_node: MakeNode) -> tuple[Node, Node]:
    """Two nodes of one spec whose chains have nothing but genesis in common, both longer than two pages."""
    ours, theirs = make_node({"difficulty": 1}), make_node({"difficulty": 1})
    for node, recipient in ((ours, BOB), (theirs, CAROL)):
        for _ in range(2 * PAGE + 50):
            grow(node, recipient=recipient.address)
    # Until the swap, our node knows of their blocks only from them.
    redis = redis_of(ours)
    for name in ("blocks", "headers"):
        for field, value in redis.hgetall(f"{theirs.chain.keys.prefix}{name}").items():
            redis.hset(f"{ours.chain.keys.prefix}{name}", field, value)
    return ours, theirs


def test_a_reorganisation_between_two_pages_aborts_the_response(make_node: MakeNode) -> None:
    ours, theirs = branches(make_node)
    door = FlaskDoor(create_app(ours))
    with door.app.test_client().open("/chain", buffered=False) as response:
        assert response.status_code == 200
        pieces = response.iter_encoded()
        sent = next(pieces)
        redis_of(ours).copy(theirs.chain.keys.heights, ours.chain.keys.heights, replace=True)
        with pytest.raises(TipMoved):
            for piece in pieces:
                sent += piece
    # What was sent is not JSON, so no client takes it for a chain.
    with pytest.raises(ValueError):
        json.loads(sent)
    whole = door.call("GET", "/chain").ok()
    assert whole["chain"][-1] == json.loads(theirs.chain.block_bytes(theirs.chain.tip().hash) or b"")


def test_a_chain_that_became_shorter_aborts_the_response(make_node: MakeNode) -> None:
    node = make_node({"difficulty": 1})
    for _ in range(PAGE + 20):
        grow(node)
    blocks = node.chain.stream(1, node.chain.tip().height)
    for _ in range(PAGE):
        next(blocks)
    redis_of(node).ltrim(node.chain.keys.heights, 0, PAGE - 10)
    with pytest.raises(TipMoved):
        list(blocks)


def test_a_chain_that_only_grows_is_sent_to_the_height_that_it_had(make_node: MakeNode) -> None:
    node = make_node({"difficulty": 1})
    for _ in range(PAGE + 20):
        grow(node)
    with FlaskDoor(create_app(node)).app.test_client().open("/chain", buffered=False) as response:
        pieces = response.iter_encoded()
        first = next(pieces)
        grow(node, transfer(ALICE, 0))
        chain = json.loads(first + b"".join(pieces))
    assert (len(chain["chain"]), chain["length"]) == (PAGE + 21, PAGE + 21)
