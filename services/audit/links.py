"""Which block follows which according to the blocks themselves, for when the list of heights is wrong."""

from services.audit.samples import read_stored
from services.errors import Damaged
from services.store.stored import StoredRecords
from shared.block import Block, Header
from shared.errors import RuleError
from shared.rules import Rules


class Links:
    """The links of one node's stored blocks: each names its parent."""

    def __init__(self, stored: StoredRecords, rules: Rules) -> None:
        self._stored = stored
        self._rules = rules

    def walk_back(self, name: bytes, at: int, to: int) -> bytes | None:
        """The hash of the ancestor at height `to` of a block at height `at`. None: a block in between is damaged."""
        while at > to:
            block = self.whole(name)
            if block is None or block.index != at:
                return None
            name, at = str(block.header.previous_hash).encode(), at - 1
        return name

    def linked(self, tip: bytes, above: int, parent: Header | None) -> dict[int, bytes]:
        """Height → hash of the blocks from the tip down to a height. Empty if one is damaged or does not fit.

        Args:
            above: the height; 0 for all blocks.
            parent: the header at that height, which the lowest block must name.
        """
        found: dict[int, bytes] = {}
        name = tip
        while (block := self.whole(name)) is not None:
            if block.index <= above:
                return found if parent is None or parent.index != above or parent.hash.encode() == name else {}
            found[block.index] = name
            if block.index == 1:
                return found if above == 0 else {}
            name = str(block.header.previous_hash).encode()
        return {}

    def whole(self, name: bytes) -> Block | None:
        """The stored block with a hash; None if it is missing or its bytes give another hash."""
        text = self._stored.block(name)
        for height in (2, 1):
            try:
                block = read_stored(self._rules, text, height)
            except (Damaged, RuleError):
                continue
            return block if block.hash.encode() == name else None
        return None
