"""Balances, nonces, calls and estimates, at the tip and at every height that a wallet may still ask for."""

import random
from pathlib import Path
from typing import Any

import pytest

from services.chain.snapshots import DEPTH
from services.node import Node
from shared import erc20
from shared.ledger import Account
from tests.integration.rpc.client import OWNERS, TOKEN, ZERO, Rpc, call_of, refused, reorganise, rpc_node
from tests.support.keys import ALICE, BOB
from tests.support.nodes import MakeNode, grow, transfer
from tests.support.specs import COIN

ANNE, BEN, CARA, DORA, EVE = OWNERS[:5]
NOBODY = "0x000000000000000000000000000000000000dEaD"
REVERT = "execution reverted: "


def number(result: Any) -> int:
    return int(result, 16)


class Replay:
    """Every state that the chain has had, from applying its blocks one after the other."""

    def __init__(self, node: Node) -> None:
        self.states: dict[int, tuple[dict[str, Account], dict[tuple[str, str], int], int]] = {}
        initial = node.rules.initial()
        accounts, allowances, supply = dict(initial.accounts), dict(initial.allowances), initial.supply
        self.states[0] = self.states[1] = dict(accounts), dict(allowances), supply
        for height in range(2, node.chain.tip().height + 1):
            block_hash = node.chain.hash_at(height)
            assert block_hash is not None
            block = node.rules.read_block(node.chain.block_object(block_hash))
            from shared.ledger import Entries

            change = node.rules.apply(block, Entries(accounts, allowances, supply)).after
            accounts |= change.accounts
            allowances |= change.allowances
            supply = change.supply
            self.states[height] = dict(accounts), dict(allowances), supply


def grow_at_random(node: Node, rpc: Rpc, blocks: int, seed: int) -> None:
    """Grow blocks of transfers, approvals and transferFrom, of both schemes. Some blocks are empty."""
    chance = random.Random(seed)
    nonces = {owner.address: node.chain.account(owner.address).nonce for owner in OWNERS[:5]}
    allowed: dict[tuple[str, str], int] = {}
    alice = node.chain.account(ALICE.address).nonce
    for _ in range(blocks):
        for _ in range(chance.choice([0, 0, 1, 3])):
            owner, other = chance.sample(OWNERS[:5], 2)
            nonce = nonces[owner.address]
            kind = chance.choice(["coin", "token", "approve", "from", "ours"])
            amount = chance.randrange(1000)
            if kind == "ours":
                rpc.client.submit(transfer(ALICE, alice, recipient=other.address))
                alice += 1
                continue
            if kind == "coin":
                raw = owner.raw(nonce, other.address, amount)
            elif kind == "token":
                raw = owner.token(nonce, erc20.encode_transfer(other.address, amount))
            elif kind == "approve":
                raw = owner.token(nonce, erc20.encode_approve(other.address, amount))
                allowed[owner.address, other.address] = amount
            else:
                spend = node.chain.allowance(other.address, owner.address)
                raw = owner.token(nonce, erc20.encode_transfer_from(other.address, NOBODY, min(spend, amount)))
            nonces[owner.address] += 1
            rpc.send(raw)
        grow(node)


def check_states(node: Node, rpc: Rpc, heights: range) -> None:
    replay = Replay(node)
    people = [owner.address for owner in OWNERS[:5]] + [ALICE.address, BOB.address, NOBODY, ZERO]
    for height in heights:
        accounts, allowances, supply = replay.states[height]
        tag = hex(height)
        assert number(rpc("eth_call", {"to": TOKEN, "data": call_of("totalSupply")}, tag)) == supply
        for address in people:
            account = accounts.get(address, Account(0))
            assert rpc.number("eth_getBalance", address, tag) == account.balance
            assert rpc.number("eth_getTransactionCount", address, tag) == account.nonce
            assert number(rpc("eth_call", {"to": TOKEN, "data": call_of("balanceOf", address)}, tag)) == account.balance
        for owner in OWNERS[:3]:
            for spender in OWNERS[:3]:
                asked = {"to": TOKEN, "input": call_of("allowance", owner.address, spender.address)}
                assert number(rpc("eth_call", asked, tag)) == allowances.get((owner.address, spender.address), 0)


@pytest.mark.parametrize("seed", [1, 2])
def test_every_recent_state_is_what_a_replay_gives(node: Node, rpc: Rpc, seed: int) -> None:
    grow_at_random(node, rpc, 24, seed)
    check_states(node, rpc, range(26))


def test_states_after_a_reorganisation_are_the_new_branch(make_node: MakeNode, tmp_path: Path) -> None:
    node, rpc = rpc_node(make_node, tmp_path)
    rival, _ = rpc_node(make_node, tmp_path)
    grow_at_random(node, rpc, 5, 3)
    nonce = node.chain.account(ANNE.address).nonce
    fork = node.chain.tip().height
    rpc.send(ANNE.raw(nonce, NOBODY, 5))
    grow(node)
    rpc("eth_getBalance", NOBODY, hex(fork))
    old = rpc("eth_getBlockByNumber", "latest")["hash"]
    reorganise(node, rival, fork, [ANNE.raw(nonce, NOBODY, 7)], [])
    check_states(node, rpc, range(fork + 3))
    refused(lambda: rpc("eth_getBalance", NOBODY, {"blockHash": old}), -32000, "header for hash not found")


def test_the_last_128_heights_are_kept_and_no_more(node: Node, rpc: Rpc) -> None:
    rpc.send(ANNE.raw(0, NOBODY, 5))
    for _ in range(DEPTH + 3):
        grow(node)
    tip = node.chain.tip().height
    assert DEPTH >= 128
    assert rpc.number("eth_getBalance", NOBODY, hex(tip - DEPTH)) == 5
    for height in (tip - DEPTH - 1, 1):
        refused(lambda height=height: rpc("eth_getBalance", NOBODY, hex(height)), -32000, "missing trie node: ...")  # type: ignore[misc] # mypy and defaults of lambdas
    assert rpc("eth_getCode", TOKEN, "0x1") == "0xfe"
    check_states(node, rpc, range(1))  # the spec says what it is, however long ago


def test_tags(node: Node, rpc: Rpc) -> None:
    grow(node)
    rpc.send(ANNE.raw(0, NOBODY, 5))
    grow(node)
    block = rpc("eth_getBlockByNumber", "0x2", False)
    for tag, value in [
        ("latest", 5), ("pending", 5), ("safe", 5), ("finalized", 5), ("earliest", 0), ("0x3", 5), ("0x2", 0), (3, 5),
        ({"blockNumber": "0x2"}, 0), ({"blockHash": block["hash"]}, 0), (None, 5),
        ({"blockHash": block["hash"], "requireCanonical": True}, 0),
    ]:  # fmt: skip
        assert rpc.number("eth_getBalance", NOBODY, tag) == value, tag
    assert rpc.number("eth_getBalance", NOBODY) == 5


@pytest.mark.parametrize("tag", ["0x4", "0xffffffffffff", "0x" + "f" * 63, {"blockNumber": "0x4"}])
def test_an_unknown_height_is_an_error_for_state_and_null_for_objects(node: Node, rpc: Rpc, tag: Any) -> None:
    grow(node)
    grow(node)
    for method, *params in (
        ("eth_getBalance", NOBODY), ("eth_getTransactionCount", NOBODY), ("eth_getCode", TOKEN), ("eth_getStorageAt",
        TOKEN, "0x0"),
        ("eth_call", {"to": TOKEN, "data": call_of("name")}), ("eth_call", {"to": TOKEN,
        "data": call_of("totalSupply")}),
        ("eth_call", {"to": NOBODY}), ("eth_estimateGas", {"to": NOBODY}),
    ):  # fmt: skip
        refused(lambda: rpc(method, *params, tag), -32000, "header not found")  # noqa: B023 # called at once
    assert rpc("eth_getBlockByNumber", tag, False) is None
    assert rpc("eth_getBlockTransactionCountByNumber", tag) is None
    assert rpc("eth_getTransactionByBlockNumberAndIndex", tag, "0x0") is None
    assert rpc("eth_getBlockReceipts", tag) is None


BAD_TAGS: list[Any] = ["", "0x", "0x01", "0X1", "1", "LATEST", "0xg", "0x-1", "0x" + "1" * 65, -1, 1.5, True, [], {},
    {"blockHash": "0x12"},
            {"blockNumber": "latest"}, {"blockHash": 5}, "0x1 ", "safe\n",
            {"blockNumber": "0x1", "blockHash": "0x" + "1" * 64}]  # fmt: skip


@pytest.mark.parametrize("tag", BAD_TAGS, ids=repr)
def test_bad_tags(rpc: Rpc, tag: Any) -> None:
    for method, *params in (("eth_getBalance", NOBODY), ("eth_call", {"to": TOKEN})):
        refused(lambda: rpc(method, *params, tag), -32602, "...")  # noqa: B023 # called at once
    refused(lambda: rpc("eth_getBlockByNumber", tag, False), -32602, "...")
    refused(lambda: rpc("eth_getLogs", {"fromBlock": tag}), -32602, "...")


def test_a_block_object_has_one_of_number_and_hash(rpc: Rpc) -> None:
    words = "cannot specify both BlockHash and BlockNumber, choose one or the other"
    block_hash = rpc("eth_getBlockByNumber", "0x1", False)["hash"]
    refused(lambda: rpc("eth_getBalance", NOBODY, {"blockNumber": "0x1", "blockHash": block_hash}), -32602, words)
    assert rpc("eth_getBalance", NOBODY, {"blockNumber": None, "blockHash": block_hash}) == "0x0"
    assert rpc("eth_getBalance", NOBODY, {"blockNumber": "0x1", "blockHash": None}) == "0x0"


BAD_ADDRESSES: list[Any] = [
    None, 5, True, [], {}, "", "0x", NOBODY[2:], NOBODY[:-1], NOBODY + "0", NOBODY.replace("0x", "0X"), "0x" + "g" * 40,
    NOBODY.replace("dEaD", "DeaD"), NOBODY + "\n", "0x" + "\uff11" * 40,
]  # fmt: skip


@pytest.mark.parametrize("address", BAD_ADDRESSES, ids=repr)
def test_bad_addresses(rpc: Rpc, address: Any) -> None:
    for method, *more in (
        ("eth_getBalance",),
        ("eth_getTransactionCount",),
        ("eth_getCode",),
        ("eth_getStorageAt", "0x0"),
    ):
        refused(lambda: rpc(method, address, *more), -32602, "...")  # noqa: B023 # called at once
    refused(lambda: rpc("eth_getLogs", {"address": [address]}), -32602, "...")
    if address:
        refused(lambda: rpc("eth_call", {"to": address}), -32602, "...")
        refused(lambda: rpc("eth_call", {"to": TOKEN, "from": address}), -32602, "...")


@pytest.mark.parametrize("value", ["0x0", "0x", "0x" + "00" * 32, "0x" + "f" * 64, 0, "0x01"])
def test_storage_is_empty(rpc: Rpc, value: Any) -> None:
    assert rpc("eth_getStorageAt", TOKEN, value, "latest") == "0x" + "00" * 32


# --- The token -------------------------------------------------------------------------------------------------------


def test_metadata(rpc: Rpc) -> None:
    assert bytes.fromhex(rpc("eth_call", {"to": TOKEN, "data": call_of("name")})[2:]) == erc20.encode_string("Quarry")
    assert bytes.fromhex(rpc("eth_call", {"to": TOKEN, "data": call_of("symbol")})[2:]) == erc20.encode_string("QRY")
    assert number(rpc("eth_call", {"to": TOKEN, "data": call_of("decimals")})) == 18
    assert rpc("eth_getCode", TOKEN) == "0xfe" and rpc("eth_getCode", ANNE.address) == "0x"


def test_calls_take_what_libraries_add(rpc: Rpc) -> None:
    data = call_of("balanceOf", ANNE.address)
    extra = {"chain": "mainnet", "hardfork": "london", "networkId": 1, "gas": "0x5208", "gasPrice": "0x0",
        "type": "0x2",
             "maxFeePerGas": "0x1", "nonce": "0x0", "accessList": [], "chainId": "0x1092", "value": "0x0"}  # fmt: skip
    for call in ({"data": data}, {"input": data}, {"data": data, "input": data}, {"data": data, **extra}):
        assert number(rpc("eth_call", {"to": TOKEN, **call})) == 100 * COIN
    assert (
        rpc.number("eth_estimateGas", {"to": NOBODY, "from": ANNE.address, "value": "0x1", **extra, "data": "0x"})
        == 21000
    )
    assert rpc("eth_call", {"to": TOKEN, "data": data}, "latest", {}) == rpc("eth_call", {"to": TOKEN, "data": data})


@pytest.mark.parametrize(
    "request_", [None, 5, "x", [], {"to": TOKEN, "data": "0x1"}, {"to": TOKEN, "data": "12"}, {"to": TOKEN, "data": 5},
                 {"to": TOKEN, "data": "0xgg"}, {"to": TOKEN, "data": "0x12", "input": "0x13"}, {"to": TOKEN,
                 "value": "0x"},
                 {"to": TOKEN, "value": "0x01"}, {"to": TOKEN, "value": -1}, {"to": TOKEN, "value": "0x" + "f" * 65}]
)  # fmt: skip
def test_bad_calls(rpc: Rpc, request_: Any) -> None:
    refused(lambda: rpc("eth_call", request_), -32602, "...")
    refused(lambda: rpc("eth_estimateGas", request_), -32602, "...")


def test_overrides_are_refused_rather_than_passed_over(rpc: Rpc) -> None:
    refused(
        lambda: rpc("eth_call", {"to": TOKEN}, "latest", {NOBODY: {"balance": "0x1"}}), -32602, "state overrides..."
    )


def test_where_there_is_no_code(rpc: Rpc) -> None:
    assert rpc("eth_call", {"to": NOBODY, "data": call_of("name")}) == "0x"
    assert rpc("eth_call", {"to": NOBODY}) == "0x"


@pytest.mark.parametrize("method", ["eth_call", "eth_estimateGas"])
def test_deploying_a_contract_reverts_with_a_sentence(rpc: Rpc, method: str) -> None:
    """Libraries show the reason of a revert, and of other errors often no more than the code."""
    reason = "contract creation is not supported: this chain has one built-in token and no others"
    failure = refused(lambda: rpc(method, {"data": "0x6001"}), 3, f"execution reverted: {reason}")
    assert bytes.fromhex(failure.data[2:])[4 + 64 :].rstrip(b"\0").decode() == reason


def test_a_block_hash_names_a_state_with_and_without_an_object_around_it(node: Node, rpc: Rpc) -> None:
    grow(node)
    old = node.chain.tip().hash
    rpc.send(ANNE.raw(0, NOBODY, 7))
    grow(node)
    new = node.chain.tip().hash
    for block_hash, value in ((old, 0), (new, 7)):
        for tag in (f"0x{block_hash}", f"0x{block_hash.upper()}", {"blockHash": f"0x{block_hash}"}):
            assert rpc.number("eth_getBalance", NOBODY, tag) == value
            assert rpc.number("eth_getTransactionCount", ANNE.address, tag) == min(value, 1)
            assert int(rpc("eth_call", {"to": TOKEN, "data": call_of("balanceOf", NOBODY)}, tag), 16) == value
            assert rpc("eth_getCode", TOKEN, tag) == "0xfe"
            assert rpc("eth_getStorageAt", TOKEN, "0x0", tag) == "0x" + "00" * 32
            assert rpc.number("eth_estimateGas", {"to": NOBODY}, tag) == 21000
    refused(lambda: rpc("eth_getBalance", NOBODY, "0x" + "f" * 64), -32000, "header for hash not found")


def test_estimates(rpc: Rpc) -> None:
    rich, to = {"from": ANNE.address}, {"to": TOKEN}
    assert rpc.number("eth_estimateGas", {**rich, "to": NOBODY, "value": "0x1"}) == 21000
    assert rpc.number("eth_estimateGas", {**rich, "to": NOBODY, "value": "0x1"}, "pending") == 21000
    assert rpc.number("eth_estimateGas", {**rich, **to, "data": call_of("transfer", NOBODY, 5)}) == 60000
    assert rpc.number("eth_estimateGas", {**rich, **to, "data": call_of("approve", NOBODY, 5)}) == 50000
    zero = call_of("transferFrom", BEN.address, NOBODY, 0)
    assert rpc.number("eth_estimateGas", {**rich, **to, "data": zero}) == 70000
    refused(
        lambda: rpc("eth_estimateGas", {"from": NOBODY, "to": BEN.address, "value": "0x1"}),
        -32000, "insufficient funds for gas * price + value",
    )  # fmt: skip
    lost = "to must not be the zero address: nobody has its key."
    refused(lambda: rpc("eth_estimateGas", {**rich, "to": ZERO, "value": "0x1"}), -32000, lost)


REVERTS = [
    ({"from": NOBODY}, call_of("transfer", BEN.address, 1), "ERC20: transfer amount exceeds balance"),
    ({}, call_of("transfer", BEN.address, 1), "ERC20: transfer amount exceeds balance"),
    ({"from": ANNE.address}, call_of("transferFrom", BEN.address, NOBODY, 1), "ERC20: insufficient allowance"),
    ({"from": ANNE.address}, "0x12345678", "The token has no function with this selector"),
    ({"from": ANNE.address}, "0x", "Call data is shorter than a function selector"),
    (
        {"from": ANNE.address},
        call_of("transfer", BEN.address, 1) + "00",
        "Call data has the wrong length for its function",
    ),
    ({"from": ANNE.address}, "0xa9059cbb" + "11" * 64, "An address in call data is not padded with zeros"),
    ({"from": ANNE.address}, call_of("transfer", ZERO, 1), "ERC20: transfer to the zero address"),
    ({"from": ANNE.address}, call_of("transfer", TOKEN, 0), "ERC20: transfer to the token's own address"),
    ({}, call_of("approve", ZERO, 0), "ERC20: approve to the zero address"),
    ({"from": ANNE.address}, call_of("approve", TOKEN, 1), "ERC20: approve to the token's own address"),
    ({"from": ANNE.address}, call_of("transferFrom", BEN.address, ZERO, 0), "ERC20: transfer to the zero address"),
    ({"from": ANNE.address, "value": "0x1"}, call_of("name"), "A call of the token must not send value besides"),
]


@pytest.mark.parametrize(("fields", "data", "reason"), REVERTS)
def test_failing_calls_revert_with_their_reason(rpc: Rpc, fields: dict[str, Any], data: str, reason: str) -> None:
    for method in ("eth_call", "eth_estimateGas"):
        failure = refused(lambda: rpc(method, {"to": TOKEN, "data": data, **fields}), 3, REVERT + reason)  # noqa: B023
        assert failure.data == "0x" + erc20.encode_error(reason).hex()


def test_state_changing_calls_return_true_and_change_nothing(node: Node, rpc: Rpc) -> None:
    true = "0x" + "00" * 31 + "01"
    before = node.chain.tip(), node.pool.totals()
    for data in (
        call_of("transfer", NOBODY, COIN),
        call_of("approve", NOBODY, 5),
        call_of("transferFrom", BEN.address, NOBODY, 0),
    ):
        assert rpc("eth_call", {"from": ANNE.address, "to": TOKEN, "data": data}) == true
    assert (node.chain.tip(), node.pool.totals()) == before


def test_calls_see_the_state_at_their_height(node: Node, rpc: Rpc) -> None:
    grow(node)
    rpc.send(ANNE.token(0, erc20.encode_approve(BEN.address, 50)))
    grow(node)
    asked = {"from": BEN.address, "to": TOKEN, "data": call_of("transferFrom", ANNE.address, NOBODY, 50)}
    assert number(rpc("eth_call", asked)) == 1
    refused(lambda: rpc("eth_call", asked, "0x2"), 3, REVERT + "ERC20: insufficient allowance")
