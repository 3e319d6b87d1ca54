"""The tips of all branches: forks, headers without blocks, refused blocks, and what strangers cannot do to them."""

from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis

from services.peers.tips import ChainTip
from services.store.branch import MOST_ENDS
from services.store.tips import MOST_BODY, MOST_REFUSED, HeaderEnd, Refused
from tests.network.ports import Member, Network
from tests.support.clocks import START
from tests.support.keys import ALICE, BOB, CAROL, MINER
from tests.support.liars import OTHER_MINER, ForgedChain, Json, ScriptedPeer
from tests.support.specs import make_spec
from tests.support.stored import assert_store_equals_replay

LIAR, OTHER = "http://liar:5000", "http://other:5000"
COMMON, OURS = 3, 5  # heights of the fork point and of our tip


@pytest.fixture
def us(redis: Redis) -> Member:
    """A node whose chain has OURS blocks that take 16 hashes each, and a peer."""
    network = Network(redis, make_spec(difficulty=16))
    network.clock.time = START
    member = network.member("us")
    member.grow(OURS - 1, MINER)
    member.befriend(LIAR)
    return member


def branch(us: Member, height: int = COMMON) -> ForgedChain:
    """What the liar begins with: our chain up to a height."""
    chain = ForgedChain(us.spec, [us.node.chain.block_object(name) for name in us.hashes()[:height]])
    chain.miner = OTHER_MINER
    return chain


def serve(us: Member, chain: ForgedChain, url: str = LIAR) -> ScriptedPeer:
    peer = ScriptedPeer(chain)
    us.network.http.serve(url, peer)
    return peer


def tips(us: Member, state: str) -> list[ChainTip]:
    return [item for item in us.node.tips.all() if item.state == state]


def only(us: Member, state: str) -> ChainTip:
    [found] = tips(us, state)
    return found


def fork_of(tip: ChainTip) -> tuple[int, str]:
    assert tip.fork is not None
    return tip.fork.height, tip.fork.hash


# --- forks ---


def test_two_nodes_and_a_fork(network: Network) -> None:
    a, b = network.members("a", "b")
    a.grow(4, ALICE.address)
    network.copy(a, b)
    a.grow(2, ALICE.address)
    b.grow(3, BOB.address)
    left, point = a.tip, a.hashes()[4]
    # The others' tip is known by word only, before anybody asks for headers.
    a.node.peers.answered(b.url, b.height, b.tip, b.node.chain.tip().chainwork)
    claimed = only(a, "headers")
    assert (claimed.hash, claimed.proven, claimed.fork, claimed.peers) == (b.tip, False, None, (b.url,))

    assert a.resolve().replaced
    shown = a.get("/tips")["tips"]
    assert [item["state"] for item in shown] == ["active", "fork"]
    assert (shown[0]["hash"], shown[0]["fork"]) == (b.tip, {"height": 8, "hash": b.tip}) and shown[0]["peers"] == [
        b.url
    ]
    assert (shown[1]["hash"], shown[1]["height"], shown[1]["fork"]) == (left, 7, {"height": 5, "hash": point})
    assert (shown[1]["rule"], shown[1]["proven"], shown[1]["first_seen"]) == (None, True, network.clock.now())
    assert shown[1]["chainwork"] == shown[0]["chainwork"] - 1

    # The branch that was left grows and wins: its old end is on the chain, and the other one is a fork.
    last = a.node.chain.block_object(left)
    names = [*a.hashes()[:5], last["previous_hash"], left]
    other = ForgedChain(a.spec, [a.node.chain.block_object(name) for name in names])
    other.grow(2)
    serve(a, other, OTHER)
    a.befriend(OTHER)
    assert a.resolve(OTHER).replaced and a.height == 9
    fork = only(a, "fork")
    assert (fork.hash, fork_of(fork)) == (b.tip, (5, point))
    assert left not in {item.hash for item in a.node.tips.all()}
    assert_store_equals_replay(a.node, a.redis)


def test_only_the_last_ends_are_kept(us: Member) -> None:
    keys = us.node.chain.keys
    us.redis.zadd(keys.branch_ends, {f"{number:064x}": number for number in range(MOST_ENDS + 5)})
    chain = branch(us)
    chain.grow(4)
    serve(us, chain)
    left = us.tip
    assert us.resolve().replaced
    ends = us.redis.zrange(keys.branch_ends, 0, -1)
    assert len(ends) == MOST_ENDS and ends[-1].decode() == left
    assert only(us, "fork").hash == left, "hashes of blocks that are not stored are passed over"


def test_a_branch_that_a_peer_does_not_complete(us: Member) -> None:
    chain = branch(us)
    chain.grow(4)
    peer = serve(us, chain)
    peer.blocks = lambda first, limit: {"chain": chain.blocks[first - 1 : COMMON + 2]} if first <= COMMON + 2 else b""
    us.resolve()
    assert us.peer(LIAR).state == "unreachable" or us.peer(LIAR).state == "lying"
    fork, headers = only(us, "fork"), only(us, "headers")
    point = (COMMON, us.hashes()[COMMON - 1])
    assert (fork.hash, fork_of(fork)) == (chain.hashes[COMMON + 1], point), "its staged blocks"
    assert (headers.hash, headers.height, headers.proven) == (chain.hashes[-1], COMMON + 4, True)
    assert (fork_of(headers), headers.peers) == (point, (LIAR,))
    assert headers.chainwork == chain.chainwork

    peer.blocks = peer._blocks
    us.clock.time += 1000
    assert us.resolve().replaced
    assert tips(us, "headers") == [] and len(tips(us, "fork")) == 1


# --- refused blocks ---

REFUSED: dict[str, Callable[[ForgedChain], Any]] = {
    "wrong_reward": lambda c: c.forge(body=[c.reward(amount="2")]),
    "reward_missing": lambda c: c.forge(body=[]),
    "timestamp_too_low": lambda c: c.forge(timestamp=START - 10_000),
    "unknown_field": lambda c: c.forge(body=[c.reward(colour="red")]),
}  # fmt: skip


@pytest.mark.parametrize("rule", REFUSED)
@pytest.mark.parametrize("place", [0, 2])
def test_a_liars_block_is_invalid_by_the_rule_that_it_breaks(us: Member, rule: str, place: int) -> None:
    chain = branch(us)
    chain.grow(place)
    REFUSED[rule](chain)
    bad, height = chain.hashes[-1], len(chain.blocks)
    chain.grow(5)
    peer = serve(us, chain)
    claim = {**peer.status(), "chainwork": 10**9}
    peer.status = lambda: claim
    before = us.hashes()
    us.resolve()
    assert us.hashes() == before and us.peer(LIAR).state == "lying"
    found = only(us, "invalid")
    assert (found.hash, found.code, found.peers) == (bad, us.peer(LIAR).reason.partition(":")[0], (LIAR,))
    assert found.code == rule or rule == "unknown_field"
    assert fork_of(found) == (COMMON, before[COMMON - 1])
    assert found.chainwork == 16 * (height - 1)
    evidence = us.get(f"/tips/{bad}")
    assert (evidence["rule"], evidence["peer"], evidence["header"]["previous_hash"]) == (
        found.code, LIAR, chain.hashes[height - 2],
    )  # fmt: skip
    headers_only = rule == "timestamp_too_low"
    assert evidence["block"] == (None if headers_only else chain.blocks[height - 1])
    assert (evidence["size"] is None) is headers_only
    assert tips(us, "headers") == [] or headers_only or not only(us, "headers").proven
    assert_store_equals_replay(us.node, us.redis)


def test_a_block_that_extends_ours_and_is_refused(us: Member) -> None:
    chain = branch(us, OURS)
    chain.grow(1)
    chain.forge(body=[chain.reward(amount="2")])
    serve(us, chain)
    us.resolve()
    found = only(us, "invalid")
    assert (found.hash, found.height, fork_of(found)) == (chain.hashes[-1], OURS + 2, (OURS + 1, us.tip))


def test_a_wrong_height_is_evidence_too(us: Member) -> None:
    chain = branch(us)
    chain.grow(1)
    chain.forge(index=99)
    peer = serve(us, chain)
    claim = {**peer.status(), "chainwork": 10**9}
    peer.status = lambda: claim
    us.resolve()
    assert (only(us, "invalid").code, only(us, "invalid").height) == ("wrong_index", 99)


UNPROVEN: dict[str, Callable[[ForgedChain], Any]] = {
    "no work": lambda c: c.forge(valid=False),
    "work for less": lambda c: c.forge(difficulty=1, valid=False),
    "another parent": lambda c: c.forge(previous_hash=c.hashes[-2]),
    "no form": lambda c: c.forge(extra=1),
    "another body": lambda c: c.forge(transactions_root="0" * 64),
}


@pytest.mark.parametrize("name", UNPROVEN)
def test_what_proves_nothing_is_not_kept(us: Member, name: str) -> None:
    chain = branch(us)
    UNPROVEN[name](chain)
    chain.grow(5)
    peer = serve(us, chain)
    claim = {**peer.status(), "chainwork": 10**9}
    peer.status = lambda: claim
    us.resolve()
    assert us.peer(LIAR).state == "lying"
    assert tips(us, "invalid") == []
    assert us.redis.exists(us.node.chain.keys.refused, us.node.chain.keys.refused_blocks) == 0


def test_an_honest_header_with_a_false_body_slanders_nobody(us: Member) -> None:
    chain = branch(us)
    chain.grow(4)
    peer = serve(us, chain)
    honest = chain.blocks[COMMON]
    for body in ([chain.reward(amount="2")], [], [*honest["transactions"], {"a": 1}], "x", None):
        false = {**honest, "transactions": body}
        peer.blocks = lambda first, limit, false=false: {"chain": [false]}  # type: ignore[misc]
        us.clock.time += 1000
        us.resolve()
        assert tips(us, "invalid") == []
    peer.blocks = peer._blocks
    us.clock.time += 1000
    assert us.resolve().replaced


def refused(number: int, peer: str = LIAR, **changes: Any) -> Refused:
    header: Json = {"index": 4, "previous_hash": f"{number + 10**6:064x}"}
    fields: Json = {
        "hash": f"{number:064x}", "header": header, "chainwork": 10**40, "fork": "0" * 64, "code": "wrong_reward",
        "reason": "r", "peer": peer, "at": float(number), "size": 9,
    }  # fmt: skip
    return Refused(**{**fields, **changes})


def test_of_65_refused_blocks_64_are_kept(us: Member) -> None:
    store = us.node.tips._store
    for number in range(MOST_REFUSED + 1):
        assert store.keep_refused(refused(number), b'{"index": 4}')
    kept = {item.hash for item in store.refused()}
    assert kept == {f"{number:064x}" for number in range(1, MOST_REFUSED + 1)}, "the oldest went"
    assert us.redis.hlen(us.node.chain.keys.refused_blocks) == MOST_REFUSED == 64
    assert not store.keep_refused(refused(5), b""), "the same block again is nothing new"
    assert len(tips(us, "invalid")) == MOST_REFUSED and us.get("/tips")["tips"][1]["chainwork"] == 10**40
    # A peer that shows many does not take away what another has shown.
    store.keep_refused(refused(100, OTHER), b"")
    for number in range(200, 300):
        store.keep_refused(refused(number), b"")
    assert f"{100:064x}" in {item.hash for item in store.refused()} and len(store.refused()) == MOST_REFUSED


def test_a_large_body_is_not_kept(us: Member) -> None:
    store = us.node.tips._store
    store.keep_refused(refused(1, size=MOST_BODY + 1), b" " * (MOST_BODY + 1))
    store.keep_refused(refused(2, size=MOST_BODY), b'"' + b" " * (MOST_BODY - 2) + b'"')
    assert store.refused_block(f"{1:064x}") is None
    assert len(store.refused_block(f"{2:064x}") or b"") == MOST_BODY
    shown = us.get(f"/tips/{1:064x}")
    assert (shown["size"], shown["block"]) == (MOST_BODY + 1, None)


@pytest.mark.parametrize("name", ["0" * 64, "x", "0" * 63, "A" * 64, "%00", "latest"])
def test_evidence_that_is_not_there(us: Member, name: str) -> None:
    assert us.get(f"/tips/{name}", 404)["code"] == "unknown_tip"


def test_a_block_that_is_stored_after_all_is_not_invalid(us: Member) -> None:
    us.node.tips._store.keep_refused(refused(0, hash=us.hashes()[1]), b"")
    assert tips(us, "invalid") == []


# --- strangers ---


def test_strangers_cannot_flood_the_tips(us: Member) -> None:
    before, keys = us.node.tips.all(), sorted(us.redis.keys())
    for number in range(300):
        assert us.node.announcer.heard(f"http://stranger-{number}:5000", f"{number:064x}") is False
    assert (us.node.tips.all(), sorted(us.redis.keys())) == (before, keys)
    # What is announced in a peer's name is not believed either: the peer is asked.
    for number in range(300):
        us.node.announcer.heard(LIAR, f"{number:064x}")
    assert us.node.tips.all() == before


def test_each_peer_has_one_end_of_headers_which_goes_with_it(us: Member) -> None:
    store = us.node.tips._store
    point = us.hashes()[1]
    for number in range(20):
        store.note_headers(LIAR, HeaderEnd(f"{number:064x}", 9, 10**40, point, START))
    store.note_headers(OTHER, HeaderEnd(f"{19:064x}", 9, 10**40, point, START + 1))
    found = only(us, "headers")
    assert (found.hash, found.peers, fork_of(found)) == (f"{19:064x}", (LIAR, OTHER), (2, point))
    us.node.peers.remove(LIAR)
    assert only(us, "headers").peers == (OTHER,)


def test_fork_points_are_found_below_reorganisations(network: Network) -> None:
    """A branch leaves another branch: its fork point is where both left the chain."""
    a, b, c = network.members("a", "b", "c")
    a.grow(3, ALICE.address)
    network.copy(a, b, c)
    a.grow(20, ALICE.address)
    network.copy(a, c)
    point = a.hashes()[3]
    a.grow(1, ALICE.address)
    first = a.tip
    c.grow(2, CAROL.address)
    assert a.resolve(c.url).replaced
    second = a.tip
    b.grow(23, BOB.address)
    assert a.resolve(b.url).replaced
    found = {item.hash: fork_of(item) for item in tips(a, "fork")}
    assert found == {first: (4, point), second: (4, point)}
    assert {item.hash: fork_of(item) for item in tips(a, "fork")} == found, "and again, from memory"
