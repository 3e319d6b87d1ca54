"""Finds the page for what is typed into the search field: a height, a hash or its first digits, an address, a name."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from flask import url_for

from api.reading import is_height
from api.representations import find_block, represent_transaction
from services.chain.prefixes import SHORTEST, is_beginning
from services.node import Node
from shared.addresses import parse_address
from shared.errors import InputError
from shared.hashing import is_hash

# How many pages are offered if the query fits several, of each kind.
MOST = 10
_ADDRESS = 40  # digits
_DIGITS = re.compile(r"[0-9a-f]{1,64}")
_QUANTITY = re.compile(r"0x[0-9a-f]{1,12}")

WRONG_CHECKSUM = (
    "The upper and lower case of an address's letters is its checksum (EIP-55), and it does not fit here: a character "
    "is mistyped, so compare the address with where it came from."
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One page that a query may mean."""

    kind: Literal["block", "transaction", "account", "spec"]
    name: str  # hash, id or address; of a height, the height
    path: str
    about: str = ""  # what is known of it, in words


@dataclass(frozen=True, slots=True)
class Matches:
    """What a query may mean. Without candidates, `reason` says in a sentence why, or is empty."""

    candidates: tuple[Candidate, ...] = ()
    more: bool = False  # there are more than are listed
    reason: str = ""


def find(node: Node, query: str) -> Matches:
    """The pages that `query` may mean, the most exact meaning alone: a height, a whole hash or address, then others."""
    query = query.replace("...", "…").partition("…")[0].strip()  # a hash as pages shorten it
    number = query.replace(",", "").removeprefix("#")
    is_number = is_height(number) and (number == "0" or not number.startswith("0"))
    if query.lower() == "latest" or is_number:
        name = number if is_number else "latest"
        if find_block(node, name):
            return Matches((Candidate("block", name, url_for("explorer.block", name=name)),))
    digits = query.lower().removeprefix("0x")
    if is_hash(digits):
        return _by_hash(node, digits)
    try:
        address = parse_address("0x" + query[2:] if query[:2] == "0X" else query)
        return Matches((_account(address),))
    except InputError as error:
        if error.code == "bad_checksum":
            return Matches(reason=WRONG_CHECKSUM)
    named = tuple(_account(address, query) for address in addresses_named(node, query)[:MOST])
    found = _by_beginning(node, digits) if is_beginning(digits) else Matches()
    height = _as_in_json_rpc(node, query.lower())
    if named or height or found.candidates:
        return Matches((*named, *height, *found.candidates), found.more)
    if is_number:
        return Matches(reason=f"This chain ends at block {node.chain.tip().height}.")
    if _DIGITS.fullmatch(digits) and len(digits) < SHORTEST:
        return Matches(reason=f"Type at least {SHORTEST} digits of a hash.")
    if len(digits) == _ADDRESS and digits == query.lower() and _DIGITS.fullmatch(digits):
        return find(node, "0x" + query)  # an address that was copied without its 0x
    if 0 < abs(len(digits) - _ADDRESS) <= 4 and _DIGITS.fullmatch(digits):
        return Matches(reason=f"{found.reason} An address has {_ADDRESS} digits after 0x, and this has {len(digits)}.")
    return found


def _by_hash(node: Node, name: str) -> Matches:
    if is_of_spec(node, name):
        return Matches((Candidate("spec", name, url_for("health.spec")),))
    if node.chain.header(name) is not None:
        return Matches((Candidate("block", name, url_for("explorer.block", name=name)),))
    if node.chain.locate(name) or represent_transaction(node, name):
        return Matches((_transaction(name, ""),))
    return Matches()


def _as_in_json_rpc(node: Node, query: str) -> tuple[Candidate, ...]:
    """The block at the height that JSON-RPC writes so, such as 0x2a, if there is one."""
    if not _QUANTITY.fullmatch(query):
        return ()
    height = str(int(query, 16))
    if not find_block(node, height):
        return ()
    return (Candidate("block", height, url_for("explorer.block", name=height), f"{query} is {height}"),)


def _by_beginning(node: Node, digits: str) -> Matches:
    """What has a hash that begins with `digits`."""
    found = node.recent.find(digits, MOST)
    candidates: list[Candidate] = []
    for stored in node.chain.headers_of(list(found.blocks)):
        name = stored.header.hash
        path = url_for("explorer.block", name=name)
        candidates.append(Candidate("block", name, path, f"at height {stored.header.index}"))
    places = node.chain.locate_many(found.transactions)
    for name in found.transactions:
        if name in places:
            candidates.append(_transaction(name, f"in block {places[name].height}"))
    waiting = node.waiting.find(digits)
    candidates += [_transaction(name, "waits in the mempool") for name in waiting[:MOST]]
    reason = ""
    if not candidates:
        where = "of this chain" if found.lowest == 1 else f"from block {found.lowest} on, which is how far is searched,"
        reason = f"No block and no transaction {where} has a hash that begins with {digits}."
    return Matches(tuple(candidates), found.more or len(waiting) > MOST, reason)


def _account(address: str, name: str = "") -> Candidate:
    return Candidate("account", address, url_for("explorer.address", name=address), name)


def _transaction(name: str, about: str) -> Candidate:
    return Candidate("transaction", name, url_for("explorer.transaction", transaction_id=name), about)


def addresses_named(node: Node, name: str) -> Sequence[str]:
    """The addresses, in normal form, that have `name` on this node."""
    found = node.names.find(name)
    return [] if found is None else [found]


def is_of_spec(node: Node, name: str) -> bool:
    """Whether a hash is that of the chain spec, which is the parent of genesis, or of its transaction in JSON-RPC."""
    block = node.wallet_blocks.spec_block
    return name in (block.stored.header.hash, block.transactions[0].transaction.id)
