"""The control methods about time and mining through the real application: who has them, and what they refuse."""

from typing import Any

import pytest

from api.rpc.errors import INVALID_PARAMS, METHOD_NOT_FOUND, REFUSED
from services.node import Node
from tests.integration.development.calls import Rpc, rpc_to
from tests.support.nodes import MakeNode

ONE_NUMBER = [
    "evm_increaseTime", "anvil_increaseTime", "evm_setNextBlockTimestamp", "anvil_setNextBlockTimestamp",
    "hardhat_setNextBlockTimestamp", "evm_setTime", "anvil_setTime", "anvil_setBlockTimestampInterval",
    "evm_setBlockTimestampInterval",
]  # fmt: skip
NOTHING = [
    "anvil_removeBlockTimestampInterval", "evm_removeBlockTimestampInterval", "anvil_getAutomine",
    "hardhat_getAutomine", "anvil_getIntervalMining",
]  # fmt: skip
NOT_FLAGS: list[Any] = [None, 0, 1, "true", "", [], {}]
FLAGS = ["evm_setAutomine", "anvil_setAutomine"]
INTERVALS = ["evm_setIntervalMining", "anvil_setIntervalMining"]
MINES = ["evm_mine", "evm_mine_detailed", "anvil_mine_detailed", "anvil_mine", "hardhat_mine"]
# Of each method some parameters with which it exists.
CALLS: list[tuple[str, list[Any]]] = [
    *((name, [2**40]) for name in ONE_NUMBER), *((name, []) for name in NOTHING), *((name, []) for name in MINES),
    *((name, [True]) for name in FLAGS), *((name, [1]) for name in INTERVALS),
]  # fmt: skip

# Neither whole numbers of JSON nor their digits.
NOT_NUMBERS: list[Any] = [
    None,
    True,
    "",
    "60s",
    "0x",
    "0x3c ",
    "6_0",
    "\u0661",
    "-0x1",
    -1,
    1.5,
    60.0,
    [60],
    {"seconds": 60},
]
BAD: list[tuple[str, list[Any]]] = [
    *((name, [value]) for name in ONE_NUMBER for value in [*NOT_NUMBERS, 2**64 - 1, 2**256, hex(2**64)]),
    *((name, params) for name in ONE_NUMBER for params in ([], [1, 2])),
    *((name, [1]) for name in NOTHING),
    *((name, [value]) for name in FLAGS for value in NOT_FLAGS),
    *((name, params) for name in FLAGS for params in ([], [True, False])),
    *((name, [value]) for name in INTERVALS for value in [*NOT_NUMBERS, 86_401, 2**64, [1, 2]]),
    *((name, params) for name in INTERVALS for params in ([], [1, 2])),
    *(("evm_mine", [value]) for value in NOT_NUMBERS[1:-1]),
    *(("evm_mine", [{"timestamp": value}]) for value in NOT_NUMBERS[1:]),
    *(("evm_mine", [{"blocks": value}]) for value in NOT_NUMBERS[1:]),
    ("evm_mine", [{"block": 1}]),
    ("evm_mine", [{"blocks": 1, "when": 2}]),
    ("evm_mine", [1, 2]),
    *((name, [value]) for name in MINES[1:] for value in NOT_NUMBERS[1:]),
    *((name, [1, value]) for name in MINES[1:] for value in NOT_NUMBERS[1:]),
    *((name, [1, 2, 3]) for name in MINES[1:]),
]


@pytest.fixture
def rpc(node: Node) -> Rpc:
    return rpc_to(node)


def test_the_methods_are_for_programs_of_this_machine_on_development_chains(make_node: MakeNode) -> None:
    ours, production = rpc_to(make_node()), rpc_to(make_node({"development": False, "chain_id": 4243}))
    for method, params in CALLS:
        missing = (METHOD_NOT_FOUND, f"the method {method} does not exist/is not available")
        assert ours.error(method, *params, origin="https://example.org") == missing
        assert ours.error(method, *params, origin="null") == missing
        assert production.error(method, *params) == missing
        for origin in (None, "http://localhost:3000"):
            error = ours.answer(method, *params, origin=origin).get("error")
            assert error is None or error["code"] == REFUSED, (method, error)


@pytest.mark.parametrize("method", sorted({method for method, _ in BAD}))
def test_bad_parameters_change_nothing(rpc: Rpc, node: Node, method: str) -> None:
    before = node.overview()
    for params in [params for name, params in BAD if name == method]:
        code, message = rpc.error(method, *params)
        assert code == INVALID_PARAMS and message, (params, code, message)
        assert node.overview() == before, params


@pytest.mark.parametrize("sixty", [60, "0x3c", "0x003c", "0X3C", "60", "060"])
def test_numbers_are_read_as_anvil_reads_them(rpc: Rpc, node: Node, sixty: Any) -> None:
    """ethers' toBeHex writes leading zeros, and a shell writes decimal digits."""
    tip = int(node.overview().tip.timestamp)
    rpc("anvil_setBlockTimestampInterval", sixty)
    assert node.chain_clock.following() == tip + 60
    rpc("anvil_removeBlockTimestampInterval")
    rpc("evm_setIntervalMining", sixty)
    assert rpc("anvil_getIntervalMining") == 60
    assert rpc("evm_revert", sixty) is False


def test_a_time_in_milliseconds_is_read_as_such(rpc: Rpc, node: Node) -> None:
    """`evm_setTime(Date.now())` is ganache's way, which anvil understands too."""
    moment = int(node.overview().tip.timestamp) + 7200
    rpc("evm_setTime", moment)
    asked = node.chain_clock.offset()
    rpc("evm_setTime", moment * 1000 + 999)
    assert node.chain_clock.offset() == asked
    assert rpc.error("evm_setTime", 10**12)[0] == REFUSED  # seconds, and far too many


def test_what_cannot_be_is_refused_by_a_sentence(rpc: Rpc, node: Node) -> None:
    before = node.overview()
    tip = int(before.tip.timestamp)
    for method, params, words in (
        (
            "evm_setNextBlockTimestamp",
            [tip - 1],
            f"Timestamp error: {tip - 1} is lower than previous block's timestamp",
        ),
        ("evm_setTime", [tip - 1], f"Timestamp error: {tip - 1} is before {tip}"),
        ("evm_increaseTime", [2**63], "the end of the year 9999"),
        ("anvil_setBlockTimestampInterval", [2**63], "the end of the year 9999"),
        ("evm_mine", [], "No mining worker is alive: 0 of 1 block was mined."),
        ("evm_mine", [{"blocks": 1001}], "At most 1000 blocks are mined by one call, not 1001."),
        ("hardhat_mine", [hex(2**200)], "At most 1000 blocks are mined by one call"),
        ("anvil_mine", [3, 10], "No mining worker is alive: 0 of 3 blocks were mined."),
        ("evm_mine", [tip + 100], "No mining worker is alive"),
    ):
        code, message = rpc.error(method, *params)
        assert code == REFUSED and words in message, (method, message)
        assert node.overview() == before


def test_the_results_are_anvils(rpc: Rpc, node: Node) -> None:
    assert rpc("evm_increaseTime", 60) == 60
    assert rpc("anvil_increaseTime", "0x3c") == 120
    assert rpc("evm_setNextBlockTimestamp", 2**33) is None
    assert int(rpc("eth_getBlockByNumber", "pending", False)["timestamp"], 16) == 2**33
    assert int(rpc("eth_getHeaderByNumber", "pending")["timestamp"], 16) == 2**33
    moved = rpc("evm_setTime", 2**32)
    assert 0 < moved < 2**32
    assert 0 <= int(rpc("eth_getBlockByNumber", "pending", False)["timestamp"], 16) - 2**32 < 60
    assert rpc("evm_setTime", int(node.chain.tip().timestamp)) == 0
    assert rpc("anvil_setBlockTimestampInterval", 12) is None
    assert int(rpc("eth_getBlockByNumber", "pending", False)["timestamp"], 16) == node.chain.tip().timestamp + 12
    assert [rpc("anvil_removeBlockTimestampInterval") for _ in range(2)] == [True, False]
    assert rpc("anvil_mine", 0) is None and rpc("evm_mine", {"blocks": 0}) == "0x0"
