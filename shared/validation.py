"""Whether a block may follow its parent. One function, for blocks we mined and blocks we fetched."""

from collections.abc import Sequence

from shared.block import Block, Header
from shared.ledger import Change, Entries
from shared.rules import Judging


def validate(rules: Judging, block: Block, window: Sequence[Header], known: Entries, now: float | None) -> Change:
    """Check `block` against its ancestors and the ledger after its parent; return what it does to the ledger.

    Args:
        window: headers that end at the parent (see `Judging`).
        known: the ledger's entries for `rules.touched(block.transactions)` after the parent, and its supply.
        now: Unix seconds; None where the block is old news and its time cannot be too early.

    Raises:
        RuleError: the first rule that it breaks. It stays invalid.
        TooEarly: it may be valid later.
    """
    rules.check_header(block.header, window, now)
    rules.check_body(block)
    return rules.apply(block, known)
