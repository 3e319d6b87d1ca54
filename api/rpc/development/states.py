"""`anvil_dumpState` and `anvil_loadState`: the state of the node as a state file, in one string."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from api.rpc.errors import invalid_params
from api.rpc.method_table import control_method
from api.serving import budget
from services.errors import Busy
from services.node import Node

LOADS = ("anvil_loadState", "hardhat_loadState")
_PATIENCE = 5.0  # seconds
_LEVEL = 6
_one = threading.Lock()


@control_method("anvil_dumpState", 0, 1)
@control_method("hardhat_dumpState", 0, 1)
def dump_state(node: Node, historical: Any = None) -> str:
    """The state file, compressed by gzip, in hex. It always has all blocks, whatever anvil's parameter says."""
    if type(historical) not in (bool, type(None)):
        raise invalid_params("preserve_historical_states is true or false")
    with _alone():
        packed = gzip.compress(node.states.dump(), _LEVEL, mtime=0)
        budget.reserve(4 * len(packed))  # the hex digits, as text and as bytes
        return f"0x{packed.hex()}"


@control_method(LOADS[0], 1)
@control_method(LOADS[1], 1)
def load_state(node: Node, text: Any) -> bool:
    """Make the state of a file ours: what `anvil_dumpState` answers, or the file of `quarry up --dump-state` in hex."""
    if not isinstance(text, str):
        raise invalid_params("a state is a string")
    try:
        content = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        raise invalid_params("a state is a string of hex digits") from None
    with _alone():
        node.states.load(content)
    node.rounds.ensure_open()
    return True


@contextmanager
def _alone() -> Iterator[None]:
    """One state at a time: each takes memory and time.

    Raises:
        Busy: `contended`.
    """
    if not _one.acquire(timeout=_PATIENCE):
        raise Busy("contended", "Another state is being saved or loaded; try again.")
    try:
        yield
    finally:
        _one.release()
