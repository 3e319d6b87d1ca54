"""HTTP to hostile peers: whatever they send, the request ends in time, after few bytes, with a PeerFailed."""

import gzip
import os
import socket
import threading
import tracemalloc
from typing import Any

import pytest

from services.errors import NoSuchHost, PeerFailed, PeerLied
from services.peers.client import STATUS_DEADLINE, PeerClient
from services.peers.http import AnswerTooLong, PeerRequest, SystemPeerHttp
from tests.support.raw_server import Connection, RawServer, Script, response
from tests.support.stopwatch import Stopwatch

DEADLINE = 1.0
# Seconds that threads and a busy machine may add. Without a deadline for all of it, the quickest of these scripts would
# take ten seconds.
SLACK = 4.0


def ask(url: str, http: SystemPeerHttp | None = None, **changes: Any) -> tuple[int, bytes]:
    fields = {"url": url, "path": "/status", "deadline": DEADLINE, "max_bytes": 100_000, **changes}
    return (http or SystemPeerHttp(private=True)).exchange(PeerRequest(**fields))


def fails(script: Script, **changes: Any) -> tuple[PeerFailed, float]:
    """The failure that this peer causes, and the seconds until then, without those for which nobody had a processor."""
    with RawServer(script) as server:
        watch = Stopwatch(os.getpid())
        with pytest.raises(PeerFailed) as caught:
            ask(server.url, **changes)
        took = watch.seconds()
        assert server.connections, "the peer was never asked"
    return caught.value, took


def test_what_is_sent_and_received() -> None:
    with RawServer(lambda peer: peer.send(response(b'{"a": 1}'))) as server:
        assert ask(server.url, path="/headers?limit=1") == (200, b'{"a": 1}')
        assert ask(server.url, path="/nodes/announce", body=b"{}") == (200, b'{"a": 1}')
    get, post = (connection.request.decode().split("\r\n") for connection in server.connections)
    assert get[0] == "GET /headers?limit=1 HTTP/1.1"
    assert post[0] == "POST /nodes/announce HTTP/1.1"
    assert f"Host: 127.0.0.1:{server.port}" in get
    assert "Accept-Encoding: identity" in get
    assert "Content-Type: application/json" in post and "Content-Length: 2" in post
    assert not any(line.lower().startswith(("cookie", "authorization", "proxy")) for line in get + post)


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with RawServer(lambda peer: peer.send(response(b"{}"))) as server:
        assert ask(server.url) == (200, b"{}")


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(lambda peer: peer.drip(HEAD * 10, 0.3), id="headers"),
        pytest.param(lambda peer: (peer.send(HEAD + b"\r\n"), peer.drip(b"{" + b" " * 100, 0.3)), id="body"),
        pytest.param(
            lambda peer: (peer.send(HEAD + b"Content-Length: 100\r\n\r\n"), peer.drip(b"{" + b" " * 98, 0.3)),
            id="body of a known length",
        ),
        pytest.param(
            lambda peer: (peer.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n"), peer.drip(b"1\r\n \r\n" * 50, 0.3)),
            id="chunks",
        ),
        pytest.param(lambda peer: peer.drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 20, 0.02), id="endless interim answers"),
        pytest.param(lambda peer: peer.hang(), id="nothing"),
    ],
)
def test_the_deadline_is_for_all_of_it(script: Script) -> None:
    """Each byte starts the read timeout again: requests once waited 6 s with timeout=1."""
    _, took = fails(script)
    assert took < DEADLINE + SLACK


def test_a_body_without_end_is_cut_at_the_cap() -> None:
    def endless(peer: Connection) -> None:
        peer.send(HEAD + b"\r\n")
        while True:
            peer.send(b"[" * 65_536)

    error, took = fails(endless, deadline=60.0)
    assert isinstance(error, AnswerTooLong)
    assert took < 30, "long before the deadline"


def test_endless_headers_end() -> None:
    def endless(peer: Connection) -> None:
        peer.send(HEAD)
        while True:
            peer.send(b"X-More: " + b"x" * 60_000 + b"\r\n")

    _, took = fails(endless, deadline=60.0)
    assert took < 30, "long before the deadline"


def test_a_compressed_answer_is_refused_unread() -> None:
    bomb = gzip.compress(bytes(400 * 2**20), compresslevel=1)  # 400 MiB in under 2 MiB
    assert len(bomb) < 3 * 2**20
    tracemalloc.start()
    try:
        error, _ = fails(
            lambda peer: peer.send(response(bomb, "Content-Encoding: gzip")), max_bytes=5 * 2**20, deadline=10.0
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "compressed" in str(error)
    assert peak < 20 * 2**20


def test_compressed_bytes_that_do_not_say_so_are_not_unpacked() -> None:
    """They are bad JSON, and are not looked into."""
    with RawServer(lambda peer: peer.send(response(gzip.compress(b'{"genesis": 1}')))) as server:
        with pytest.raises(PeerLied):
            PeerClient(SystemPeerHttp(private=True), 2**20).status(server.url)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_redirects_are_not_followed(status: str) -> None:
    with RawServer(lambda peer: peer.send(response(b"{}"))) as target:
        location = f"Location: {target.url}/status"
        with RawServer(lambda peer: peer.send(response(b"{}", location, status=status))) as server:
            assert ask(server.url)[0] == int(status[:3])
            with pytest.raises(PeerFailed):
                PeerClient(SystemPeerHttp(private=True), 2**20).status(server.url)
        assert not target.connections


BROKEN = {
    "garbage": b"\x00\xff" * 1000,
    "HTTP/0.9": b'{"chain": []}',
    "another protocol": b"-NOAUTH Authentication required.\r\n",
    "no status": b"HTTP/1.1 \r\n\r\n",
    "odd status": b"HTTP/1.1 2x0 OK\r\n\r\n{}",
    "nothing at all": b"",
    "a long status line": b"HTTP/1.1 200 " + b"x" * 100_000 + b"\r\n\r\n",
    "a long header": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    "too many headers": b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 200 + b"\r\n",
    "a truncated body": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{}",
    "a chunk without a size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "a truncated chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{}",
    "a missing last chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
    "a negative chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n{}\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_broken_answers(data: bytes) -> None:
    _, took = fails(lambda peer: peer.send(data) if data else None)
    assert took < DEADLINE + SLACK


def test_a_body_that_ends_with_the_connection_is_an_answer() -> None:
    with RawServer(lambda peer: peer.send(HEAD + b'\r\n{"a": 1}')) as server:
        assert ask(server.url) == (200, b'{"a": 1}')


def test_a_reset_connection() -> None:
    def reset(peer: Connection) -> None:
        peer._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        peer._sock.close()

    fails(reset)


def test_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(PeerFailed):
            ask(f"http://127.0.0.1:{unused.getsockname()[1]}")


def test_a_tls_handshake_that_drips() -> None:
    with RawServer(lambda peer: peer.hang()) as server:
        watch = Stopwatch(os.getpid())
        with pytest.raises(PeerFailed):
            ask(server.url.replace("http", "https"))
        assert watch.seconds() < DEADLINE + SLACK


_getaddrinfo = socket.getaddrinfo


def _resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Have names of the domain `example` resolve to these addresses, one answer after the other; which were asked."""
    asked: list[str] = []

    def resolve(host: str, port: Any, *rest: Any, **more: Any) -> list[Any]:
        if not host.endswith(".example"):
            return list(_getaddrinfo(host, port, *rest, **more))
        asked.append(host)
        found = answers[min(len(asked), len(answers)) - 1]
        return [(socket.AF_INET6 if ":" in a else socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in found]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return asked


def test_a_name_is_resolved_once_and_its_address_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: a public address for the check, a private one for the connection."""
    asked = _resolving(monkeypatch, ["127.0.0.1"], ["169.254.169.254"])
    with RawServer(lambda peer: peer.send(response(b"{}"))) as server:
        assert ask(f"http://rebound.example:{server.port}") == (200, b"{}")
        assert asked == ["rebound.example"]
        with pytest.raises(PeerFailed, match="does not connect"):
            ask(f"http://rebound.example:{server.port}")
    assert b"Host: rebound.example" in server.connections[0].request
    assert len(server.connections) == 1


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::127.0.0.1"])
def test_private_addresses_need_leave(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    connected: list[Any] = []
    _resolving(monkeypatch, [address])
    monkeypatch.setattr("urllib3.util.connection.create_connection", lambda *a, **_: connected.append(a))
    with pytest.raises(PeerFailed, match="does not connect"):
        ask("http://inside.example", SystemPeerHttp(private=False))
    literal = f"http://[{address}]" if ":" in address else f"http://{address}"
    with pytest.raises(PeerFailed, match="does not connect"):
        ask(literal, SystemPeerHttp(private=False))
    assert not connected


def test_of_many_addresses_the_forbidden_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """So are those where no server listens: `localhost` is often ::1 first."""
    _resolving(monkeypatch, ["169.254.169.254", "::1", "127.0.0.1"])
    with RawServer(lambda peer: peer.send(response(b"{}"))) as server:
        assert ask(f"http://both.example:{server.port}") == (200, b"{}")


def test_a_name_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answer.wait(20) and [])
    watch = Stopwatch(os.getpid())
    try:
        with pytest.raises(PeerFailed, match="resolved"):
            ask("http://slow.example")
        assert watch.seconds() < DEADLINE + SLACK
    finally:
        answer.set()


def test_names_that_do_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(code, "said by the system")

    monkeypatch.setattr(socket, "getaddrinfo", missing)
    code = socket.EAI_NONAME
    with pytest.raises(NoSuchHost, match="resolved"):
        ask("http://missing.example")
    code = socket.EAI_AGAIN  # the name server does not answer: the name may exist
    with pytest.raises(PeerFailed, match="resolved") as caught:
        ask("http://missing.example")
    assert type(caught.value) is PeerFailed


def test_sixty_four_dripping_peers_cost_no_more_than_one() -> None:
    """The status of all peers is asked at once: each takes its two seconds, and all together do."""
    with RawServer(lambda peer: peer.drip(HEAD + b"\r\n" + b" " * 100, 0.5)) as server:
        client = PeerClient(SystemPeerHttp(private=True), 2**20)
        before = threading.active_count()
        watch = Stopwatch(os.getpid())
        answers = client.in_parallel(client.status, [server.url] * 64)
        took = watch.seconds()
        assert len(server.connections) == 64
    assert all(isinstance(answer, PeerFailed) for answer in answers)
    assert took < 2 * STATUS_DEADLINE, f"{took:.2f} s: as long as one half of them after the other"
    assert threading.active_count() <= before + 1
    print(f"64 dripping peers: {took:.2f} s")


HASH = '"' + "0" * 64 + '"'


def status_text(**changes: str) -> bytes:
    """The JSON of a status; `changes` are the JSON of fields."""
    fields = {"height": "1", "chainwork": "0", "tip": HASH, "genesis": HASH} | changes
    return ("{" + ", ".join(f'"{name}": {text}' for name, text in fields.items()) + "}").encode()


NO_STATUS = {
    "nothing": b"",
    "null": b"null",
    "a list": b"[]",
    "a text": b'""',
    "a number": b"1",
    "no fields": b"{}",
    "open brackets": b"{" * 100_000,
    "deep": b"[" * 40 + b"]" * 40,
    "not UTF-8": b"\xff\xfe{}",
    "NaN": b"NaN",
    "a key twice": status_text().replace(b"}", b', "height": 2}'),
    "a fraction": status_text(height="1.5"),
    "a boolean": status_text(height="true"),
    "height 0": status_text(height="0"),
    "a huge height": status_text(height=str(2**53)),
    "negative work": status_text(chainwork="-1"),
    "impossible work": status_text(chainwork=str(2**256)),
    "a very long number": status_text(chainwork="9" * 5000),
    "work as text": status_text(chainwork='"5"'),
    "another alphabet": status_text(tip='"' + "G" * 64 + '"'),
    "a short hash": status_text(tip='"0"'),
    "a hash in a list": status_text(genesis=f"[{HASH}]"),
}


@pytest.mark.parametrize("body", NO_STATUS.values(), ids=NO_STATUS)
def test_a_status_that_is_none(body: bytes) -> None:
    with RawServer(lambda peer: peer.send(response(body))) as server:
        with pytest.raises(PeerFailed):
            PeerClient(SystemPeerHttp(private=True), 2**20).status(server.url)


def test_a_status_that_is_one() -> None:
    with RawServer(lambda peer: peer.send(response(status_text(more="[1]")))) as server:
        claim = PeerClient(SystemPeerHttp(private=True), 2**20).status(server.url)
    assert (claim.height, claim.tip.chainwork, claim.tip.hash) == (1, 0, "0" * 64)
