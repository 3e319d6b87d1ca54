"""Agreeing with peers that are honest: what is asked of them, in which order, and what happens when they change."""

from typing import Any

import pytest
from redis import Redis

from services.chain.reorganiser import Branch
from services.errors import PeerFailed
from services.jobs.queues import ANSWER
from services.peers import header_chain
from services.peers.resolver import RUN_SECONDS
from services.store.resolutions import Answer
from shared.block import Block
from shared.keys import KeyPair
from tests.network.branches import check
from tests.network.ports import Member, Network, once_before
from tests.support.keys import ALICE, CAROL
from tests.support.liars import ForgedChain, ScriptedPeer
from tests.support.stored import assert_store_equals_replay

ANNE, BEN = (KeyPair(bytes([200 + i]) * 32) for i in range(2))


def chain_pages(network: Network, url: str) -> list[str]:
    return [path for asked, path in network.http.asked if asked == url and path.startswith("/chain")]


def test_one_block_behind_costs_three_small_requests(network: Network) -> None:
    a, b = network.members("a", "b")
    b.grow(40, BEN.address)
    network.copy(b, a)
    b.mine(b.sign(ALICE, 0))
    network.http.asked.clear()
    network.http.bytes = 0
    assert a.resolve().replaced
    assert network.http.paths(b.url) == ["/status", "/headers", "/chain"]
    assert network.http.bytes < 20_000
    assert chain_pages(network, b.url) == [f"/chain?from={b.height}&limit=1"]


def test_nothing_new_costs_one_request(network: Network) -> None:
    a, b = network.members("a", "b")
    b.grow(3, BEN.address)
    a.resolve()
    network.http.asked.clear()
    resolution = a.resolve()
    assert (resolution.replaced, resolution.asked, resolution.notes) == (False, 1, ())
    assert network.http.paths(b.url) == ["/status"]


def scripted(network: Network, *members: Member, name: str = "scripted") -> ScriptedPeer:
    """A peer of `members` at http://NAME:5000, with a chain that is empty."""
    peer = ScriptedPeer(ForgedChain(network.spec))
    url = f"http://{name}:5000"
    network.http.serve(url, peer)
    for member in members:
        member.befriend(url)
    return peer


def test_a_peer_that_is_mining_can_be_read(network: Network) -> None:
    """Its status then has fractions, such as the time at which the round was opened. A claim is not hashed."""
    a, b = network.members("a", "b")
    b.grow(2, BEN.address)
    b.clock.time += 0.5
    b.node.requests.ask()
    assert isinstance(b.get("/status")["round"]["opened_at"], float)
    assert a.resolve().notes == ()
    assert a.hashes() == b.hashes()


def test_a_long_chain_is_fetched_in_pages(network: Network) -> None:
    a = network.member("a")
    peer = scripted(network, a)
    peer.chain.grow(1234)
    network.clock.time += 10_000
    assert a.resolve().replaced
    assert a.hashes() == peer.chain.hashes
    assert (peer.asked.count("/headers"), peer.asked.count("/chain")) == (3, 13)


def test_a_sync_that_is_killed_goes_on_where_it_was(network: Network) -> None:
    class Killed(BaseException):
        pass

    a = network.member("a")
    peer = scripted(network, a)
    peer.chain.grow(380)
    served = peer.blocks

    def dying(first: int, limit: int) -> Any:
        if first > 201:
            raise Killed
        return served(first, limit)

    peer.blocks = dying
    with pytest.raises(Killed):
        a.resolve()
    assert a.height == 201
    peer.blocks = served
    network.http.asked.clear()
    a.node = a.build(a.redis)
    assert a.resolve().replaced
    assert a.hashes() == peer.chain.hashes
    assert chain_pages(network, "http://scripted:5000") == ["/chain?from=202&limit=100", "/chain?from=302&limit=80"]
    assert_store_equals_replay(a.node, a.redis)


def test_a_peer_that_fails_in_the_middle_is_passed_over(network: Network) -> None:
    """What was fetched from it stays, and the next best peer goes on from there."""
    a = network.member("a")
    failing, good = scripted(network, a, name="failing"), scripted(network, a, name="good")
    good.chain.grow(220)
    failing.chain = ForgedChain(network.spec, good.chain.blocks)
    failing.chain.grow(1)
    served = failing.blocks

    def fail(first: int, limit: int) -> Any:
        if first > 102:
            raise PeerFailed("The connection was lost.")
        return served(first, limit)

    failing.blocks = fail
    assert a.resolve().replaced
    assert a.hashes() == good.chain.hashes
    assert chain_pages(network, "http://good:5000") == ["/chain?from=202&limit=20"]
    assert (a.peer("http://failing:5000").state, a.peer("http://good:5000").state) == ("unreachable", "ok")


@pytest.mark.parametrize("depth", [12, 40])
def test_a_long_prefix_in_common_is_not_detached(network: Network, depth: int) -> None:
    """The locator's steps double, so the peer answers from below the fork point: common blocks are left alone."""
    a, b = network.members("a", "b")
    a.grow(70, ANNE.address)
    network.copy(a, b)
    a.grow(depth, ANNE.address)
    b.grow(depth + 1, BEN.address)
    network.http.asked.clear()
    assert a.resolve().replaced
    assert a.hashes() == b.hashes()
    journal_of = a.redis.xrevrange(a.node.chain.keys.events, count=1)[0][1]  # type: ignore[index] # redis-py's type
    assert journal_of == {b"type": b"reorganisation", b"data": f"71 {b.height} {b.tip}".encode()}
    assert chain_pages(network, b.url)[0] == f"/chain?from=72&limit={min(depth + 1, 100)}"
    check(a)


def test_blocks_that_are_held_already_take_none_of_the_peers_time(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A branch too long for one run: the next one applies again what is staged, and that may take longer than a run."""
    a, b = network.members("a", "b")
    a.grow(5, ANNE.address)
    b.grow(8, BEN.address)
    add, add_known = a.node.reorganiser.add, a.node.reorganiser.add_known

    class Killed(BaseException):
        pass

    def die(branch: Branch, block: Block) -> None:
        add(branch, block)
        if len(branch.attached) == 6:
            raise Killed

    monkeypatch.setattr(a.node.reorganiser, "add", die)
    with pytest.raises(Killed):
        a.resolve()
    monkeypatch.setattr(a.node.reorganiser, "add", add)

    def slowly(branch: Branch, block_hash: str) -> bool:
        network.clock.time += RUN_SECONDS
        return add_known(branch, block_hash)

    monkeypatch.setattr(a.node.reorganiser, "add_known", slowly)
    assert a.resolve().replaced
    assert a.hashes() == b.hashes()


@pytest.mark.slow
def test_a_fork_a_thousand_blocks_deep(network: Network) -> None:
    a, b = network.members("a", "b")
    a.grow(1000, ANNE.address)
    b.grow(1001, BEN.address)
    assert a.resolve().replaced
    assert a.hashes() == b.hashes()
    assert len(a.node.chain.locator()) < 25
    assert a.node.chain.account(ANNE.address).balance == 0


@pytest.mark.parametrize("path", ["/headers", "/chain"])
def test_a_peer_whose_chain_changes_in_the_middle_is_no_liar(network: Network, path: str) -> None:
    """It reorganises between its status, its headers and its blocks: we follow in the same run."""
    a, b, c = network.members("a", "b", "c")
    a.grow(2, ANNE.address)
    b.grow(5, BEN.address)
    c.grow(9, CAROL.address)
    network.http.serve(
        b.url, once_before(path, network.http.handler(b.url), lambda: _assert(b.resolve(c.url).replaced))
    )
    a.node.peers.remove(c.url)
    assert a.resolve().replaced
    assert a.hashes() == b.hashes() == c.hashes()
    assert a.peer(b.url).state == "ok"
    check(a)


def _assert(value: bool) -> None:
    assert value


def test_a_peer_whose_chain_changes_between_two_pages_of_headers(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(header_chain, "PAGE_LIMIT", 5)
    a = network.member("a")
    a.grow(12, ANNE.address)
    peer = scripted(network, a)
    peer.page = 5
    peer.chain.grow(14)
    other = ForgedChain(network.spec)
    other.miner = BEN.address
    other.grow(16)
    headers = peer.headers

    def changing(locator: list[str], limit: int) -> Any:
        if peer.asked.count("/headers") == 2:
            peer.chain = other
        return headers(locator, limit)

    peer.headers = changing
    assert a.resolve().replaced
    assert a.hashes() == other.hashes
    assert a.peer("http://scripted:5000").state == "ok"


def test_headers_are_consistent_while_they_are_read(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reorganisation between finding the fork point and reading what follows must not look like a lie."""
    a, b = network.members("a", "b")
    a.grow(12, ANNE.address)
    b.grow(13, BEN.address)
    locator = a.node.chain.locator()
    read = a.node.chain.fork_height
    done: list[bool] = []

    def meanwhile(names: Any) -> int:
        found = read(names)
        if not done:
            done.append(a.resolve().replaced)
        return found

    monkeypatch.setattr(a.node.chain, "fork_height", meanwhile)
    first, found = a.node.chain.after(locator, 500)
    assert done == [True]
    assert first == 2 and found[0].header.previous_hash == locator[-1]


def test_our_chain_grows_by_the_same_blocks_meanwhile(network: Network) -> None:
    """Two workers sync from one peer at once: neither calls it a liar, and nothing is appended twice."""
    a, b = network.members("a", "b")
    b.grow(30, BEN.address)
    other = a.build(a.redis)
    for path in ("/headers", "/chain"):
        served = network.http.handler(b.url)
        network.http.serve(b.url, once_before(path, served, lambda: _assert(other.resolver.resolve().replaced)))
        assert a.resolve().notes == ()
        network.http.serve(b.url, b.app)
        assert a.hashes() == b.hashes()
        assert a.peer(b.url).state == "ok"
        b.grow(30, BEN.address)
    assert_store_equals_replay(a.node, a.redis)


def test_the_best_claim_is_asked_first_and_the_rest_only_for_its_status(network: Network) -> None:
    a, b, c, d = network.members("a", "b", "c", "d")
    for member, blocks in ((b, 3), (c, 9), (d, 6)):
        member.grow(blocks, BEN.address)
    network.http.asked.clear()
    assert a.resolve().replaced
    assert a.hashes() == c.hashes()
    assert network.http.paths(b.url) == network.http.paths(d.url) == ["/status"]


def test_only_one_peer_resolves(network: Network) -> None:
    a, b, c = network.members("a", "b", "c")
    b.grow(1, BEN.address)
    c.grow(5, CAROL.address)
    network.http.asked.clear()
    assert a.resolve(b.url).replaced
    assert a.hashes() == b.hashes()
    assert network.http.paths(c.url) == []
    assert not a.resolve("http://stranger:5000").replaced
    assert network.http.paths("http://stranger:5000") == []


# --- asking for it ---


def test_requests_to_resolve_are_answered_together(network: Network) -> None:
    a, b = network.members("a", "b")
    b.grow(2, BEN.address)
    consensus = a.node.consensus
    for _ in range(5):
        assert consensus.ask(0) is None
    jobs = [job for job, function in a.queue.jobs.items() if function == ANSWER]
    assert len(jobs) == 1, "five who wait for the same run have one job"
    network.http.asked.clear()
    assert consensus.answer(1)
    assert network.http.paths(b.url).count("/status") == 1
    for number in range(2, 6):
        assert consensus.answer(number), "answered by the same run"
    assert network.http.paths(b.url).count("/status") == 1
    assert not consensus.answer(6)


def test_an_answer_that_was_lost_is_asked_for_again(network: Network) -> None:
    a, _ = network.members("a", "b")
    assert a.node.consensus.ask(11) is None
    assert len([job for job, function in a.queue.jobs.items() if function == ANSWER]) >= 3


def test_a_clock_that_is_set_back_makes_nobody_wait_longer(network: Network) -> None:
    a = network.member("a")
    looks = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        a.clock.time += seconds
        if len(looks) == 3:
            a.clock.time -= 3600

    a.clock.sleep = sleep  # type: ignore[method-assign] # the clock of the test
    assert a.node.consensus.ask(2) is None
    assert 15 < len(looks) < 25


def test_a_late_run_does_not_take_back_a_later_answer(network: Network) -> None:
    a, b = network.members("a", "b")
    a.node.consensus.ask(0)
    other = a.build(a.redis)

    def meanwhile() -> None:
        a.node.consensus.ask(0)
        a.node.consensus.ask(0)
        other.consensus.answer(3)

    network.http.serve(b.url, once_before("/status", network.http.handler(b.url), meanwhile))
    a.node.consensus.answer(1)
    assert a.node.consensus._store.done() == Answer(3, False)


def test_equal_tips_are_agreed_on_without_anybody_mining(redis: Redis, network: Network) -> None:
    members = network.members("a", "b", "c")
    for member, key in zip(members, (ANNE, BEN, CAROL), strict=True):
        member.grow(4, key.address)
    best = min(member.tip for member in members)
    for member in members:
        member.resolve()
    for member in members:
        member.resolve()
    assert {member.tip for member in members} == {best}


def test_a_hundred_peers_of_whom_one_is_honest(network: Network) -> None:
    a = network.member("a", max_peers=128)
    b = network.member("b")
    b.grow(3, BEN.address)
    a.befriend(b.url, *(f"http://dead-{number}:1" for number in range(99)))
    resolution = a.resolve()
    assert resolution.replaced and resolution.asked == 100 and len(resolution.notes) == 99


def test_status_of_peers_is_shown(network: Network) -> None:
    a, b = network.members("a", "b")
    b.grow(2, BEN.address)
    a.resolve()
    shown: Member = a
    assert shown.get("/status")["peers"] == [{"url": b.url, "height": 3, "tip": b.tip, "state": "ok"}]
