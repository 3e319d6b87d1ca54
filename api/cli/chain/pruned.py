"""Verifying the chain of a node that has pruned old bodies, from outside: all headers, and the bodies that are kept."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from api.cli.chain.verification import Moved, at_rest, rule_broken
from api.cli.client import NodeClient, Refused
from api.cli.group import Failure
from shared.block import Header
from shared.chain_spec import ChainSpec
from shared.errors import RuleError
from shared.rules import rules_for

_PAGE = 500  # headers


@dataclass(frozen=True, slots=True)
class KeptPart:
    """A chain whose headers keep every rule, and its last blocks too, as far as that can be judged without balances."""

    height: int
    tip: str
    chainwork: int
    kept_from: int  # height of the first block whose body was checked, after genesis
    transactions: int  # of the checked bodies, rewards included


def verify_kept(client: NodeClient, spec: ChainSpec, advance: Callable[[int, int], None]) -> KeptPart:
    """Check the headers of all blocks, and the bodies from the node's `kept_from` on: roots, signatures, rewards.

    Balances are not recomputed: the ledger before the first kept block cannot be had from outside.

    Args:
        advance: called with the height reached and the length of the chain.

    Raises:
        Failure: a block breaks a rule; the message names its height and the rule.
    """
    return at_rest(lambda: _verified(client, spec, advance))


def _verified(client: NodeClient, spec: ChainSpec, advance: Callable[[int, int], None]) -> KeptPart:
    rules = rules_for(spec)
    kept_from, length = client.kept_from(), int(client.get("/status")["height"])
    window: deque[Header] = deque(maxlen=rules.window_size)
    chainwork = transactions = 0
    for value, _ in client.blocks(1, 1):
        window.append(rules.adopt_genesis(value).header)
    if not window:
        raise Failure("The node's chain is empty.")

    def follow(header: Header) -> None:
        nonlocal chainwork
        try:
            rules.check_header(header, tuple(window), None)
        except RuleError as error:
            if error.code == "wrong_previous_hash":
                raise Moved from None
            raise rule_broken(window[-1].index + 1, error) from None
        chainwork += rules.work(header)
        window.append(header)
        advance(header.index, length)

    while window[-1].index < kept_from - 1:
        for value in _headers(client, window[-1].hash)[: kept_from - 1 - window[-1].index]:
            try:
                header = rules.read_header(value)
            except RuleError as error:
                raise rule_broken(window[-1].index + 1, error) from None
            follow(header)
    try:
        for value, _ in client.blocks(kept_from):
            height = window[-1].index + 1
            try:
                block = rules.read_block(value)
                follow(block.header)
                rules.check_body(block)
            except RuleError as error:
                raise rule_broken(height, error) from None
            transactions += len(block.transactions)
    except Refused as error:
        if error.code == "pruned":
            raise Moved from None
        raise
    return KeptPart(window[-1].index, window[-1].hash, chainwork, kept_from, transactions)


def _headers(client: NodeClient, after: str) -> list[Any]:
    page = client.get("/headers", locator=after, limit=_PAGE)
    headers = page.get("headers") if isinstance(page, dict) else None
    if not isinstance(headers, list):
        raise Failure("The node's answer is not a page of headers.")
    if not headers:
        raise Moved
    return headers
