"""Verifying a node's chain from outside: its blocks are replayed here, and every rule is checked again."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from api.cli.client import NodeClient
from api.cli.group import Failure
from services.audit.ahead import Ahead, read_ahead
from shared.block import Header
from shared.chain_spec import ChainSpec
from shared.errors import RuleError
from shared.replay import Replay
from shared.rules import rules_for

T = TypeVar("T")
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Verified:
    """A chain that keeps every rule."""

    replay: Replay  # of all its blocks, with the ledger after the tip
    transactions: int  # rewards included


class BlockBroken(Failure):
    """A block of the chain breaks a rule."""


class Moved(Exception):
    """The node replaced blocks that had been read, or pruned more of them, since the check began."""


def at_rest(read: Callable[[], T]) -> T:
    """What `read` returns, once the chain does not change while it is read. `read` raises `Moved` if it does.

    Raises:
        Failure: it changes each time.
    """
    for _ in range(_ATTEMPTS):
        try:
            return read()
        except Moved:
            continue
    raise Failure("The node's chain changed each time it was read; try again later.")


def verify_chain(client: NodeClient, spec: ChainSpec, advance: Callable[[int, int], None]) -> Verified:
    """Replay the node's chain from genesis to the tip.

    Args:
        advance: called with the height reached and the length of the chain.

    Raises:
        Failure: a block breaks a rule; the message names its height and the rule.
    """
    return at_rest(lambda: _replay(client, spec, advance))


def _replay(client: NodeClient, spec: ChainSpec, advance: Callable[[int, int], None]) -> Verified:
    transactions = 0
    with Ahead() as ahead:
        replay = Replay(rules_for(spec, ahead))
        for value, length in read_ahead(client.blocks(), replay.rules, ahead):
            height = 1 if replay.tip is None else replay.tip.index + 1
            try:
                transactions += len(replay.add(value).transactions)
            except RuleError as error:
                if error.code == "wrong_previous_hash" and _has_moved(client, replay):
                    raise Moved from None
                raise rule_broken(height, error) from None
            advance(height, length)
    if replay.tip is None:
        raise Failure("The node's chain is empty.")
    return Verified(replay, transactions)


def rule_broken(height: int, error: RuleError) -> BlockBroken:
    """The failure of a command that found an invalid block."""
    return BlockBroken(f"Block {height} breaks the rule {error.code}: {error.message}")


def _has_moved(client: NodeClient, replay: Replay) -> bool:
    """Whether the block that was verified last is no longer on the node's chain."""
    tip = replay.tip
    assert tip is not None, "only a block after genesis can have a wrong parent"
    found = client.find(f"/blocks/{tip.index}")
    return found is None or found["hash"] != tip.hash


def verify_recent(client: NodeClient, spec: ChainSpec, count: int) -> int:
    """Check links, proofs, difficulty, roots and signatures of the last `count` blocks, but not balances.

    Returns:
        The number of blocks checked, fewer than `count` on a short chain, or if the node has pruned some of them.

    Raises:
        Failure: as `verify_chain`.
    """
    rules = rules_for(spec)
    height = int(client.get("/status")["height"])
    first = max(client.kept_from(), height - count + 1 - rules.window_size)
    window: list[Header] = []
    checked = 0
    for value, _ in client.blocks(first, height):
        at = first + len(window)
        try:
            if at == 1:
                block = rules.adopt_genesis(value)
            else:
                block = rules.read_block(value)
                # The first `window_size` blocks are read only to check the later ones against them.
                if first == 1 or len(window) >= rules.window_size:
                    rules.check_header(block.header, window[-rules.window_size :], None)
                    rules.check_body(block)
                    checked += 1
        except RuleError as error:
            raise rule_broken(at, error) from None
        window.append(block.header)
    return checked
