"""Representations of blocks, transactions, rounds and payees over HTTP: the hashed fields, and what the node knows
besides.
"""

from typing import Any

from api.reading import is_height
from api.serving import budget
from services.errors import Pruned
from services.mempool.gaps import missing_nonces, missing_words
from services.node import Node
from services.store.figures import RoundFigures, round_figures
from services.store.overview import NodeOverview
from services.store.payouts import Payee
from services.store.pool import Entry
from services.store.records import StoredHeader, Tip
from services.store.rounds import Round
from shared.addresses import address_of_public_key
from shared.amounts import format_amount
from shared.block import Header
from shared.hashing import is_hash

# Memory that a block takes while an answer is made of it, as a multiple of its own bytes: as text from the store, as
# objects, as objects with their ids, and as text again (measured: tests/integration/http/test_large_answers.py).
_PER_BYTE = 14


def block_fields(node: Node, block_hash: str) -> dict[str, Any]:
    """A block's JSON object, for an answer that contains the block or a part of it.

    Raises:
        NotFound: there is no such block.
        Busy: the block is large, and too many large answers are being sent.
    """
    stored = node.chain.header(block_hash)
    if stored is not None:
        budget.reserve(_PER_BYTE * stored.size)
    return node.chain.block_object(block_hash)


def first_blocks(node: Node, most: int, room: int) -> list[dict[str, Any]]:
    """The JSON objects of the chain's first blocks whose bodies are kept: at most `most`, with at most `room` bytes
    together.

    Raises:
        Busy: too many large answers are being sent.
    """
    fitting: list[StoredHeader] = []
    for stored in node.chain.headers(node.chain.kept_from(), most):
        room -= stored.size
        if room < 0:
            break
        fitting.append(stored)
    # For all blocks at once: a request that waits for more while it holds some can block others that do the same.
    budget.reserve(_PER_BYTE * sum(stored.size for stored in fitting))
    return [node.chain.block_object(stored.header.hash) for stored in fitting]


def find_block(node: Node, name: str) -> StoredHeader | None:
    """The block with this height or hash, or the tip for "latest"."""
    if name == "latest":
        return node.chain.header(node.chain.tip().hash)
    if is_hash(name):
        return node.chain.header(name)
    block_hash = node.chain.hash_at(int(name)) if is_height(name) else None
    return node.chain.header(block_hash) if block_hash else None


def represent_block(node: Node, stored: StoredHeader, tip: Tip) -> dict[str, Any]:
    """A block as it is hashed, with hash, chainwork, size and confirmations; its transactions with their ids."""
    block_hash = stored.header.hash
    budget.reserve(_PER_BYTE * stored.size)
    fields = node.chain.block_object(block_hash)
    ids = node.chain.transaction_ids(block_hash)
    on_chain = node.chain.is_on_chain(stored)
    return {
        **fields,
        "transactions": [
            {**item, "id": identifier} for item, identifier in zip(fields["transactions"], ids, strict=True)
        ],
        **_known(stored, tip, on_chain),
    }


def represent_header(stored: StoredHeader, tip: Tip) -> dict[str, Any]:
    """A block of the chain without its transactions. Under the tutorial's rules it has no transactions root."""
    fields = stored.header.to_object()
    if not stored.header.transactions_root:
        del fields["transactions_root"]
    return {
        **fields,
        **_known(stored, tip, on_chain=True),
        "transaction_count": stored.transactions,
    }


def _known(stored: StoredHeader, tip: Tip, on_chain: bool) -> dict[str, Any]:
    return {
        "hash": stored.header.hash,
        "chainwork": stored.chainwork,
        "size": stored.size,
        "confirmations": tip.height - stored.header.index + 1 if on_chain else 0,
        "on_chain": on_chain,
        **({"sealer_address": sealer} if (sealer := sealer_address(stored.header)) else {}),
    }


def sealer_address(header: Header) -> str:
    """The address of the sealer who signed a header; "" where nobody signs."""
    return address_of_public_key(bytes.fromhex(header.sealer)) if header.sealer else ""


def represent_transaction(node: Node, transaction_id: str) -> dict[str, Any] | None:
    """A transaction on the chain, in the mempool, or gone with a reason; None if the node has no record of it.

    Raises:
        Pruned: it is on the chain, and the body of its block was removed. The message names the place.
    """
    # Twice: meanwhile the transaction may move to a place that was already looked at.
    for _ in range(2):
        location = node.chain.locate(transaction_id)
        if location is not None:
            try:
                fields = block_fields(node, location.block_hash)["transactions"][location.position]
            except Pruned as error:
                raise Pruned(
                    error.kept_from,
                    f"The transaction was mined: it is at position {location.position} of block {location.height} "
                    f"({location.block_hash}). The body of that block was removed (QUARRY_KEEP): this node keeps whole "
                    f"blocks from height {error.kept_from} on.",
                ) from None
            return {
                **fields,
                "id": transaction_id,
                "status": "confirmed",
                "block": location.block_hash,
                "index": location.height,
                "position": location.position,
                "confirmations": node.chain.tip().height - location.height + 1,
            }
        returning = node.chain.returning(transaction_id)
        if returning is not None:
            return {**returning, "id": transaction_id, "status": "pending"}
        entry = node.pool.entry(transaction_id)
        if entry is not None:
            return {**represent_entry(entry), **_gap(node, entry)}
        record = node.pool.record(transaction_id)
        if record is not None:
            return {"id": transaction_id, **record}
    return None


def _gap(node: Node, entry: Entry) -> dict[str, Any]:
    """Which nonces a transaction in the mempool waits for; nothing if none are missing."""
    if not node.rules.has_accounts:
        return {}
    [queue] = node.pool.queues([entry.sender], node.settings.nonces_ahead + 1)
    queued = [nonce for nonce, _ in queue]
    missing = missing_nonces(node.chain.account(entry.sender).nonce, queued, entry.nonce)
    return {"missing_nonces": missing, "waits_for": missing_words(missing)} if missing else {}


def represent_entry(entry: Entry) -> dict[str, Any]:
    """A transaction in the mempool."""
    return {**entry.fields(), "id": entry.id, "status": "pending", "admitted_at": entry.admitted_at}


def represent_round(node: Node, found: Round) -> dict[str, Any]:
    """A round and the workers that have taken part in it; rates in hashes per second."""
    return _with_figures(found, round_figures(found, node.mining.round_workers(found.id), node.clock.now()))


def represent_open_round(state: NodeOverview) -> dict[str, Any] | None:
    """As `represent_round`, for the open round of an overview; None if there is none."""
    return None if state.round is None or state.figures is None else _with_figures(state.round, state.figures)


def _with_figures(found: Round, figures: RoundFigures) -> dict[str, Any]:
    return {
        "id": found.id,
        "height": found.height,
        "difficulty": found.difficulty,
        "wasted": found.wasted,
        **figures.to_object(),
        "state": found.state,
        "transactions": found.transactions,
        "block": found.block,
        "sealed_by": found.sealed_by,
        "opened_at": found.opened_at,
        "ended_at": found.ended_at,
    }


def represent_payee(payee: Payee) -> dict[str, Any]:
    """What payouts have paid to an address, and will pay."""
    return {
        "address": payee.address,
        "paid": format_amount(payee.paid),
        "planned": format_amount(payee.planned),
        "payments": payee.payments,
        "since": payee.since,
        "block": payee.block,
        "transaction": payee.transaction,
    }
