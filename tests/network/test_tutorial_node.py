"""A node under the tutorial's rules, over the store, mempool, rounds, HTTP and resolver that every node has."""

import dataclasses
import functools
import hashlib
import itertools
import json
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from api.app import create_app
from services.errors import WrongChain
from services.housekeeping import keep_house
from services.launch.embedded import EmbeddedValkey
from services.node import Node, build_node
from services.peers import announcer
from services.peers import client as peer_client
from services.peers.resolver import Resolution
from services.store.searches import Searched
from shared.block import Block
from tests.support import tutorial_node
from tests.support.http import Client, FlaskDoor, Json
from tests.support.keys import TOKEN
from tests.support.nodes import forget, local_node, redis_of
from tests.support.raw_server import Connection, RawServer, Script
from tests.support.searching import claim_of
from tests.support.tutorial_node import TutorialNode, TutorialServer, block_hash, is_valid, ticking

POST = {"sender": "me", "recipient": "you", "amount": 0.5}


find_proof = functools.cache(tutorial_node.find_proof)


@pytest.fixture(autouse=True)
def proofs_are_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """All chains have the same proofs, whatever they contain: that is the tutorial's weakness."""
    monkeypatch.setattr(tutorial_node, "find_proof", find_proof)


class LaterNode(TutorialNode):
    """As the tutorial's program is now: `valid_proof` takes the last block's hash too."""

    def mine(self) -> Json:
        last = self.chain[-1]
        proof = next(
            n
            for n in itertools.count()
            if hashlib.sha256(f"{last['proof']}{n}{block_hash(last)}".encode()).hexdigest()[:4] == "0000"
        )
        self.submit("0", self.name, 1)
        return self._forge(proof, block_hash(last))


@pytest.fixture
def node(valkey_server: EmbeddedValkey, tmp_path: Path) -> Iterator[Node]:
    made = local_node(valkey_server.url, tmp_path, SPEC="tutorial", AUTOMINE="false")
    yield made
    forget(made)


@pytest.fixture
def client(node: Node) -> Client:
    return Client(FlaskDoor(create_app(node, TOKEN)))


def waiting(client: Client) -> list[Json]:
    found: list[Json] = client.get("/mempool").ok()["transactions"]
    return found


def chain_of(client: Client) -> list[Json]:
    found: list[Json] = client.get("/chain").ok()["chain"]
    return found


def round_of(node: Node) -> Block:
    """Ask for a block and mine it, without searching for a proof that every chain has."""
    node.requests.ask()
    claim = claim_of(node, node.mining.situation().open_round, "test", 1, Searched())
    assert claim is not None
    accepted = node.rounds.seal(claim, find_proof(int(claim.prefix)), "test")
    assert accepted is not None
    return accepted.block


def grown(blocks: int, start: float = 1525160363.12144) -> TutorialNode:
    """A node of the tutorial's with a chain of some blocks; its clock begins at `start`."""
    theirs = TutorialNode(clock=ticking(start))
    while len(theirs.chain) < blocks:
        theirs.mine()
    return theirs


@contextmanager
def serving(theirs: TutorialNode) -> Iterator[str]:
    """The URL of a tutorial node that runs in this process."""
    with TutorialServer(theirs) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.url
        finally:
            server.shutdown()
            thread.join()


def resolved_with(node: Node, theirs: TutorialNode) -> Resolution:
    """What comes of resolving with one peer."""
    with serving(theirs) as url:
        node.peers.add(url)
        resolution = node.resolver.resolve(url)
        assert resolution.asked == 1
        assert node.reorganiser.finish() is None
        return resolution


def state_of(node: Node) -> str:
    [peer] = node.peers.all()
    return peer.state


# --- Transactions and the mempool -------------------------------------------------------------------------------------


def test_equal_posts_wait_in_order_and_are_mined_once(node: Node, client: Client) -> None:
    other = {**POST, "sender": "a b"}
    ids = [client.submit(item) for item in (POST, other, POST, POST)]
    assert len(set(ids)) == 4
    assert [item["id"] for item in waiting(client)] == ids
    block = round_of(node)
    served = chain_of(client)
    assert served[1]["transactions"][:-1] == [POST, other, POST, POST]
    assert served[1]["transactions"][-1]["sender"] == "0"
    assert is_valid(served)
    assert waiting(client) == []
    assert node.pool.totals() == (0, 0)
    for position, identifier in enumerate(ids):
        found = client.get(f"/transactions/{identifier}").ok()
        assert (found["status"], found["index"], found["position"]) == ("confirmed", 2, position)
    again = client.submit(POST)
    assert again not in ids
    round_of(node)
    assert client.get(f"/transactions/{again}").ok()["index"] == 3
    assert client.get(f"/blocks/{block.hash}").ok()["transactions"][0]["id"] == ids[0]


def test_a_block_of_another_node_takes_as_many_copies_as_it_holds(node: Node, client: Client) -> None:
    ids = [client.submit(POST) for _ in range(3)]
    theirs = TutorialNode(clock=ticking())
    theirs.chain = chain_of(client)
    for sender in ("me", "me", "else"):
        theirs.submit(sender, "you", 0.5)
    block = json.loads(json.dumps(theirs.mine()))
    node.acceptor.accept(node.rules.read_block(block))
    assert [item["id"] for item in waiting(client)] == ids[2:]
    assert [client.get(f"/transactions/{name}").ok()["status"] for name in ids] == ["confirmed", "confirmed", "pending"]


def test_what_the_tutorial_could_not_hold_is_refused(client: Client) -> None:
    client.post("/transactions/new", {"sender": "me"}).refused(400, "missing_field")
    text = b'{"sender": "a", "recipient": "b", "amount": %s}'

    def post(amount: bytes) -> Any:
        return client.door.call("POST", "/transactions/new", text % amount, Content_Type="application/json")

    post(b"1e999").refused(400, "float_refused")
    post(b"NaN").refused(400, "malformed_json")
    post(b"0." + b"1" * 5000).refused(400, "number_too_long")
    assert post(b"1e5").status == 201
    assert waiting(client)[0]["amount"] == 100000.0


def test_a_batch_of_many_equal_posts(node: Node, client: Client) -> None:
    results = client.post("/transactions/batch", [POST] * 50 + [{**POST, "n": n} for n in range(50)]).ok()
    assert results["accepted"] == 100
    assert len({item["id"] for item in results["results"]}) == 100
    round_of(node)
    assert waiting(client) == []


def test_nothing_is_handed_on_since_copies_would_multiply(
    node: Node, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.peers.add("http://127.0.0.1:9")
    client.submit(POST)
    monkeypatch.setattr(announcer, "REMIND_SECONDS", 0.0)
    keep_house(node)
    assert redis_of(node).llen(node.chain.keys.outbox) == 0


def test_a_store_of_the_standard_rules_is_refused(valkey_server: EmbeddedValkey, tmp_path: Path, node: Node) -> None:
    other = local_node(valkey_server.url, tmp_path)
    changed = dataclasses.replace(node.settings, node=other.settings.node)
    with pytest.raises(WrongChain):
        build_node(changed, store=other.chain._redis, queue=other.queue).chain.initialise()
    forget(other)


def test_what_needs_a_header_of_its_own_says_so(node: Node, client: Client) -> None:
    identifier = client.submit(POST)
    round_of(node)
    client.get(f"/transactions/{identifier}/proof").refused(404, "no_merkle_root")
    client.get("/headers").refused(404, "no_headers")
    shown = client.get("/blocks").ok()["blocks"]
    assert [block["index"] for block in shown] == [2, 1]
    assert not any("transactions_root" in block for block in shown)


# --- Chains of the tutorial's nodes -----------------------------------------------------------------------------------


def test_a_longer_chain_replaces_all_and_what_it_lacks_waits_again(node: Node, client: Client) -> None:
    mined = [client.submit(POST), client.submit(POST), client.submit({**POST, "amount": 7})]
    reward = round_of(node).transactions[-1].id
    late = client.submit(POST)
    theirs = TutorialNode(clock=ticking())
    for _ in range(2):
        theirs.submit("me", "you", 0.5)
        theirs.mine()
    assert resolved_with(node, theirs).replaced
    assert client.get("/chain").ok() == {"chain": theirs.chain, "length": 3}
    assert [client.get(f"/transactions/{name}").ok()["index"] for name in mined[:2]] == [2, 3]
    assert {item["id"] for item in waiting(client)} == {mined[2], late}
    assert client.get(f"/transactions/{reward}").status == 404
    node.chain.initialise()  # a restart finds the adopted chain
    round_of(node)
    chain = chain_of(client)
    assert is_valid(chain)
    assert [item["amount"] for item in chain[3]["transactions"]].count(0.5) == 1
    assert theirs.consider(4, chain)
    assert waiting(client) == []
    # and back again to a chain that has none of it
    node.peers.remove(node.peers.all()[0].url)
    empty = grown(5, 5.0)
    assert resolved_with(node, empty).replaced
    assert chain_of(client) == empty.chain
    assert {item["id"] for item in waiting(client)} == {*mined, late}


def test_a_chain_that_goes_on_where_ours_ends_is_appended(node: Node, client: Client) -> None:
    #   g -> a1 -> a2 -> b1 -> b2
    for _ in range(2):
        round_of(node)
    theirs = TutorialNode(clock=ticking())
    theirs.chain = chain_of(client)
    for _ in range(2):
        theirs.mine()
    before = node.chain.tip().chainwork
    assert resolved_with(node, theirs).replaced
    assert chain_of(client) == theirs.chain
    assert (before, node.chain.tip().chainwork) == (2, 4)
    assert redis_of(node).hget(node.chain.keys.counters, "reorganisations") is None
    assert (state_of(node), node.peers.all()[0].height) == ("ok", 5)


def test_a_branch_is_left_where_it_began(node: Node, client: Client) -> None:
    #   g -> a1 -> a2 -> a3
    #          \-> b2 -> b3 -> b4
    round_of(node)
    theirs = TutorialNode(clock=ticking())
    theirs.chain = chain_of(client)
    for _ in range(2):
        round_of(node)
    for _ in range(3):
        theirs.mine()
    assert resolved_with(node, theirs).replaced
    assert chain_of(client) == theirs.chain
    assert redis_of(node).zcard(node.chain.keys.staged) == 0


def test_of_two_chains_of_one_length_all_take_the_lower_hash(node: Node, client: Client) -> None:
    round_of(node)
    ours = node.chain.tip().hash
    theirs = grown(2)
    assert resolved_with(node, theirs).replaced == (block_hash(theirs.chain[-1]) < ours)
    expected = min(ours, block_hash(theirs.chain[-1]))
    assert node.chain.tip().hash == expected


def test_a_shorter_chain_changes_nothing(node: Node) -> None:
    for _ in range(3):
        round_of(node)
    tip = node.chain.tip()
    assert resolved_with(node, grown(3)) == Resolution(False, 1)
    assert (node.chain.tip(), state_of(node)) == (tip, "ok")


Damage = Callable[[list[Json]], None]


def relinked(chain: list[Json]) -> None:
    for last, block in itertools.pairwise(chain):
        block["previous_hash"] = block_hash(last)


def bad_proof(chain: list[Json]) -> None:
    chain[4]["proof"] += 1
    relinked(chain)


def bad_link(chain: list[Json]) -> None:
    chain[3]["timestamp"] += 1


def bad_transaction(chain: list[Json]) -> None:
    chain[5]["transactions"] = ["not an object"]
    relinked(chain)


def bad_index(chain: list[Json]) -> None:
    chain[5]["index"] = 1
    relinked(chain)


def bad_genesis(chain: list[Json]) -> None:
    chain[0]["proof"] = 101
    relinked(chain)


def a_bad_last_block(chain: list[Json]) -> None:
    del chain[-1]["timestamp"]


LIES: dict[Damage, str] = {
    bad_proof: "wrong_proof",
    bad_link: "wrong_previous_hash",
    bad_transaction: "transactions",
    bad_index: "wrong_index",
    bad_genesis: "index 1",
    a_bad_last_block: "A block has",
}


@pytest.mark.parametrize(("damage", "words"), LIES.items(), ids=[damage.__name__ for damage in LIES])
def test_a_chain_with_one_bad_block_changes_nothing(node: Node, client: Client, damage: Damage, words: str) -> None:
    """Not even if its good part is longer than the node's chain."""
    client.submit(POST)
    round_of(node)
    before = chain_of(client)
    theirs = grown(7)
    damage(theirs.chain)
    resolution = resolved_with(node, theirs)
    assert not resolution.replaced
    assert words in resolution.notes[0]
    assert chain_of(client) == before
    assert state_of(node) in ("lying", "other_chain")
    assert redis_of(node).zcard(node.chain.keys.staged) == 0


def test_a_status_that_promises_more_than_the_chain_holds_is_a_lie(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = grown(2)
    for _ in range(2):
        round_of(node)
    tip = node.chain.tip()
    client = node.resolver._client
    claim = peer_client.PeerClaim("", "ab" * 32, 50, peer_client.TipClaim(49, "ab" * 32))
    monkeypatch.setattr(client, "status", lambda url: dataclasses.replace(claim, url=url))
    assert "work that it claimed" in resolved_with(node, theirs).notes[0]
    assert (node.chain.tip(), state_of(node)) == (tip, "lying")


def test_a_chain_that_is_too_long_is_given_up(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_client, "MAX_CHAIN_BYTES", 1000)
    resolution = resolved_with(node, grown(6))
    assert "longer than 1000 bytes" in resolution.notes[0]
    assert (node.chain.tip().height, state_of(node)) == (1, "unreachable")


def chain_script(*pieces: bytes, endless: bytes = b"", seconds: float = 0.0) -> Script:
    """A peer without a status, whose chain is `pieces`, and then `endless` again and again."""

    def script(peer: Connection) -> None:
        peer.read_request()
        if not peer.request.startswith(b"GET /chain "):
            peer.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        for piece in pieces:
            peer.send(piece)
        if seconds:
            peer.drip(endless * 1000, seconds)
        while not seconds:
            peer.send(endless)

    return script


BLOCK = json.dumps({**TutorialNode(clock=ticking()).chain[0]}).encode()
ENDLESS = {
    "blocks": chain_script(b'{"chain": [', BLOCK, endless=b", " + BLOCK),
    "one block": chain_script(b'{"chain": [', BLOCK, b', {"index": "', endless=b"x" * 1000),
    "space": chain_script(b'{"chain": [', endless=b" " * 1000),
    "brackets": chain_script(b'{"chain": [', endless=b"[" * 1000),
    "length first": chain_script(b'{"length": ', endless=b"1" * 1000),
    "one byte after the other": chain_script(b'{"chain": [', endless=BLOCK, seconds=0.01),
}


@pytest.mark.parametrize("script", ENDLESS.values(), ids=ENDLESS.keys())
def test_an_endless_chain_costs_little_and_changes_nothing(
    node: Node, monkeypatch: pytest.MonkeyPatch, script: Script
) -> None:
    monkeypatch.setattr(peer_client, "CHAIN_DEADLINE", 1.0)
    monkeypatch.setattr(peer_client, "MAX_CHAIN_BYTES", 2**20)
    monkeypatch.setattr(peer_client, "MAX_CHAIN_BLOCK", 2**17)
    with RawServer(script) as server:
        node.peers.add(server.url)
        tracemalloc.start()
        began = time.monotonic()
        resolution = node.resolver.resolve()
        took, (_, peak) = time.monotonic() - began, tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(server.connections) == 2  # the second one for the chain
    assert took < 10, "the chain has no end"
    assert peak < 2 * 2**20
    assert not resolution.replaced
    assert (node.chain.tip().height, state_of(node)) == (1, "unreachable")


@pytest.mark.parametrize("genesis", ["1", 1])
def test_a_later_program_of_the_tutorials_is_named(node: Node, client: Client, genesis: str | int) -> None:
    """It hashes the last block into the proof. For this node the proof is wrong, but the peer does not lie."""
    theirs = LaterNode(clock=ticking())
    theirs.chain[0]["previous_hash"] = genesis
    while len(theirs.chain) < 3:
        theirs.mine()
    resolution = resolved_with(node, theirs)
    [peer] = node.peers.all()
    assert (peer.state, node.chain.tip().height) == ("other_chain", 1)
    assert "includes the last block's hash in the proof" in peer.reason and "lie" not in peer.reason, resolution.notes
    [shown] = client.get("/nodes").ok()["nodes"]
    assert shown["reason"] == peer.reason
    if genesis == "1":
        with serving(theirs) as url:
            assert (
                "later program"
                in client.post("/nodes/register", {"nodes": [url]}).refused(400, "wrong_genesis")["detail"]
            )


def test_a_stranger_ends_no_pause_and_has_no_peer_asked(node: Node, client: Client) -> None:
    """Anyone can register peers here, so to register one again does nothing."""
    theirs = grown(2)
    with serving(theirs) as url:
        client.post("/nodes/register", {"nodes": [url]}).ok(201)
        node.peers.failed(url, "lying", "It lied.")
        before = node.peers.get(url)
        with mock.patch.object(node.resolver, "handshakes", side_effect=lambda urls: [1 / 0 for _ in urls]):
            answer = client.post("/nodes/register", {"nodes": [url, f"{url}/", url.upper()]}).ok(201)
        assert answer["all_nodes"] == [url] and node.peers.get(url) == before
        client.post("/nodes/register", {"nodes": [url]}, Authorization=f"Bearer {TOKEN}").ok(201)
        changed = node.peers.get(url)
        assert changed is not None and changed.next_try == 0.0


def test_registering_needs_no_token_and_a_chain_of_another_kind_is_refused(client: Client) -> None:
    with serving(grown(2)) as url:
        answer = client.post("/nodes/register", {"nodes": [url]}).ok(201)
        assert answer["all_nodes"] == answer["total_nodes"] == [url]
    odd = grown(2)
    bad_genesis(odd.chain)
    with serving(odd) as url:
        client.post("/miner/register", {"nodes": [url]}).refused(400, "wrong_genesis")
