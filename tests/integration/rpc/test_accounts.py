"""Sending and signing with the development accounts, and who may."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct, encode_typed_data

from api.rpc import waiting
from api.rpc.method_table import METHODS
from services.node import Node
from shared.ethereum import decode_raw
from tests.integration.rpc.client import COIN, GWEI, OWNERS, TOKEN, ZERO, Rpc, call_of, refused, rpc_node
from tests.support.http import Json
from tests.support.nodes import MakeNode, grow
from tests.support.specs import CHAIN_ID

ANNE, BEN = OWNERS[:2]
POOR = OWNERS[7]  # a development account that this chain's spec gives nothing to
NOBODY = "0x000000000000000000000000000000000000dEaD"
PAY = {"from": ANNE.address, "to": NOBODY, "value": "0x5"}
MAIL: Json = {
    "types": {
        "EIP712Domain": [{"name": "name", "type": "string"}, {"name": "chainId", "type": "uint256"}],
        "Mail": [{"name": "to", "type": "address"}, {"name": "words", "type": "string[]"}],
    },
    "primaryType": "Mail",
    "domain": {"name": "Quarry", "chainId": CHAIN_ID},
    "message": {"to": NOBODY, "words": ["a", "b"]},
}
CONTROL = sorted(name for name, known in METHODS.items() if known.controls)


# --- Who may ---


def test_the_accounts_are_those_that_the_spec_gives_coins_to(rpc: Rpc) -> None:
    assert rpc("eth_accounts") == rpc("eth_requestAccounts") == [owner.address for owner in OWNERS[:5]]


@pytest.mark.parametrize(("variables", "origin"), [
    ({"SPEC": "network"}, None), ({"HOST": "0.0.0.0", "UNSAFE_DEVELOPMENT": "true"}, None),
    ({}, "https://example.org"), ({}, "null"),
])  # fmt: skip
def test_for_others_control_methods_do_not_exist(
    make_node: MakeNode, tmp_path: Path, variables: dict[str, str], origin: str | None
) -> None:
    node, rpc = rpc_node(make_node, tmp_path, **variables)
    headers = {} if origin is None else {"Origin": origin}

    def ask(name: str, *params: Any) -> Json:
        body = {"jsonrpc": "2.0", "id": 1, "method": name, "params": list(params)}
        answer: Json = rpc.raw(json.dumps(body).encode(), **headers).ok()
        return answer

    for name in (*CONTROL, "hardhat_setCode", "anvil_impersonateAccount"):
        assert ask(name, PAY)["error"] == {
            "code": -32601, "message": f"the method {name} does not exist/is not available"
        }, name  # fmt: skip
    assert ask("eth_accounts")["result"] == ask("eth_requestAccounts")["result"] == []
    assert ask("rpc_modules")["result"] == dict.fromkeys(["eth", "net", "rpc", "txpool", "web3"], "1.0")
    assert node.pool.totals()[0] == 0


def test_the_modules_are_those_that_the_caller_has(rpc: Rpc) -> None:
    found = rpc("rpc_modules")
    assert {"anvil", "hardhat", "evm", "personal", "eth", "net", "rpc", "txpool", "web3"} <= set(found)
    assert set(found.values()) == {"1.0"}


# --- Sending ---


@pytest.mark.parametrize(
    ("fields", "kind", "price"),
    [
        ({}, "0x2", GWEI),
        ({"gasPrice": "0x7"}, "0x0", 7),
        ({"gasPrice": "0x7", "accessList": []}, "0x1", 7),
        ({"type": "0x0"}, "0x0", GWEI),
        ({"type": "0x1", "gasPrice": "0x9"}, "0x1", 9),
        ({"maxFeePerGas": hex(9 * GWEI)}, "0x2", GWEI),
        ({"maxFeePerGas": "0x9"}, "0x2", 9),
        ({"maxPriorityFeePerGas": "0x9"}, "0x2", 9),
        ({"maxFeePerGas": "0x9", "maxPriorityFeePerGas": "0x3"}, "0x2", 3),
        ({"chainId": hex(CHAIN_ID), "nonce": "0x0", "gas": "0x5208", "data": "0x", "surplus": 1}, "0x2", GWEI),
    ],
)
def test_what_is_left_out_is_filled_in(rpc: Rpc, node: Node, fields: Json, kind: str, price: int) -> None:
    identifier = rpc("eth_sendTransaction", {**PAY, **fields})
    waits = rpc("eth_getTransactionByHash", identifier)
    assert (waits["from"], waits["to"], waits["value"], waits["nonce"]) == (ANNE.address, NOBODY, "0x5", "0x0")
    assert (waits["type"], int(waits["gasPrice"], 16), waits["gas"]) == (kind, price, "0x5208")
    grow(node)
    assert rpc("eth_getTransactionReceipt", identifier)["status"] == "0x1"
    assert rpc.number("eth_getBalance", NOBODY) == 5


def test_the_first_account_pays_where_none_is_named(rpc: Rpc) -> None:
    identifier = rpc("eth_sendTransaction", {"to": NOBODY})
    assert rpc("eth_getTransactionByHash", identifier)["from"] == ANNE.address


def test_calls_of_the_token(rpc: Rpc, node: Node) -> None:
    call = {"from": ANNE.address, "to": TOKEN, "input": call_of("transfer", NOBODY, 7)}
    identifier = rpc("eth_sendTransaction", call)
    assert rpc("eth_getTransactionByHash", identifier)["gas"] == hex(60_000)
    grow(node)
    [log] = rpc("eth_getTransactionReceipt", identifier)["logs"]
    assert int(log["data"], 16) == 7
    too_much = {**call, "input": call_of("transfer", NOBODY, 1000 * COIN)}
    refused(lambda: rpc("eth_sendTransaction", too_much), 3, "execution reverted: ERC20: transfer amount exceeds...")


def test_nonces_follow_one_another_and_a_given_one_replaces(rpc: Rpc) -> None:
    ids = [rpc("eth_sendTransaction", PAY) for _ in range(3)]
    found = [rpc("eth_getTransactionByHash", identifier) for identifier in ids]
    assert [item["nonce"] for item in found] == ["0x0", "0x1", "0x2"]
    again = {**PAY, "nonce": "0x1"}
    refused(lambda: rpc("eth_sendTransaction", {**again, "gasPrice": hex(GWEI)}), -32000, "replacement transaction...")
    refused(lambda: rpc("eth_sendTransaction", again), -32000, "already known")
    rpc("eth_sendTransaction", {**again, "maxPriorityFeePerGas": hex(2 * GWEI)})
    assert rpc("eth_getTransactionByHash", ids[1]) is None


def test_a_higher_price_never_takes_the_place_of_another_call(node: Node, rpc: Rpc) -> None:
    """Twenty calls at once, each with a higher price than the last: each has a nonce of its own."""
    start = threading.Barrier(20)
    ids: list[str] = []

    def send(number: int) -> None:
        start.wait(10)
        ids.append(rpc("eth_sendTransaction", {**PAY, "gasPrice": hex(2**number * GWEI)}))

    threads = [threading.Thread(target=send, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    waits = rpc("txpool_contentFrom", ANNE.address)["pending"]
    assert sorted(map(int, waits)) == list(range(20)) and {item["hash"] for item in waits.values()} == set(ids)


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        (None, -32602, "a transaction is an object"), ([], -32602, "a transaction is an object"),
        ("0x", -32602, "..."), ({**PAY, "from": "0x12"}, -32602, "..."), ({**PAY, "from": 7}, -32602, "..."),
        ({**PAY, "from": ANNE.address.replace("f39F", "F39F")}, -32602, "..."), ({**PAY, "to": "0x12"}, -32602, "..."),
        ({**PAY, "to": []}, -32602, "..."), ({**PAY, "value": "5"}, -32602, "..."),
        ({**PAY, "value": -1}, -32602, "..."),
        ({**PAY, "value": hex(2**256)}, -32602, "..."), ({**PAY, "value": 1.5}, -32602, "..."),
        ({**PAY, "gas": "0x05"}, -32602, "..."), ({**PAY, "gas": True}, -32602, "..."),
        ({**PAY, "nonce": {}}, -32602, "..."), ({**PAY, "data": "0x1"}, -32602, "..."),
        ({**PAY, "input": 5}, -32602, "..."),
        ({**PAY, "data": "0x01", "input": "0x02"}, -32602, "..."), ({**PAY, "type": "2"}, -32602, "..."),
        ({**PAY, "accessList": "0x"}, -32602, "..."), ({**PAY, "type": "0x2", "gasPrice": "0x1"}, -32602, "..."),
        ({**PAY, "type": "0x0", "maxFeePerGas": "0x1"}, -32602, "..."),
        ({**PAY, "type": "0x3"}, -32000, "transaction type not supported"),
        ({**PAY, "type": "0x4"}, -32000, "transaction type not supported"),
        ({**PAY, "blobs": []}, -32000, "transaction type not supported"),
        ({**PAY, "authorizationList": []}, -32000, "transaction type not supported"),
        ({**PAY, "accessList": [{"address": NOBODY, "storageKeys": []}]}, -32000, "The access list must be empty..."),
        ({**PAY, "gasPrice": "0x1", "maxFeePerGas": "0x1"}, -32000, "both gasPrice and (maxFeePerGas or..."),
        ({**PAY, "maxFeePerGas": "0x1", "maxPriorityFeePerGas": "0x2"}, -32000, "maxFeePerGas (1) < maxPriority..."),
        ({**PAY, "chainId": "0x1"}, -32000, f"chainId does not match node's (have=1, want={CHAIN_ID})"),
        ({**PAY, "from": POOR.address}, -32000, "unknown account"),
        ({**PAY, "from": NOBODY}, -32000, "unknown account"),
        ({**PAY, "from": ZERO}, -32000, "unknown account"),
        ({"from": ANNE.address, "data": "0x60"}, -32000, "There are no contracts to create here..."),
        ({**PAY, "to": None}, -32000, "There are no contracts to create here..."),
        ({**PAY, "to": ""}, -32000, "There are no contracts to create here..."),
        ({**PAY, "to": ZERO}, -32000, "..."), ({**PAY, "to": TOKEN}, 3, "execution reverted..."),
        ({**PAY, "value": hex(1000 * COIN)}, -32000, "insufficient funds for gas * price + value"),
        ({**PAY, "gas": "0x1"}, -32000, "intrinsic gas too low"),
        ({**PAY, "gas": hex(2**64)}, -32000, "The gas limit..."),
        ({**PAY, "nonce": hex(2**64)}, -32000, "nonce has max value"),
        ({**PAY, "data": "0x01"}, -32000, "there is no contract at that address"),
        ({**PAY, "data": "0x" + "00" * 8193}, -32000, "A raw transaction is at most 8192 bytes."),
        ({**PAY, "gasPrice": hex(2**255)}, -32000, "Gas used times gas price must be below 2^256 base units."),
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["eth_sendTransaction", "eth_signTransaction"])
def test_bad_transactions(rpc: Rpc, node: Node, method: str, request_: Any, code: int, message: str) -> None:
    refused(lambda: rpc(method, request_), code, message)
    assert node.pool.totals()[0] == 0


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"value": hex(1000 * COIN), "gas": "0x5208"}, "insufficient funds for gas * price + value"),
     ({"nonce": "0xffff"}, "nonce too high")],
)  # fmt: skip
def test_what_only_the_state_forbids_is_signed_but_not_sent(rpc: Rpc, fields: Json, message: str) -> None:
    refused(lambda: rpc("eth_sendTransaction", {**PAY, **fields}), -32000, message)
    raw = rpc("eth_signTransaction", {**PAY, **fields})
    refused(lambda: rpc("eth_sendRawTransaction", raw), -32000, message)


@pytest.mark.parametrize("method", ["eth_sendTransaction", "eth_signTransaction", "eth_sendTransactionSync"])
def test_the_number_of_parameters(rpc: Rpc, method: str) -> None:
    refused(lambda: rpc(method), -32602, f"{method} takes 1...")
    refused(lambda: rpc(method, PAY, 1, 2), -32602, f"{method} takes 1...")


# --- Signing ---


def test_a_signed_transaction_is_what_sending_it_would_be(rpc: Rpc, node: Node) -> None:
    raw = rpc("eth_signTransaction", {**PAY, "maxFeePerGas": hex(3 * GWEI)})
    read = decode_raw(bytes.fromhex(raw[2:]))
    assert (read.sender, read.to, read.value, read.nonce, read.max_fee_per_gas) == (
        ANNE.address,
        NOBODY,
        5,
        0,
        3 * GWEI,
    )
    assert node.pool.totals()[0] == 0
    assert rpc("eth_sendTransaction", {**PAY, "maxFeePerGas": hex(3 * GWEI)}) == "0x" + read.id.hex()


@pytest.mark.parametrize("message", [b"", b"hello", b"\0" * 300])
def test_messages_are_signed_as_by_the_key(rpc: Rpc, message: bytes) -> None:
    expected = "0x" + bytes(Account.sign_message(encode_defunct(message), BEN.key).signature).hex()
    data = "0x" + message.hex()
    assert rpc("eth_sign", BEN.address, data) == rpc("personal_sign", data, BEN.address.lower()) == expected


@pytest.mark.parametrize("method", ["eth_signTypedData_v4", "eth_signTypedData"])
def test_typed_data_is_signed_as_by_the_key(rpc: Rpc, method: str) -> None:
    expected = "0x" + bytes(Account.sign_message(encode_typed_data(full_message=MAIL), BEN.key).signature).hex()
    assert rpc(method, BEN.address, MAIL) == rpc(method, BEN.address, json.dumps(MAIL)) == expected


@pytest.mark.parametrize(
    ("method", "params", "code", "message"),
    [
        ("eth_sign", [], -32602, "eth_sign takes 2 parameters"),
        ("eth_sign", [ANNE.address], -32602, "..."), ("eth_sign", [ANNE.address, "0x", 1], -32602, "..."),
        ("eth_sign", [ANNE.address, "hello"], -32602, "message must be..."), ("eth_sign", [1, "0x"], -32602, "..."),
        ("eth_sign", [NOBODY, "0x"], -32000, "unknown account"),
        ("eth_sign", [POOR.address, "0x"], -32000, "unknown account"),
        ("personal_sign", [ANNE.address, "0x"], -32602, "..."),
        ("personal_sign", ["0x", NOBODY], -32000, "unknown account"),
        ("personal_sign", ["0x", ANNE.address, "password"], -32602, "personal_sign takes 2 parameters"),
        ("eth_signTypedData_v4", [ANNE.address], -32602, "..."),
        ("eth_signTypedData_v4", [ANNE.address, "{"], -32602, "..."),
        ("eth_signTypedData_v4", [ANNE.address, 5], -32602, "The typed data cannot be signed..."),
        ("eth_signTypedData_v4", [ANNE.address, {**MAIL, "message": {}}], -32602, "The typed data cannot be signed..."),
        ("eth_signTypedData_v4", [ANNE.address, json.dumps({**MAIL, "domain": 5})], -32602, "The typed data cannot..."),
        ("eth_signTypedData_v4", [ANNE.address, '{"a":1,"a":2}'], -32602, "typed data: ..."),
        ("eth_signTypedData_v4", [ANNE.address, "[" * 100], -32602, "typed data: ..."),
        ("eth_signTypedData_v4", [NOBODY, MAIL], -32000, "unknown account"),
        ("eth_signTypedData_v3", [ANNE.address, MAIL], -32000, "Typed data is signed by eth_signTypedData_v4..."),
    ],
)  # fmt: skip
def test_what_is_not_signed(rpc: Rpc, method: str, params: list[Any], code: int, message: str) -> None:
    refused(lambda: rpc(method, *params), code, message)


# --- Sending and waiting ---


def test_sending_and_waiting_for_the_receipt(rpc: Rpc, node: Node) -> None:
    threading.Timer(0.2, lambda: grow(node)).start()
    receipt = rpc("eth_sendTransactionSync", PAY, 20_000)
    assert receipt == rpc("eth_getTransactionReceipt", receipt["transactionHash"])
    refused(lambda: rpc("eth_sendTransactionSync", PAY, 10), 4, "The transaction was added...")


def test_no_more_than_so_many_wait(rpc: Rpc, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_places", threading.BoundedSemaphore(1))
    with waiting.place():
        refused(lambda: rpc("eth_sendTransactionSync", PAY, 10), -32000, "Too many requests wait for a block...")
    assert node.pool.totals()[0] == 0
