"""Answers with large blocks in them: what making one takes, that it is foreseen, and where a batch ends."""

import gc
import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from api.access import served
from api.app import create_app
from api.serving import budget as budgets
from api.serving.budget import Budget, Kind
from services.errors import Busy
from services.node import Node
from services.store.blocks import READ_AHEAD
from services.store.records import StoredHeader
from shared.keys import KeyPair
from tests.support.http import Answer, Client, FlaskDoor
from tests.support.keys import ALICE, fresh_key
from tests.support.nodes import MakeNode, grow, restore, saved, transfer

BLOCKS = 3
PAYERS = [KeyPair((1000 + number).to_bytes(32, "big")) for number in range(300)]


@pytest.fixture(scope="module")
def chains() -> dict[str, dict[bytes, bytes]]:
    """What the nodes of the tests begin with. Each has its own copy."""
    return {}


@pytest.fixture
def node(make_node: MakeNode, chains: dict[str, dict[bytes, bytes]]) -> Node:
    """A node with blocks of some 200 kB, whose transactions are all by one account."""
    node = make_node()
    if "node" in chains:
        restore(node, chains["node"])
        return node
    for height in range(BLOCKS):
        grow(node, *(transfer(ALICE, 300 * height + number, data="x" * 200) for number in range(300)))
    chains["node"] = saved(node)
    return node


@pytest.fixture
def shared(make_node: MakeNode, chains: dict[str, dict[bytes, bytes]]) -> Node:
    """A node with a block whose 300 transactions have a payer each, and with as many allocations."""
    node = make_node(spec={"allocations": {payer.address: "5" for payer in PAYERS}})
    if "shared" in chains:
        restore(node, chains["shared"])
        return node
    grow(node, *(transfer(payer, 0) for payer in PAYERS))
    chains["shared"] = saved(node)
    return node


@pytest.fixture
def stored(node: Node) -> StoredHeader:
    found = node.chain.header(node.chain.tip().hash)
    assert found is not None and found.size > 3 * budgets.LARGE
    return found


class Foreseeing(Budget):
    """A budget that remembers how many bytes were held at most."""

    most = 0

    def take(self, kind: Kind, patience: float = 0.0, size: int = 0, crowd: Callable[[], int] = lambda: 0) -> None:
        super().take(kind, patience, size, crowd)
        self.most = max(self.most, self.bytes_held)

    def take_bytes(self, size: int) -> None:
        super().take_bytes(size)
        self.most = max(self.most, self.bytes_held)


def rpc(calls: list[tuple[str, list[Any]]]) -> list[dict[str, Any]]:
    return [{"jsonrpc": "2.0", "id": n, "method": name, "params": params} for n, (name, params) in enumerate(calls)]


def requests(stored: StoredHeader) -> dict[str, Callable[[Client], Answer]]:
    height = hex(stored.header.index)
    return {
        "block": lambda client: client.get(f"/blocks/{stored.header.hash}"),
        "page": lambda client: client.get(f"/block/{stored.header.hash}"),
        "address": lambda client: client.get(f"/address/{ALICE.address}"),
        "whole block": lambda client: client.post("/rpc", rpc([("eth_getBlockByNumber", [height, True])])),
        "receipts": lambda client: client.post("/rpc", rpc([("eth_getBlockReceipts", [height])])),
        "logs": lambda client: client.post("/rpc", rpc([("eth_getLogs", [{"fromBlock": height}])])),
        "mempool": lambda client: client.post("/rpc", rpc([("txpool_content", [])])),
        "account": lambda client: client.post("/rpc", rpc([("txpool_contentFrom", [ALICE.address])])),
        "lines": lambda client: client.post("/rpc", rpc([("txpool_inspect", [])])),
    }


@pytest.mark.parametrize(
    "name", ["block", "page", "address", "whole block", "receipts", "logs", "mempool", "account", "lines"]
)
def test_what_making_a_large_answer_takes_is_foreseen(node: Node, stored: StoredHeader, name: str) -> None:
    if name in ("mempool", "account", "lines"):
        node.submit([node.rules.read_request(transfer(ALICE, 300 * BLOCKS + n, data="x" * 200)) for n in range(300)])
    assert_foreseen(node, requests(stored)[name])


@pytest.mark.parametrize(
    "method", ["eth_getBlockByNumber", "eth_getBlockReceipts", "eth_getLogs", "eth_getTransactionReceipt"]
)
def test_the_events_of_a_reward_and_of_the_allocations_are_foreseen(shared: Node, method: str) -> None:
    client = Client(FlaskDoor(create_app(shared)))
    for place in ("0x0", "0x2"):
        block = client.post("/rpc", rpc([("eth_getBlockByNumber", [place, False])])).ok()[0]["result"]
        call: dict[str, list[Any]] = {
            "eth_getBlockByNumber": [place, True],
            "eth_getBlockReceipts": [place],
            "eth_getLogs": [{"fromBlock": place, "toBlock": place}],
            "eth_getTransactionReceipt": block["transactions"][:1],
        }
        # Of a single receipt, only the answer is foreseen: blocks are read by one thread at a time.
        is_cold = method != "eth_getTransactionReceipt"
        answer = assert_foreseen(shared, post(rpc([(method, call[method])])), is_cold)
        assert method == "eth_getBlockByNumber" or answer.body.count(b"logIndex") >= len(PAYERS)


def post(calls: list[dict[str, Any]]) -> Callable[[Client], Answer]:
    return lambda client: client.post("/rpc", calls)


def assert_foreseen(node: Node, ask: Callable[[Client], Answer], is_cold: bool = True) -> Answer:
    """The budget held at least what making an answer took, with no block in memory if `is_cold`."""
    app = create_app(node)
    client = Client(FlaskDoor(app))
    ask(client)  # what is made once for all: templates, caches of other blocks
    if is_cold:
        node.wallet_blocks._blocks._values.clear()
        node.wallet_blocks._events._values.clear()
    budget = Foreseeing(160, 2**30)
    app.wsgi_app._budget = budget  # type: ignore[attr-defined] # the gate's
    gc.collect()
    tracemalloc.start()
    try:
        answer = ask(client)
        took = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert answer.status == 200
    # The client of the test keeps the answer, parsed from the same memory.
    assert budget.most >= took - 2 * len(answer.body) - budgets.LARGE, (budget.most, took, len(answer.body))
    assert budget.bytes_held == 0
    return answer


def test_a_batch_ends_where_its_answers_are_large(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    from api.rpc import protocol

    monkeypatch.setattr(protocol, "MAX_BATCH_BYTES", 500_000)
    calls = rpc([("eth_getBlockByNumber", [hex(2), True])] * 4 + [("eth_chainId", [])])
    calls.insert(4, {"jsonrpc": "2.0", "method": "eth_chainId"})  # a notification has no answer
    answers = Client(FlaskDoor(create_app(node))).post("/rpc", calls).ok()
    assert [answer["id"] for answer in answers] == [0, 1, 2, 3, 4]
    given = ["result" in answer for answer in answers]
    assert given[0] and given == sorted(given, reverse=True) and not given[-1]
    refused = [answer["error"] for answer in answers if "error" in answer]
    assert {error["code"] for error in refused} == {-32003} and refused[0]["message"].startswith("response too large")


def test_where_too_many_large_answers_are_being_sent_wallets_are_told_to_try_again(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budgets, "PATIENCE", 0.01)
    app = create_app(node)
    budget = served(app).budget
    for _ in range(budget.shares.answer):
        budget.take(Kind.ANSWER)
    client = Client(FlaskDoor(app))
    (answer,) = client.post("/rpc", rpc([("eth_getBlockByNumber", ["latest", True])])).ok()
    assert answer["error"]["code"] == -32005
    client.get("/blocks/latest").refused(503, "too_many_answers")
    client.get("/chain").refused(503, "too_many_answers")
    assert client.post("/rpc", rpc([("eth_chainId", [])])).ok()[0]["result"]
    budget.give_back(Kind.ANSWER)
    assert client.get("/blocks/latest").status == 200
    assert budget.held(Kind.ANSWER) == budget.shares.answer - 1


def test_logs_that_are_found_are_counted_while_they_are_searched(node: Node) -> None:
    from api.rpc import logs

    told: list[int] = []

    def holding(more: int) -> None:
        told.append(more)
        if sum(told) > 500:
            raise Busy("too_many_answers", "enough")

    criteria = logs._ranged(node, {"fromBlock": "0x1", "toBlock": "0x4"})
    with pytest.raises(Busy):
        node.logs.find(criteria, holding)
    assert len(told) == 2


def test_blocks_are_read_by_size(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never more at once than READ_AHEAD, or one block."""
    sizes: list[int] = []
    read = node.chain._redis.hmget

    def hmget(name: str, keys: Any) -> Any:
        found = read(name, keys)
        if name == node.chain.keys.blocks:
            sizes.append(sum(len(text) for text in found))
        return found

    monkeypatch.setattr(node.chain._redis, "hmget", hmget)
    fresh = fresh_key()
    grow(node, transfer(fresh, 0))
    grow(node, transfer(fresh, 1))
    blocks = list(node.chain.stream(1, node.chain.tip().height))
    assert [json.loads(text)["index"] for text in blocks] == list(range(1, BLOCKS + 4))
    assert max(sizes) <= max(READ_AHEAD, max(map(len, blocks)))
    assert len(sizes) > 2 and sum(sizes) == sum(map(len, blocks))
