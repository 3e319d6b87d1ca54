"""The router of a lab: what passes, what each link does to it, and what strangers and hostile nodes cannot do."""

import asyncio
import http.client
import os
import random
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from typing import Any

import pytest

from lab.interface import Conditions, LabError, Link
from lab.real.links import UNDER_WAY
from lab.real.messages import MAX_HEAD
from lab.real.router import MAX_CONNECTIONS, Router
from tests.support.raw_server import Connection, RawServer, Script, response
from tests.support.stopwatch import Stopwatch
from tests.support.waiting import eventually

A, B, C = 1, 2, 3
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


def echo(peer: Connection) -> None:
    """Answer with the request's line and headers as they came, until the other side ends."""
    while b"\r\n\r\n" in peer.request:
        head, _, rest = peer.request.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        while len(rest) < length and (piece := peer._sock.recv(65_536)):
            rest += piece
        peer.send(response(head + b"\n" + rest))
        peer.request = b""
        peer.read_request()


class Net:
    """A router and nodes that are servers with a script each; node 1 asks."""

    def __init__(self, router: Router, servers: dict[int, RawServer]) -> None:
        self.router = router
        self.servers = servers
        for node, server in servers.items():
            router.add(node, "127.0.0.1", server.port)

    def url(self, node: int, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.servers[node].port}{path}"

    def connect(self, asking: int = A) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.router.port_of(asking), timeout=10)

    def get(self, asked: int = B, asking: int = A, path: str = "/") -> tuple[int, bytes]:
        with closing(self.connect(asking)) as connection:
            connection.request("GET", self.url(asked, path), headers={"Connection": "close"})
            answer = connection.getresponse()
            return answer.status, answer.read()

    def raw(self, data: bytes, asking: int = A) -> bytes:
        """What comes back for these bytes, until the router ends the connection."""
        with socket.create_connection(("127.0.0.1", self.router.port_of(asking)), 10) as sock:
            sock.sendall(data)
            found = b""
            with suppress(ConnectionResetError):
                while piece := sock.recv(65_536):
                    found += piece
            return found


Make = Callable[..., Net]


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes a net; nodes whose scripts are not given echo."""
    with ExitStack() as stack:

        def net(seed: int = 7, **scripts: Script) -> Net:
            servers = {
                node: stack.enter_context(RawServer(scripts.get(name, echo))) for node, name in enumerate("abc", 1)
            }
            return Net(stack.enter_context(Router(seed)), servers)

        yield net
    assert not [thread for thread in threading.enumerate() if thread.name == "router"]


# --- what passes ---


def test_a_request_arrives_as_if_it_had_come_directly(make: Make) -> None:
    net = make()
    with closing(net.connect()) as connection:
        headers = {
            "Host": "node-2.example",
            "Proxy-Authorization": "Basic x",
            "Proxy-Connection": "close",
            "X-Own": "1",
        }
        connection.request("GET", net.url(B, "/headers?locator=a,b&limit=1"), headers=headers)
        lines = connection.getresponse().read().decode().strip().split("\r\n")
    assert lines[0] == "GET /headers?locator=a,b&limit=1 HTTP/1.1"
    assert "Host: node-2.example" in lines and "X-Own: 1" in lines
    assert not any(line.lower().startswith("proxy") for line in lines)
    counters = net.router.link(A, B).counters
    assert (counters.requests, counters.cut) == (1, 0) and counters.bytes > 50
    assert net.router.link(B, A).counters.bytes > 50 and net.router.link(B, A).counters.requests == 0


def test_one_connection_may_ask_several_nodes_one_after_the_other(make: Make) -> None:
    net = make()
    with closing(net.connect()) as connection:
        for number, node in enumerate((B, B, C, B)):
            body = b"x" * number * 50_000
            connection.request("POST", net.url(node, f"/{number}"), body=body)
            answer = connection.getresponse().read()
            assert answer.startswith(b"POST /%d HTTP/1.1" % number) and answer.endswith(b"\n" + body)
            assert connection.sock is not None, "it was kept"
    assert [len(server.connections) for server in net.servers.values()] == [0, 3, 1]


def test_requests_that_follow_at_once_are_answered_in_order(make: Make) -> None:
    net = make()
    requests = b"".join(
        b"GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n" % (net.url(B, f"/{i}").encode(), b"Connection: close\r\n" * (i == 2))
        for i in range(3)
    )
    found = net.raw(requests)
    assert [found.index(b"GET /%d " % i) for i in range(3)] == sorted(found.index(b"GET /%d " % i) for i in range(3))


def test_a_body_in_chunks_arrives(make: Make) -> None:
    seen: list[bytes] = []

    def take(peer: Connection) -> None:
        while not peer.request.endswith(b"0\r\n\r\n"):
            peer.request += peer._sock.recv(65_536)
        seen.append(peer.request)
        peer.send(response(b"ok"))

    net = make(b=take)
    with closing(net.connect()) as connection:
        connection.request("POST", net.url(B), body=iter([b"abc", b"de"]), encode_chunked=True)
        assert connection.getresponse().read() == b"ok"
    assert b"3\r\nabc\r\n" in seen[0] and seen[0].endswith(b"2\r\nde\r\n0\r\n\r\n")


@pytest.mark.parametrize("length", [b"Content-Length: 200\r\n", b"Transfer-Encoding: chunked\r\n", b""])
def test_what_a_node_sends_passes_unchanged(make: Make, length: bytes) -> None:
    """Also what is no HTTP, and what is cut off: liars live behind the router, too."""
    sent = b"HTTP/1.1 200 OK\r\n" + length + b"\r\n5\r\nabcde\r\n0\r\n\r\n"
    for data in (sent, b"\x00\xff nonsense", b""):
        net = make(b=lambda peer, data=data: peer.send(data))  # type: ignore[misc] # the default has no type
        found = net.raw(b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % net.url(B).encode())
        assert found == data


def test_the_answer_to_head_and_an_interim_answer_pass(make: Make) -> None:
    net = make(
        b=lambda peer: peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"),
        c=lambda peer: peer.send(b"HTTP/1.1 100 Continue\r\n\r\n" + response(b"late")),
    )
    with closing(net.connect()) as connection:
        connection.request("HEAD", net.url(B))
        assert connection.getresponse().getheader("Content-Length") == "100"
    assert net.get(C) == (200, b"late")


def test_a_tunnel(make: Make) -> None:
    net = make()
    with socket.create_connection(("127.0.0.1", net.router.port_of(A)), 10) as sock:
        sock.sendall(b"CONNECT localhost:%d HTTP/1.1\r\nHost: x\r\n\r\nGET /inside HTTP/1.1\r\n" % net.servers[B].port)
        assert sock.recv(100) == b"HTTP/1.1 200 Connection established\r\n\r\n"
        sock.sendall(b"A: b\r\n\r\n")
        assert b"GET /inside HTTP/1.1\r\nA: b" in sock.recv(1000)
        net.router.link(A, B).cut()
        with pytest.raises(ConnectionResetError):
            sock.recv(1000)


# --- who may ask for what ---


POST = b"POST http://127.0.0.1:PORT/ HTTP/1.1\r\nHost: x\r\n"
MALFORMED = {
    "nothing of HTTP": b"\x00\x01\x02\x03\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "the origin form": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a question to the proxy itself": b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    "https in the absolute form": b"GET https://127.0.0.1:PORT/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "a user": b"GET http://me@127.0.0.1:PORT/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "no host": b"GET http:///x HTTP/1.1\r\nHost: x\r\n\r\n",
    "a port that is none": b"GET http://127.0.0.1:99999/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "no Host": b"GET http://127.0.0.1:PORT/ HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET http://127.0.0.1:PORT/ HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "two lengths": POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "length and chunks": POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a blank in a name": b"GET http://127.0.0.1:PORT/ HTTP/1.1\r\nHost: x\r\nA b: c\r\n\r\n",
    "CONNECT without a port": b"CONNECT 127.0.0.1 HTTP/1.1\r\nHost: x\r\n\r\n",
    "CONNECT with a path": b"CONNECT 127.0.0.1:PORT/x HTTP/1.1\r\nHost: x\r\n\r\n",
    "headers without end": b"GET http://127.0.0.1:PORT/ HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * MAX_HEAD,
    "a line without end": b"GET http://127.0.0.1:PORT/" + b"x" * 2 * MAX_HEAD,
}


def test_what_is_no_request_gets_400_and_nothing_else(make: Make) -> None:
    net = make()
    for name, data in MALFORMED.items():
        found = net.raw(data.replace(b"PORT", b"%d" % net.servers[B].port))
        assert found in (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", b""), name
        assert found or "without end" in name, name  # there, bytes that are still to be read reset the connection
    assert not net.servers[B].connections
    assert net.get()[0] == 200


def test_only_nodes_of_the_lab_are_asked(make: Make) -> None:
    net = make()
    with RawServer(echo) as stranger:
        for url in (stranger.url, "http://example.com", f"http://127.0.0.2:{net.servers[B].port}"):
            with closing(net.connect()) as connection:
                connection.request("GET", url + "/")
                assert connection.getresponse().status == 403
        assert not stranger.connections
    assert net.get(A)[0] == 200, "a node may ask itself: so it learns that a URL is its own"


def test_a_node_that_is_away_is_a_bad_gateway(make: Make) -> None:
    net = make()
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        net.router.add(9, "localhost", unused.getsockname()[1])
        with closing(net.connect()) as connection:
            connection.request("GET", f"http://localhost:{unused.getsockname()[1]}/")
            assert connection.getresponse().status == 502


def test_the_router_listens_on_loopback_only(make: Make) -> None:
    net = make()
    assert {server.sockets[0].getsockname()[0] for server in net.router._servers} == {"127.0.0.1"}


def test_what_a_lab_cannot_ask_of_a_router(make: Make) -> None:
    net = make()
    for ask in (
        lambda: net.router.add(9, "192.168.0.1", 80),
        lambda: net.router.add(9, "localhost", net.servers[B].port),
        lambda: net.router.port_of(9),
        lambda: net.router.link(A, 9),
        lambda: net.router.link(A, A),
        lambda: net.router.redirect(9, 80),
        lambda: net.router.link(A, B).set(latency=-1),
        lambda: net.router.link(A, B).set(rate=float("nan")),
        lambda: net.router.link(A, B).reset(after=-1),
    ):
        with pytest.raises(LabError) as caught:
            ask()
        assert str(caught.value).endswith(".")
    assert net.router.link(A, B).conditions == Conditions()


def test_another_port_may_stand_for_a_node(make: Make) -> None:
    net = make()
    with RawServer(lambda peer: peer.send(response(b"the front"))) as front:
        net.router.redirect(B, front.port)
        assert net.get(B)[1] == b"the front" and not net.servers[B].connections
        net.router.redirect(B, None)
        assert net.get(B)[1].startswith(b"GET")


# --- links ---


def test_a_cut_refuses_at_once_and_only_its_own_link(make: Make) -> None:
    net = make()
    link: Link = net.router.link(A, B)
    link.cut()
    assert link.conditions.cut
    watch = Stopwatch(os.getpid())
    with pytest.raises(ConnectionResetError):
        net.get(B)
    assert watch.seconds() < 2
    assert not net.servers[B].connections and net.get(C)[0] == 200 and net.get(B, asking=C)[0] == 200
    link.restore()
    assert net.get(B)[0] == 200 and not link.conditions.cut
    assert net.router.link(A, B).counters.cut == 1


def test_what_is_cut_is_what_one_hears_from_the_other(make: Make) -> None:
    """The request arrives, and its answer does not."""
    net = make()
    net.router.link(B, A).cut()
    with pytest.raises(ConnectionResetError):
        net.get(B)
    assert len(net.servers[B].connections) == 1
    net.router.heal()
    assert net.get(B)[0] == 200


def stream(peer: Connection) -> None:
    peer.send(EVENTS)
    for number in range(1000):
        peer.send(b"data: %d\n\n" % number)
        if peer._stopping.wait(0.02):
            return


@pytest.mark.parametrize("reverse", [False, True])
def test_a_stream_of_events_passes_and_a_cut_breaks_it_at_once(make: Make, reverse: bool) -> None:
    net = make(b=stream)
    with closing(net.connect()) as connection:
        connection.request("GET", net.url(B, "/events"))
        answer = connection.getresponse()
        assert [answer.readline(), answer.readline(), answer.readline()] == [b"data: 0\n", b"\n", b"data: 1\n"]
        net.router.link(*((B, A) if reverse else (A, B))).cut()
        watch = Stopwatch(os.getpid())
        with pytest.raises(ConnectionResetError):
            while answer.readline():
                pass
        assert watch.seconds() < 1
    eventually(net.servers[B].broken.is_set, 10)


def test_a_stopped_link_takes_requests_and_answers_when_it_moves_again(make: Make) -> None:
    net = make()
    link = net.router.link(A, B)
    link.stop()
    with closing(net.connect()) as connection, closing(net.connect()) as leaving:
        for one in (connection, leaving):
            one.request("GET", net.url(B))
        assert connection.sock is not None and leaving.sock is not None
        eventually(lambda: len(net.router._open[A]) == 2, what="both requests are at the router")
        connection.sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.sock.recv(1)
        leaving.close()
        eventually(lambda: len(net.router._open[A]) == 1, 10, "the client that left is forgotten")
        assert not net.servers[B].connections
        link.restore()
        connection.sock.settimeout(10)
        assert connection.getresponse().status == 200


def test_answers_stop_in_their_middle(make: Make) -> None:
    net = make(b=stream)
    with closing(net.connect()) as connection:
        connection.request("GET", net.url(B))
        sock = connection.sock
        assert sock is not None
        with closing(connection.getresponse()) as answer:
            answer.readline()
            net.router.link(B, A).stop()
            sock.settimeout(0.3)
            with pytest.raises(TimeoutError):
                while answer.readline():
                    pass
    eventually(lambda: not net.router._open[A], 10, "a client that leaves a stopped stream is forgotten")


def test_a_reset_in_the_middle(make: Make) -> None:
    net = make(b=lambda peer: peer.send(response(b"x" * 100_000)))
    link = net.router.link(B, A)
    link.reset(after=50_000)
    with closing(net.connect()) as connection:
        connection.request("GET", net.url(B))
        with pytest.raises(ConnectionResetError):
            connection.getresponse().read()
    assert link.counters.bytes == 50_000
    link.restore()
    assert len(net.get(B)[1]) == 100_000


def test_a_reset_of_what_is_open(make: Make) -> None:
    net = make(b=stream)
    with closing(net.connect()) as connection:
        connection.request("GET", net.url(B))
        answer = connection.getresponse()
        net.router.link(A, B).reset()
        with pytest.raises(ConnectionResetError):
            while answer.readline():
                pass
    with closing(net.connect()) as connection:
        connection.request("GET", net.url(B))
        assert connection.getresponse().status == 200


def seconds(work: Callable[[], Any]) -> tuple[float, float]:
    """How long it takes, by the clock and by a `Stopwatch`: for bounds from below and from above."""
    watch = Stopwatch(os.getpid())
    work()
    return watch.passed(), watch.seconds()


def test_each_direction_has_its_latency(make: Make) -> None:
    net = make()
    net.router.link(A, B).set(latency=0.15)
    least, most = seconds(lambda: net.get(B))
    assert 0.15 <= least and most < 1.15
    net.router.link(B, A).set(latency=0.1)
    least, most = map(min, zip(*(seconds(lambda: net.get(B)) for _ in range(3)), strict=True))
    assert 0.25 <= least and most < 1.25
    assert net.router.link(A, B).conditions == Conditions(latency=0.15)
    for pair in ((A, B), (B, A)):
        net.router.link(*pair).set(latency=0)
    assert min(seconds(lambda: net.get(B))[1] for _ in range(3)) < 0.15


def test_jitter_is_drawn_from_the_seed_and_keeps_the_order() -> None:
    def drawn(seed: int) -> list[float]:
        router = Router(seed)
        link = router._link(A, B)
        link.change(latency=0.1, jitter=0.2, rate=None)
        found = [link.delay() for _ in range(200)]
        router.stop()
        return found

    one = drawn(1)
    assert one == drawn(1) != drawn(2)
    assert 0.1 <= min(one) < 0.12 and 0.28 < max(one) <= 0.3


def test_jitter_does_not_mix_the_bytes_of_an_answer(make: Make) -> None:
    data = b"".join(b"%06d" % number for number in range(30_000))
    net = make(b=lambda peer: peer.send(response(data)))
    net.router.link(B, A).set(jitter=0.05)
    assert net.get(B)[1] == data


def test_a_rate_is_shared_by_all_connections_on_its_link(make: Make) -> None:
    net = make(b=lambda peer: peer.send(response(b"x" * 20_000)))
    link = net.router.link(B, A)
    link.set(rate=100_000)
    threads = [threading.Thread(target=net.get) for _ in range(3)]

    def run() -> None:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    least, most = seconds(run)
    assert 0.55 <= least and most < 3, "60,000 bytes and headers, less the burst at the beginning"
    assert min(seconds(lambda: net.get(C))[1] for _ in range(2)) < 0.2, "other links are free"
    link.set(rate=10)
    slow = threading.Thread(target=net.get)
    slow.start()
    eventually(lambda: net.router._links[B, A]._waiting, 10, "an answer that waits for the rate")
    link.set(rate=0)
    assert link.conditions.rate is None
    slow.join(5)
    assert not slow.is_alive(), "a new rate holds at once"


# --- bounds ---


def test_what_strangers_send_leaves_nothing_behind(make: Make) -> None:
    net = make()
    draw = random.Random(11)
    whole = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc" % net.url(B).encode()
    for _ in range(150):
        data = bytearray(whole[: draw.randrange(1, len(whole) + 1)] * draw.choice((1, 1, 3)))
        for _ in range(draw.choice((0, 1, 5))):
            data[draw.randrange(len(data))] = draw.randrange(256)
        with socket.create_connection(("127.0.0.1", net.router.port_of(A)), 10) as sock, suppress(OSError):
            sock.sendall(data)
    eventually(lambda: not net.router._open[A], 10, "all connections are forgotten")
    assert net.get(B)[0] == 200
    eventually(lambda: not any(link.breakers for link in net.router._links.values()), 10)


def test_links_change_while_many_ask(make: Make) -> None:
    net = make()
    stop = threading.Event()
    found: list[int] = []

    def ask() -> None:
        while not stop.is_set():
            with suppress(OSError, http.client.HTTPException):
                found.append(net.get(B)[0])

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    draw = random.Random(12)
    there, back = net.router.link(A, B), net.router.link(B, A)
    for _ in range(60):
        link = draw.choice((there, back))
        draw.choice(
            (
                link.cut, link.stop, link.reset, link.restore, link.restore, link.restore,
                lambda link=link: link.reset(after=draw.randrange(300)),
                lambda link=link: link.set(latency=draw.choice((0, 0.01)), jitter=draw.choice((0, 0.01))),
                lambda link=link: link.set(rate=draw.choice((0, 10_000))),
            )
        )()  # fmt: skip
    net.router.heal()
    for link in (there, back):
        link.set(latency=0, jitter=0, rate=0)
    before = len(found)
    eventually(lambda: len(found) > before + 3, 20, "answers after all is healed")
    stop.set()
    for thread in threads:
        thread.join(20)
    assert set(found) == {200} and there.conditions == back.conditions == Conditions()
    eventually(lambda: not net.router._open[A], 10)
    assert not any(link.breakers for link in net.router._links.values())


@pytest.mark.parametrize("latency", [0.0, 0.001])
def test_a_client_that_does_not_read_holds_little(make: Make, latency: float) -> None:
    sent = []

    def flood(peer: Connection) -> None:
        peer._sock.settimeout(0.5)
        peer._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        with suppress(TimeoutError):
            peer.send(EVENTS)
            for _ in range(2000):
                peer.send(b"x" * 65_536)
                sent.append(65_536)
        done.set()

    done = threading.Event()
    net = make(b=flood)
    net.router.link(B, A).set(latency=latency)
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        sock.settimeout(10)
        sock.connect(("127.0.0.1", net.router.port_of(A)))
        sock.sendall(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % net.url(B).encode())
        assert done.wait(20)
    # What the system's own buffers take comes on top: a few MB, of 130 MB.
    assert sum(sent) < UNDER_WAY + 12 * 2**20, sum(sent)


def test_connections_of_one_node_are_bounded(make: Make) -> None:
    net = make(b=lambda peer: peer.hang())
    port = net.router.port_of(A)
    held = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(MAX_CONNECTIONS)]
    try:
        eventually(lambda: len(net.router._open[A]) == MAX_CONNECTIONS, 10)
        with socket.create_connection(("127.0.0.1", port), 10) as one_more:
            with suppress(ConnectionResetError):
                assert one_more.recv(1) == b""
        assert net.get(C, asking=B)[0] == 200, "other nodes have their own"
    finally:
        for sock in held:
            sock.close()
    eventually(lambda: not net.router._open[A], 10)
    assert net.get(C)[0] == 200


def test_stopping_ends_everything(make: Make) -> None:
    net = make(b=stream)
    with closing(net.connect()) as connection:
        connection.request("GET", net.url(B))
        answer = connection.getresponse()
        net.router.stop()
        with suppress(ConnectionResetError):
            while answer.readline():
                pass
    net.router.stop()
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", net.router.port_of(A)), 1)


def test_a_router_that_stops_closes_what_it_has_just_accepted() -> None:
    """Its task exists and has not run yet, so that it would be cancelled before it can close the connection."""
    ours, theirs = socket.socketpair()
    with ours, RawServer(echo) as server, Router(1) as router:
        router.add(A, "127.0.0.1", server.port)
        ours.settimeout(20)

        async def accept_and_close() -> None:
            reader, writer = await asyncio.open_connection(sock=theirs)
            held.append(writer)  # else the collector would close it
            router._accept(A, reader, writer, lambda host, port: None)
            await router._close()

        held: list[asyncio.StreamWriter] = []
        router.run(accept_and_close())
        assert ours.recv(1) == b""
