"""Chains that earlier versions of Quarry began: whether all of their blocks keep today's rules.

Stored blocks are not judged again. So when a rule is added, a chain may hold a block that every other node refuses, and
the node would be on a fork without noticing. A node checks for that once, when it first opens such a chain.
"""

from collections.abc import Iterator

from services.errors import Pruned, WrongChain
from services.store.chain import ChainStore
from shared.addresses import ZERO_ADDRESS
from shared.errors import RuleError

# Raised with every new rule that blocks of earlier versions may break. 2: `bad_recipient` (docs/adr/0008).
RULES = 2
_PAGE = 1000


def require_todays_rules(chain: ChainStore) -> None:
    """Judge a chain by the rules that were added since it began, unless that was done before.

    Raises:
        WrongChain: a block breaks one of them. The message names both.
    """
    if chain.known_rules() >= RULES:
        return
    for address in (ZERO_ADDRESS, chain.rules.spec.token.address):
        try:
            chain.rules.check_payee(address, field="recipient")
        except RuleError as error:
            try:
                height = next(_received(chain, address), None)
            except Pruned:
                raise WrongChain(
                    f"A rule was added since the chain in this store began ({error.code}), and the bodies of blocks "
                    "that it judges were pruned (QUARRY_KEEP). Fetch the chain anew: use another QUARRY_NODE or data "
                    "directory."
                ) from None
            if height is not None:
                raise WrongChain(
                    f"Block {height} of the chain in this store breaks a rule that came later ({error.code}): "
                    f"{address} was given coins or an allowance, and other nodes refuse that. An earlier version of "
                    "Quarry made it. Begin a new chain: use another QUARRY_NODE or data directory."
                ) from None
    chain.note_rules(RULES)


def _received(chain: ChainStore, address: str) -> Iterator[int]:
    """The heights at which a transaction has `address` as its recipient, the newest first."""
    seen = 0
    while page := chain.history(address, newest=seen, limit=_PAGE):
        seen += len(page)
        for height in sorted({height for height, _ in page}, reverse=True):
            block_hash = chain.hash_at(height)
            if block_hash is None:
                continue  # the block has just left the chain
            if any(item["recipient"] == address for item in chain.block_object(block_hash)["transactions"]):
                yield height
