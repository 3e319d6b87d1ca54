"""Lying peers: a better chain with one bad field at some height, and claims that nothing is behind.

Each takes bounded time and memory, changes nothing, and is passed over in the same run for the best honest peer.
"""

import json
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis import Redis

from services.errors import PeerFailed
from services.peers import header_chain
from services.peers.http import PeerRequest
from shared.keys import KeyPair
from shared.transaction import sign
from tests.network.ports import Member, Network
from tests.support.clocks import START
from tests.support.keys import ALICE, BOB, CAROL
from tests.support.liars import OTHER_MINER, ForgedChain, Json, ScriptedPeer, header_of, size_of
from tests.support.specs import make_spec
from tests.support.stored import assert_store_equals_replay

LIAR, HONEST = "http://liar:5000", "http://honest:5000"
ANNE = KeyPair(b"\xc8" * 32)
COMMON, OURS = 4, 6  # heights of the fork point and of our tip


@pytest.fixture(scope="module")
def shared_blocks() -> ForgedChain:
    """Our chain: what the liar has too, and two blocks of our own. Every proof takes 256 hashes."""
    spec = make_spec(difficulty=256)
    chain = ForgedChain(spec)
    chain.grow(OURS - 1)
    return chain


@pytest.fixture
def us(redis: Redis, shared_blocks: ForgedChain) -> Iterator[Member]:
    """A node with two peers: the liar, which claims most, and an honest one that is one block ahead of the node."""
    network = Network(redis, shared_blocks.spec)
    network.clock.time = START
    member = network.member("us")
    for block in shared_blocks.blocks[1:]:
        member.node.acceptor.accept(member.node.rules.read_block(block))
    honest = ForgedChain(shared_blocks.spec, shared_blocks.blocks)
    honest.forge(body=[{**honest.reward(), "recipient": ANNE.address}])
    network.http.serve(HONEST, ScriptedPeer(honest))
    member.befriend(LIAR, HONEST)
    yield member
    assert member.redis.get(member.node.chain.keys.journal) is None


def branch(us: Member) -> ForgedChain:
    """What the liar begins with: our chain up to the fork point."""
    chain = ForgedChain(us.spec, [us.node.chain.block_object(name) for name in us.hashes()[:COMMON]])
    chain.miner = OTHER_MINER
    return chain


def our_chain(us: Member) -> ForgedChain:
    return ForgedChain(us.spec, [us.node.chain.block_object(name) for name in us.hashes()])


def passed_over(us: Member, liar: Callable[[PeerRequest], tuple[int, bytes]], state: str = "lying") -> str:
    """The liar changes nothing, and the honest peer is adopted in the same run; why the liar was passed over."""
    us.network.http.serve(LIAR, liar)
    before = us.hashes()
    started = time.process_time()  # nobody waits here: the clock and the network are the test's
    resolution = us.resolve()
    took = time.process_time() - started
    assert us.hashes()[:-1] == before and us.height == OURS + 1, resolution.notes
    assert us.node.chain.account(ANNE.address).balance > 0, "the honest peer's block was not adopted"
    assert us.peer(LIAR).state == state, resolution.notes
    assert us.peer(LIAR).next_try > us.clock.time
    assert us.peer(HONEST).state == "ok"
    assert any(note.startswith(LIAR) for note in resolution.notes)
    assert took < 5
    assert_store_equals_replay(us.node, us.redis)
    # It is not asked for anything for a while.
    us.network.http.asked.clear()
    us.resolve()
    assert us.network.http.paths(LIAR) == []
    return str(us.peer(LIAR).reason)


def transfer(us: Member, key: KeyPair = ALICE, **changes: Any) -> Json:
    fields = {"type": "transfer", "chain_id": us.spec.chain_id, "nonce": 0, "sender": key.address}
    fields |= {"recipient": BOB.address, "amount": "1", "fee": "0"}
    return sign({**fields, **changes}, key)


# rule -> what the liar does at one height
Lie = Callable[[Member, ForgedChain], object]
BAD_HEADERS: dict[str, tuple[str, Lie]] = {
    "proof": ("wrong_proof", lambda us, c: c.forge(valid=False)),
    "difficulty": ("wrong_difficulty", lambda us, c: c.forge(difficulty=255)),
    "no difficulty": ("wrong_difficulty", lambda us, c: c.forge(difficulty=1)),
    "huge difficulty": ("wrong_difficulty", lambda us, c: c.forge(difficulty=2**255)),
    "time": ("timestamp_too_low", lambda us, c: c.forge(timestamp=START - 10_000)),
    "index": ("wrong_index", lambda us, c: c.forge(index=len(c.blocks) + 2)),
    "index again": ("wrong_index", lambda us, c: c.forge(index=len(c.blocks))),
    "previous_hash": ("wrong_previous_hash", lambda us, c: c.forge(previous_hash="0" * 64)),
    "grandparent": ("wrong_previous_hash", lambda us, c: c.forge(previous_hash=c.hashes[-2])),
    "negative time": ("bad_block_field", lambda us, c: c.forge(timestamp=-1)),
    "text as index": ("bad_block_field", lambda us, c: c.forge(index=str(len(c.blocks) + 1))),
    "capitals": ("bad_block_field", lambda us, c: c.forge(transactions_root="A" * 64)),
    "another field": ("bad_block_fields", lambda us, c: c.forge(extra=1)),
}
BAD_BODIES: dict[str, tuple[str, Lie]] = {
    "root": ("wrong_root", lambda us, c: c.forge(transactions_root="0" * 64)),
    "reward": ("wrong_reward", lambda us, c: c.forge(body=[c.reward(amount="2")])),
    "reward of another chain": ("wrong_reward", lambda us, c: c.forge(body=[c.reward(chain_id=1)])),
    "reward of another block": ("wrong_reward", lambda us, c: c.forge(body=[c.reward(nonce=2)])),
    "no reward": ("reward_missing", lambda us, c: c.forge(body=[])),
    "two rewards": ("", lambda us, c: c.forge(body=[c.reward(), c.reward()])),
    "signature": ("", lambda us, c: c.forge({**transfer(us), "signature": "0" * 128})),
    "signature of another": ("bad_signature", lambda us, c: c.forge({**transfer(us), "amount": "2"})),
    "nonce": ("nonce_gap", lambda us, c: c.forge(transfer(us, nonce=1))),
    "a nonce again": ("nonce_too_low", lambda us, c: c.forge(transfer(us), transfer(us))),
    "chain_id": ("wrong_chain_id", lambda us, c: c.forge(transfer(us, chain_id=1))),
    "overspending": ("insufficient_funds", lambda us, c: c.forge(transfer(us, amount="1000000"))),
    "allowance": (
        "insufficient_allowance",
        lambda us, c: c.forge(transfer(us, CAROL, type="transfer_from", owner=ALICE.address)),
    ),
    "a huge block": ("too_many_transactions", lambda us, c: c.forge(body=[c.reward()] * 4001)),
    "not a transaction": ("", lambda us, c: c.forge(body=[c.reward(), {"a": 1}])),
}  # fmt: skip


@pytest.mark.parametrize("place", [0, 3, 120])
@pytest.mark.parametrize("name", BAD_HEADERS)
def test_one_bad_header(us: Member, name: str, place: int) -> None:
    rule, lie = BAD_HEADERS[name]
    chain = branch(us)
    chain.grow(place)
    lie(us, chain)
    chain.grow(3)
    peer = ScriptedPeer(chain)
    claim = {**peer.status(), "chainwork": 10**9}
    peer.status = lambda: claim
    # Past the block that outweighs ours, what is good is adopted, and what follows is refused then or at the next run.
    if place == 120:
        us.network.http.serve(LIAR, peer)
        us.resolve()
        assert us.peer(LIAR).state == "lying" and rule in us.peer(LIAR).reason
        assert set(us.hashes()) <= {*chain.hashes[: COMMON + place], *us.hashes()[:OURS], us.tip}
        assert_store_equals_replay(us.node, us.redis)
    else:
        reason = passed_over(us, peer)
        assert rule in reason or (place == 0 and "do not connect" in reason)
        assert "/chain" not in peer.asked, "no body is fetched before the headers prove their work"


@pytest.mark.parametrize("name", BAD_BODIES)
@pytest.mark.parametrize("place", [0, 2])
def test_one_bad_body(us: Member, name: str, place: int) -> None:
    rule, lie = BAD_BODIES[name]
    chain = branch(us)
    chain.grow(place)
    lie(us, chain)
    chain.grow(4)
    assert rule in passed_over(us, ScriptedPeer(chain))


def test_a_bad_body_behind_good_blocks_that_extend_ours(us: Member) -> None:
    """The good blocks are kept, as they were verified. After that the honest peer is no better than the node."""
    chain = our_chain(us)
    chain.grow(3)
    chain.forge(body=[chain.reward(amount="100")])
    chain.grow(3)
    us.network.http.serve(LIAR, ScriptedPeer(chain))
    assert us.resolve().replaced
    assert us.hashes() == chain.hashes[: OURS + 3]
    assert us.peer(LIAR).state == "lying" and "wrong_reward" in us.peer(LIAR).reason
    assert_store_equals_replay(us.node, us.redis)


# --- claims ---


def claiming(us: Member, **changes: Any) -> ScriptedPeer:
    """A peer with our own chain that claims more."""
    peer = ScriptedPeer(our_chain(us))
    claim = {**peer.status(), "chainwork": 10**12, "tip": "0" * 64, **changes}
    peer.status = lambda: claim
    return peer


def test_work_that_is_claimed_and_not_delivered(us: Member) -> None:
    assert "no headers" in passed_over(us, claiming(us))


def test_a_shorter_chain_that_claims_more(us: Member) -> None:
    peer = ScriptedPeer(chain := branch(us))
    chain.forge()
    claim = {**peer.status(), "chainwork": 10**12}
    peer.status = lambda: claim
    assert "do not hold the work" in passed_over(us, peer)


def test_a_lower_hash_that_is_claimed_and_not_delivered(us: Member) -> None:
    us.network.http.serve(LIAR, claiming(us, chainwork=us.node.chain.tip().chainwork))
    assert not us.resolve(LIAR).replaced
    assert us.peer(LIAR).state == "lying"


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(lambda us: [header_of(us.node.rules.genesis().header.to_object())], id="genesis"),
        pytest.param(lambda us: [{**header_of(us.node.chain.block_object(us.tip)), "index": 1}], id="no parent"),
        pytest.param(lambda us: [{**header_of(us.node.chain.block_object(us.tip)), "index": 2**53 - 1}], id="gap"),
        pytest.param(lambda us: [{**header_of(us.node.chain.block_object(us.tip)), "index": 2**60}], id="huge index"),
        pytest.param(lambda us: "headers", id="text"),
        pytest.param(lambda us: None, id="null"),
        pytest.param(lambda us: {"0": {}}, id="object"),
        pytest.param(lambda us: [1, None, "x", [], {}], id="no headers"),
        pytest.param(lambda us: [{}] * 501, id="more than asked for"),
        pytest.param(lambda us: [{}] * 20_000, id="many more than asked for"),
    ],
)
def test_headers_that_are_none(us: Member, headers: Callable[[Member], Any]) -> None:
    peer = claiming(us)
    page = headers(us)
    peer.headers = lambda locator, limit: {"headers": page}
    passed_over(us, peer)


@pytest.mark.parametrize(
    "garbage", [b"", b"[", b"null", b'{"headers": [1.5]}', b'{"headers": [], "headers": []}', b"\xff"]
)
def test_headers_that_are_garbage(us: Member, garbage: bytes) -> None:
    peer = claiming(us)
    peer.headers = lambda locator, limit: garbage
    passed_over(us, peer)


def test_our_own_headers_again_and_again(us: Member) -> None:
    peer = claiming(us)
    page = [header_of(us.node.chain.block_object(name)) for name in us.hashes()[1:]]
    peer.headers = lambda locator, limit: {"headers": page}
    passed_over(us, peer)
    assert peer.asked.count("/headers") <= 3


def test_cyclic_headers(us: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same good page for whatever is asked: a chain that never gets anywhere."""
    monkeypatch.setattr(header_chain, "PAGE_LIMIT", 2)
    chain = branch(us)
    chain.grow(2)
    peer = ScriptedPeer(chain)
    claim = {**peer.status(), "chainwork": 10**12}
    peer.status = lambda: claim
    page = [header_of(block) for block in chain.blocks[COMMON:]]
    peer.headers = lambda locator, limit: {"headers": page}
    passed_over(us, peer, "unreachable")
    assert peer.asked.count("/headers") <= 12


def test_gapped_pages(us: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(header_chain, "PAGE_LIMIT", 2)
    chain = branch(us)
    chain.grow(8)
    peer = ScriptedPeer(chain)
    first, third = chain.blocks[COMMON : COMMON + 2], chain.blocks[COMMON + 3 : COMMON + 5]
    # A page that does not follow the one before may be a chain that has changed: it is asked again, a few times.
    peer.headers = lambda locator, limit: {"headers": [header_of(b) for b in (first if len(locator) > 1 else third)]}
    monkeypatch.setattr(us.node.chain, "locator", lambda: [*reversed(us.hashes())])
    passed_over(us, peer, "unreachable")
    assert peer.asked.count("/headers") <= 12


def test_a_million_cheap_headers(us: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are counted, and held in a few bytes each. The limit is shrunk here; its real size is checked as well."""
    assert header_chain.MAX_UNPROVEN == 1_000_000
    monkeypatch.setattr(header_chain, "MAX_UNPROVEN", 2_000)
    spec = make_spec(difficulty=1, genesis_timestamp=START - 1000, name="cheap", chain_id=4244)
    network = Network(us.redis, spec)
    network.clock.time = START + 10**6
    here = network.member("cheap")
    chain = ForgedChain(spec)
    chain.grow(6000)
    here.grow(1, ANNE.address)
    here.redis.hset(here.node.chain.keys.tip, "chainwork", 10**6)  # as if it had been difficult
    peer = ScriptedPeer(chain)
    claim = {**peer.status(), "chainwork": 10**12}
    peer.status = lambda: claim
    network.http.serve(LIAR, peer)
    here.befriend(LIAR)
    before = here.hashes()
    tracemalloc.start()
    here.resolve()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert here.hashes() == before
    assert here.peer(LIAR).state == "lying"
    assert peer.asked.count("/headers") == 4, "2,000 headers in pages of 500"
    assert "/chain" not in peer.asked
    assert peak < 20 * 2**20


def test_endless_pages_meet_the_clock(us: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each page comes just in time, and there is always another: the peer's time is over before the run's is."""
    monkeypatch.setattr(header_chain, "PAGE_LIMIT", 1)
    chain = branch(us)
    chain.grow(60)
    peer = ScriptedPeer(chain)
    claim = {**peer.status(), "chainwork": 10**12}
    peer.status = lambda: claim
    us.redis.hset(us.node.chain.keys.tip, "chainwork", 10**9)  # so that they are never enough
    headers = peer.headers

    def slow(locator: list[str], limit: int) -> Any:
        us.clock.time += 9.9
        return {"headers": headers(locator, limit)["headers"][:1]}

    peer.headers = slow
    us.network.http.serve(LIAR, peer)
    started = us.clock.time
    resolution = us.resolve(LIAR)
    assert us.clock.time - started < 45
    assert us.peer(LIAR).state == "unreachable" and "in time" in us.peer(LIAR).reason, resolution.notes


# --- bodies ---


def better(us: Member) -> ScriptedPeer:
    chain = branch(us)
    chain.grow(10)
    return ScriptedPeer(chain)


def test_bodies_of_other_blocks(us: Member) -> None:
    peer = better(us)
    blocks = peer.blocks
    peer.blocks = lambda first, limit: {"chain": blocks(first, limit)["chain"][::-1]}
    passed_over(us, peer, "unreachable")
    assert peer.asked.count("/chain") <= 6


def test_bodies_that_are_swapped_under_their_headers(us: Member) -> None:
    peer = better(us)
    blocks = peer.blocks

    def swapped(first: int, limit: int) -> Any:
        found = json.loads(json.dumps(blocks(first, limit)["chain"]))
        found[0]["transactions"] = found[1]["transactions"]
        return {"chain": found}

    peer.blocks = swapped
    assert "wrong_root" in passed_over(us, peer)


@pytest.mark.parametrize(
    "answer",
    [
        {"chain": []}, {"chain": None}, {}, [], None, {"chain": {"0": {}}}, {"chain": [None]}, {"chain": ["x"]},
        {"chain": [{}]}, {"chain": [{"transactions": None}]}, b"{", b"",
    ],
)  # fmt: skip
def test_bodies_that_are_none(us: Member, answer: Any) -> None:
    peer = better(us)
    peer.blocks = lambda first, limit: answer
    us.network.http.serve(LIAR, peer)
    us.resolve()
    assert us.peer(LIAR).state in ("lying", "unreachable")
    assert us.height == OURS + 1


def test_more_bodies_than_asked_for(us: Member) -> None:
    peer = better(us)
    peer.blocks = lambda first, limit: {"chain": peer.chain.blocks * 10}
    passed_over(us, peer, "unreachable")


def test_bodies_without_end(us: Member) -> None:
    peer = better(us)
    peer.blocks = lambda first, limit: b'{"chain": [' + b" " * (6 * 2**20)
    passed_over(us, peer, "unreachable")
    assert peer.asked.count("/chain") <= 8, "each time fewer are asked for, until it is one"


def test_pages_of_large_blocks_are_asked_for_in_smaller_numbers(us: Member) -> None:
    """A hundred blocks of a megabyte are more than one answer may have; the chain must still be fetched."""
    chain = our_chain(us)
    nonce = 0
    for _ in range(8):
        items = [transfer(us, nonce=nonce + i, amount="0.1", data="x" * 7_000) for i in range(130)]
        chain.forge(*items)
        nonce += len(items)
    assert size_of(chain) > 7 * 2**20
    us.network.http.serve(LIAR, peer := ScriptedPeer(chain))
    resolution = us.resolve()
    assert us.hashes() == chain.hashes, resolution.notes
    assert us.peer(LIAR).state == "ok"
    assert peer.asked.count("/chain") <= 10


# --- who it is ---


def test_another_chain_spec(us: Member) -> None:
    other = ForgedChain(make_spec(name="other", chain_id=999, difficulty=256))
    other.grow(20)
    reason = passed_over(us, ScriptedPeer(other), "other_chain")
    assert other.hashes[0] in reason and us.hashes()[0] in reason


@pytest.mark.parametrize("status", [None, [], {}, "x", b"", b"{", {"genesis": 1}, {"height": "1"}, b"\x00" * 1000])
def test_a_status_that_is_none(us: Member, status: Any) -> None:
    peer = claiming(us)
    peer.status = lambda: status
    passed_over(us, peer, "unreachable")


def test_a_peer_that_breaks_off(us: Member) -> None:
    peer = better(us)

    def broken(locator: list[str], limit: int) -> Any:
        raise PeerFailed("The peer did not answer as it should.")

    peer.headers = broken
    passed_over(us, peer, "unreachable")


def test_a_liar_is_left_alone_for_longer_each_time(us: Member) -> None:
    """An answer to /status proves nothing: it does not reset the count of failures."""
    us.network.http.serve(LIAR, claiming(us))
    pauses = []
    for _ in range(7):
        us.resolve()
        assert us.peer(LIAR).state == "lying"
        pauses.append(us.peer(LIAR).next_try - us.clock.time)
        us.clock.time = us.peer(LIAR).next_try
    assert pauses == [30, 60, 120, 240, 480, 600, 600]
    # Once it delivers what it claims, all is well again.
    chain = our_chain(us)
    chain.grow(2)
    us.network.http.serve(LIAR, ScriptedPeer(chain))
    assert us.resolve().replaced
    assert (us.peer(LIAR).state, us.peer(LIAR).failures, us.peer(LIAR).reason) == ("ok", 0, "")


def test_many_liars_in_one_run(us: Member) -> None:
    liars = [f"http://liar-{number}:5000" for number in range(5)]
    for number, url in enumerate(liars):
        us.network.http.serve(url, claiming(us, chainwork=10**12 + number))
    us.befriend(*liars)
    passed_over(us, claiming(us))
    assert {us.peer(url).state for url in liars} == {"lying"}


def test_a_block_from_the_future_is_nobodys_lie(us: Member) -> None:
    """The peer's good blocks are adopted now, and the early one when its time has come."""
    chain = branch(us)
    chain.grow(5)
    ahead = int(us.clock.time) + 1000
    chain.forge(timestamp=ahead)
    us.network.http.serve(LIAR, ScriptedPeer(chain))
    us.resolve()
    assert us.peer(LIAR).state == "ok"
    assert us.hashes() == chain.hashes[:-1]
    us.clock.time = ahead
    us.resolve()
    assert us.hashes() == chain.hashes
