"""The network between nodes that somebody else started, such as `quarry up --links`: a router, and its controls.

Each node has a proxy here, which it uses for its peers (`QUARRY_PEER_PROXY`). Whoever started the nodes parts them and
heals them over HTTP, from this machine only:

    GET  /         {"nodes": [...], "groups": [[1, 2]], "links": [...]}
    POST /control  {"call": "partition", "groups": [[1], [2]]}
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, jsonify
from flask.typing import ResponseReturnValue

from lab.interface import LabError
from lab.page.controls import LinkControls
from lab.page.serving import guarded_app, json_object, serving
from lab.real.router import Router
from lab.real.wiring import NotedLink, Wiring
from lab.session import until_interrupted


@dataclass(frozen=True, slots=True)
class RoutedNode:
    """A node whose requests to peers go through the router."""

    number: int
    url: str  # its API
    proxy: str  # URL, for its `QUARRY_PEER_PROXY`


class RoutedNetwork:
    """Nodes at fixed ports of this machine, and the links between them.

    Args:
        urls: of the nodes' APIs, in order.
        ports: of their proxies; 0: any that is free.

    Raises:
        LabError: a URL is not of this machine or is there twice, or a port is taken.
    """

    def __init__(self, router: Router, urls: Sequence[str], ports: Sequence[int]) -> None:
        self._router = router
        self.nodes = [
            RoutedNode(number, url, f"http://127.0.0.1:{router.add(number, *_place(url), port)}")
            for number, (url, port) in enumerate(zip(urls, ports, strict=True), 1)
        ]
        self.groups = [[node.number for node in self.nodes]]
        self._wiring = Wiring(router, len(self.nodes), self._note)

    def link(self, a: int, b: int) -> NotedLink:
        """What node `b` hears from node `a`. Raises `LabError`: there is no such node, or it is one and the same."""
        return self._wiring.link(a, b)

    def partition(self, *groups: Sequence[int]) -> None:
        """As `lab.interface.Lab.partition`."""
        self._wiring.partition(groups)

    def heal(self) -> None:
        """End every cut."""
        self._wiring.heal()

    def _note(self, kind: str, **fields: Any) -> None:
        if kind == "groups":
            self.groups = fields["groups"]

    def to_object(self) -> dict[str, Any]:
        """Nodes, groups and links, as JSON."""
        return {
            "nodes": [asdict(node) for node in self.nodes],
            "groups": self.groups,
            "links": [
                {"from": a, "to": b, **asdict(self._router.link(a, b).conditions)} for a, b in self._router.links()
            ],
        }


def create_network_app(network: RoutedNetwork) -> Flask:
    """The application of the controls."""
    app = guarded_app(__name__)
    controls = LinkControls(network)

    @app.get("/")
    def state() -> ResponseReturnValue:
        return jsonify(network.to_object())

    @app.post("/control")
    def control() -> ResponseReturnValue:
        controls.act(json_object())
        return jsonify({})

    return app


def serve_network(
    urls: Sequence[str], port: int, proxies: Sequence[int], tell: Callable[[dict[str, Any]], None]
) -> None:
    """Run a router and its controls until SIGINT or SIGTERM.

    Args:
        urls, proxies: as for `RoutedNetwork`.
        port: of the controls; 0: any that is free.
        tell: gets `{"url": CONTROLS, "nodes": [{"number", "url", "proxy"}]}` once they can be used.

    Raises:
        LabError: as for `RoutedNetwork`.
    """
    with until_interrupted() as interrupted, Router() as router:
        network = RoutedNetwork(router, urls, proxies)
        with serving(create_network_app(network), port) as url:
            tell({"url": url, "nodes": [asdict(node) for node in network.nodes]})
            interrupted.wait()


def _place(url: str) -> tuple[str, int]:
    """Host and port of a node. Raises `LabError`: it is no URL."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not port or parts.scheme != "http":
        raise LabError(f"{url!r:.60} is no URL of a node, such as http://127.0.0.1:5000.")
    return host, port
