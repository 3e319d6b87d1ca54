"""JSON-RPC 2.0 itself: envelopes, ids, batches, notifications, what browsers need; the same on both ways in.

The first request with a Host header goes through Flask's view; later ones are answered before it
(api/rpc/dispatch.py).
"""

import json
from dataclasses import replace
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from api.rpc import protocol
from api.rpc.error_log import ErrorLog
from api.rpc.method_table import METHODS
from services.node import Node
from tests.integration.rpc.client import OWNERS, Rpc, RpcFailure
from tests.support.nodes import MakeNode
from tests.support.said import listen

CHAIN_ID = "0x1092"


def request(method: Any = "eth_chainId", **fields: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method} | fields


def error(answer: Any, code: int, identifier: Any = None) -> str:
    """The message of an answer that must be this error."""
    assert set(answer) == {"jsonrpc", "id", "error"} and answer["jsonrpc"] == "2.0", answer
    assert (answer["error"]["code"], answer["id"]) == (code, identifier), answer
    message = answer["error"]["message"]
    assert isinstance(message, str) and message
    return message


@pytest.mark.parametrize("identifier", [0, 1, -7, 2**63, "0", "", "c0ffee00-1111-4222-8333-444455556666", None])
def test_ids_come_back_as_they_were(rpc: Rpc, identifier: Any) -> None:
    for _ in range(2):  # the first goes through the view, the second does not
        answer = rpc.post(request(id=identifier)).ok()
        assert answer == {"jsonrpc": "2.0", "id": identifier, "result": CHAIN_ID}
        assert type(answer["id"]) is type(identifier)


@pytest.mark.parametrize("identifier", [1.5, 1.0, True, [], {}, [1]])
def test_other_ids_are_refused(rpc: Rpc, identifier: Any) -> None:
    error(rpc.post(request(id=identifier)).ok(), -32600)


@pytest.mark.parametrize("params", [None, []])
def test_params_may_be_null_or_empty_or_missing(rpc: Rpc, params: Any) -> None:
    assert rpc.post(request(params=params)).ok()["result"] == CHAIN_ID
    assert rpc.post(request()).ok()["result"] == CHAIN_ID


@pytest.mark.parametrize("params", [{}, {"a": 1}, 1, "x", True, [1], [None]])
def test_bad_params(rpc: Rpc, params: Any) -> None:
    error(rpc.post(request(params=params)).ok(), -32602, 1)


@pytest.mark.parametrize(
    "value",
    [7, "x", None, True, {}, request(jsonrpc="1.0"), request(jsonrpc=2.0), request(method=1), request(method=None)],
)
def test_what_is_no_request(rpc: Rpc, value: Any) -> None:
    answer = rpc.post(value).ok()
    error(answer, -32600, value.get("id") if isinstance(value, dict) else None)


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[", b"nope", b'{"a":1,"a":2}', b"\xff", b"[" * 40 + b"]" * 40, b"NaN", b'{"id":1' + b"1" * 5000],
)
def test_broken_json(rpc: Rpc, text: bytes) -> None:
    for _ in range(2):
        assert error(rpc.raw(text).ok(), -32700).startswith("parse error")
        rpc("eth_chainId")


@pytest.mark.parametrize(
    "name",
    "eth_coinbase eth_getProof wallet_addEthereumChain tenderly_setBalance x.y eth_chainid".split(),
)
def test_missing_methods_say_what_clients_look_for(rpc: Rpc, name: str) -> None:
    message = error(rpc.post(request(name, params=[])).ok(), -32601, 1)
    assert message == f"the method {name} does not exist/is not available"


@pytest.mark.parametrize("name", ["", "<script>", "x" * 65, "naïve", "a b", "\u202e"])
def test_strange_names_are_not_repeated(rpc: Rpc, name: str) -> None:
    message = error(rpc.post(request(name)).ok(), -32601, 1)
    assert message == "the method of that name does not exist/is not available"


def test_every_method_that_wallets_use_is_there() -> None:
    assert set(METHODS) >= set(
        """
        eth_chainId eth_blockNumber eth_gasPrice eth_maxPriorityFeePerGas net_version net_listening
        web3_clientVersion eth_syncing eth_accounts eth_getBalance eth_getTransactionCount eth_getCode
        eth_getStorageAt eth_call eth_estimateGas eth_feeHistory eth_getBlockByNumber eth_getBlockByHash
        eth_getBlockTransactionCountByNumber eth_getBlockTransactionCountByHash
        eth_getTransactionByBlockNumberAndIndex eth_getTransactionByBlockHashAndIndex eth_getBlockReceipts
        eth_sendRawTransaction eth_getTransactionByHash eth_getTransactionReceipt eth_getLogs eth_newFilter
        eth_newBlockFilter eth_newPendingTransactionFilter eth_getFilterChanges eth_getFilterLogs
        eth_uninstallFilter
        """.split()
    )


def test_only_a_development_node_is_compatible_with_anvil(node_and_rpc: tuple[Node, Rpc]) -> None:
    node, _ = node_and_rpc
    abroad = replace(node, settings=replace(node.settings, host="0.0.0.0"))
    assert METHODS["web3_clientVersion"].function(abroad).startswith("Quarry/v")


def test_simple_answers(rpc: Rpc) -> None:
    assert rpc("net_version") == "4242"
    assert rpc("web3_clientVersion").startswith("anvil-compatible Quarry/v")
    assert (rpc("net_listening"), rpc("eth_syncing")) == (True, False)
    empty = "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert rpc("web3_sha3", "0x") == empty  # the hash of empty code, as every Ethereum account has it
    assert rpc("web3_sha3", "0x68656c6c6f20776f726c64") == (
        "0x47173285a8d7341e5e972fc677286384f802f8ef42a5ec5f03bbfa254cb01fad"  # from geth's documentation
    )
    assert rpc.number("eth_gasPrice") == rpc.number("eth_maxPriorityFeePerGas") == 10**9


# --- Batches and notifications ---------------------------------------------------------------------------------------


def test_a_batch_answers_each_by_itself_and_in_order(rpc: Rpc) -> None:
    answers = rpc.post([request(id=0), 7, request("nope", id="x"), [request()], request(id=2), {}]).ok()
    assert [answer["id"] for answer in answers] == [0, None, "x", None, 2, None]
    assert [answer.get("result") for answer in answers] == [CHAIN_ID, None, None, None, CHAIN_ID, None]
    assert [answer["error"]["code"] for answer in answers if "error" in answer] == [-32600, -32601, -32600, -32600]


@pytest.mark.parametrize("size", [0, 51, 500])
def test_batches_of_other_sizes_are_refused_whole(rpc: Rpc, size: int) -> None:
    error(rpc.post([request()] * size).ok(), -32600)


def test_the_largest_batch(rpc: Rpc) -> None:
    assert len(rpc.post([request(id=i) for i in range(50)]).ok()) == 50


def test_notifications_get_no_answer(rpc: Rpc) -> None:
    silent = {"jsonrpc": "2.0", "method": "eth_chainId"}
    for _ in range(2):
        for value in (silent, [silent, silent], {**silent, "method": "nope"}, {**silent, "params": [1]}):
            answer = rpc.post(value)
            assert (answer.status, answer.body) == (200, b"")
    assert [item["id"] for item in rpc.post([silent, request(id=5), silent]).ok()] == [5]


# --- HTTP ------------------------------------------------------------------------------------------------------------


def test_browsers_may_call(rpc: Rpc) -> None:
    asked = rpc.client.door.call(
        "OPTIONS", "/rpc", None, Origin="https://app.example", Access_Control_Request_Method="POST",
        Access_Control_Request_Headers="content-type",
    )  # fmt: skip
    assert 200 <= asked.status < 300
    for _ in range(2):
        answer = rpc.raw(json.dumps(request()).encode(), Origin="https://app.example")
        for headers in (asked.headers, answer.headers):
            assert headers["access-control-allow-origin"] in ("*", "https://app.example")
        assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["cache-control"] == "no-store"
    assert "POST" in asked.headers["access-control-allow-methods"]
    assert "content-type" in asked.headers["access-control-allow-headers"].lower()


def test_the_address_without_a_path_says_where_json_rpc_is(rpc: Rpc) -> None:
    """As an error, with the headers by which a page may read it, whatever is sent."""

    def post(body: bytes, **headers: str) -> Any:
        answer = rpc.client.door.call("POST", "/", body, Origin="https://app.example", **headers)
        assert answer.headers["access-control-allow-origin"] == "*"
        return answer.ok()

    kind = {"Content_Type": "application/json"}
    failure = {"code": -32600, "message": "JSON-RPC is at /rpc"}
    assert post(json.dumps(request(id="a")).encode(), **kind) == {"jsonrpc": "2.0", "id": "a", "error": failure}
    batch = post(json.dumps([request(id=1), request(id=2), 7]).encode(), **kind)
    assert [(answer["id"], answer["error"]) for answer in batch] == [(1, failure), (2, failure), (None, failure)]
    for body, headers in ((b"{", kind), (b"a=b", {"Content_Type": "text/plain"}), (b"[]", kind), (b"", {})):
        assert post(body, **headers) == {"jsonrpc": "2.0", "id": None, "error": failure}
    asked = rpc.client.door.call(
        "OPTIONS", "/", None, Origin="https://app.example", Access_Control_Request_Method="POST",
        Access_Control_Request_Headers="content-type",
    )  # fmt: skip
    assert (asked.status, asked.headers["access-control-allow-origin"]) == (204, "*")
    assert rpc.client.get("/").status == 200  # the explorer


def test_both_ways_in_give_the_same_answers(rpc: Rpc) -> None:
    bodies = [json.dumps(value).encode() for value in (request(), [request(), 1], request("x"), {"id": 1})] + [b"{"]
    rpc("eth_chainId")
    for body in bodies:
        usual = rpc.raw(body)
        longer = rpc.raw(body, Content_Encoding="identity")  # such requests always go through the view
        assert (usual.status, usual.json, usual.type) == (longer.status, longer.json, longer.type)
        assert {**usual.headers, "content-security-policy": ""} == {**longer.headers, "content-security-policy": ""}


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""])
def test_other_types_are_no_requests(rpc: Rpc, kind: str) -> None:
    rpc("eth_chainId")
    error(rpc.raw(json.dumps(request()).encode(), Content_Type=kind).ok(), -32600)


def test_a_foreign_host_is_refused_also_after_a_known_one(rpc: Rpc) -> None:
    rpc("eth_chainId")
    for host in ("evil.example", "127.0.0.1.evil.example", ""):
        assert rpc.raw(json.dumps(request()).encode(), Host=host).status in (400, 403)


def test_too_large_bodies_are_refused(rpc: Rpc) -> None:
    rpc("eth_chainId")
    assert rpc.raw(b" " * (2**20 + 1)).status == 413


def test_get_is_no_call(rpc: Rpc) -> None:
    assert rpc.client.get("/rpc").status == 405


def test_chains_of_the_tutorial_have_nothing_for_wallets(make_node: MakeNode) -> None:
    from api.app import create_app
    from tests.support.http import Client, FlaskDoor

    rpc = Rpc(Client(FlaskDoor(create_app(make_node(SPEC="tutorial")))))
    with pytest.raises(RpcFailure, match="standard rules") as caught:
        rpc("eth_getBalance", OWNERS[0].address)
    assert caught.value.code == -32000


def test_faults_of_ours_are_errors_that_clients_repeat(
    node_and_rpc: tuple[Node, Rpc], monkeypatch: pytest.MonkeyPatch
) -> None:
    node, rpc = node_and_rpc

    def broken(*_: Any) -> Any:
        raise RedisConnectionError("gone")

    def wrong(*_: Any) -> Any:
        raise KeyError("a bug")

    monkeypatch.setattr(node.chain, "account", broken)
    monkeypatch.setattr(node.chain, "tip", wrong)
    answers = rpc.post(
        [request("eth_getBalance", params=[OWNERS[0].address]), request("eth_blockNumber"), request()]
    ).ok()
    assert [answer.get("error", {}).get("code") for answer in answers] == [-32603, -32603, None]
    assert "a bug" not in json.dumps(answers) and "gone" not in json.dumps(answers)


# --- The log for developers -------------------------------------------------------------------------------------------


def test_errors_are_logged_whoever_answers(rpc: Rpc, monkeypatch: pytest.MonkeyPatch) -> None:
    said = listen(monkeypatch, "api.rpc.error_log._log")
    monkeypatch.setattr(protocol, "ERRORS", ErrorLog())
    for method, params in (("eth_nothing", []), ("bad name\n", []), ("eth_getBalance", ["0x1", "latest"])):
        for _ in range(2):  # the first request goes to the view, the second to the door before it
            assert "error" in rpc.post({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).ok()
    rpc("eth_chainId")
    found = [(entry["method"], entry["code"]) for entry in said]
    assert found == [("eth_nothing", -32601)] * 2 + [("?", -32601)] * 2 + [("eth_getBalance", -32602)] * 2
