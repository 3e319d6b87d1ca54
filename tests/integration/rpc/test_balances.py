"""Setting balances: exactly, by transactions in blocks, whatever else happens."""

import functools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.development import balances
from services.node import Node
from tests.integration.rpc.client import COIN, OWNERS, TOKEN, ZERO, Rpc, RpcFailure, call_of, refused, rpc_node
from tests.integration.rpc.miner import mining
from tests.support.keys import MINER
from tests.support.nodes import MakeNode

ANNE, BEN, CARA, DORA, EVE = OWNERS[:5]
NOBODY = "0x000000000000000000000000000000000000dEaD"
SOMEBODY = "0x00000000000000000000000000000000000bEEF1".lower()
SETTERS = ["anvil_setBalance", "hardhat_setBalance", "evm_setAccountBalance"]


@pytest.fixture(params=[False, True], ids=["asked", "automine"])
def node_and_rpc(
    request: pytest.FixtureRequest, make_node: MakeNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Node, Rpc]]:
    node, rpc = rpc_node(make_node, tmp_path, AUTOMINE=str(request.param).lower())
    with mining(node, monkeypatch):
        yield node, rpc


def balance(rpc: Rpc, address: str) -> int:
    return rpc.number("eth_getBalance", address)


def supply(rpc: Rpc) -> int:
    return int(rpc("eth_call", {"to": TOKEN, "data": call_of("totalSupply")}), 16)


@pytest.mark.parametrize("method", SETTERS)
def test_a_balance_goes_up_by_coins_of_the_reserve(node: Node, rpc: Rpc, method: str) -> None:
    assert rpc(method, NOBODY, hex(7 * COIN + 1)) is (None if method.startswith("anvil") else True)
    assert balance(rpc, NOBODY) == 7 * COIN + 1
    assert balance(rpc, EVE.address) == 93 * COIN - 1  # the last development account, and no fee
    assert supply(rpc) == (599 + node.chain.tip().height) * COIN  # each block but genesis made one
    height = node.chain.tip().height
    rpc(method, NOBODY, hex(7 * COIN + 1))
    assert node.chain.tip().height == height, "nothing to do, and nothing is done"


@pytest.mark.parametrize("given", [5, "0x5", "0x0000000005", "5"])
def test_the_balance_is_written_as_test_tools_do(rpc: Rpc, given: Any) -> None:
    rpc("anvil_setBalance", NOBODY, given)
    assert balance(rpc, NOBODY) == 5


def test_a_development_account_goes_down_and_up_again(rpc: Rpc) -> None:
    rpc("anvil_setBalance", ANNE.address, "0x0")
    assert (balance(rpc, ANNE.address), balance(rpc, EVE.address)) == (0, 200 * COIN)
    rpc("anvil_setBalance", ANNE.address, hex(250 * COIN))
    assert balance(rpc, ANNE.address) == 250 * COIN  # the reserve is empty now: the account before it paid the rest
    assert (balance(rpc, EVE.address), balance(rpc, DORA.address)) == (0, 50 * COIN)


def test_the_reserve_itself(rpc: Rpc) -> None:
    rpc("anvil_setBalance", EVE.address, hex(101 * COIN))
    assert (balance(rpc, EVE.address), balance(rpc, DORA.address)) == (101 * COIN, 99 * COIN)
    rpc("anvil_setBalance", EVE.address, "0x1")
    assert (balance(rpc, EVE.address), balance(rpc, DORA.address)) == (1, 200 * COIN - 1)


def test_coins_are_added(rpc: Rpc) -> None:
    for total in (3, 6):
        rpc("anvil_addBalance", NOBODY, 3)
        assert balance(rpc, NOBODY) == total
    rpc("hardhat_addBalance", NOBODY, 1)
    assert balance(rpc, NOBODY) == 7


@pytest.mark.parametrize("method", ["anvil_dealERC20", "hardhat_dealERC20", "anvil_setERC20Balance"])
def test_the_token_is_the_coin(rpc: Rpc, method: str) -> None:
    rpc(method, NOBODY, TOKEN, hex(9))
    assert balance(rpc, NOBODY) == 9
    refused(lambda: rpc(method, NOBODY, NOBODY, hex(9)), -32000, "There is no contract at this address...")


def test_an_allowance_of_a_development_account(rpc: Rpc) -> None:
    rpc("anvil_setERC20Allowance", ANNE.address, BEN.address, TOKEN, "0x7")
    call = {"to": TOKEN, "data": call_of("allowance", ANNE.address, BEN.address)}
    assert int(rpc("eth_call", call), 16) == 7
    refused(
        lambda: rpc("anvil_setERC20Allowance", NOBODY, BEN.address, TOKEN, "0x7"),
        -32000,
        "Only a development account...",
    )


# --- Beside other transactions ---


def test_what_waits_is_mined_first_and_the_balance_is_exact(rpc: Rpc) -> None:
    for owner in (ANNE, BEN):
        rpc.send(owner.raw(0, NOBODY, COIN))
    rpc("anvil_setBalance", NOBODY, hex(5 * COIN))
    assert balance(rpc, NOBODY) == 5 * COIN
    rpc.send(ANNE.raw(1, BEN.address, 50 * COIN))
    rpc("anvil_setBalance", ANNE.address, "0x7")
    assert balance(rpc, ANNE.address) == 7


def test_setting_one_balance_twice_at_once_ends_with_one_of_the_two(rpc: Rpc) -> None:
    """Two calls each for five addresses, of which three are development accounts."""
    addresses = [ANNE.address, BEN.address, CARA.address, NOBODY, SOMEBODY]
    results: list[tuple[str, int]] = []

    def set_balance(address: str, amount: int) -> None:
        try:
            rpc("anvil_setBalance", address, hex(amount))
        except RpcFailure as failure:
            assert failure.code == -32000 and "can only be raised" in failure.message
        else:
            results.append((address, amount))

    threads = [
        threading.Thread(target=set_balance, args=(address, amount))
        for address in addresses
        for amount in (3 * COIN, 5 * COIN)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for address in addresses:
        amounts = [amount for at, amount in results if at == address]
        assert len(amounts) == 2 or (amounts == [5 * COIN] and address in (NOBODY, SOMEBODY))
        assert balance(rpc, address) in amounts


def test_the_reserve_may_be_used_by_others_meanwhile(rpc: Rpc) -> None:
    start = threading.Barrier(2)

    def send() -> None:
        start.wait(10)
        for _ in range(10):
            rpc("eth_sendTransaction", {"from": EVE.address, "to": BEN.address, "value": "0x1"})

    thread = threading.Thread(target=send)
    thread.start()
    start.wait(10)
    for amount in range(1, 6):
        rpc("anvil_setBalance", NOBODY, hex(amount))
        assert balance(rpc, NOBODY) == amount
    thread.join(60)


# --- Refusals ---


@pytest.mark.parametrize(
    ("address", "amount", "message"),
    [
        (ZERO, 1, "..."), (TOKEN, 1, "..."),
        (MINER, 10**30, "Rewards of this node go to this address..."),
        (NOBODY, 501 * COIN, "Coins cannot be made: they come from the development accounts, which have 500 of..."),
        (ANNE.address, 501 * COIN, "Coins cannot be made: they come from the development accounts, which have 40..."),
        (NOBODY, 2**256 - 1, "Coins cannot be made..."),
    ],
)  # fmt: skip
def test_what_cannot_be_set(rpc: Rpc, node: Node, address: str, amount: int, message: str) -> None:
    for method in ("anvil_setBalance", "hardhat_setBalance"):
        refused(lambda method=method: rpc(method, address, hex(amount)), -32000, message)  # type: ignore[misc]
    assert (node.chain.tip().height, node.pool.totals()[0]) == (1, 0)


def test_only_development_accounts_go_down(rpc: Rpc) -> None:
    rpc("anvil_setBalance", NOBODY, "0x5")
    refused(lambda: rpc("anvil_setBalance", NOBODY, "0x4"), -32000, "The balance can only be raised...")
    assert balance(rpc, NOBODY) == 5


BAD = [
    [], [NOBODY], [NOBODY, "0x1", "0x1"], [1, "0x1"], ["0x12", "0x1"], [None, "0x1"], [NOBODY, None], [NOBODY, -1],
    [NOBODY, 1.5], [NOBODY, "x"], [NOBODY, ""], [NOBODY, "0x"], [NOBODY, hex(2**256)], [NOBODY, "9" * 101],
    [NOBODY, True], [NOBODY, []], [NOBODY.replace("dEaD", "DeaD"), "0x1"],
]  # fmt: skip


def test_bad_parameters_change_nothing(rpc: Rpc, node: Node) -> None:
    for method in (*SETTERS, "anvil_addBalance", "hardhat_addBalance"):
        for params in BAD:
            refused(functools.partial(rpc, method, *params), -32602, "...")
    for method in ("anvil_dealERC20", "anvil_setERC20Balance"):
        for params in ([NOBODY, TOKEN], [NOBODY, 5, "0x1"], [5, TOKEN, "0x1"], [NOBODY, TOKEN, None]):
            refused(functools.partial(rpc, method, *params), -32602, "...")
    for params in ([ANNE.address, BEN.address, TOKEN], [ANNE.address, BEN.address, TOKEN, -1], [1, 2, 3, 4]):
        refused(functools.partial(rpc, "anvil_setERC20Allowance", *params), -32602, "...")
    assert (node.chain.tip().height, node.pool.totals()[0]) == (1, 0)


def test_without_workers_nothing_is_set(make_node: MakeNode, tmp_path: Path) -> None:
    node, rpc = rpc_node(make_node, tmp_path)
    refused(
        lambda: rpc("anvil_setBalance", NOBODY, "0x1"), -32000, "A balance is set by a transaction in a block, and..."
    )
    assert node.pool.totals()[0] == 0


def test_a_node_that_does_not_mine(make_node: MakeNode, tmp_path: Path) -> None:
    _, rpc = rpc_node(make_node, tmp_path, REWARD_ADDRESS="")
    refused(lambda: rpc("anvil_setBalance", NOBODY, "0x1"), -32000, "This node does not mine...")


def test_what_no_block_takes_in_time_is_withdrawn(
    make_node: MakeNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, rpc = rpc_node(make_node, tmp_path)
    monkeypatch.setattr(type(node.queue), "mining_workers", lambda queue: 1)  # but it does nothing
    monkeypatch.setattr(balances, "PATIENCE", 0.3)
    refused(
        lambda: rpc("anvil_setBalance", NOBODY, "0x1"), -32000, "No block held the transaction within 0.3 seconds..."
    )
    assert node.pool.totals()[0] == 0 and node.development.take_turn("mine", 1)
    refused(lambda: rpc("anvil_setBalance", NOBODY, "0x1"), -32000, "Too many balances are set at once; try again.")


def test_fees_are_part_of_the_sum(make_node: MakeNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node, rpc = rpc_node(make_node, tmp_path, MIN_FEE="0.0001")
    fee = -(-(10**14) // 21_000) * 21_000
    with mining(node, monkeypatch):
        rpc("anvil_setBalance", NOBODY, hex(COIN))
        assert (balance(rpc, NOBODY), balance(rpc, EVE.address)) == (COIN, 99 * COIN - fee)
        rpc("anvil_setBalance", ANNE.address, hex(COIN))
        assert (balance(rpc, ANNE.address), balance(rpc, EVE.address)) == (COIN, 198 * COIN - 2 * fee)
        rpc("anvil_setBalance", ANNE.address, hex(COIN - fee))
        assert balance(rpc, ANNE.address) == COIN - fee
        refused(
            lambda: rpc("anvil_setBalance", ANNE.address, hex(COIN - 2 * fee + 1)), -32000, "The balance is to fall..."
        )
