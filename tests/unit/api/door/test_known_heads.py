"""Heads of miners' requests that the door knows again."""

from contextlib import suppress

import httptools
import pytest

from api.door import known_heads as module
from api.door.known_heads import LARGEST, KnownHeads
from api.door.requests import Received

BODY = b'{"name":"a","rate":1}'
FIELDS = b"Host: localhost\r\nAuthorization: Bearer qv_1\r\nContent-Type: application/json\r\nContent-Length: 21"
LEASE = "/leases/" + "0a" * 16


def request(line: str = "POST /leases HTTP/1.1", fields: bytes = FIELDS, body: bytes = BODY) -> bytes:
    return line.encode() + b"\r\n" + fields + b"\r\n\r\n" + body


class _Parsed(Received):
    """A request as the door's parser reads it."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._parser = httptools.HttpRequestParser(self)
        with suppress(httptools.HttpParserUpgrade):
            self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self.path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields[name.lower()] = value

    def on_body(self, part: bytes) -> None:
        self.body += part

    def on_message_complete(self) -> None:
        self.method, self.keep = self._parser.get_method(), self._parser.should_keep_alive()


def known(data: bytes) -> KnownHeads:
    heads = KnownHeads()
    heads.learn(data, _Parsed(data))
    return heads


@pytest.mark.parametrize("path", ["/leases", "/leases?wait=20", "/leases?wait=0", LEASE])
def test_a_known_head_means_what_the_parser_reads(path: str) -> None:
    body = BODY.replace(b"a", b"b")
    data = request(f"POST {path} HTTP/1.1", body=body)
    found, parsed = known(request()).read(data), _Parsed(data)
    assert found is not None
    for name in ("method", "path", "fields", "body", "keep", "large"):
        assert getattr(found, name) == getattr(parsed, name), name


@pytest.mark.parametrize(
    "data",
    [
        request(fields=FIELDS.replace(b"qv_1", b"qv_2")),
        request(fields=FIELDS + b"\r\nX: y"),
        request(body=BODY[:-1]),
        request(body=BODY + b"P"),
        request() + request(),
        request("GET /leases HTTP/1.1"),
        request("POST /leases HTTP/1.0"),
        request("POST /leases/news HTTP/1.1"),
        request("POST /leases?wait=0.5 HTTP/1.1"),
        request("POST /rpc HTTP/1.1"),
        request(f"POST {LEASE.upper()} HTTP/1.1"),
        b"",
        b"\r\n\r\n",
    ],
)
def test_anything_else_is_for_the_parser(data: bytes) -> None:
    assert known(request()).read(data) is None


@pytest.mark.parametrize(
    "data",
    [
        request(fields=FIELDS + b"\r\nConnection: close"),
        request(fields=FIELDS + b"\r\nExpect: 100-continue"),
        request(fields=FIELDS + b"\r\nUpgrade: h2c"),
        request(fields=FIELDS + b"\r\nX: " + b"y" * LARGEST),
        request("POST /leases HTTP/1.0"),
        request("POST /leases?wait=0.5 HTTP/1.1"),
    ],
)
def test_what_may_mean_something_else_is_not_remembered(data: bytes) -> None:
    assert known(data).read(data) is None


def test_only_a_whole_request_alone_is_remembered() -> None:
    for data in (request() + request(), request()[:-1]):
        heads = KnownHeads()
        heads.learn(data, _Parsed(request()))
        assert heads.read(request()) is heads.read(data) is None


def test_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 3)
    heads = KnownHeads()
    all_data = [request(fields=FIELDS.replace(b"qv_1", b"qv_%d" % number)) for number in range(4)]
    for data in all_data[:3]:
        heads.learn(data, _Parsed(data))
    assert all(heads.read(data) for data in all_data[:3])
    heads.learn(all_data[3], _Parsed(all_data[3]))
    assert [heads.read(data) is not None for data in all_data] == [False, False, False, True]
