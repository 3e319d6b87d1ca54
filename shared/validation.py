"""Whether a block may follow its parent: one function for blocks that were mined here and blocks of peers."""

from collections.abc import Mapping, Sequence

from shared.block import Block, Header
from shared.ledger import Change, Entries
from shared.rules import Judging


def validate(
    rules: Judging,
    block: Block,
    window: Sequence[Header],
    known: Entries,
    now: float | None,
    senders: Mapping[str, str] | None = None,
) -> Change:
    """Check `block` against its ancestors and the ledger after its parent.

    Args:
        window: headers that end at the parent (see `Judging`).
        known: the ledger's entries for `rules.touched(block.transactions)` after the parent, and its supply.
        now: Unix seconds; None for an old block, which cannot be too early.
        senders: see `Judging.check_body`.

    Returns:
        What the block changes in the ledger.

    Raises:
        RuleError: the first rule that the block breaks. It stays invalid.
        TooEarly: the block may be valid later.
    """
    rules.check_header(block.header, window, now)
    rules.check_body(block, senders)
    return rules.apply(block, known)
