"""Whether a broken rule proves something about a block's hash.

A peer can send anything: a header without work, an honest header in a wrong place, or an honest header with another
body. None of these says that the block of that hash is invalid.
"""

from collections.abc import Sequence
from typing import Any

from shared import merkle
from shared.block import Header
from shared.canonical import canonical
from shared.chain_spec import ChainSpec
from shared.difficulty import next_difficulty
from shared.proof import meets


def has_work(header: Header, window: Sequence[Header], spec: ChainSpec) -> bool:
    """Whether a header follows `window` and has the proof of work that the standard rules ask for at its place.

    Args:
        window: headers that end at the parent, see `shared.rules.Judging`.
    """
    return header.previous_hash == window[-1].hash and meets(bytes.fromhex(header.hash), next_difficulty(window, spec))


def is_committed(header: Header, transactions: Sequence[Any]) -> bool:
    """Whether a header commits to these transactions (JSON values), whatever is wrong with them."""
    return merkle.root([merkle.leaf_hash(canonical(item)) for item in transactions]).hex() == header.transactions_root
