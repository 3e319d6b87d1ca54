"""`eth_fillTransaction`, for clients that sign themselves, and `eth_sendRawTransactionSync` (EIP-7966)."""

import threading
from pathlib import Path
from typing import Any

import pytest
import rlp

from services.node import Node
from shared import ethereum
from tests.integration.rpc.client import GWEI, OWNERS, TOKEN, Rpc, call_of, refused, rpc_node
from tests.support.http import Json
from tests.support.nodes import MakeNode, grow
from tests.support.specs import CHAIN_ID

ANNE = OWNERS[0]
NOBODY = "0x000000000000000000000000000000000000dEaD"
PAY = {"from": ANNE.address, "to": NOBODY, "value": "0x5"}


# --- eth_fillTransaction ---


def test_a_transaction_is_filled_in_and_can_be_signed(rpc: Rpc, node: Node) -> None:
    rpc.send(ANNE.raw(0, NOBODY, 1))
    filled = rpc("eth_fillTransaction", PAY)
    transaction = filled["tx"]
    assert transaction == {
        "type": "0x2", "chainId": hex(CHAIN_ID), "nonce": "0x1", "to": NOBODY, "gas": "0x5208", "gasPrice": None,
        "maxPriorityFeePerGas": hex(GWEI), "maxFeePerGas": hex(GWEI), "value": "0x5", "input": "0x", "accessList": [],
        "v": "0x0", "r": "0x0", "s": "0x0", "yParity": "0x0", "hash": transaction["hash"],
    }  # fmt: skip
    assert filled["raw"].startswith("0x02")
    items = rlp.decode(bytes.fromhex(filled["raw"][4:]))
    assert items[-3:] == [b"", b"", b""]
    signed = ethereum.sign_raw(
        private_key=ANNE.key, chain_id=CHAIN_ID, nonce=1, to=NOBODY, gas=21_000, gas_price=GWEI, value=5
    )
    assert rlp.decode(signed[1:])[:-3] == items[:-3]
    assert rpc("eth_getTransactionByHash", rpc.send(signed))["nonce"] == "0x1"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"gasPrice": "0x9"}, {"type": "0x0", "gasPrice": "0x9", "maxFeePerGas": None}),
        ({"gasPrice": "0x9", "accessList": []}, {"type": "0x1", "gasPrice": "0x9", "accessList": []}),
        ({"nonce": "0x7", "gas": "0xffff"}, {"nonce": "0x7", "gas": "0xffff"}),
        ({"to": TOKEN, "value": "0x0", "data": call_of("transfer", NOBODY, 1)}, {"gas": hex(60_000)}),
    ],
)
def test_what_is_given_stays(rpc: Rpc, fields: Json, expected: Json) -> None:
    transaction = rpc("eth_fillTransaction", {**PAY, **fields})["tx"]
    assert {name: transaction[name] for name in expected} == expected


def test_it_needs_no_key_and_no_control(make_node: MakeNode, tmp_path: Path) -> None:
    node, rpc = rpc_node(make_node, tmp_path, SPEC="network")
    filled = rpc("eth_fillTransaction", {"from": NOBODY, "to": ANNE.address, "gas": "0x5208"})["tx"]
    assert filled["chainId"] == hex(node.settings.spec.chain_id)
    assert int(filled["maxFeePerGas"], 16) * 21_000 >= node.settings.min_fee


@pytest.mark.parametrize("params", [[], [None], [{}, 1], [{**PAY, "gas": "x"}]])
def test_bad_parameters_of_filling(rpc: Rpc, params: list[Any]) -> None:
    refused(lambda: rpc("eth_fillTransaction", *params), -32602, "...")


def test_nothing_is_filled_in_that_would_fail(rpc: Rpc) -> None:
    refused(lambda: rpc("eth_fillTransaction", {"to": ""}), -32000, "There are no contracts to create here...")
    poor = {"from": OWNERS[7].address, "to": NOBODY, "value": "0x1"}
    refused(lambda: rpc("eth_fillTransaction", poor), -32000, "insufficient funds for gas * price + value")


# --- eth_sendRawTransactionSync ---


def raw(nonce: int, **fields: Any) -> str:
    return "0x" + ANNE.raw(nonce, NOBODY, 1, **fields).hex()


@pytest.mark.parametrize("timeout", [20_000, "0x4e20", 10**18])
def test_the_receipt_is_returned_once_it_is_there(rpc: Rpc, node: Node, timeout: Any) -> None:
    threading.Timer(0.2, lambda: grow(node)).start()
    receipt = rpc("eth_sendRawTransactionSync", raw(0), timeout)
    assert receipt["status"] == "0x1" and receipt == rpc("eth_getTransactionReceipt", receipt["transactionHash"])


def test_it_exists_without_control(make_node: MakeNode, tmp_path: Path) -> None:
    _, rpc = rpc_node(make_node, tmp_path, HOST="0.0.0.0", UNSAFE_DEVELOPMENT="true")
    refused(lambda: rpc("eth_sendRawTransactionSync", raw(0), 1), 4, "The transaction was added...")


def test_a_time_out_names_the_transaction_which_still_waits(rpc: Rpc, node: Node) -> None:
    failure = refused(
        lambda: rpc("eth_sendRawTransactionSync", raw(0), 50),
        4,
        "The transaction was added to the transaction pool but wasn't processed in 0.05s",
    )
    assert rpc("eth_getTransactionByHash", failure.data)["nonce"] == "0x0"
    refused(lambda: rpc("eth_sendRawTransactionSync", raw(0), 50), -32000, "already known")


def test_a_gap_is_refused_with_the_nonce_that_is_expected(rpc: Rpc, node: Node) -> None:
    rpc.send(ANNE.raw(0, NOBODY, 1))
    failure = refused(
        lambda: rpc("eth_sendRawTransactionSync", raw(2), 50), 6, "The transaction was rejected due to..."
    )
    assert failure.data == "0x1" and node.pool.totals()[0] == 1


@pytest.mark.parametrize(
    ("params", "code", "message"),
    [
        ([], -32602, "..."), ([raw(0), 1, 1], -32602, "..."), ([raw(0), -1], -32602, "timeout must be..."),
        ([raw(0), 1.5], -32602, "..."), ([raw(0), "soon"], -32602, "..."), ([raw(0), []], -32602, "..."),
        ([5], -32602, "..."), (["0x1"], -32602, "..."), (["0x"], -32000, "The raw transaction is empty."),
        ([raw(0, chain_id=1)], -32000, "invalid chain id for signer"),
        ([raw(0, gas=1)], -32000, "intrinsic gas too low"),
    ],
)  # fmt: skip
def test_what_is_refused_at_once(rpc: Rpc, node: Node, params: list[Any], code: int, message: str) -> None:
    refused(lambda: rpc("eth_sendRawTransactionSync", *params), code, message)
    assert node.pool.totals()[0] == 0
