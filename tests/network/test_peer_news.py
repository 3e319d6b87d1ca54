"""The book of peers and their news: back-off and recovery, candidates, announcements, and the relay."""

import json
from collections.abc import Callable

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from services.housekeeping import keep_house
from services.jobs.queues import ANNOUNCE, RELAY, RESOLVE
from services.peers.announcer import RELAY_BATCH, RELAY_BYTES, RELAY_ROUNDS, REMIND_SECONDS
from services.peers.book import ASK_SECONDS, MAX_CANDIDATES, SAME_NEWS_SECONDS, Peer
from services.peers.claims import DISCOVERY_SECONDS
from services.peers.http import PeerRequest
from shared.keys import KeyPair
from tests.network.ports import Network, once_before
from tests.support.http import Client, FlaskDoor
from tests.support.keys import ALICE, BOB, KEYS

BEN = KeyPair(b"\xc9" * 32)


def test_unreachable_peers_are_asked_less_often_and_found_again(network: Network) -> None:
    a, b = network.members("a", "b")
    b.grow(2, BEN.address)
    network.http.cut(b.url)
    pauses = []
    for _ in range(6):
        a.resolve()
        pauses.append(a.peer(b.url).next_try - a.clock.time)
        assert a.peer(b.url).state == "unreachable"
        assert a.resolve().asked == 0, "it is left alone meanwhile"
        a.clock.time = a.peer(b.url).next_try
    assert pauses == [5, 10, 20, 40, 60, 60]
    network.http.serve(b.url, b.app)
    assert a.resolve().replaced
    assert (a.peer(b.url).state, a.peer(b.url).failures, a.peer(b.url).reason) == ("ok", 0, "")


def test_an_announcement_does_not_shorten_a_pause(network: Network) -> None:
    """Anyone can announce in a peer's name, and to ask a peer that is away takes a worker seconds."""
    a, b = network.members("a", "b")
    network.http.cut(b.url)
    a.resolve()
    network.http.serve(b.url, b.app)
    b.grow(1, BEN.address)
    assert not a.node.announcer.heard(b.url, b.tip) and a.queue.jobs == {}
    a.clock.time = a.peer(b.url).next_try
    assert a.node.announcer.heard(b.url, b.tip)
    assert a.node.resolver.resolve_heard().replaced
    assert a.peer(b.url).state == "ok"


def test_a_peer_that_is_removed_while_it_is_asked_stays_removed(network: Network) -> None:
    a, b = network.members("a", "b")
    removed: list[bool] = []
    network.http.serve(
        b.url, once_before("/status", network.http.handler(b.url), lambda: removed.append(a.node.peers.remove(b.url)))
    )
    a.resolve()
    assert removed == [True]
    assert a.node.peers.all() == []


def test_a_peer_that_is_removed_while_it_is_noted_stays_removed(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = network.members("a", "b")
    book = a.node.peers
    read = book.get

    def then_removed(url: str) -> Peer | None:
        found = read(url)
        book.remove(url)
        return found

    notes: list[Callable[[], None]] = [
        lambda: book.answered(b.url, 1, a.tip, 0),
        lambda: book.failed(b.url, "lying", "It lied."),
        lambda: book.not_asked(b.url, "The proxy failed."),
        lambda: book.proved(b.url),
    ]
    for note in notes:
        a.befriend(b)
        with monkeypatch.context() as patched:
            patched.setattr(book, "get", then_removed)
            note()
        assert book.all() == []


def test_candidates_are_learnt_and_never_asked(network: Network) -> None:
    a, b = network.members("a", "b")
    stranger = "http://c:5000"
    b.befriend(stranger, "http://[::1]:7")
    odd = ["http://127.1", "file:///etc/passwd", "http://user@host", "", "x" * 1000]
    served = network.http.handler(b.url)

    def naming(request: PeerRequest) -> tuple[int, bytes]:
        status, body = served(request)
        if request.path == "/nodes":
            value = json.loads(body)
            value["nodes"] += [{"url": url} for url in odd] + [1, {}, {"url": 5}]
            body = json.dumps(value).encode()
        return status, body

    network.http.serve(b.url, naming)
    a.resolve()
    a.node.resolver.discover(a.url)
    known = {peer.url: peer.state for peer in a.node.peers.all()}
    assert known == {b.url: "ok", stranger: "candidate", "http://[::1]:7": "candidate"}
    network.http.asked.clear()
    a.clock.time += 1000
    a.resolve()
    a.node.announcer.admitted([])
    a.node.announcer.announce(a.tip)
    assert not a.node.announcer.heard(stranger, "0" * 64)
    a.resolve(stranger)
    assert {url for url, _ in network.http.asked} == {b.url}
    a.befriend(stranger)  # approved by the operator
    assert a.peer(stranger).approved
    a.resolve()
    assert network.http.paths(stranger) == ["/status"]


def test_candidates_are_few(network: Network) -> None:
    a, b = network.members("a", "b")
    a.resolve()
    nodes = {"nodes": [{"url": f"http://n{number}:5000"} for number in range(500)]}
    network.http.serve(b.url, lambda request: (200, json.dumps(nodes).encode()))
    for _ in range(3):
        a.node.resolver.discover(a.url)
        a.clock.time += DISCOVERY_SECONDS
    assert len(a.node.peers.all()) == 1 + MAX_CANDIDATES


# --- news ---


def test_announcements(network: Network) -> None:
    a, b, c = network.members("a", "b", "c")
    b.node.announcer.tip_changed()
    b.grow(1, BEN.address)
    b.node.announcer.tip_changed()
    b.node.announcer.tip_changed()
    jobs = [job for job, function in b.queue.jobs.items() if function == ANNOUNCE]
    assert len(jobs) == 2, "one per tip"
    network.http.asked.clear()
    assert b.node.announcer.announce("0" * 64) == 0, "the tip has moved since"
    assert b.node.announcer.announce(b.tip) == 2
    assert network.http.paths(a.url) == network.http.paths(c.url) == ["/nodes/announce"]
    assert list(a.queue.jobs.values()).count(RESOLVE) == 1
    b.node.announcer.announce(b.tip)
    assert list(a.queue.jobs.values()).count(RESOLVE) == 1, "duplicates die out"
    a.resolve(b.url)
    assert not a.node.announcer.heard(c.url, b.tip), "we have it"


def test_announcements_of_strangers_and_liars_are_not_heeded(network: Network) -> None:
    a, b = network.members("a", "b")
    assert not a.node.announcer.heard("http://stranger:5000", "1" * 64)
    a.node.peers.failed(b.url, "lying", "It lied.")
    assert not a.node.announcer.heard(b.url, "1" * 64)
    a.clock.time = a.peer(b.url).next_try
    assert a.node.announcer.heard(b.url, "1" * 64)
    assert list(a.queue.jobs.values()) == [RESOLVE]


def test_announcements_cannot_flood_the_workers(network: Network) -> None:
    """Anyone can announce as one of our peers: one job waits for all announcements, however many peers they name."""
    a, *others = network.members(*"abcdef")
    for number in range(500):
        for other in others:
            a.node.announcer.heard(other.url, f"{number:032x}" * 2)
    assert list(a.queue.jobs.values()) == [RESOLVE]
    network.http.asked.clear()
    assert a.node.resolver.resolve_heard().asked == len(others)
    assert all(network.http.paths(other.url) == ["/status"] for other in others)
    assert a.node.resolver.resolve_heard().asked == 0, "all were asked"


def test_a_peer_is_asked_once_a_second_whatever_is_announced_or_asked_for(network: Network) -> None:
    a, b = network.members("a", "b")
    a.resolve()
    network.http.asked.clear()
    began, number = a.clock.time, 0
    while a.clock.time < began + 20:
        for _ in range(31):
            number += 1
            a.node.announcer.heard(b.url, f"{number:032x}" * 2)
        a.node.resolver.resolve_heard()
        if number % 10 == 0:
            a.resolve()  # as scheduled, and as people ask for it
            a.resolve(b.url)
        a.clock.time += 0.1
    seconds = a.clock.time - began
    assert seconds - 2 <= len(network.http.paths(b.url)) <= seconds / ASK_SECONDS + 1


def test_the_same_news_is_not_looked_at_again_soon(network: Network) -> None:
    a, b = network.members("a", "b")
    looks = 0
    for _ in range(60):
        looks += a.node.announcer.heard(b.url, "ab" * 32)
        a.node.resolver.resolve_heard()
        a.clock.time += 1
    assert looks == 60 / SAME_NEWS_SECONDS
    assert a.node.announcer.heard(b.url, "cd" * 32), "other news is looked at"


def test_lost_jobs_of_announcements_are_brought_back(network: Network) -> None:
    a, b = network.members("a", "b")
    a.node.announcer.news_waiting()
    assert a.queue.jobs == {}
    b.grow(1, BEN.address)
    assert a.node.announcer.heard(b.url, b.tip)
    a.queue.jobs.clear()
    a.node.announcer.news_waiting()
    assert list(a.queue.jobs.values()) == [RESOLVE]
    assert a.node.resolver.resolve_heard().replaced
    a.queue.jobs.clear()
    a.node.announcer.news_waiting()
    assert a.queue.jobs == {}


def test_a_moment_that_a_wrong_clock_wrote_holds_nobody_up(network: Network) -> None:
    a, b = network.members("a", "b")
    a.clock.time += 10_000
    a.resolve()
    assert a.node.announcer.heard(b.url, "ab" * 32)
    a.clock.time -= 10_000
    began = a.clock.time
    a.node.peers.pace([b.url])
    assert a.clock.time == began
    assert a.node.announcer.heard(b.url, "cd" * 32)


@pytest.mark.parametrize("spelling", ["HTTP://B:5000", "http://b:5000/", "b:5000", "http://B:5000/"])
def test_other_spellings_of_a_peer_are_the_same_peer(network: Network, spelling: str) -> None:
    a, b = network.members("a", "b")
    client = Client(FlaskDoor(a.app))
    news = {"hash": "ab" * 32, "height": 2**53, "chainwork": 2**255}
    assert client.post("/nodes/announce", {"url": spelling, **news}).ok(202) == {"heeded": True}
    assert client.post("/nodes/announce", {"url": b.url, **news}).ok(202) == {"heeded": False}
    assert a.redis.hkeys(a.node.chain.keys.heard) == [b.url.encode()]
    a.node.peers.remove(b.url)
    assert a.redis.hlen(a.node.chain.keys.heard) == a.redis.hlen(a.node.chain.keys.asked) == 0


def test_a_peer_that_cannot_be_told_is_left_alone_for_a_while(network: Network) -> None:
    a, b, _ = network.members("a", "b", "c")
    network.http.cut(b.url)
    assert a.node.announcer.announce(a.tip) == 1
    network.http.asked.clear()
    assert a.node.announcer.announce(a.tip) == 1
    assert network.http.paths(b.url) == [] and a.peer(b.url).state == "unreachable"


def test_transactions_are_relayed_and_die_out(network: Network) -> None:
    a, b, c = network.members("a", "b", "c")
    a.clock.time += 10
    items = [a.sign(key, nonce) for key in (ALICE, BOB) for nonce in range(3)]
    a.node.submit(items)
    assert list(a.queue.jobs.values()).count(RELAY) == 1
    assert a.node.announcer.relay() == 6
    for member in (b, c):
        assert member.node.pool.totals()[0] == 6
        assert member.node.announcer.relay() == 6  # each sends on what was new to it, once
    for member in (a, b, c):
        assert member.node.announcer.relay() == 0
    assert b.node.pool.next_nonce(ALICE.address) == 3


def test_a_peer_that_missed_transactions_is_told_again(network: Network) -> None:
    """Without a sender's first transaction it can mine none of the later ones."""
    a, b = network.members("a", "b")
    a.clock.time += 10
    network.http.cut(b.url)
    a.node.submit([a.sign(ALICE, 0)])
    assert a.node.announcer.relay() == 1
    network.http.serve(b.url, b.app)
    a.clock.time = a.peer(b.url).next_try
    a.node.submit([a.sign(ALICE, 1)])
    assert a.node.announcer.relay() == 1
    keep_house(a.node)
    assert a.node.announcer.relay() == 0, "too early"
    assert not b.node.rounds._templates.make(BEN.address).transactions
    a.clock.time += REMIND_SECONDS
    keep_house(a.node)
    assert list(a.queue.jobs.values()).count(RELAY) == 3
    assert a.node.announcer.relay() == 2
    assert b.node.rounds._templates.make(BEN.address).transactions == 2
    keep_house(a.node)
    assert a.node.announcer.relay() == 0, "as early as that not again"
    a.clock.time += REMIND_SECONDS
    keep_house(a.node)
    assert a.node.announcer.relay() == 2


def test_what_a_reorganisation_brings_back_is_handed_on(network: Network) -> None:
    """Otherwise it waits at the node whose block lost until that node mines again, and perhaps loses again."""
    a, b = network.members("a", "b")
    a.clock.time += 10
    network.http.cut(b.url)
    a.node.submit([a.sign(ALICE, nonce) for nonce in range(3)])
    assert a.node.announcer.relay() == 3
    a.mine_pool()
    b.grow(2, BEN.address)
    network.http.serve(b.url, b.app)
    a.clock.time = a.peer(b.url).next_try
    assert a.resolve().replaced and a.node.pool.totals()[0] == 3
    a.queue.jobs.clear()
    keep_house(a.node)
    assert list(a.queue.jobs.values()).count(RELAY) == 1
    assert a.node.announcer.relay() == b.node.pool.totals()[0] == 3


def test_a_broker_that_is_away_does_not_keep_a_reorganisation_from_being_finished(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chain is in the store. What came back waits in the outbox until housekeeping enqueues the job."""
    a, b = network.members("a", "b")
    a.clock.time += 10
    a.admit(ALICE, 0)
    a.mine_pool()
    b.grow(2, BEN.address)
    branch = a.node.reorganiser.begin(1)
    for stored in b.node.chain.headers(2, 2):
        a.node.reorganiser.add(branch, a.node.rules.read_block(b.node.chain.block_object(stored.header.hash)))

    def away(*_: str) -> bool:
        raise RedisConnectionError("no broker")

    with monkeypatch.context() as patched:
        patched.setattr(a.queue, "enqueue_network", away)
        a.node.reorganiser.swap(branch)
    assert (a.tip, a.node.pool.totals()[0]) == (b.tip, 1)
    keep_house(a.node)
    assert list(a.queue.jobs.values()) == [RELAY]
    assert a.node.announcer.relay() == b.node.pool.totals()[0] == 1


def test_a_long_mempool_is_handed_on_again_batch_by_batch(network: Network) -> None:
    a, c = network.members("a", "c")
    items = [a.sign(key, nonce) for key in KEYS[:10] for nonce in range(45)]
    network.http.cut(c.url)
    a.clock.time += 10
    a.node.submit(items)
    while a.node.announcer.relay():
        pass
    network.http.serve(c.url, c.app)
    a.clock.time += REMIND_SECONDS
    told = []
    for _ in range(4):
        keep_house(a.node)
        keep_house(a.node)  # while the outbox is full, nothing is added
        told.append(a.node.announcer.relay())
    assert told == [RELAY_BATCH, RELAY_BATCH, 50, 0]
    assert c.node.pool.totals()[0] == len(items)


def test_a_relay_ends_however_fast_transactions_come(network: Network) -> None:
    """Otherwise a client that sends some during each batch keeps the network worker busy for ever."""
    a, b = network.members("a", "b")
    a.clock.time += 10
    waiting = [a.sign(key, nonce) for nonce in range(5) for key in KEYS[:10]]
    served = network.http.handler(b.url)

    def feeding(request: PeerRequest) -> tuple[int, bytes]:
        if waiting:
            a.node.submit([waiting.pop(0)])
        return served(request)

    network.http.serve(b.url, feeding)
    a.node.submit([waiting.pop(0)])
    a.queue.jobs.clear()
    assert a.node.announcer.relay() == RELAY_ROUNDS
    assert list(a.queue.jobs.values()) == [RELAY], "the rest is another job's"
    relayed = RELAY_ROUNDS
    while more := a.node.announcer.relay():
        relayed += more
    assert relayed == b.node.pool.totals()[0] == 50


def test_large_transactions_are_relayed_in_requests_that_are_not_too_large(network: Network) -> None:
    a, b = network.members("a", "b")
    a.clock.time += 10
    bodies: list[int] = []
    served = network.http.handler(b.url)

    def counting(request: PeerRequest) -> tuple[int, bytes]:
        bodies.append(len(request.body or b""))
        return served(request)

    network.http.serve(b.url, counting)
    a.node.submit([a.sign(key, nonce, data="x" * 7_500) for key in KEYS[:10] for nonce in range(20)])
    assert a.node.announcer.relay() == 200
    assert b.node.pool.totals()[0] == 200
    assert len(bodies) == 4 and max(bodies) < RELAY_BYTES * 1.1 < 2**20


def test_a_clock_that_is_set_back_does_not_hide_a_new_peer(network: Network) -> None:
    a, b = network.member("a"), network.member("b")
    a.node.announcer.admitted(["a" * 64])
    assert a.node.announcer._outbox.peek(10) == [], "there is nobody to tell"
    a.clock.time -= 3600
    a.befriend(b)
    a.node.announcer.admitted(["b" * 64])
    assert a.node.announcer._outbox.peek(10) == ["b" * 64]
