"""Peers that have pruned old bodies: others ask further peers for them, and no honest peer is called a liar."""

import json
from typing import Any

import pytest

from services.chain.reorganiser import Branch
from services.errors import Pruned
from services.peers.client import BodiesGone
from services.peers.http import PeerRequest
from services.store import packing
from services.store.schema import UPGRADE_SECONDS
from tests.network.branches import check, fork
from tests.network.ports import Member, Network
from tests.support.keys import ALICE, BOB


@pytest.fixture(autouse=True)
def _small_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "BLOCKS", 4)


def prune(member: Member, keep: int) -> int:
    """Pack and prune all but the last blocks of a member; returns the height from which on it has whole blocks."""
    chain, clock = member.node.chain, member.clock
    chain.schema.adopt(clock.now(), prunes=True)
    clock.sleep(UPGRADE_SECONDS + 1)
    while chain.packs.pack_next(1, clock.now):
        pass
    while chain.prunes.prune_next(keep, clock.now()):
        pass
    return chain.kept_from()


def asked_for_blocks(network: Network, member: Member) -> list[str]:
    return [path for url, path in network.http.asked if url == member.url and path.startswith("/chain")]


@pytest.fixture
def trio(network: Network) -> tuple[Member, Member, Member]:
    """A new node; a peer with 30 blocks that has whole blocks from height 17 on; and one with 28, all whole."""
    new, pruned, whole = network.members("new", "pruned", "whole")
    pruned.grow(27, ALICE.address)
    network.copy(pruned, whole)
    pruned.grow(2, ALICE.address)
    assert prune(pruned, keep=12) == 17
    return new, pruned, whole


def test_what_a_pruned_peer_says(trio: tuple[Member, Member, Member]) -> None:
    _, pruned, whole = trio
    assert pruned.get("/status")["kept_from"] == 17 and whole.get("/status")["kept_from"] == 1
    client = trio[0].node.resolver._client
    assert client.status(pruned.url).kept_from == 17 and client.status(whole.url).kept_from == 1
    assert len(client.headers(pruned.url, [pruned.hashes()[0]])) == 29
    assert len(client.blocks(pruned.url, 17, 100)) == 14 and len(client.blocks(pruned.url, 1, 1)) == 1
    for first in (1, 2, 16):
        with pytest.raises(BodiesGone):
            client.blocks(pruned.url, first, 100)
        found = pruned.get(f"/chain?from={first}&limit=100", status=410)
        assert found["code"] == "pruned" and "height 17" in found["detail"]


def test_bodies_that_a_peer_has_pruned_come_from_another(network: Network, trio: tuple[Member, Member, Member]) -> None:
    new, pruned, whole = trio
    network.http.asked.clear()
    resolution = new.resolve()
    assert resolution.replaced and resolution.notes == ()
    assert new.hashes() == pruned.hashes()
    assert asked_for_blocks(network, whole) == ["/chain?from=2&limit=15"]
    assert asked_for_blocks(network, pruned) == ["/chain?from=17&limit=14"]
    assert {new.peer(url).state for url in (pruned.url, whole.url)} == {"ok"}
    check(new)


def test_a_node_that_hears_of_a_block_only_from_a_pruned_peer_asks_the_others(
    network: Network, trio: tuple[Member, Member, Member]
) -> None:
    new, pruned, _ = trio
    new.node.peers.hear(pruned.url, pruned.tip)
    assert new.node.resolver.resolve_heard().replaced and new.hashes() == pruned.hashes()


def test_a_new_node_with_pruned_peers_only_says_so(network: Network) -> None:
    new, one, two = network.members("new", "one", "two")
    one.grow(29, ALICE.address)
    network.copy(one, two, whole := network.member("whole"))
    assert prune(one, keep=12) == 17 and prune(two, keep=20) == 9
    resolution = new.resolve()
    assert not resolution.replaced and new.height == 1
    assert any("no other peer that can be reached has block 2" in note for note in resolution.notes)
    states = [new.peer(url) for url in (one.url, two.url)]
    assert [peer.state for peer in states] == ["pruned", "pruned"]
    assert all("QUARRY_KEEP" in peer.reason and peer.broken == 0 for peer in states)
    assert {item["state"] for item in new.get("/nodes")["nodes"]} == {"pruned"}
    # As soon as there is a peer that keeps all, everything is fetched, and they are as good as any.
    new.befriend(whole)
    network.clock.sleep(61)
    assert new.resolve().replaced and new.hashes() == one.hashes()
    assert {item["state"] for item in new.get("/nodes")["nodes"]} == {"ok"}


def test_a_node_that_has_the_first_blocks_gets_the_others_from_pruned_peers(network: Network) -> None:
    new, one, two = network.members("new", "one", "two")
    one.grow(17, ALICE.address)
    network.copy(one, new)
    one.grow(12, ALICE.address)
    network.copy(one, two)
    assert prune(one, keep=8) == 21 and prune(two, keep=14) == 17
    assert new.resolve().replaced  # from 19 on: of `two` up to 20, then of `one`
    assert new.hashes() == one.hashes()


def test_a_peer_that_prunes_between_status_and_blocks_is_no_liar(
    network: Network, trio: tuple[Member, Member, Member], monkeypatch: pytest.MonkeyPatch
) -> None:
    new, pruned, whole = trio
    original = network.http.exchange

    def late(request: PeerRequest) -> tuple[int, bytes]:
        status, body = original(request)
        if request.path == "/status" and request.url == pruned.url:
            body = json.dumps({**json.loads(body), "kept_from": 1}).encode()
        return status, body

    monkeypatch.setattr(network.http, "exchange", late)
    assert new.resolve().replaced
    assert new.peer(pruned.url).state == "ok" and new.height >= whole.height


def test_wrong_bodies_of_another_peer_are_not_held_against_the_first(network: Network) -> None:
    """A third peer is on a branch of its own: what it sends is compared with the headers, and the next one is asked."""
    new, pruned, other, whole = network.members("new", "pruned", "other", "whole")
    pruned.grow(27, ALICE.address)
    network.copy(pruned, whole)
    pruned.grow(2, ALICE.address)
    other.grow(20, BOB.address)
    prune(pruned, keep=12)
    assert new.resolve().replaced and new.hashes() == pruned.hashes()
    assert {new.peer(member.url).state for member in (pruned, other, whole)} == {"ok"}


STATUSES: dict[str, Any] = {"text": "17", "nothing": None, "below 1": 0, "a fraction": 1.5, "huge": 2**70, "true": True}


@pytest.mark.parametrize("kept", STATUSES.values(), ids=STATUSES)
def test_what_a_status_says_of_bodies_is_read_with_care(
    network: Network, monkeypatch: pytest.MonkeyPatch, kept: Any
) -> None:
    new, peer = network.members("new", "peer")
    peer.grow(3, ALICE.address)
    original = network.http.exchange

    def other(request: PeerRequest) -> tuple[int, bytes]:
        status, body = original(request)
        if request.path == "/status":
            body = json.dumps({**json.loads(body), "kept_from": kept}).encode()
        return status, body

    monkeypatch.setattr(network.http, "exchange", other)
    assert new.resolve().replaced and new.hashes() == peer.hashes()


def test_a_reorganisation_that_reaches_what_we_have_pruned_is_refused_by_a_sentence(network: Network) -> None:
    a, b = fork(network)
    a.grow(25, ALICE.address)
    while b.height <= a.height + 3:
        b.grow(1, BOB.address)
    kept_from = prune(a, keep=12)
    assert kept_from > 9
    before = a.hashes()
    resolution = a.resolve()
    assert not resolution.replaced and a.hashes() == before
    assert "cannot follow a reorganisation that deep" in " ".join(resolution.notes)
    assert a.peer(b.url).state == "pruned" and a.peer(b.url).broken == 0
    assert a.node.watchman.now() is None


def test_a_reorganisation_above_it_is_followed(network: Network) -> None:
    a, b = network.members("a", "b")
    a.grow(27, ALICE.address)
    network.copy(a, b)
    a.grow(2, ALICE.address)
    b.grow(5, BOB.address)
    assert prune(a, keep=12) == 17
    assert a.resolve().replaced and a.hashes() == b.hashes()
    assert a.node.chain.kept_from() == 17 and a.node.repair.run().findings == ()


def test_a_pruned_chain_is_no_branch_that_is_left(network: Network) -> None:
    """`begin` refuses every fork point up to the last pruned block, also where our own chain is what the peer has."""
    [a] = network.members("a")
    a.grow(29, ALICE.address)
    prune(a, keep=12)
    for height in (1, 15, 16):
        with pytest.raises(Pruned):
            a.node.reorganiser.begin(height)
    branch = a.node.reorganiser.begin(17)
    assert isinstance(branch, Branch) and len(branch.detached) == 13
