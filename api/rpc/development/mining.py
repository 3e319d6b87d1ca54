"""Control methods about mining: blocks now, and when blocks are mined. Names, parameters and results are anvil's."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore
from typing import Any

from api.rpc.chain import block_by_hash
from api.rpc.development.clock import read_seconds
from api.rpc.development.parameters import read_number
from api.rpc.errors import invalid_params
from api.rpc.method_table import control_method
from services.errors import Busy
from services.node import Node

# Calls that wait for blocks hold a thread each, so this many of them may do so in a process.
_HOLDERS = 16
_holders = BoundedSemaphore(_HOLDERS)
# Seconds.
_LONGEST_INTERVAL = 86_400


@contextmanager
def waiting() -> Iterator[None]:
    """Hold a place among the calls that wait for a block.

    Raises:
        Busy: `too_many_waiting`.
    """
    if not _holders.acquire(blocking=False):
        raise Busy("too_many_waiting", f"{_HOLDERS} calls wait for blocks already; try again.")
    try:
        yield
    finally:
        _holders.release()


@control_method("evm_mine", 0, 1)
def mine(node: Node, options: Any = None) -> str:
    """Mine a block, or as many as the options say; "0x0" as in anvil."""
    count, timestamp = _mine_options(options)
    with waiting():
        node.on_demand.mine(count, timestamp=timestamp)
    return "0x0"


@control_method("evm_mine_detailed", 0, 1)
@control_method("anvil_mine_detailed", 0, 1)
def mine_detailed(node: Node, options: Any = None) -> list[dict[str, Any]]:
    """As `evm_mine`; the blocks with their whole transactions, each with its `output`, which is empty here."""
    count, timestamp = _mine_options(options)
    with waiting():
        mined = node.on_demand.mine(count, timestamp=timestamp)
    blocks = [block_by_hash(node, f"0x{block_hash}", True) for block_hash in mined]
    for transaction in (each for block in blocks if block is not None for each in block["transactions"]):
        transaction["output"] = "0x"
    return [block for block in blocks if block is not None]  # None: it has been detached already


@control_method("anvil_mine", 0, 2)
@control_method("hardhat_mine", 0, 2)
def mine_many(node: Node, count: Any = None, interval: Any = None) -> None:
    """Mine blocks. `interval`: seconds from each block to the next, and from now to the first."""
    blocks = 1 if count is None else read_number(count, "the number of blocks")
    apart = 0 if interval is None else read_seconds(interval, "interval")
    with waiting():
        node.on_demand.mine(blocks, interval=apart)


def _mine_options(options: Any) -> tuple[int, int | None]:
    """The number of blocks and the timestamp of the first: `{blocks, timestamp}`, a timestamp alone, or null."""
    if not isinstance(options, dict):
        return 1, None if options is None else read_seconds(options, "timestamp")
    if not options.keys() <= {"blocks", "timestamp"}:
        raise invalid_params("the options of evm_mine are blocks and timestamp")
    blocks, timestamp = options.get("blocks"), options.get("timestamp")
    return (
        1 if blocks is None else read_number(blocks, "blocks"),
        None if timestamp is None else read_seconds(timestamp, "timestamp"),
    )


@control_method("evm_setAutomine", 1)
@control_method("anvil_setAutomine", 1)
def set_automine(node: Node, on: Any) -> None:
    if type(on) is not bool:
        raise invalid_params("the parameter is true or false")
    node.modes.set_automine(on)


@control_method("anvil_getAutomine")
@control_method("hardhat_getAutomine")
def get_automine(node: Node) -> bool:
    return node.modes.automine()


@control_method("evm_setIntervalMining", 1)
@control_method("anvil_setIntervalMining", 1)
def set_interval_mining(node: Node, seconds: Any) -> None:
    """Mine a block every so many seconds; 0: no more. In seconds as in anvil, while Hardhat takes milliseconds."""
    interval = read_number(seconds, "interval")
    if interval > _LONGEST_INTERVAL:
        raise invalid_params(f"interval must be at most {_LONGEST_INTERVAL} seconds")
    node.modes.set_interval(interval)


@control_method("anvil_getIntervalMining")
def get_interval_mining(node: Node) -> float | int | None:
    """Seconds between two blocks; null if there is no interval."""
    interval = node.modes.interval()
    if not interval:
        return None
    return int(interval) if interval.is_integer() else interval
