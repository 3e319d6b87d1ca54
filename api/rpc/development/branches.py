"""Control methods that change which branch is the chain: snapshots, going back, and forks.

Names, parameters and results are anvil's and hardhat's.
"""

from collections.abc import Sequence
from typing import Any

from api.rpc.development.accounts import sign_transaction
from api.rpc.development.parameters import read_number
from api.rpc.errors import REFUSED, RpcError, invalid_params
from api.rpc.method_table import control_method
from api.rpc.quantity import quantity, read_data
from services.node import Node
from shared.transaction import Transaction

# Transactions that one call may name.
_MOST = 1000


@control_method("evm_snapshot")
def snapshot(node: Node) -> str:
    """Takes a snapshot of the chain and the mempool; its id. Ids count from `0x0`. At most 1,000 snapshots and 64 MiB
    of mempools are kept, then the oldest goes; they survive a restart.
    """
    return quantity(node.going_back.snapshot())


@control_method("anvil_snapshot")
def anvil_snapshot(node: Node) -> str:
    """As `evm_snapshot`."""
    return snapshot(node)  # type: ignore[no-any-return] # the decorator hides its type


@control_method("evm_revert", 1)
def revert(node: Node, snapshot_id: Any) -> bool:
    """Restores the chain and the mempool of a snapshot, and removes it and all later ones; false if there is none.
    Transactions that came later leave with the record `reverted`. Refused while the node has peers.
    """
    number = read_number(snapshot_id, "snapshot id")
    return node.going_back.revert(number)


@control_method("anvil_revert", 1)
def anvil_revert(node: Node, snapshot_id: Any) -> bool:
    """As `evm_revert`."""
    return revert(node, snapshot_id)  # type: ignore[no-any-return] # the decorator hides its type


@control_method("anvil_rollback", 0, 1)
def rollback(node: Node, depth: Any = None) -> None:
    """Takes blocks off the chain, one without `depth`. Their transactions leave with the record `reverted`; those that
    wait go on waiting. Refused while the node has peers.
    """
    node.going_back.rollback(_depth(node, "Rollback", 1 if depth is None else depth))


@control_method("anvil_reset", 0, 1)
def anvil_reset(node: Node, options: Any = None) -> None:
    """Goes back to the first block, with an empty mempool and without snapshots. `forking` is refused, and so is all
    of it while the node has peers.
    """
    _reset(node, options)


@control_method("hardhat_reset", 0, 1)
def hardhat_reset(node: Node, options: Any = None) -> bool:
    """As `anvil_reset`; true."""
    _reset(node, options)
    return True


@control_method("anvil_reorg", 1, 2)
def reorg(node: Node, options: Any, pairs: Any = None) -> None:
    """Replaces as many blocks as `options`, a number or an object with `depth`, says, by a
    [branch](network.md#forks-on-demand) that the workers mine. `pairs` are raw transactions, or those of an
    unlocked account with their nonce, each with the number of the new block that is to hold it: 0 is the first.
    """
    if isinstance(options, dict):
        if pairs is not None or options.keys() - {"depth", "tx_block_pairs", "txBlockPairs"}:
            raise invalid_params("the options of a reorg are depth and tx_block_pairs")
        options, pairs = options.get("depth"), options.get("tx_block_pairs", options.get("txBlockPairs"))
    depth = _depth(node, "Reorg", options)
    node.forks.fork(depth, placed=_placed(node, depth, [] if pairs is None else pairs))


@control_method("quarry_fork", 1)
def fork(node: Node, options: Any) -> dict[str, Any]:
    """What `quarry fork` calls, with `depth`, `drop` and `include`: as `anvil_reorg`, without or first with some
    transactions. The result names the detached and attached blocks.
    """
    if not isinstance(options, dict) or options.keys() - {"depth", "drop", "include"}:
        raise invalid_params("the options of a fork are depth, drop and include")
    drop, include = _ids(options.get("drop"), "drop"), _ids(options.get("include"), "include")
    if set(drop) & set(include):
        raise invalid_params("a transaction is either dropped or included")
    forked = node.forks.fork(_depth(node, "Fork", options.get("depth")), drop=drop, include=include)
    return {
        "forkBlock": quantity(forked.fork),
        "detached": [f"0x{name}" for name in forked.detached],
        "attached": [f"0x{name}" for name in forked.attached],
    }


def _depth(node: Node, what: str, value: Any) -> int:
    """How many blocks to take off the chain. Raises: RpcError, in anvil's words if the chain has not so many."""
    depth = read_number(value, "depth")
    if depth == 0:
        raise invalid_params(f"{what} depth must be at least 1")
    height = node.chain.tip().height
    if depth >= height:
        raise invalid_params(
            f"{what} depth must not exceed current chain height: current height {height}, depth {depth}; "
            "the first block, whose height is 1, stays"
        )
    return depth


def _reset(node: Node, options: Any) -> None:
    if options is not None and not isinstance(options, dict):
        raise invalid_params("the options of a reset are an object")
    if options and (options.keys() - {"forking"} or options["forking"] is not None):
        raise RpcError(REFUSED, "this chain is no fork of another: a reset goes back to its own first block")
    node.going_back.reset()
    node.development.begin_run(node.randomness.token())  # `anvil_metadata` shows another instance, as of a new node


def _placed(node: Node, depth: int, pairs: Any) -> dict[int, list[Transaction]]:
    """Transactions by the number of the block that is to hold them, from anvil's pairs."""
    if not isinstance(pairs, list) or len(pairs) > _MOST:
        raise invalid_params(f"tx_block_pairs is a list of at most {_MOST} pairs")
    placed: dict[int, list[Transaction]] = {}
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2:
            raise invalid_params("each of tx_block_pairs is a transaction and the number of a block")
        number = read_number(pair[1], "block number")
        if number >= depth:
            raise invalid_params(
                "Block number for reorg tx will exceed the reorged chain height. "
                f"Block number {number} must not exceed (depth-1) {depth - 1}"
            )
        raw = pair[0]
        if isinstance(raw, dict):
            if raw.get("nonce") is None:  # what is next in the branch depends on what its blocks hold
                raise RpcError(REFUSED, "give the nonce of each transaction of a reorg")
            raw = sign_transaction(node, raw)
        placed.setdefault(number, []).append(node.rules.read_raw(read_data(raw, "transaction")))
    return placed


def _ids(value: Any, name: str) -> Sequence[str]:
    """Hashes of transactions, each once."""
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > _MOST:
        raise invalid_params(f"{name} is a list of at most {_MOST} transaction hashes")
    return list(dict.fromkeys(read_data(item, f"each of {name}", 32).hex() for item in value))
