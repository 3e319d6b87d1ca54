"""One trace of the whole walk, over the processes of two nodes, as a collector receives it."""

import gzip
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from quarrynode import QuarryNetwork
from tests.support.waiting import eventually

QUARRY = (sys.executable, "-P", "-m", "api.cli")


class Collector:
    """A server that takes OTLP over HTTP."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Any]] = []  # service and span
        messages = pytest.importorskip(
            "opentelemetry.proto.collector.trace.v1.trace_service_pb2", reason="pip install '.[traces]' installs it"
        )
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                for resource in messages.ExportTraceServiceRequest.FromString(body).resource_spans:
                    names = {item.key: item.value.string_value for item in resource.resource.attributes}
                    for scope in resource.scope_spans:
                        collector.spans += [(names["service.name"], span) for span in scope.spans]
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/traces"

    def traces_with(self, name: str) -> list[set[tuple[str, str]]]:
        """Of each trace with a span of this name: the names of all spans, each with the service where it was made."""
        traces: dict[bytes, set[tuple[str, str]]] = {}
        for service, span in list(self.spans):
            traces.setdefault(span.trace_id, set()).add((span.name, service))
        return [found for found in traces.values() if any(name == each for each, _ in found)]


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = Collector()
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.mark.slow
def test_one_trace_leads_from_a_request_to_the_peers_chain(collector: Collector, tmp_path: Path) -> None:
    settings = {"QUARRY_TRACES_URL": collector.url, "QUARRY_TRACES_SHARE": "1", "QUARRY_KERNEL": "plain"}
    with QuarryNetwork(2, QUARRY, data_dir=tmp_path, environment=settings) as network:
        first, second = network.nodes
        sender, recipient, *_ = first.accounts

        def walks() -> bool:
            """Send another transaction. Whether the whole walk of one was seen: processes export every few seconds."""
            height = first.status()["height"]
            first.rpc("eth_sendTransaction", {"from": sender.address, "to": recipient.address, "value": "0x1"})
            eventually(lambda: second.status()["height"] == first.status()["height"] > height, 60)
            return any(WALK <= found for found in collector.traces_with("eth_sendTransaction"))

        # The first blocks may be sealed by the API, which sits at the desk until it has seen that the ticker does.
        eventually(walks, 60)


WALK = {
    ("eth_sendTransaction", "quarry-rpc"), ("admit", "quarry-rpc"), ("open round", "quarry-rpc"),
    ("search", "quarry-worker-mining"), ("claim", "quarry-worker-mining"), ("hand in", "quarry-worker-mining"),
    ("seal", "quarry-ticker"), ("append", "quarry-ticker"), ("announce", "quarry-worker-network"),
    ("ask peer POST", "quarry-worker-network"), ("HTTP POST", "quarry-api"), ("resolve", "quarry-worker-network"),
    ("ask peer GET", "quarry-worker-network"), ("HTTP GET", "quarry-api"),
}  # fmt: skip
