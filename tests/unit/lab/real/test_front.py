"""A front before a node, with programs in place of the node and its peers: what each of them can see."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest

from api.cli.client import NodeClient
from lab.blocktree import BlockTree
from lab.interface import LabBlock, LabError
from lab.real import false_clock
from lab.real import front as front_module
from lab.real.front import Front
from lab.real.node import RealNode
from lab.real.router import Router
from lab.recording import VERSION, Recorder
from lab.strategy import WAIT, Action, Times, View, publish_all
from lab.wallets import payment, wallet_key
from services.settings.table import load_spec
from shared.transaction import read_transaction
from tests.support.told import Told
from tests.support.waiting import eventually

WORK = 4
NAMES = {1: "11", 2: "22", 3: "33"}


class FakeNode:
    """As much of a node as a front and its router meet. Its blocks are `own`, by hash."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.name = f"node {number}"
        self.state = "running"
        self.shown: list[str] = []  # hashes of its chain
        self.blocks: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, str, Any]] = []
        self.answers: dict[str, Any] = {}
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer()

            def do_POST(self) -> None:
                self._answer()

            def do_DELETE(self) -> None:
                self._answer()

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                value = json.loads(body) if body else None
                fake.asked.append((self.command, self.path, value))
                text = json.dumps(fake.answer(self.path, value)).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def running(self) -> FakeNode:
        return self

    def answer(self, path: str, body: Any) -> Any:
        name = path.partition("?")[0]
        if name in self.answers:
            return self.answers[name]
        if name == "/status":
            return {"tip": self.shown[-1]}
        if name.startswith("/blocks/"):
            return self.blocks[name.rpartition("/")[2]]
        if name == "/nodes":
            return {"nodes": [{"url": url, "state": "ok"} for url in self.answers.get("peers", [])]}
        if name == "/nodes/announce":
            return {"heeded": True}
        return {"secret": self.shown, "transactions": [], "blocks": []}  # what a careless front would pass on

    def client(self) -> NodeClient:
        if self.state != "running":
            raise LabError(f"{self.name} is {self.state}.")
        return NodeClient(self.url)

    hash_rate = 500_000
    control = RealNode.control
    _answers = RealNode._answers

    def peers(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.client().get("/nodes")["nodes"]
        return found

    def told(self, path: str) -> list[Any]:
        return [body for _, asked, body in self.asked if asked.partition("?")[0] == path]


class Net:
    """Three nodes on a router; node 1 has a front."""

    def __init__(self, stack: ExitStack) -> None:
        self.recorder = Recorder()
        self.recorder.note(
            0.0, "begin", recording=VERSION, scenario="x", world="real", seed=1, nodes=3, spec={}, parameters={}
        )
        self.tree = BlockTree(self.recorder, lambda: 0.0)
        self.router = Router()
        self.router.start()
        stack.callback(self.router.stop)
        self.nodes = [FakeNode(number) for number in NAMES]
        for node in self.nodes:
            stack.callback(node.server.server_close)
            stack.callback(node.server.shutdown)
            self.router.add(node.number, "127.0.0.1", node.port)
        self.reports: list[str] = []
        self.fronts: list[Front] = []
        self.count = 0
        stack.callback(lambda: [front.close() for front in self.fronts])
        self.genesis = self.block(None, "")
        for node in self.nodes:
            self.has(node, self.genesis)

    def block(
        self, finder: int | None, parent: str, transactions: list[dict[str, Any]] | None = None, timestamp: int = 0
    ) -> str:
        """A block that somebody found; its hash, which is lower than those before it."""
        self.count += 1
        name = f"{10**6 - self.count:064d}"
        height = 1 if finder is None else self.tree.block(parent).height + 1  # type: ignore[union-attr]
        reward = {"type": "reward", "id": f"reward {name}", "recipient": str(finder)}
        self.tree.add(LabBlock(name, parent, height, WORK * height, finder, 0.0, float(timestamp)))
        shown = {
            "index": height, "timestamp": 1, "previous_hash": parent, "difficulty": WORK, "transactions_root": "r",
            "proof": 7, "transactions": [reward, *(transactions or [])], "hash": name, "chainwork": WORK * height,
            "size": 9, "confirmations": 1, "on_chain": True,
        }  # fmt: skip
        self.shown = {**getattr(self, "shown", {}), name: shown}
        return name

    def has(self, node: FakeNode, *names: str) -> None:
        """A node has stored blocks, and the last one is its tip."""
        for name in names:
            node.blocks[name] = self.shown[name]
            self.tree.heard(node.number, name)
        node.shown = [*node.shown, *names]
        self.tree.moved(node.number, names[-1])

    def front(self, strategy: Any) -> Front:
        one = self.nodes[0]
        one.tip = lambda: self.tree.tip(1)  # type: ignore[attr-defined]
        made = Front(
            one,  # type: ignore[arg-type]
            self.nodes,  # type: ignore[arg-type]
            strategy,
            self.tree,
            self.router,
            load_spec("lab"),
            self.reports.append,
        )
        self.fronts.append(made)
        made.start()
        return made

    def ask(self, asking: int, asked: int, path: str, method: str = "GET", body: Any = None) -> tuple[int, bytes]:
        """What a node gets from another one, by its proxy."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.router.port_of(asking), timeout=10)) as connection:
            text = None if body is None else json.dumps(body)
            connection.request(method, self.nodes[asked - 1].url + path, text, {"Connection": "close"})
            answer = connection.getresponse()
            return answer.status, answer.read()

    def status(self, asking: int, asked: int) -> Any:
        return json.loads(self.ask(asking, asked, "/status")[1])["tip"]

    def kinds(self, kind: str) -> list[str]:
        return [event.fields["hash"] for event in self.recorder.events if event.kind == kind]


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> Iterator[Net]:
    monkeypatch.setattr(front_module, "ASK_SECONDS", 0.2)
    with ExitStack() as stack:
        yield Net(stack)


PATHS = [
    "/status", "/headers", "/headers?limit=500&locator={genesis}", "/headers?locator={secret}", "/chain",
    "/chain?from=2&limit=9", "/chain?from=1&limit=-1", "/chain?from=x", "/tips", "/blocks", "/blocks/{secret}",
    "/blocks/latest", "/blocks/2", "/events", "/mempool", "/nodes", "/nodes/resolve", "/metrics", "/readyz", "/spec",
    "/transactions/{secret}", "/accounts/0x0", "/explorer", "/explorer/blocks/{secret}", "/mine", "/jobs/{secret}",
    "/rounds/{secret}", "/", "//status", "/status/", "/STATUS", "/mining/limit", "/search?q={secret}",
]  # fmt: skip
POSTS = ["/rpc", "/transactions/batch", "/nodes/announce", "/nodes/register", "/transactions/new", "/mine", "/status"]


def test_peers_never_see_a_withheld_block_through_any_path(net: Net) -> None:
    net.front(Told())
    one = net.nodes[0]
    secret = net.block(1, net.genesis)
    net.has(one, secret)
    eventually(lambda: net.kinds("withheld") == [secret])
    for method, paths in (("GET", PATHS), ("HEAD", PATHS), ("POST", POSTS), ("DELETE", ["/nodes", "/jobs"])):
        for path in paths:
            asked = path.format(genesis=net.genesis, secret=secret)
            body = (
                {"url": net.nodes[1].url, "transactions": [], "method": "eth_blockNumber"} if method == "POST" else None
            )
            status, text = net.ask(2, 1, asked, method, body)
            assert secret not in text.decode() and b"secret" not in text, asked
            assert status in (200, 202, 400, 404), asked
    allowed = {("GET", f"/blocks/{net.genesis}"), ("GET", "/mempool"), ("POST", "/transactions/batch")}
    assert {(method, path.partition("?")[0]) for method, path, _ in one.asked} <= allowed, (
        "nothing else reaches the node"
    )
    net.ask(1, 2, "/nodes/announce", "POST", {"url": one.url, "hash": secret, "height": 2, "chainwork": 8})
    assert not net.nodes[1].told("/nodes/announce"), "nor does the node tell of it"
    assert net.status(2, 1) == net.status(3, 1) == net.genesis


def test_a_published_branch_is_announced_and_served(net: Net) -> None:
    net.front(Told(lambda view: publish_all(view) if view.lead == 2 else WAIT))
    one, two, three = net.nodes
    first = net.block(1, net.genesis)
    second = net.block(1, first)
    net.has(one, first, second)
    eventually(lambda: net.kinds("published") == [first, second])
    eventually(lambda: two.told("/nodes/announce") and three.told("/nodes/announce"))
    assert two.told("/nodes/announce") == [{"url": one.url, "hash": second, "height": 3, "chainwork": 3 * WORK}]
    assert net.status(2, 1) == second
    page = json.loads(net.ask(2, 1, f"/headers?locator={net.genesis}&limit=500")[1])
    assert [header["previous_hash"] for header in page["headers"]] == [net.genesis, first]
    assert (page["from"], page["length"]) == (2, 3) and set(page["headers"][0]) == {
        "index", "timestamp", "previous_hash", "difficulty", "transactions_root", "proof"
    }  # fmt: skip
    chain = json.loads(net.ask(2, 1, "/chain?from=2&limit=1")[1])
    [block] = chain["chain"]
    assert block == {
        key: value for key, value in net.shown[first].items()
        if key not in ("hash", "chainwork", "size", "confirmations", "on_chain")
    } | {"transactions": [{"type": "reward", "recipient": "1"}]}  # fmt: skip
    assert chain["length"] == 3


def test_blocks_of_others_are_held_back_until_the_strategy_gives_up(net: Net) -> None:
    strategy = Told(lambda view: Action(give_up=view.lead < -1))
    net.front(strategy)
    one, two, _ = net.nodes
    own = net.block(1, net.genesis)
    net.has(one, own)
    eventually(lambda: net.kinds("withheld") == [own])
    first = net.block(2, net.genesis)
    second = net.block(2, first)
    net.has(two, first, second)
    net.ask(2, 1, "/nodes/announce", "POST", {"url": two.url, "hash": second, "height": 3, "chainwork": 12})
    eventually(lambda: strategy.views[-1].public.hash == second)
    assert strategy.views[-1].lead == -1 and net.status(1, 2) == net.status(1, 3) == net.genesis, (
        "the node sees nothing"
    )
    assert net.status(3, 1) == second, "everybody else may know"
    third = net.block(2, second)
    net.has(two, third)
    eventually(lambda: one.told("/nodes/announce"))
    assert net.status(1, 2) == third
    assert one.told("/nodes/announce")[0]["hash"] == third and one.told("/nodes/announce")[0]["url"] == two.url
    blocks = json.loads(net.ask(1, 3, "/chain?from=2&limit=3")[1])["chain"]
    assert [block["previous_hash"] for block in blocks] == [net.genesis, first, second]


def test_a_node_leaves_its_branch_for_one_that_is_no_better(net: Net) -> None:
    """It goes back without peers, gets them again, and its payments too."""
    payment = {"type": "odd", "id": "ff"}
    net.front(Told(lambda view: Action(give_up=not view.block.mine)))
    one, two, three = net.nodes
    one.answers["peers"] = [two.url, three.url]
    one.answers["/rpc"] = {"result": None}
    theirs = net.block(2, net.genesis)
    own = net.block(1, net.genesis, [payment])
    own = net.block(1, own)
    net.has(one, own)
    eventually(lambda: net.kinds("withheld") != [])
    net.has(two, theirs)
    eventually(lambda: one.told("/nodes/register"))
    calls = [(method, path, body) for method, path, body in one.asked if path in ("/nodes", "/rpc", "/nodes/register")]
    assert calls[-3:] == [
        ("DELETE", "/nodes", {"nodes": [two.url, three.url]}),
        ("POST", "/rpc", {"jsonrpc": "2.0", "id": 1, "method": "anvil_rollback", "params": [2]}),
        ("POST", "/nodes/register", {"nodes": [two.url, three.url]}),
    ]
    assert net.status(1, 3) == theirs


def test_payments_pass_unless_the_strategy_refuses_them(net: Net) -> None:
    spec = load_spec("lab")
    payments = [
        payment(spec, wallet_key(2), to=wallet_key(3).address, amount=1, nonce=nonce, fee=1) for nonce in range(2)
    ]
    strategy = Told()
    net.front(strategy)
    one = net.nodes[0]
    assert net.ask(2, 1, "/transactions/batch", "POST", {"transactions": payments}) == (202, b"{}")
    assert one.told("/transactions/batch") == [{"transactions": payments}]
    refused = read_transaction(payments[0]).id
    strategy.takes = lambda id: id != refused  # type: ignore[attr-defined]
    net.ask(2, 1, "/transactions/batch", "POST", {"transactions": payments})
    assert one.told("/transactions/batch")[1:] == [{"transactions": payments[1:]}]
    for body in ({"transactions": [{}]}, {"transactions": 5}, {}, [], "x", {"transactions": [payments[0]]}):
        assert net.ask(2, 1, "/transactions/batch", "POST", body)[0] == 202
    assert len(one.told("/transactions/batch")) == 2 and not net.reports
    strategy.takes = lambda id: 1 / 0  # type: ignore[attr-defined]
    net.ask(2, 1, "/transactions/batch", "POST", {"transactions": payments})
    eventually(lambda: "in takes" in "".join(net.reports))
    assert one.told("/transactions/batch")[2:] == [{"transactions": payments}], "it is honest from now on"


def test_cut_links_keep_the_front_from_hearing_and_telling(net: Net) -> None:
    strategy = Told(publish_all)
    net.front(strategy)
    one, two, three = net.nodes
    for other in (2, 3):
        net.router.link(1, other).cut()
        net.router.link(other, 1).cut()
    net.has(two, net.block(2, net.genesis))
    own = net.block(1, net.genesis)
    net.has(one, own)
    eventually(lambda: net.kinds("published") == [own])
    with pytest.raises(ConnectionError):
        net.ask(2, 1, "/status")
    assert not three.told("/nodes/announce") and [view.block.hash for view in strategy.views] == [own]
    with pytest.raises(ConnectionError):
        net.ask(1, 2, "/transactions/batch", "POST", {"transactions": []})
    net.router.heal()
    eventually(lambda: any(not view.block.mine for view in strategy.views))  # it asks without being told
    assert net.ask(1, 2, "/transactions/batch", "POST", {"transactions": [1]})[0] == 200
    assert two.told("/transactions/batch") == [{"transactions": [1]}]


def test_while_the_node_is_away_nobody_answers_in_its_place(net: Net) -> None:
    strategy = Told()
    net.front(strategy)
    one, two, _ = net.nodes
    one.state = "killed"
    with pytest.raises(http.client.HTTPException):
        net.ask(2, 1, "/status")
    first = net.block(2, net.genesis)
    net.has(two, first)
    one.state = "running"
    eventually(lambda: strategy.views and strategy.views[-1].public.hash == first)
    eventually(lambda: one.told("/nodes/announce"))  # it is told when it is back
    assert net.status(2, 1) == first


def forever(view: View) -> Action:
    while True:
        pass


@pytest.mark.parametrize(
    ("answer", "said"),
    [(forever, "did not answer"), (lambda view: "all", "no Action"), (lambda view: 1 / 0, "raised ZeroDivisionError")],
    ids=["never answers", "no action", "raises"],
)
def test_a_strategy_that_fails_is_reported_and_its_node_is_honest(
    net: Net, monkeypatch: pytest.MonkeyPatch, answer: Any, said: str
) -> None:
    monkeypatch.setattr("lab.guard.ANSWER_SECONDS", 0.05)
    front = net.front(Told(answer))
    one, two, _ = net.nodes
    own = net.block(1, net.genesis)
    net.has(one, own)
    eventually(lambda: two.told("/nodes/announce"))
    assert len(net.reports) == 1 and said in net.reports[0]
    assert net.kinds("published") == [own]
    assert net.status(2, 1) == own and ("GET", "/status", None) in one.asked, "the node itself answers"
    assert net.status(1, 2) == net.genesis and ("GET", "/status", None) in two.asked
    front.end()
    assert not [thread for thread in threading.enumerate() if thread.name in ("front of node 1", "strategy")]


def test_a_strategy_is_taken_away(net: Net) -> None:
    front = net.front(Told())
    one, two, _ = net.nodes
    own = net.block(1, net.genesis)
    net.has(one, own)
    eventually(lambda: net.kinds("withheld") == [own])
    front.end()
    assert net.kinds("published") == [own] and net.status(2, 1) == own
    eventually(lambda: [news["hash"] for news in two.told("/nodes/announce")] == [own])


def test_what_a_peer_only_claims_is_not_heard(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front_module, "_SEEN_SECONDS", 0.05)
    strategy = Told()
    net.front(strategy)
    two, three = net.nodes[1:]
    for claim in ({"tip": "ab" * 32}, {}, [], None, {"tip": None}):
        two.answers["/status"] = claim
        net.ask(2, 1, "/nodes/announce", "POST", {"url": two.url, "hash": "ab" * 32, "height": 9, "chainwork": 99})
    for body in ({"url": "http://127.0.0.1:1"}, {}, [], "x"):
        assert net.ask(2, 1, "/nodes/announce", "POST", body)[0] == 202
    first = net.block(3, net.genesis)
    net.has(three, first)
    eventually(lambda: bool(strategy.views))
    assert [view.block.hash for view in strategy.views] == [first]


class Clock(Told):
    """Chooses timestamps, too."""

    def __init__(self, choose: Callable[[Times], Any]) -> None:
        super().__init__(publish_all)
        self.choose = choose
        self.times: list[Times] = []

    def timestamp(self, times: Times) -> int:
        self.times.append(times)
        chosen: int = self.choose(times)
        return chosen


def clock_of(node: FakeNode) -> list[tuple[str, int]]:
    """What the node's clock was set to, by which method."""
    return [(call["method"], call["params"][0]) for call in node.told("/rpc")]


def test_a_strategy_sets_the_clock_of_its_node_for_each_block(net: Net) -> None:
    one = net.nodes[0]
    one.answers["/rpc"] = {"result": None}
    strategy = Clock(lambda times: times.earliest + times.height)
    front = net.front(strategy)
    eventually(lambda: clock_of(one) == [("evm_setNextBlockTimestamp", 2)])
    net.has(one, net.block(1, net.genesis, timestamp=50))
    eventually(lambda: clock_of(one)[1:] == [("evm_setNextBlockTimestamp", 50 + 3)])
    times = strategy.times[-1]
    assert [(header.index, header.timestamp, header.difficulty) for header in times.window] == [
        (1, 0, WORK), (2, 50, WORK)
    ]  # fmt: skip
    assert times.earliest == 50, "the parent's, although the median is lower"
    assert abs(times.now - time.time()) < 60 and times.latest == times.now + 120
    front.end()
    method, set_to = clock_of(one)[-1]
    assert method == "evm_setTime" and abs(set_to - time.time()) < 60
    many = len(strategy.times)
    net.has(one, net.block(1, one.shown[-1]))
    assert len(strategy.times) == many and len(clock_of(one)) == 3


def test_a_clock_that_is_refused_is_set_again_and_that_is_told(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(false_clock, "MANY", 2)
    one = net.nodes[0]
    one.answers["/rpc"] = {"error": {"message": "Timestamp error"}}
    net.front(Clock(lambda times: 7))
    eventually(lambda: len(clock_of(one)) == 2)  # in the next second
    eventually(lambda: [event for event in net.recorder.events if event.kind == "said"])
    assert not net.reports


@pytest.mark.parametrize(
    ("choose", "said"),
    [(lambda times: 1 / 0, "raised ZeroDivisionError"), (lambda times: times.latest + 1, "not a whole number from")],
    ids=["raises", "forbidden"],
)
def test_a_strategy_that_cannot_tell_the_time_is_reported_and_the_clock_set_right(
    net: Net, choose: Callable[[Times], Any], said: str
) -> None:
    one = net.nodes[0]
    one.answers["/rpc"] = {"result": None}
    net.front(Clock(choose))
    eventually(lambda: [method for method, _ in clock_of(one)] == ["evm_setTime"])
    [sentence] = net.reports
    assert said in sentence and sentence.endswith("in timestamp; its node is honest from now on.")


def test_a_clock_is_set_right_when_the_median_has_passed(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last blocks are from the future: the clock is no earlier than they allow, and right some seconds later."""
    one = net.nodes[0]
    one.answers["/rpc"] = {"result": None}
    began = int(time.time())

    def sets() -> list[int]:
        return [timestamp for method, timestamp in clock_of(one) if method == "evm_setTime"]

    # A second passes with each time that the clock is set, however busy the machine is.
    monkeypatch.setattr(false_clock, "time", SimpleNamespace(time=lambda: began + len(sets())))
    front = net.front(Clock(lambda times: times.latest))
    tip = net.genesis
    for _ in range(3):
        tip = net.block(1, tip, timestamp=began + 2)
        net.has(one, tip)
    front.end()
    assert sets() == [began + 2] * 3, "and then it was right"
