"""Verifying a node's chain from outside: its blocks are replayed here by all rules; nothing it says is believed."""

from collections.abc import Callable
from dataclasses import dataclass

from api.cli.client import NodeClient
from api.cli.group import Failure
from shared.block import Header
from shared.chain_spec import ChainSpec
from shared.errors import RuleError
from shared.replay import Replay
from shared.rules import rules_for

_RESTARTS = 3


@dataclass(frozen=True, slots=True)
class Verified:
    """A chain that keeps every rule, and the ledger it leads to."""

    replay: Replay
    transactions: int  # rewards included


class _Reorganised(Exception):
    """The node replaced blocks that were verified already."""


def verify_chain(client: NodeClient, spec: ChainSpec, advance: Callable[[int, int], None]) -> Verified:
    """Replay the node's chain from genesis.

    Raises:
        Failure: it breaks a rule, with height and rule.
    """
    for _ in range(_RESTARTS):
        try:
            return _replay(client, spec, advance)
        except _Reorganised:
            continue
    raise Failure("The chain was reorganised again and again while it was read; try later.")


def _replay(client: NodeClient, spec: ChainSpec, advance: Callable[[int, int], None]) -> Verified:
    replay = Replay(rules_for(spec))
    transactions = 0
    for value, length in client.blocks():
        height = 1 if replay.tip is None else replay.tip.index + 1
        try:
            transactions += len(replay.add(value).transactions)
        except RuleError as error:
            if error.code == "wrong_previous_hash" and _has_moved(client, replay):
                raise _Reorganised from None
            raise Failure(f"Block {height} breaks the rule {error.code}: {error.message}") from None
        advance(height, length)
    if replay.tip is None:
        raise Failure("The node's chain is empty.")
    return Verified(replay, transactions)


def _has_moved(client: NodeClient, replay: Replay) -> bool:
    """Whether the node's chain no longer has the block that was verified last."""
    tip = replay.tip
    assert tip is not None, "genesis has no parent to be wrong about"
    found = client.find(f"/blocks/{tip.index}")
    return found is None or found["hash"] != tip.hash


def verify_recent(client: NodeClient, spec: ChainSpec, count: int) -> int:
    """Check the last `count` blocks: links, proofs, difficulty, roots, signatures; how many. Balances are not replayed.

    Raises:
        Failure: as `verify_chain`.
    """
    rules = rules_for(spec)
    height = int(client.get("/status")["height"])
    first = max(1, height - count + 1 - rules.window_size)
    window: list[Header] = []
    checked = 0
    for value, _ in client.blocks(first, height):
        at = first + len(window)
        try:
            if at == 1:
                block = rules.adopt_genesis(value)
            else:
                block = rules.read_block(value)
                # The first few only tell what the others are checked against.
                if first == 1 or len(window) >= rules.window_size:
                    rules.check_header(block.header, window[-rules.window_size :], None)
                    rules.check_body(block)
                    checked += 1
        except RuleError as error:
            raise Failure(f"Block {at} breaks the rule {error.code}: {error.message}") from None
        window.append(block.header)
    return checked
