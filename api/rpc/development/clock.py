"""Control methods that move the clock of the chain. Names, parameters and results are anvil's."""

from typing import Any

from api.rpc.development.parameters import read_number
from api.rpc.errors import invalid_params
from api.rpc.method_table import control_method
from services.node import Node

# anvil's limit, and its words.
_TOO_BIG = 2**64 - 1
# `evm_setTime` takes what is above this for milliseconds, as anvil does: ganache's parameter is `Date.now()`.
_MILLISECONDS_FROM = 10**12


def read_seconds(value: Any, name: str) -> int:
    """Seconds or a timestamp from a client. Raises: RpcError."""
    seconds = read_number(value, name)
    if seconds >= _TOO_BIG:
        raise invalid_params("The timestamp is too big")
    return seconds


@control_method("evm_increaseTime", 1)
@control_method("anvil_increaseTime", 1)
def increase_time(node: Node, seconds: Any) -> int:
    """The offset afterwards, in seconds, as a JSON number: anvil's result. Hardhat returns a decimal string."""
    return node.chain_clock.increase(read_seconds(seconds, "seconds"))


@control_method("evm_setNextBlockTimestamp", 1)
@control_method("anvil_setNextBlockTimestamp", 1)
@control_method("hardhat_setNextBlockTimestamp", 1)
def set_next_block_timestamp(node: Node, timestamp: Any) -> None:
    node.chain_clock.set_next(read_seconds(timestamp, "timestamp"))


@control_method("evm_setTime", 1)
@control_method("anvil_setTime", 1)
def set_time(node: Node, timestamp: Any) -> int:
    """The seconds by which the clock was moved forward, as anvil describes its result. A timestamp above 10^12 is in
    milliseconds, as in anvil: `Date.now()`.
    """
    moment = read_seconds(timestamp, "timestamp")
    return node.chain_clock.set(moment // 1000 if moment > _MILLISECONDS_FROM else moment)


@control_method("anvil_setBlockTimestampInterval", 1)
@control_method("evm_setBlockTimestampInterval", 1)
def set_interval(node: Node, seconds: Any) -> None:
    node.chain_clock.set_interval(read_seconds(seconds, "seconds"))


@control_method("anvil_removeBlockTimestampInterval")
@control_method("evm_removeBlockTimestampInterval")
def remove_interval(node: Node) -> bool:
    """Whether there was an interval."""
    return node.chain_clock.remove_interval()
