"""The limits of peers and candidates, also when many are added at once."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from services.errors import PolicyError
from services.peers.book import MAX_CANDIDATES, Peer
from services.peers.http import outcome
from tests.network.ports import Network


def test_there_is_room_for_so_many_peers(network: Network) -> None:
    a = network.member("a", max_peers=3)
    a.befriend("http://x", "http://y")
    with pytest.raises(PolicyError, match="at most 3"):
        a.befriend("http://z", "http://w")
    assert [peer.url for peer in a.node.peers.all()] == ["http://x", "http://y"]
    a.befriend("http://z")
    a.befriend("http://x", "http://z")  # known already
    a.node.peers.learn(["http://candidate"])
    with pytest.raises(PolicyError):
        a.befriend("http://candidate")
    assert a.peer("http://candidate").state == "candidate"


def test_registrations_beside_each_other_keep_the_limit(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that counted the peers before another one registered some must not get past the limit."""
    a = network.member("a", max_peers=4)
    book = a.node.peers
    count = book.approved
    rivals = [f"http://rival{number}" for number in range(3)]

    def counted_too_early() -> list[Peer]:
        found = count()
        while rivals:
            a.build(a.redis).peers.add(rivals.pop())
        return found

    monkeypatch.setattr(book, "approved", counted_too_early)
    with pytest.raises(PolicyError):
        book.add("http://x", "http://y")
    monkeypatch.undo()
    assert len(book.approved()) == 3
    book.add("http://x")
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda number: outcome(book.add, f"http://late{number}"), range(24)))
    assert len(book.approved()) == 4 and not any(item is None for item in outcomes)


def test_candidates_learnt_beside_each_other_keep_the_limit(network: Network) -> None:
    a = network.member("a")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: a.node.peers.learn(f"http://n{n}-{i}" for i in range(20)), range(16)))
    assert len(a.node.peers.all()) == MAX_CANDIDATES
