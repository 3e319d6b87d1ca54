"""An HTTP server that answers commands as a test says, and the files of a node that seems to run."""

import contextlib
import json
import os
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from services.launch.node_files import NodeFiles, NodeRecord, node_files
from services.system.processes import started_at
from services.wallet.development import ACCOUNTS
from shared.chain_spec import ChainSpec
from shared.replay import Replay
from shared.rules import rules_for

SPEC = ChainSpec(name="unit", chain_id=4712, genesis_timestamp=1_700_000_000, difficulty=1)


class FakeNode:
    """An HTTP server on 127.0.0.1: it answers by path (`answers`), and keeps the requests (`asked`)."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, Any]] = {}
        self.location = "/elsewhere"  # of answers with status 301 or 302
        self.asked: list[tuple[str, str, Any, dict[str, str]]] = []
        node = self

        class Handler(BaseHTTPRequestHandler):
            def respond(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                node.asked.append((self.command, self.path, body, dict(self.headers)))
                path = self.path.partition("?")[0]
                status, value = node.answers.get(path, (404, {"code": "not_found", "detail": "Nothing here."}))
                if callable(value):
                    value = value(self.path)
                text = value if isinstance(value, bytes) else json.dumps(value).encode()
                self.send_response(status)
                if status in (301, 302):
                    self.send_header("Location", node.location)
                self.send_header("Content-Length", str(len(text)))
                with contextlib.suppress(ConnectionError):  # the client has left
                    self.end_headers()
                    self.wfile.write(text)

            do_GET = do_POST = do_DELETE = respond

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def serve_chain(self, blocks: list[dict[str, Any]], spec: ChainSpec = SPEC) -> None:
        def page(path: str) -> dict[str, Any]:
            query = dict(item.split("=") for item in path.partition("?")[2].split("&"))
            first = int(query["from"])
            return {"chain": blocks[first - 1 : first - 1 + int(query["limit"])], "length": len(blocks)}

        self.answers["/spec"] = 200, spec.to_object()
        self.answers["/chain"] = 200, page
        self.answers["/status"] = 200, {"height": len(blocks), "min_fee": "0"}
        for block in blocks:
            self.answers[f"/blocks/{block['index']}"] = 200, block | {"hash": rules_for(spec).read_block(block).hash}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def make_chain(length: int) -> list[dict[str, Any]]:
    """The JSON objects of a valid chain with rewards only."""
    rules = rules_for(SPEC)
    replay = Replay(rules)
    blocks = [json.loads(rules.genesis().canonical)]
    replay.add(blocks[0])
    while len(blocks) < length:
        template = rules.template(replay.window, [], ACCOUNTS[0].address, SPEC.genesis_timestamp + len(blocks))
        blocks.append(template.with_proof(0))  # at difficulty 1 any proof is valid
        replay.add(blocks[-1])
    return blocks


def record(url: str, directory: Path, **change: Any) -> NodeRecord:
    token = directory / "admin-token"
    found = NodeRecord(
        name="node1",
        spec="dev",
        url=url,
        address=ACCOUNTS[0].address,
        redis_url="redis://127.0.0.1:1/0",
        admin_token_file=str(token),
        pid=os.getpid(),
        started=started_at(os.getpid()) or "",
        started_at=time.time(),
    )
    return replace(found, **change)


def make_node(home: Path, url: str, name: str = "node1", **change: Any) -> NodeFiles:
    files = node_files(home, "dev", name)
    files.prepare()
    files.write_record(record(url, files.directory, **change))
    return files
