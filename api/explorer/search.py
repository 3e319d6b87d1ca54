"""Finds the page for what is typed into the search field."""

from flask import url_for

from api.reading import is_height
from api.representations import find_block, represent_transaction
from services.node import Node
from shared.addresses import parse_address
from shared.errors import InputError
from shared.hashing import is_hash


def find(node: Node, query: str) -> str | None:
    """The path of the page about a height, a hash, a transaction, an address or its name; None if there is none."""
    name = query.lower().removeprefix("0x")
    number = query.replace(",", "").removeprefix("#")
    if query.lower() == "latest" or is_height(number):
        name = number if is_height(number) else "latest"
        return url_for("explorer.block", name=name) if find_block(node, name) else None
    if is_hash(name):
        if is_of_spec(node, name):
            return url_for("health.spec")
        if node.chain.header(name) is not None:
            return url_for("explorer.block", name=name)
        return url_for("explorer.transaction", transaction_id=name) if represent_transaction(node, name) else None
    try:
        return url_for("explorer.address", name=parse_address(query))
    except InputError:
        named = node.names.find(query)
        return url_for("explorer.address", name=named) if named else None


def is_of_spec(node: Node, name: str) -> bool:
    """Whether a hash is that of the chain spec, which is the parent of genesis, or of its transaction in JSON-RPC."""
    block = node.wallet_blocks.spec_block
    return name in (block.stored.header.hash, block.transactions[0].transaction.id)
