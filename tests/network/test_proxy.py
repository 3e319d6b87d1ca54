"""Peers behind a forward proxy: what it is asked for, whose fault a failure is, and what the book of peers says."""

import json
import logging
import os
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from services.errors import PeerFailed, ProxyFailed
from services.node import build_node
from services.peers.http import PeerRequest, SystemPeerHttp
from services.peers.proxy import PeerProxy
from services.settings.proxy_url import parse
from tests.network.ports import Member, Network
from tests.support.certificates import write_certificate
from tests.support.forward_proxy import ForwardProxy
from tests.support.keys import ALICE, BOB, TOKEN
from tests.support.listener import Listener
from tests.support.nodes import make_settings
from tests.support.queues import RecordingQueue
from tests.support.raw_server import RawServer, Script, response
from tests.support.relay import Relay
from tests.support.stopwatch import Stopwatch

LOGIN = "Basic bWU6czNjcmV0"  # me:s3cret
PASSWORD = "s3cret"


@pytest.fixture
def peer() -> Iterator[RawServer]:
    with RawServer(lambda peer: peer.send(response(b'{"a": 1}'))) as server:
        yield server


@pytest.fixture
def proxy() -> Iterator[ForwardProxy]:
    with ForwardProxy() as server:
        yield server


def through(
    proxy: Listener | int | str, login: str = "", *, resolves: bool = False, private: bool = True
) -> SystemPeerHttp:
    place = proxy.port if isinstance(proxy, Listener) else proxy
    url = f"http://{login}127.0.0.1:{place}" if isinstance(place, int) else place
    return SystemPeerHttp(private=private, proxy=PeerProxy(parse(url), resolves=resolves))


def ask(http: SystemPeerHttp, url: str, **changes: Any) -> tuple[int, bytes]:
    return http.exchange(
        PeerRequest(**{"url": url, "path": "/status", "deadline": 1.0, "max_bytes": 100_000, **changes})
    )


def failure(http: SystemPeerHttp, url: str, **changes: Any) -> PeerFailed:
    with pytest.raises(PeerFailed) as caught:
        ask(http, url, **changes)
    text = str(caught.value)
    assert text.endswith(".") and "\n" not in text and PASSWORD not in text and "Traceback" not in text
    return caught.value


_getaddrinfo = socket.getaddrinfo


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Have names of the domain `example` resolve to these addresses; which names were asked."""
    asked: list[str] = []

    def resolve(host: str, port: Any, *rest: Any, **more: Any) -> list[Any]:
        if not host.endswith(".example"):
            return list(_getaddrinfo(host, port, *rest, **more))
        asked.append(host)
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "said by the system")
        return [(socket.AF_INET6 if ":" in a else socket.AF_INET, 1, 6, "", (a, port)) for a in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return asked


# --- what the proxy is asked for ---


def test_an_http_peer_is_asked_for_by_its_address(
    monkeypatch: pytest.MonkeyPatch, peer: RawServer, proxy: ForwardProxy
) -> None:
    resolving(monkeypatch, "127.0.0.1")
    name = f"peer.example:{peer.port}"
    assert ask(through(proxy), f"http://{name}", path="/headers?limit=1") == (200, b'{"a": 1}')
    assert ask(through(proxy), f"http://{name}", path="/nodes/announce", body=b"{}") == (200, b'{"a": 1}')
    get, post = proxy.asked
    assert (get.method, get.target) == ("GET", f"http://127.0.0.1:{peer.port}/headers?limit=1")
    assert (post.method, post.target) == ("POST", f"http://127.0.0.1:{peer.port}/nodes/announce")
    assert get.headers["host"] == post.headers["host"] == name
    assert get.headers["cache-control"] == "no-cache" and "proxy-authorization" not in get.headers
    assert f"Host: {name}".encode() in peer.connections[0].request


@pytest.fixture
def secure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, peer: RawServer
) -> Iterator[tuple[Relay, list[str | None]]]:
    """A peer that speaks TLS with a trusted certificate for peer.example; the names that it was asked for."""
    certificate, key = write_certificate(tmp_path, x509.DNSName("peer.example"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    names: list[str | None] = []
    context.sni_callback = lambda sock, name, context: names.append(name)
    trusting = ssl.create_default_context(cafile=str(certificate))
    monkeypatch.setattr(ssl, "create_default_context", lambda: trusting)
    with Relay(peer.port, context=context) as relay:
        yield relay, names


def test_an_https_peer_is_reached_by_connect(
    monkeypatch: pytest.MonkeyPatch, peer: RawServer, secure: tuple[Relay, list[str | None]]
) -> None:
    relay, names = secure
    resolving(monkeypatch, "127.0.0.1")
    with ForwardProxy(LOGIN) as proxy:
        url = f"https://peer.example:{relay.port}"
        assert ask(through(proxy, "me:s3cret@"), url, deadline=3.0) == (200, b'{"a": 1}')
    [connect] = proxy.asked
    place = f"127.0.0.1:{relay.port}"
    assert (connect.method, connect.target, connect.headers["host"]) == ("CONNECT", place, place)
    assert connect.headers["proxy-authorization"] == LOGIN
    assert names == ["peer.example"], "SNI is the name"
    assert f"Host: peer.example:{relay.port}".encode() in peer.connections[0].request
    assert b"roxy" not in peer.connections[0].request, "the login is the proxy's alone"


def test_a_certificate_for_another_name_is_refused_through_the_proxy_too(
    monkeypatch: pytest.MonkeyPatch, peer: RawServer, proxy: ForwardProxy, secure: tuple[Relay, list[str | None]]
) -> None:
    relay, _ = secure
    resolving(monkeypatch, "127.0.0.1")
    error = failure(through(proxy), f"https://other.example:{relay.port}", deadline=3.0)
    assert not isinstance(error, ProxyFailed) and "through the proxy" in str(error)
    assert not any(connection.request for connection in peer.connections)


def test_the_login_goes_to_the_proxy_and_not_to_the_peer(peer: RawServer) -> None:
    with ForwardProxy(LOGIN) as proxy:
        assert ask(through(proxy, "me:s3cret@"), peer.url)[0] == 200
    assert proxy.asked[0].headers["proxy-authorization"] == LOGIN
    assert b"roxy" not in peer.connections[0].request


def test_a_name_may_be_left_to_the_proxy(monkeypatch: pytest.MonkeyPatch, peer: RawServer) -> None:
    asked = resolving(monkeypatch)
    with ForwardProxy(routes={"peer.example:80": peer.port}) as proxy:
        assert ask(through(proxy, resolves=True), "http://peer.example")[0] == 200
    assert proxy.asked[0].target == "http://peer.example:80/status" and not asked


@pytest.mark.parametrize("resolves", [False, True])
@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "http://[::1]", "http://10.0.0.1", "http://169.254.169.254", "https://[fe80::1]",
            "http://localhost", "http://here.localhost"]
)  # fmt: skip
def test_addresses_are_judged_before_the_proxy_is_asked(proxy: ForwardProxy, url: str, resolves: bool) -> None:
    """The proxy itself is on this machine, where no peer may be."""
    error = failure(through(proxy, resolves=resolves, private=False), url)
    assert not isinstance(error, ProxyFailed)
    assert "does not connect to" in str(error) or "cannot be resolved" in str(
        error
    )  # names of localhost may be unknown
    assert not proxy.requests


def test_private_names_are_judged_unless_the_proxy_resolves_them(
    monkeypatch: pytest.MonkeyPatch, peer: RawServer
) -> None:
    resolving(monkeypatch, "10.0.0.1")
    with ForwardProxy(routes={"inside.example:80": peer.port}) as proxy:
        assert "QUARRY_PRIVATE_PEERS" in str(failure(through(proxy, private=False), "http://inside.example"))
        assert not proxy.requests
        assert ask(through(proxy, private=False, resolves=True), "http://inside.example")[0] == 200


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_addresses_that_the_proxy_does_not_reach_are_passed_over(
    monkeypatch: pytest.MonkeyPatch, peer: RawServer, proxy: ForwardProxy, secure: tuple[Relay, Any], scheme: str
) -> None:
    """A proxy without IPv6, and a name with both."""
    port = peer.port if scheme == "http" else secure[0].port
    resolving(monkeypatch, "::1", "127.0.0.1")
    proxy._routes[f"[::1]:{port}"] = 1
    assert ask(through(proxy), f"{scheme}://peer.example:{port}", deadline=3.0)[0] == 200
    assert f"[::1]:{port}" in proxy.asked[0].target and len(proxy.asked) == 2


# --- whose fault it is ---


def unused_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


BROKEN_PROXIES: dict[str, Script] = {
    "hangs": lambda proxy: proxy.hang(),
    "garbage": lambda proxy: proxy.send(b"\x00\xff" * 100),
    "another protocol": lambda proxy: proxy.send(b"-NOAUTH Authentication required.\r\n"),
    "nothing": lambda proxy: None,
    "endless headers": lambda proxy: proxy.drip(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50, 0.05),
}


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("script", BROKEN_PROXIES.values(), ids=BROKEN_PROXIES)
def test_a_broken_proxy_is_named_and_no_peer_blamed(script: Script, scheme: str) -> None:
    with RawServer(script) as proxy:
        watch = Stopwatch(os.getpid())
        error = failure(through(proxy, "me:s3cret@"), f"{scheme}://127.0.0.1:9")
        assert watch.seconds() < 1.0 + 1.0 + 4.0, "the exchange, the question to the proxy, and a busy machine"
    assert isinstance(error, ProxyFailed) and f"http://127.0.0.1:{proxy.port}" in str(error)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_away(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    port = unused_port()
    error = failure(through(port), f"{scheme}://127.0.0.1:9")
    assert isinstance(error, ProxyFailed) and f"http://127.0.0.1:{port} cannot be connected to" in str(error)
    resolving(monkeypatch)
    error = failure(through("http://proxy.example:3128"), f"{scheme}://127.0.0.1:9")
    assert isinstance(error, ProxyFailed) and "name of the proxy http://proxy.example:3128" in str(error)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(("login", "words"), [("", "asks for a login"), ("me:s3cret@", "refuses the login")])
@pytest.mark.parametrize("status", ["407 Proxy Authentication Required", "401 Unauthorized"])  # tinyproxy has both
def test_a_proxy_that_wants_another_login(scheme: str, login: str, words: str, status: str) -> None:
    with ForwardProxy("Basic other", refusal=status) as proxy:
        error = failure(through(proxy, login), f"{scheme}://127.0.0.1:9")
    assert isinstance(error, ProxyFailed) and words in str(error) and status[:3] in str(error)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_peer_that_is_away_is_its_own_fault(proxy: ForwardProxy, scheme: str) -> None:
    error = failure(through(proxy), f"{scheme}://127.0.0.1:{unused_port()}")
    assert not isinstance(error, ProxyFailed)
    assert "502" in str(error) and proxy.url in str(error)


BROKEN_PEERS: dict[str, Script] = {
    "hangs": lambda peer: peer.hang(),
    "garbage": lambda peer: peer.send(b"\x00\xff" * 100),
    "nothing": lambda peer: None,
    "a login": lambda peer: peer.send(response(b"{}", status="407 Proxy Authentication Required")),
    "another login": lambda peer: peer.send(response(b"{}", status="401 Unauthorized")),
    "a gateway's": lambda peer: peer.send(response(b"{}", status="502 Bad Gateway")),
    "half a body": lambda peer: peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}"),
    "a slow body": lambda peer: peer.drip(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b" " * 100, 0.05),
}


@pytest.mark.parametrize("script", BROKEN_PEERS.values(), ids=BROKEN_PEERS)
def test_a_peer_cannot_pass_for_a_broken_proxy(proxy: ForwardProxy, script: Script) -> None:
    """Else a liar would not be left alone: nothing is held against a peer whose proxy fails."""
    with RawServer(script) as peer:
        error = failure(through(proxy), peer.url)
        assert peer.connections
    assert not isinstance(error, ProxyFailed) and proxy.url in str(error)


def test_what_says_which_kind_of_node_a_peer_is_passes(proxy: ForwardProxy) -> None:
    with RawServer(lambda peer: peer.send(response(b"{}", status="404 Not Found"))) as peer:
        assert ask(through(proxy), peer.url)[0] == 404


def test_many_peers_that_hang_cost_one_question_to_the_proxy(proxy: ForwardProxy) -> None:
    with RawServer(lambda peer: peer.hang()) as peer:
        http = through(proxy)
        answers = http.in_parallel(lambda url: ask(http, url, deadline=0.5), [peer.url] * 16)
    assert all(type(answer) is PeerFailed for answer in answers)
    assert len(proxy.requests) - len(proxy.asked) <= 3  # one a second


# --- what the book says ---


@pytest.fixture
def pair(network: Network) -> tuple[Member, Member]:
    return network.member("a"), network.member("b")


def proxy_fails(member: Member, *urls: str) -> None:
    def fail(request: PeerRequest) -> tuple[int, bytes]:
        raise ProxyFailed("The proxy http://proxy:3128 cannot be connected to (NewConnectionError).")

    for url in urls:
        member.network.http.serve(url, fail)


def test_a_dead_proxy_is_held_against_no_peer(pair: tuple[Member, Member]) -> None:
    a, b = pair
    a.befriend(b)
    a.resolve()
    assert a.peer(b.url).state == "ok"
    a.befriend("http://liar:1")
    a.node.peers.failed("http://liar:1", "lying", "It lied.", broken=True)
    a.clock.time += 600
    served = a.network.http.handler(b.url)
    proxy_fails(a, b.url, "http://liar:1")
    liar = a.peer("http://liar:1")
    for _ in range(3):
        resolution = a.resolve()
        assert resolution.asked == 2, "no pause"
        assert len(resolution.notes) == 2 and all("The proxy http://proxy:3128" in note for note in resolution.notes)
        found = a.peer(b.url)
        assert (found.state, found.failures, found.next_try, found.broken) == ("unasked", 0, 0.0, 0)
        assert "The proxy http://proxy:3128" in found.reason
        assert a.peer("http://liar:1") == liar, "what was held against it stays"
    a.network.http.serve(b.url, served)
    b.grow(1, BOB.address)
    assert a.resolve(b.url).replaced
    assert (a.peer(b.url).state, a.peer(b.url).reason) == ("ok", "")


def test_a_proxy_that_fails_in_the_middle_is_held_against_nobody(pair: tuple[Member, Member]) -> None:
    a, b = pair
    a.befriend(b)
    b.grow(2, BOB.address)
    served = a.network.http.handler(b.url)

    def dies(request: PeerRequest) -> tuple[int, bytes]:
        if request.path.startswith("/headers"):
            raise ProxyFailed("The proxy http://proxy:3128 does not answer as an HTTP proxy does.")
        return served(request)

    a.network.http.serve(b.url, dies)
    assert "proxy" in a.resolve().notes[0]
    found = a.peer(b.url)
    assert (found.state, found.failures, found.broken, found.next_try) == ("unasked", 0, 0, 0.0)
    a.network.http.serve(b.url, served)
    assert a.resolve().replaced


def test_news_wait_for_a_dead_proxy(pair: tuple[Member, Member]) -> None:
    a, b = pair
    a.befriend(b)
    served = a.network.http.handler(b.url)
    a.clock.time += 10
    a.node.submit([a.sign(ALICE, 0)])
    proxy_fails(a, b.url)
    assert a.node.announcer.relay() == 0 and a.node.announcer.announce(a.tip) == 0
    assert a.peer(b.url).state == "unasked" and a.peer(b.url).failures == 0
    a.network.http.serve(b.url, served)
    assert a.node.announcer.relay() == 1, "it stayed in the outbox"
    assert b.node.pool.next_nonce(ALICE.address) == 1


def test_one_peer_that_is_not_asked_does_not_hold_up_the_others(pair: tuple[Member, Member]) -> None:
    a, b = pair
    a.befriend(b, "http://other:1")
    a.clock.time += 10
    a.node.submit([a.sign(ALICE, 0)])
    proxy_fails(a, "http://other:1")
    assert a.node.announcer.relay() == 1 and a.node.announcer.relay() == 0


def test_a_peer_can_be_registered_while_the_proxy_is_down(pair: tuple[Member, Member]) -> None:
    a, b = pair
    proxy_fails(a, b.url)
    answer = a.app.test_client().post(
        "/nodes/register", json={"nodes": [b.url]}, headers={"Host": "localhost", "Authorization": f"Bearer {TOKEN}"}
    )
    assert answer.status_code == 201 and a.peer(b.url).state == "new"


# --- the settings ---


def test_a_node_asks_its_peers_through_the_proxy_of_its_settings(network: Network, caplog: Any) -> None:
    """QUARRY_PEER_PROXY and QUARRY_PEER_PROXY_RESOLVES, from the settings to the wire; no log line holds the login."""
    caplog.set_level(logging.DEBUG)
    with RawServer(lambda peer: peer.send(response(b"{}"))) as peer, ForwardProxy("Basic other") as proxy:
        proxy._routes["peer.example:80"] = peer.port
        fields = {"peer_proxy": f"http://me:{PASSWORD}@127.0.0.1:{proxy.port}", "peer_proxy_resolves": True}
        settings = make_settings(network.spec, node="p", max_peers=4, **fields)
        assert PASSWORD not in repr(settings)
        store: Any = network.redis
        node = build_node(settings, store=store, queue=RecordingQueue(), clock=network.clock)
        node.begin()
        node.peers.add("http://peer.example")
        notes = node.resolver.resolve().notes
        assert "refuses the login" in notes[0] and PASSWORD not in notes[0]
        proxy._login = LOGIN
        network.clock.time += 5
        time.sleep(1.1)  # what the proxy said of itself holds for a second
        notes = node.resolver.resolve().notes
        assert "not that of a Quarry node" in notes[0]
    assert peer.connections and proxy.asked[-1].target == "http://peer.example:80/status"
    assert PASSWORD not in caplog.text and PASSWORD not in json.dumps([str(peer) for peer in node.peers.all()])
