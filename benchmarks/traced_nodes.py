"""What tracing costs a whole node: processor time of all its processes, beside nodes that do the same work untraced.

The nodes of a group take turns, in an order that rotates: raw transactions, reads, and blocks that hold the
transactions. What a traced node does while the others have their turns, beyond what an untraced one does then, counts
as well, since spans are exported every few seconds. Each cycle of turns gives one ratio; the median counts. Nodes that
are equal still differ by where their memory lies, so a few groups of new nodes are measured, and each group has two
untraced nodes. The ratio of these two says how far the method can be trusted. Needs Linux and the extra `traces`.
"""

import http.client
import json
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import comb

from benchmarks.admission import request_of, signed_transactions
from benchmarks.node import BenchNode, processor_seconds
from services.wallet.development import ACCOUNTS

OFF, CONTROL, ON, ALL = "off", "off_again", "on", "all"
_SETTINGS = {OFF: {}, CONTROL: {}, ON: {"TRACES_URL": ""}, ALL: {"TRACES_URL": "", "TRACES_SHARE": "1"}}
_BLOCKS = 5  # of one turn
_TRANSACTIONS = 24  # of one block
_READS = 12  # before each block
_CHAIN_ID = 990_001  # of a node with a difficulty of its own
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Ratio:
    """The median of paired ratios."""

    median: float
    quartiles: tuple[float, float]
    interval: tuple[float, float]  # of the median, at 95 %
    samples: int

    @classmethod
    def of(cls, found: Sequence[float]) -> "Ratio":
        """The interval is that of the order statistics, which supposes nothing about how the ratios are spread."""
        ordered = sorted(found)
        low, _, high = statistics.quantiles(ordered, n=4)
        margin = outer(len(ordered))
        return cls(statistics.median(ordered), (low, high), (ordered[margin], ordered[-1 - margin]), len(ordered))

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"median {self.median:.3f}, 95 % of it {low:.3f} to {high:.3f}; "
            f"quartiles {self.quartiles[0]:.3f} and {self.quartiles[1]:.3f} of {self.samples} cycles"
        )


def outer(count: int) -> int:
    """How many values at either end lie outside the 95 % interval of the median of so many."""
    below, most = 0.0, (1 - _CONFIDENCE) / 2
    for margin in range(count):
        below += comb(count, margin) / 2**count
        if below > most:
            return max(0, margin - 1)
    return 0


@dataclass
class Spent:
    """Processor seconds of one node."""

    turns: list[float] = field(default_factory=list)  # while it worked, by cycle
    rests: list[float] = field(default_factory=list)  # in the rest of the cycle

    def over(self, off: "Spent") -> list[float]:
        """By cycle, the ratio to an untraced node. Exports of the rest count; what any node does then does not."""
        return [
            (turn + rest - other_rest) / other
            for turn, rest, other, other_rest in zip(self.turns, self.rests, off.turns, off.rests, strict=True)
        ]


def measure(groups: int, cycles: int) -> dict[str, Spent]:
    """By kind of node, what it spent in each cycle of all groups."""
    spent = {name: Spent() for name in _SETTINGS}
    size = _BLOCKS * _TRANSACTIONS
    raws = signed_transactions(_CHAIN_ID, (cycles + 1) * size)
    with _collector() as url:
        for number in range(groups):
            with ExitStack() as stack:
                nodes = {}
                for name in _rotated(list(_SETTINGS), number):
                    settings = {key: value or url for key, value in _SETTINGS[name].items()}
                    node = BenchNode(difficulty=1, settings={"AUTOMINE": "false", "LINGER": "60", **settings})
                    nodes[name] = _Worked(stack.enter_context(node))
                for cycle in range(cycles + 1):
                    work = raws[cycle * size : (cycle + 1) * size]
                    _cycle(nodes, _rotated(list(nodes), cycle), work, spent if cycle else None)
    return spent


def _rotated(names: list[str], by: int) -> list[str]:
    by %= len(names)
    return names[by:] + names[:by]


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
            for start in range(0, len(raws), _TRANSACTIONS):
                for raw in raws[start : start + _TRANSACTIONS]:
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


if __name__ == "__main__":
    import sys

    t = time.time()
    s = measure(int(sys.argv[1]), int(sys.argv[2]))
    for n in s:
        print(
            n,
            sum(s[n].turns),
            sum(s[n].rests),
            Ratio.of(s[n].over(s[OFF])),
            "| totals",
            (sum(s[n].turns) + sum(s[n].rests) - sum(s[OFF].rests)) / sum(s[OFF].turns),
        )
    print(time.time() - t)
