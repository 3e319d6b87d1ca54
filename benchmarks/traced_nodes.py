"""What tracing costs a whole node: processor time of all its processes, beside nodes that do the same work untraced.

The nodes of a group take turns, in an order that rotates and turns round: raw transactions, reads, and a block that
holds the transactions. What a traced node does while the others have their turns, beyond what an untraced one does
then, counts as well, since spans are exported every few seconds. Each cycle of turns gives one ratio to the mean of two
untraced nodes; the median counts. The interval supposes that cycles are independent, and those of one group are not
quite: equal nodes differ by where their memory lies. The ratio of the two untraced nodes says how much that can be.
Needs Linux and the extra `traces`.
"""

import http.client
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from statistics import fmean

from benchmarks.admission import request_of, signed_transactions
from benchmarks.node import BenchNode, processor_seconds
from services.wallet.development import ACCOUNTS

OFF, CONTROL, ON, ALL = "off", "off_again", "on", "all"
_SHARES: dict[str, dict[str, str] | None] = {OFF: None, CONTROL: None, ON: {}, ALL: {"TRACES_SHARE": "1"}}
# A turn has one block and takes some 0.1 s, since what else a machine does changes within seconds.
_TRANSACTIONS = 24
_READS = 12
_CHAIN_ID = 990_001  # of a node with a difficulty of its own


@dataclass
class Spent:
    """Processor seconds of one node."""

    turns: list[float] = field(default_factory=list)  # while it worked, by cycle
    rests: list[float] = field(default_factory=list)  # in the rest of the cycle

    def over(self, *untraced: "Spent") -> list[float]:
        """By cycle, the ratio to the mean of untraced nodes. What is done in the rest counts if they do not do it."""
        return [
            (turn + rest - fmean(other.rests[cycle] for other in untraced))
            / fmean(other.turns[cycle] for other in untraced)
            for cycle, (turn, rest) in enumerate(zip(self.turns, self.rests, strict=True))
        ]


def measure(say: Callable[[str], None], groups: int, cycles: int) -> dict[str, Spent]:
    """By kind of node, what it spent in each cycle of all groups."""
    spent = {name: Spent() for name in _SHARES}
    raws = signed_transactions(_CHAIN_ID, (cycles + 1) * _TRANSACTIONS)
    with _collector() as url:
        for number in range(groups):
            say(f"traced nodes, group {number + 1} of {groups}")
            with ExitStack() as stack:
                nodes = {name: _Worked(stack.enter_context(_node(name, url))) for name in _rotated(_SHARES, number)}
                for cycle in range(cycles + 1):
                    work = raws[cycle * _TRANSACTIONS : (cycle + 1) * _TRANSACTIONS]
                    order = _rotated(nodes, cycle // 2)
                    _cycle(nodes, order[:: -1 if cycle % 2 else 1], work, spent if cycle else None)
    return spent


def _node(name: str, collector: str) -> BenchNode:
    share = _SHARES[name]
    traces = {} if share is None else {"TRACES_URL": collector, **share}
    # A proof is found at once, and one job searches all rounds, so that the cycles are equal.
    return BenchNode(difficulty=1, settings={"AUTOMINE": "false", "LINGER": "60", **traces})


def _rotated(names: Iterable[str], by: int) -> list[str]:
    turned = list(names)
    by %= len(turned)
    return turned[by:] + turned[:by]


def _cycle(
    nodes: "dict[str, _Worked]", order: Sequence[str], raws: Sequence[bytes], spent: dict[str, Spent] | None
) -> None:
    """A turn of each node. None: it is the warm-up."""
    began = {name: node.seconds() for name, node in nodes.items()}
    turns = {}
    for name in order:
        before = nodes[name].seconds()
        nodes[name].work(raws)
        turns[name] = nodes[name].seconds() - before
    if spent is not None:
        for name, node in nodes.items():
            spent[name].turns.append(turns[name])
            spent[name].rests.append(node.seconds() - began[name] - turns[name])


class _Worked:
    """A node that does the work of one client."""

    def __init__(self, node: BenchNode) -> None:
        self._node = node
        self._headers = {"Content-Type": "application/json", "Authorization": f"Bearer {node.token}"}

    def seconds(self) -> float:
        return processor_seconds(self._node.pids())

    def work(self, raws: Sequence[bytes]) -> None:
        balance = {"jsonrpc": "2.0", "id": 1, "method": "eth_getBalance", "params": [ACCOUNTS[0].address, "latest"]}
        question = json.dumps(balance).encode()
        with closing(http.client.HTTPConnection("127.0.0.1", self._node.port, timeout=60)) as connection:
            for raw in raws:
                self._ask(connection, "POST", "/rpc", request_of(raw))
            for _ in range(_READS):
                self._ask(connection, "POST", "/rpc", question)
                self._ask(connection, "GET", "/status")
            self._ask(connection, "POST", "/mine?wait=60")

    def _ask(self, connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None) -> None:
        connection.request(method, path, body, self._headers)
        with connection.getresponse() as response:
            said = response.read()
        if response.status != 200 or b'"error"' in said:
            raise RuntimeError(f"{method} {path}: {response.status} {said[:300]!r}")


@contextmanager
def _collector() -> Iterator[str]:
    """The address of a collector that keeps nothing."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/traces"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
