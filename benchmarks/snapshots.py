"""How long `evm_snapshot` and `evm_revert` take, with 100 blocks of one transfer each between them."""

import statistics
import time

from benchmarks.rpc_client import Target
from services.wallet.development import ACCOUNTS

BLOCKS = 100
_TIMES = 3
_TIMEOUT = 60.0  # seconds for one block


def measure(target: Target) -> float:
    """Milliseconds of both calls together, the median. The node must mine each transaction without being asked.

    Raises:
        RuntimeError: a call was refused, no block came, or the height after going back is not that of the snapshot.
    """
    return statistics.median(_once(target) for _ in range(_TIMES))


def _once(target: Target) -> float:
    height = _height(target)
    began = time.perf_counter()
    snapshot = target.call("evm_snapshot")
    spent = time.perf_counter() - began
    payment = {"from": ACCOUNTS[4].address, "to": ACCOUNTS[5].address, "value": "0x1"}
    for mined in range(1, BLOCKS + 1):
        target.call("eth_sendTransaction", payment)
        _await(target, height + mined)
    began = time.perf_counter()
    target.call("evm_revert", snapshot)
    spent += time.perf_counter() - began
    if _height(target) != height:
        raise RuntimeError(f"{target.name} did not go back")
    return 1000 * spent


def _height(target: Target) -> int:
    return int(target.call("eth_blockNumber"), 16)


def _await(target: Target, height: int) -> None:
    deadline = time.perf_counter() + _TIMEOUT
    while _height(target) < height:
        if time.perf_counter() > deadline:
            raise RuntimeError(f"{target.name} has not reached height {height} within {_TIMEOUT:g} s")
