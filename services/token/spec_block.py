"""Block 0: the chain spec in the form of a block, with its allocations as events.

The chain has no such block: heights begin at 1, with genesis, whose `previous_hash` is the hash of the spec. Ethereum's
tools begin at block 0, so JSON-RPC shows them the spec there (docs/adr/0013).
"""

from services.store.records import StoredHeader
from services.token.receipts import Executed, TokenEvent, WalletBlock, gas_of
from shared import erc20, merkle
from shared.addresses import ZERO_ADDRESS
from shared.block import Header
from shared.canonical import canonical
from shared.chain_spec import ChainSpec
from shared.hashing import sha256
from shared.transaction import Transaction

_DOMAIN = b"quarry-allocations:"


def make_spec_block(spec: ChainSpec) -> WalletBlock:
    """Block 0. It has no work, and one transaction, whose events are the allocations."""
    text = canonical(spec.to_object())
    header = Header(
        index=0,
        timestamp=spec.genesis_timestamp,
        previous_hash="00" * 32,
        difficulty=0,
        transactions_root=merkle.root([merkle.leaf_hash(text)]).hex(),
        proof=0,
        hash=spec.hash,
    )
    transaction = _allocating(spec)
    gas = gas_of(transaction, None)
    # Sorted, as in the canonical spec: two nodes with the same spec may have its TOML in different orders.
    given = sorted((address, amount) for address, amount in spec.allocations.items() if amount)
    events = tuple(
        TokenEvent(erc20.transfer_log(spec.token.address, ZERO_ADDRESS, address, amount), transaction.id, 0, index)
        for index, (address, amount) in enumerate(given)
    )
    executed = Executed(transaction, None, 0, gas, 0, gas, events)
    return WalletBlock(StoredHeader(header, 0, len(text), 1), (executed,), erc20.bloom(event.log for event in events))


def _allocating(spec: ChainSpec) -> Transaction:
    """The transaction that has the allocations' events. No block holds it, and nobody can send it.

    Its id is the SHA-256 of a domain tag and the 32 bytes of the spec's hash.
    """
    return Transaction(
        id=sha256(_DOMAIN + bytes.fromhex(spec.hash)).hex(),
        type="allocations",
        chain_id=spec.chain_id,
        nonce=0,
        sender=ZERO_ADDRESS,
        recipient=spec.token.address,
        amount=0,
        fee=0,
        owner=None,
        fields={},
        canonical=b"",
    )
