"""Blocks on demand from real workers: how many, with which timestamps, and how soon."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from tests.integration.development.calls import Rpc
from tests.support.keys import ALICE, BOB
from tests.support.nodes import transfer
from tests.support.running import RunningNode
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    with RunningNode(tmp_path_factory.mktemp("modes") / "node") as node:
        yield node


@pytest.fixture
def rpc(running: RunningNode) -> Rpc:
    return Rpc(running.client.door)


def height(rpc: Rpc) -> int:
    return int(rpc("eth_blockNumber"), 16)


def stamps(rpc: Rpc, after: int) -> list[int]:
    return [
        int(rpc("eth_getBlockByNumber", hex(number), False)["timestamp"], 16)
        for number in range(after, height(rpc) + 1)
    ]


@pytest.mark.parametrize(
    ("method", "params", "blocks", "result"),
    [
        ("evm_mine", [], 1, "0x0"),
        ("evm_mine", [None], 1, "0x0"),
        ("evm_mine", [{}], 1, "0x0"),
        ("evm_mine", [{"blocks": "0x3"}], 3, "0x0"),
        ("evm_mine", [{"blocks": 0}], 0, "0x0"),
        ("anvil_mine", [], 1, None),
        ("anvil_mine", [5], 5, None),
        ("hardhat_mine", ["0x28"], 40, None),  # more than wait at once
        ("hardhat_mine", ["0x2", "0x0"], 2, None),
    ],
)
def test_as_many_blocks_are_mined_when_the_call_returns(
    rpc: Rpc, method: str, params: list[Any], blocks: int, result: Any
) -> None:
    before = height(rpc)
    assert rpc(method, *params) == result
    assert height(rpc) == before + blocks


@pytest.mark.parametrize("method", ["evm_mine_detailed", "anvil_mine_detailed"])
def test_the_blocks_that_were_mined_are_the_answer(rpc: Rpc, method: str) -> None:
    before = height(rpc)
    assert rpc(method, {"blocks": 0}) == []
    mined = rpc(method, {"blocks": 2})
    assert [int(block["number"], 16) for block in mined] == [before + 1, before + 2]
    for block in mined:
        assert [transaction.pop("output") for transaction in block["transactions"]] == ["0x"]
        assert block == rpc("eth_getBlockByNumber", block["number"], True)
    [alone] = rpc(method)
    assert alone["parentHash"] == mined[-1]["hash"]


def test_blocks_have_the_timestamps_that_were_asked_for(rpc: Rpc) -> None:
    rpc("evm_mine")  # genesis is old: after it alone the clock's offset would be negative
    start, before = stamps(rpc, height(rpc))[0] + 10_000, height(rpc)
    rpc("evm_mine", start)
    rpc("evm_mine", {"timestamp": hex(start + 50), "blocks": 2})
    first, second, third = stamps(rpc, before + 1)
    assert (first, second) == (start, start + 50)
    assert start + 50 < third < start + 150  # the clock goes on from there

    rpc("anvil_mine", 4, 60)
    *_, last = mined = stamps(rpc, before + 4)
    assert {after - earlier for earlier, after in pairwise(mined)} == {60} and len(mined) == 4
    assert mined[0] - third >= 60
    rpc("evm_setNextBlockTimestamp", last + 500)
    rpc("anvil_mine", 2, 60)
    *_, last = stamps(rpc, height(rpc) - 1)
    assert stamps(rpc, height(rpc) - 1) == [mined[-1] + 500, mined[-1] + 560]

    assert rpc("evm_increaseTime", 1000) > 10_000
    rpc("evm_mine")
    assert stamps(rpc, height(rpc))[0] >= last + 1000


def test_a_timestamp_is_refused_before_anything_is_mined(rpc: Rpc) -> None:
    before, [tip] = height(rpc), stamps(rpc, height(rpc))
    code, message = rpc.error("evm_mine", {"timestamp": tip - 1, "blocks": 2})
    assert code == -32000 and "is lower than previous block's timestamp" in message
    assert height(rpc) == before


def test_status_shows_the_offset(running: RunningNode, rpc: Rpc) -> None:
    before = running.client.get("/status").ok()["time_offset"]
    moved = rpc("evm_increaseTime", 500)
    assert moved >= before + 500  # more if the last blocks were ahead of the clock
    assert running.client.get("/status").ok()["time_offset"] == moved


def balance(rpc: Rpc) -> int:
    return int(rpc("eth_getBalance", BOB.address), 16)


def send(running: RunningNode, nonce: int) -> None:
    running.client.submit(transfer(ALICE, nonce))


def test_transactions_wait_until_auto_mining_is_switched_on(running: RunningNode, rpc: Rpc) -> None:
    assert rpc("anvil_getAutomine") is False and rpc("hardhat_getAutomine") is False
    nonce, before = int(rpc("eth_getTransactionCount", ALICE.address), 16), balance(rpc)
    send(running, nonce)
    assert rpc("evm_setAutomine", True) is None
    assert rpc("anvil_getAutomine") is True and running.client.get("/status").ok()["automine"] is True
    eventually(lambda: balance(rpc) > before, what="the transaction that waited")
    send(running, nonce + 1)
    eventually(lambda: balance(rpc) == before + 2 * 10**18, what="a transaction that is mined at once")
    assert rpc("anvil_setAutomine", False) is None
    send(running, nonce + 2)
    rpc("evm_mine")
    assert balance(rpc) == before + 3 * 10**18


def test_blocks_come_at_intervals_until_they_are_stopped(running: RunningNode, rpc: Rpc) -> None:
    assert rpc("anvil_getIntervalMining") is None
    rpc("evm_setAutomine", True)
    before = height(rpc)
    assert rpc("evm_setIntervalMining", 1) is None
    assert (rpc("anvil_getIntervalMining"), rpc("anvil_getAutomine")) == (1, False)
    assert running.client.get("/status").ok()["block_time"] == 1
    eventually(lambda: height(rpc) >= before + 2, 30, "two blocks that nobody asked for")
    assert rpc("anvil_setIntervalMining", "0x0") is None
    assert (rpc("anvil_getIntervalMining"), rpc("anvil_getAutomine")) == (None, False)
