"""Another schedule of upgrades on a chain that is stored already.

Stored blocks are not judged again. So when the operator gives other upgrades, the chain may hold blocks that break
them, and the node would stay on a chain that every peer with these upgrades refuses. A node checks that at its start.
"""

import json

from services.errors import WrongChain
from services.store.chain import ChainStore
from shared.errors import RuleError
from shared.upgrades import parting

_PAGE = 500


def require_upgrades_kept(chain: ChainStore) -> None:
    """Judge the headers and sizes of all blocks from the height on at which the upgrades differ from those at the last
    start. Bodies are not judged again: no upgrade changes what a transaction may do.

    Raises:
        WrongChain: a block breaks a rule under the upgrades of today. The message names both.
    """
    spec = chain.rules.spec
    noted = json.loads(chain.noted_upgrades() or "[]")
    height = parting(spec, [(int(at), str(digest)) for at, digest in noted])
    if height is None:
        return
    tip = chain.tip().height
    while height <= tip:
        stored = chain.headers(height, _PAGE)
        window = list(chain.headers(max(1, height - chain.rules.window_size), min(chain.rules.window_size, height - 1)))
        headers = [item.header for item in window]
        for item in stored:
            limits = spec.at(item.header.index)
            try:
                header = chain.rules.read_header(item.header.to_object())
                chain.rules.check_header(header, headers[-chain.rules.window_size :], None)
                if item.size > limits.max_block_bytes:
                    raise RuleError("block_too_large", "It is too large.")
                if item.transactions > limits.max_block_transactions:
                    raise RuleError("too_many_transactions", "It has too many transactions.")
            except RuleError as error:
                raise WrongChain(
                    f"Block {item.header.index} of the chain in this store breaks a rule ({error.code}) under the "
                    f"upgrades that the node has now: it was made under others. Set QUARRY_UPGRADES_FILE to those, or "
                    "remove the chain (quarry reset) and fetch that of the peers."
                ) from None
            headers.append(header)
        height += max(len(stored), 1)
    chain.note_upgrades(json.dumps([[stage.height, stage.digest] for stage in spec.stages]))
