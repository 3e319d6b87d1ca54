"""Peers over HTTP: registering them, agreeing on demand, announcements, and paging through headers."""

from collections.abc import Iterator
from typing import Any

import pytest

from services.errors import NoSuchHost
from services.jobs.queues import RESOLVE
from shared.keys import KeyPair
from tests.network.ports import Member, Network
from tests.support.http import Answer, Client, FlaskDoor
from tests.support.keys import TOKEN
from tests.support.liars import ForgedChain, ScriptedPeer
from tests.support.specs import make_spec

ANNE, BEN = (KeyPair(bytes([200 + i]) * 32) for i in range(2))
ADMIN = {"Authorization": f"Bearer {TOKEN}"}
Pair = tuple[Member, Member]


@pytest.fixture
def pair(network: Network) -> Iterator[Pair]:
    """Two nodes that do not know each other."""
    yield network.member("a"), network.member("b")


def client(member: Member) -> Client:
    return Client(FlaskDoor(member.app))


def register(member: Member, *urls: object, path: str = "/nodes/register", **headers: str) -> Answer:
    return client(member).post(path, {"nodes": list(urls)}, **(ADMIN if not headers else headers))


@pytest.mark.parametrize("path", ["/nodes/register", "/miner/register"])
def test_registering(pair: Pair, path: str) -> None:
    a, b = pair
    body = register(a, b.url + "/", b.url.removeprefix("http://"), path=path).ok(201)
    assert body == {"message": "New nodes have been added.", "all_nodes": [b.url], "total_nodes": [b.url]}
    again = register(a, b.url, "http://down:1", path=path).ok(201)
    assert again["total_nodes"] == again["all_nodes"] == sorted([b.url, "http://down:1"])
    shown = client(a).get("/nodes").ok()["nodes"]
    assert [(peer["url"], peer["state"]) for peer in shown] == [(b.url, "new"), ("http://down:1", "new")]
    assert set(shown[0]) == {"url", "state", "height", "tip", "chainwork", "failures", "reason"}


@pytest.mark.parametrize(
    "headers", [{"X-None": "1"}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eDp5"}]
)
@pytest.mark.parametrize("path", ["/nodes/register", "/miner/register"])
def test_registering_needs_the_token(pair: Pair, path: str, headers: dict[str, str]) -> None:
    a, b = pair
    register(a, b.url, path=path, **headers).refused(401, "admin_token_required")
    assert a.node.peers.all() == []
    assert a.network.http.asked == [], "strangers do not choose whom we ask"


def test_removing(pair: Pair) -> None:
    a, b = pair
    register(a, b.url, "http://down:1")
    door = client(a).door
    body = b'{"nodes": ["http://b:5000/", "http://unknown:1"]}'
    door.call("DELETE", "/nodes", body, Content_Type="application/json").refused(401, "admin_token_required")
    answer = door.call("DELETE", "/nodes", body, Content_Type="application/json", **ADMIN).ok()
    assert answer["removed"] == 1 and [peer["url"] for peer in answer["nodes"]] == ["http://down:1"]
    assert not a.node.announcer.heard(b.url, "0" * 64)


def test_a_peer_on_another_chain_is_refused_by_name(network: Network) -> None:
    a = network.member("a")
    other = network.member("other", make_spec(name="other", chain_id=999))
    problem = register(a, "http://down:1", other.url).refused(400, "wrong_genesis")
    assert problem["field"] == "nodes"
    assert a.hashes()[0] in problem["detail"] and other.hashes()[0] in problem["detail"]
    assert a.node.peers.all() == [], "all or none"


def test_too_many_peers(network: Network) -> None:
    a = network.member("a", max_peers=2)
    register(a, "http://x", "http://y", "http://z").refused(400, "too_many_peers")
    assert a.node.peers.all() == []
    assert a.network.http.asked == [], "nobody is asked for what is refused anyway"
    register(a, "http://x", "http://y").ok(201)
    register(a, "http://x", "http://z").refused(400, "too_many_peers")
    register(a, "http://x").ok(201)


def test_our_own_url_is_no_peer(pair: Pair) -> None:
    """The tutorial's readers name all nodes to each node."""
    a, b = pair
    assert register(a, a.url, b.url).ok(201)["total_nodes"] == [b.url]


def test_a_node_that_names_only_itself_is_told_so(pair: Pair) -> None:
    a, b = pair
    a.node.development.begin_run("a")
    b.node.development.begin_run("b")
    http = a.network.http
    http.serve("http://alias:1", http.handler(a.url))  # another way to the same node
    for url in (a.url, f"{a.url}/", "http://alias:1"):
        problem = register(a, url).refused(400, "bad_peer_url")
        assert "is this node itself" in problem["detail"] and problem["field"] == "nodes"
    assert a.node.peers.all() == []
    assert register(a, "http://alias:1", b.url).ok(201)["total_nodes"] == [b.url]


@pytest.mark.parametrize(
    ("status", "body"),
    [(404, b"no"), (405, b"{}"), (200, b"<html>"), (200, b"{}"), (200, b"[]"), (200, b'{"genesis": 1, "tip": 2}')],
)
def test_another_program_is_no_peer(pair: Pair, status: int, body: bytes) -> None:
    a, b = pair
    a.network.http.serve("http://other:81", lambda request: (status, body))
    problem = register(a, b.url, "http://other:81").refused(400, "bad_peer_url")
    assert "http://other" in problem["detail"] and "not a node" in problem["detail"]
    assert a.node.peers.all() == [], "all or none"


@pytest.mark.parametrize("status", [500, 503])
def test_a_node_that_is_just_starting_is_registered(pair: Pair, status: int) -> None:
    a, _ = pair
    a.network.http.serve("http://starting:1", lambda request: (status, b"{}"))
    assert register(a, "http://starting:1").ok(201)["total_nodes"] == ["http://starting:1"]


def test_a_name_that_does_not_exist_is_refused(pair: Pair) -> None:
    a, _ = pair

    def unknown(request: object) -> tuple[int, bytes]:
        raise NoSuchHost("The peer's name cannot be resolved.")

    a.network.http.serve("http://mistyped:1", unknown)
    assert "no host of the name" in register(a, "http://mistyped:1").refused(400, "bad_peer_url")["detail"]
    assert a.node.peers.all() == []


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"nodes": []}, 400, "bad_nodes"),
        ({"nodes": ["http://a"] * 65}, 400, "bad_nodes"),
        ({"nodes": "http://a"}, 400, "bad_nodes"),
        ({"nodes": None}, 400, "bad_nodes"),
        ({"nodes": {"0": "http://a"}}, 400, "bad_nodes"),
        ({"nodes": [5000]}, 400, "bad_peer_url"),
        ({"nodes": [None]}, 400, "bad_peer_url"),
        ({"nodes": ["http://x", "file:///etc/passwd"]}, 400, "bad_peer_url"),
        ({"nodes": ["http://127.1"]}, 400, "bad_peer_url"),
        ({"nodes": ["http://2130706433"]}, 400, "bad_peer_url"),
        ({"nodes": ["http://user:pass@127.0.0.1"]}, 400, "bad_peer_url"),
        ({"nodes": ["http://[::1"]}, 400, "bad_peer_url"),
        ({"nodes": ["http://169.254.169.254"]}, 400, "bad_peer_url"),
        ({"nodes": ["http://[fe80::1]"]}, 400, "bad_peer_url"),
        ({"nodes": ["http://[::ffff:169.254.169.254]:80"]}, 400, "bad_peer_url"),
        ({"nodes": ["http://0.0.0.0"]}, 400, "bad_peer_url"),
        ({}, 422, "wrong_fields"),
        ({"nodes": ["http://a"], "more": 1}, 422, "wrong_fields"),
        ([], 400, "not_an_object"),
        ("http://a", 400, "not_an_object"),
    ],
)
def test_bad_registrations(pair: Pair, body: Any, status: int, code: str) -> None:
    a, _ = pair
    problem = client(a).post("/nodes/register", body, **ADMIN).refused(status, code)
    assert "pass" not in problem["detail"]
    assert a.node.peers.all() == [] and a.network.http.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:5001",
        "http://10.0.0.1",
        "http://[::1]:1",
        "http://[::ffff:127.0.0.1]",
        "http://[2002:7f00:1::]",
    ],
)
def test_private_addresses_need_leave(network: Network, url: str) -> None:
    public = network.member("public", host="203.0.113.1", unsafe_development=True)
    private = network.member("private")
    assert not public.settings.reaches_private_peers and private.settings.reaches_private_peers
    host = {"Host": "x"}
    register(public, url, **ADMIN, **host).refused(400, "bad_peer_url")
    register(private, url).ok(201)


# --- /nodes/resolve ---


@pytest.fixture
def working(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network worker that runs each job at once."""

    def run(self: Any, function: str, node: str, job_id: str, *args: str) -> bool:
        if job_id in self.jobs:
            return False
        self.jobs[job_id] = function
        name = function.rpartition(".")[2]
        if name == "answer":
            workers[node].node.consensus.answer(int(args[0]))
        return True

    workers: dict[str, Member] = {}
    build = network.member

    def member(name: str, *args: Any, **settings: Any) -> Member:
        made = workers[name] = build(name, *args, **settings)
        return made

    monkeypatch.setattr(network, "member", member)
    monkeypatch.setattr("tests.support.nodes.RecordingQueue.enqueue_network", run)


@pytest.mark.usefixtures("working")
@pytest.mark.parametrize("path", ["/nodes/resolve", "/miner/nodes/resolve"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_resolving(network: Network, path: str, method: str) -> None:
    a, b = network.members("a", "b")
    a.grow(1, ANNE.address)
    b.grow(2, BEN.address)
    door = client(a).door
    body = door.call(method, path).ok()
    assert set(body) == {"message", "new_chain", "length"}
    assert body["message"] == "Our chain was replaced."
    assert body["new_chain"] == client(b).get("/chain").ok()["chain"] and body["length"] == 3
    body = door.call(method, path).ok()
    assert set(body) == {"message", "chain", "length"}
    assert body["message"] == "Our chain is authoritative."
    assert body["chain"] == client(b).get("/chain").ok()["chain"]


@pytest.mark.usefixtures("working")
def test_resolving_shows_the_first_hundred_blocks(network: Network) -> None:
    a = network.member("a")
    a.grow(120, ANNE.address)
    body = client(a).get("/nodes/resolve").ok()
    assert len(body["chain"]) == 100 and body["length"] == 121
    rest = client(a).get(body["more"]).ok()["chain"]
    assert body["chain"] + rest == client(a).get("/chain").ok()["chain"]


@pytest.mark.usefixtures("working")
def test_resolving_shows_a_few_megabytes_at_most(network: Network) -> None:
    a = network.member("a", max_mempool=20_000)
    chain = ForgedChain(network.spec)
    for block in range(6):
        items = [
            a.sign(ANNE, block * 115 + i, type="approve", amount="0", recipient=BEN.address, data="x" * 7_500).fields
            for i in range(115)
        ]
        chain.forge(*items)
    network.http.serve("http://peer:1", ScriptedPeer(chain))
    a.befriend("http://peer:1")
    answer = client(a).get("/nodes/resolve")
    body = answer.ok()
    assert body["length"] == 7 and 2 <= len(body["new_chain"]) < 7
    assert len(answer.body) < 5 * 2**20
    assert body["more"].startswith(f"/chain?from={len(body['new_chain']) + 1}&")


def test_resolving_takes_its_time(pair: Pair) -> None:
    """No worker: the answer says so, and leaves one job behind."""
    a, _ = pair
    answer = client(a).get("/nodes/resolve?wait=0")
    assert (answer.status, answer.json) == (202, {"message": "Still resolving."})
    client(a).get("/nodes/resolve?wait=0")
    assert len(a.queue.jobs) == 1
    client(a).get("/nodes/resolve?wait=61").refused(400, "bad_argument")


# --- /nodes/announce ---


def news(member: Member, **changes: Any) -> dict[str, Any]:
    return {"url": member.url, "hash": member.tip, "height": member.height, "chainwork": 1, **changes}


def test_announcing(pair: Pair) -> None:
    a, b = pair
    b.grow(1, BEN.address)
    assert client(a).post("/nodes/announce", news(b)).ok(202) == {"heeded": False}
    assert a.queue.jobs == {}, "strangers are not heeded"
    a.befriend(b)
    assert client(a).post("/nodes/announce", news(b, height=10**6, chainwork=2**255)).ok(202) == {"heeded": True}
    assert list(a.queue.jobs.values()) == [RESOLVE]
    assert client(a).post("/nodes/announce", news(b)).ok(202) == {"heeded": False}, "asked for already"
    assert client(a).post("/nodes/announce", news(b, hash=a.tip)).ok(202) == {"heeded": False}, "we have that block"
    assert a.network.http.asked == [], "the announcement itself is believed in nothing"


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"hash": "0" * 63}, 400, "bad_hash"),
        ({"hash": "A" * 64}, 400, "bad_hash"),
        ({"hash": None}, 400, "bad_hash"),
        ({"hash": ["0" * 64]}, 400, "bad_hash"),
        ({"height": -1}, 400, "bad_number"),
        ({"height": True}, 400, "bad_number"),
        ({"height": "1"}, 400, "bad_number"),
        ({"chainwork": 2**256}, 400, "bad_number"),
        ({"url": "http://127.1"}, 400, "bad_peer_url"),
        ({"url": None}, 400, "bad_peer_url"),
        ({"more": 1}, 422, "wrong_fields"),
    ],
)
def test_bad_announcements(pair: Pair, changes: dict[str, Any], status: int, code: str) -> None:
    a, b = pair
    a.befriend(b)
    client(a).post("/nodes/announce", news(b, **changes)).refused(status, code)
    answer = client(a).post("/nodes/announce", news(b, height=10**100))
    assert "height must be a whole number from 0, below 2^256" in answer.refused(400, "bad_number")["detail"]
    client(a).post("/nodes/announce", [news(b)]).refused(400, "not_an_object")
    client(a).post("/nodes/announce", {"url": b.url}).refused(422, "wrong_fields")
    assert a.queue.jobs == {}


# --- /headers ---


def test_headers(pair: Pair) -> None:
    a, _ = pair
    a.grow(12, ANNE.address)
    hashes = a.hashes()
    chain = client(a).get("/chain").ok()["chain"]
    every = [{name: value for name, value in block.items() if name != "transactions"} for block in chain]

    def ask(locator: list[str], limit: int | None = None) -> tuple[int, list[Any]]:
        query = f"/headers?locator={','.join(locator)}" + (f"&limit={limit}" if limit else "")
        body = client(a).get(query).ok()
        assert set(body) == {"headers", "from", "length"} and body["length"] == 13
        return body["from"], body["headers"]

    assert ask([]) == (1, every)
    assert ask(["f" * 64]) == (1, every), "nothing in common"
    assert ask([hashes[4]], 3) == (6, every[5:8])
    assert ask(["f" * 64, hashes[7], hashes[2]]) == (9, every[8:]), "the first that we have counts"
    assert ask([hashes[-1]]) == (14, [])
    assert ask(a.node.chain.locator()) == (14, [])
    assert client(a).get("/headers").ok()["headers"] == every
    # Page by page, as the resolver goes.
    found: list[Any] = []
    while page := ask([hashes[len(found) - 1]] if found else [], 5)[1]:
        found += page
    assert found == every


def test_headers_of_a_branch_that_was_left(pair: Pair) -> None:
    """A block that is stored but not on the chain is no fork point."""
    a, b = pair
    a.befriend(b)
    a.grow(2, ANNE.address)
    left = a.tip
    b.grow(3, BEN.address)
    a.resolve()
    assert a.node.chain.header(left) is not None
    body = client(a).get(f"/headers?locator={left},{a.hashes()[0]}").ok()
    assert body["from"] == 2


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("locator=x", "bad_locator"),
        ("locator=" + "0" * 63, "bad_locator"),
        ("locator=" + "A" * 64, "bad_locator"),
        ("locator=" + "0" * 64 + ",", "bad_locator"),
        ("locator=,", "bad_locator"),
        ("locator=" + ",".join(["0" * 64] * 65), "bad_locator"),
        ("limit=0", "bad_argument"),
        ("limit=501", "bad_argument"),
        ("limit=-1", "bad_argument"),
        ("limit=1.5", "bad_argument"),
        ("limit=", "bad_argument"),
        ("limit=%D9%A3", "bad_argument"),  # an Arabic three
    ],
)
def test_bad_locators(pair: Pair, query: str, code: str) -> None:
    client(pair[0]).get(f"/headers?{query}").refused(400, code)


def test_the_longest_locator_is_taken(pair: Pair) -> None:
    assert client(pair[0]).get("/headers?locator=" + ",".join(["0" * 64] * 64)).ok()["from"] == 1
