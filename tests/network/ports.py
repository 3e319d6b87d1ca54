"""A network inside one process: nodes whose HTTP port calls each other's Flask applications, on one store."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import urlsplit

from flask import Flask
from redis import Redis

from api.app import create_app
from services.errors import PeerFailed
from services.node import Node, build_node
from services.peers.http import AnswerTooLong, PeerRequest, Stream, outcome
from services.peers.resolver import Resolution
from shared.chain_spec import ChainSpec
from shared.errors import NodeError
from tests.support.clocks import FakeClock
from tests.support.keys import TOKEN
from tests.support.nodes import TestNode, make_settings

T = TypeVar("T")
# Returns the status and body of an answer, or raises an exception.
Handler = Callable[[PeerRequest], tuple[int, bytes]]


class InProcessHttp:
    """The HTTP port without sockets. A URL that nobody registered cannot be reached."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}
        self._lock = threading.Lock()
        self.asked: list[tuple[str, str]] = []  # URL, path
        self.bytes = 0  # of requests and answers, without headers

    def serve(self, url: str, handler: Flask | Handler) -> None:
        """Put an application or a scripted peer at a URL, in place of what was there."""
        self._handlers[url] = _calling(handler) if isinstance(handler, Flask) else handler

    def handler(self, url: str) -> Handler:
        return self._handlers[url]

    def cut(self, url: str) -> None:
        """Make a URL unreachable."""
        self._handlers.pop(url, None)

    def exchange(self, request: PeerRequest) -> tuple[int, bytes]:
        with self._lock:
            self.asked.append((request.url, request.path))
        handler = self._handlers.get(request.url)
        if handler is None:
            raise PeerFailed("The peer cannot be connected to.")
        status, body = handler(request)
        with self._lock:
            self.bytes += len(request.path) + len(request.body or b"") + len(body)
        if len(body) > request.max_bytes:
            raise AnswerTooLong(f"The peer's answer is longer than {request.max_bytes} bytes.")
        return status, body

    @contextmanager
    def stream(self, request: PeerRequest) -> Iterator[Stream]:
        status, body = self.exchange(request)
        yield Stream(status, iter([body]))

    def in_parallel(self, ask: Callable[[str], T], urls: Sequence[str]) -> list[T | NodeError]:
        with ThreadPoolExecutor(max_workers=max(len(urls), 1)) as pool:
            return list(pool.map(lambda url: outcome(ask, url), urls))

    def paths(self, url: str) -> list[str]:
        """The paths that were asked of one URL, without their queries."""
        return [urlsplit(path).path for asked, path in self.asked if asked == url]


def _calling(app: Flask) -> Handler:
    def call(request: PeerRequest) -> tuple[int, bytes]:
        headers = {"Host": "localhost"}
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        response = app.test_client().open(request.path, method=request.method, data=request.body, headers=headers)
        with response:
            return response.status_code, response.get_data()

    return call


def once_before(path: str, served: Handler, change: Callable[[], None]) -> Handler:
    """A handler that calls `change` once, just before it answers the first request of `path`."""
    done: list[bool] = []

    def handler(request: PeerRequest) -> tuple[int, bytes]:
        if request.path.startswith(path) and not done:
            done.append(True)
            change()
        return served(request)

    return handler


class Member(TestNode):
    """A `TestNode` that is part of a network."""

    __test__ = False

    def __init__(self, network: "Network", name: str, spec: ChainSpec, **settings: Any) -> None:
        self.network = network
        self.name = name
        self.url = f"http://{name}:5000"
        fields = {"node": name, "public_url": self.url, "max_peers": 8, **settings}
        super().__init__(network.redis, make_settings(spec, **fields), clock=network.clock)
        network.http.serve(self.url, lambda request: _calling(self.app)(request))

    @cached_property
    def app(self) -> Flask:
        """Made when it is first asked for: it takes 20 ms, and many nodes only ask others."""
        return create_app(self.node, TOKEN)

    def build(self, redis: Redis) -> Node:
        store: Any = redis
        return build_node(
            self.settings, store=store, queue=self.queue, clock=self.network.clock, http=self.network.http
        )

    @property
    def tip(self) -> str:
        return self.node.chain.tip().hash

    @property
    def height(self) -> int:
        return self.node.chain.tip().height

    def grow(self, blocks: int, recipient: str) -> None:
        """Append empty blocks."""
        for _ in range(blocks):
            self.mine(recipient=recipient)

    def resolve(self, only: str | None = None) -> Resolution:
        return self.node.resolver.resolve(only)

    def befriend(self, *others: "Member | str") -> None:
        self.node.peers.add(*(other if isinstance(other, str) else other.url for other in others))

    def peer(self, url: str) -> Any:
        found = self.node.peers.get(url)
        assert found is not None
        return found

    def hashes(self) -> list[str]:
        return [item.header.hash for item in self.node.chain.headers(1, self.height)]

    def get(self, path: str, status: int = 200) -> Any:
        """The JSON of this node's answer to a reader."""
        found, body = _calling(self.app)(PeerRequest(self.url, path, 1.0, 2**30))
        assert found == status, (found, body[:300])
        return json.loads(body)


class Network:
    """Nodes of one process under one clock."""

    def __init__(self, redis: Redis, spec: ChainSpec) -> None:
        self.redis = redis
        self.spec = spec
        self.http = InProcessHttp()
        self.clock = FakeClock()

    def member(self, name: str, spec: ChainSpec | None = None, **settings: Any) -> Member:
        return Member(self, name, spec or self.spec, **settings)

    def members(self, *names: str) -> list[Member]:
        """Nodes that are all peers of each other."""
        made = [self.member(name) for name in names]
        for one in made:
            one.befriend(*(other for other in made if other is not one))
        return made

    def copy(self, source: Member, *others: Member) -> None:
        """Append the blocks of `source` to the chains of `others`."""
        for other in others:
            for text in list(source.node.chain.stream(other.height + 1, source.height)):
                other.node.acceptor.accept(other.node.rules.read_block(json.loads(text)))
