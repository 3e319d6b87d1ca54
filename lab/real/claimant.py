"""A peer of real nodes that claims a long branch for which it did no work."""

from __future__ import annotations

import json
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

from api.cli.client import NodeClient
from api.cli.group import Failure
from lab.interface import LabBlock
from lab.simulated.sealing import hash_of, root_of
from shared.chain_spec import ChainSpec
from shared.reward import make_reward

Json = dict[str, Any]
_NOBODY = "0x000000000000000000000000000000000000dEaD"
_MOST = 500  # headers of one answer
_HOST = "127.0.0.1"


class Claimant:
    """Claims `blocks` more than the best chain has. Its headers are right, but for their proofs.

    Args:
        honest: a node from which it takes the chain that its branch begins on.
        number: tells it from other such peers: no two show the same block.
    """

    def __init__(self, honest: NodeClient, spec: ChainSpec, blocks: int, number: int) -> None:
        self._honest = honest
        self._spec = spec
        self._count = blocks
        self._number = number
        self._fork: Json = honest.get("/blocks/latest")
        self._genesis = str(honest.get("/status")["genesis"])
        self._branch = self._make(min(blocks, 2 * _MOST))  # no node reads more than it needs to see the lie
        self._stack = ExitStack()
        self.url = ""
        self.port = 0

    def start(self) -> None:
        """Serve, on a free port of this machine."""
        server = ThreadingHTTPServer((_HOST, 0), self._handler())
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="claimant", daemon=True)
        thread.start()
        self._stack.callback(server.server_close)
        self._stack.callback(thread.join)
        self._stack.callback(server.shutdown)
        self.port = server.server_port
        self.url = f"http://{_HOST}:{self.port}"

    def stop(self) -> None:
        self._stack.close()

    @property
    def first(self) -> LabBlock:
        """The first block of its branch: the one that a node refuses."""
        header = self._branch[0]
        return LabBlock(
            hash=hash_of(header),
            parent=str(header["previous_hash"]),
            height=int(header["index"]),
            chainwork=int(self._fork["chainwork"]) + self._spec.difficulty,
            finder=None,
            found_at=0.0,
            timestamp=float(header["timestamp"]),
        )

    def claim(self) -> Json:
        """The tip that it claims."""
        return {
            "hash": hash_of(self._branch[-1]),
            "height": int(self._fork["index"]) + self._count,
            "chainwork": int(self._fork["chainwork"]) + self._count * self._spec.difficulty,
        }

    def answer(self, method: str, target: str) -> tuple[int, Json]:
        """Status and body, as of a node that has such a branch."""
        place = urlsplit(target)
        if method == "POST":
            return 202, {"heeded": True}
        if place.path == "/status":
            claim = self.claim()
            return 200, {"genesis": self._genesis, "tip": claim.pop("hash"), **claim}
        if place.path == "/headers":
            return 200, self._headers({name: values[-1] for name, values in parse_qs(place.query).items()})
        return 404, {}

    def _make(self, count: int) -> list[Json]:
        found: list[Json] = []
        previous, height, timestamp = str(self._fork["hash"]), int(self._fork["index"]), int(self._fork["timestamp"])
        for _ in range(count):
            height, timestamp = height + 1, timestamp + 1
            body = [make_reward(self._spec.chain_id, height, _NOBODY, self._spec.reward).fields]
            header = {
                "index": height,
                "timestamp": timestamp,
                "previous_hash": previous,
                "difficulty": self._spec.difficulty,
                "transactions_root": root_of(body),
                "proof": self._number,
            }
            found.append(header)
            previous = hash_of({**header, "transactions": body})
        return found

    def _headers(self, arguments: dict[str, str]) -> Json:
        """The honest headers up to the fork, and then its own.

        What was found since is not on its branch: hashes of such blocks are struck off the locator.
        """
        query: dict[str, Any] = {name: arguments[name] for name in ("locator", "limit") if name in arguments}
        honest: Json = self._honest.get("/headers", **query)
        while int(honest["from"]) > int(self._fork["index"]) + 1 and "," in query.get("locator", ""):
            query["locator"] = query["locator"].partition(",")[2]
            honest = self._honest.get("/headers", **query)
        below = [header for header in honest["headers"] if int(header["index"]) <= int(self._fork["index"])]
        first = int(honest["from"])
        own = [header for header in self._branch if int(header["index"]) >= first]
        limit = min(int(arguments.get("limit", _MOST)), _MOST)
        return {"headers": (below + own)[:limit], "from": first, "length": self.claim()["height"]}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        claimant = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_GET(self) -> None:
                self._answer("GET")

            def do_POST(self) -> None:
                self.rfile.read(min(int(self.headers.get("Content-Length") or 0), 2**20))
                self._answer("POST")

            def _answer(self, method: str) -> None:
                try:
                    status, found = claimant.answer(method, self.path)
                except (Failure, KeyError, ValueError):  # the honest node has ended
                    status, found = 503, {}
                body = json.dumps(found).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler
