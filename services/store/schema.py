"""Which form a store has: the version of what is stored, so that no release misreads what a later one has written.

1: before packs. 2: old blocks may be in packs (docs/redis-schema.md). 3: the bodies of packed blocks may be gone
(services/store/pruning.py). A store of a lower form is one of a higher form without packs, or without pruned blocks, so
nothing is rewritten when it is opened; housekeeping packs and prunes old blocks from then on, each pack in one step.
Form 3 is noted only for a node that prunes, so that others can go back to a release that knows form 2.
"""

from services.errors import WrongChain
from services.store.base import NodeStore

# Of a new store, and of one whose node prunes. A further number is added with every change after which an earlier
# release would misread the store.
SCHEMA, PRUNED_SCHEMA = 2, 3
# Time to replace the processes of an earlier release.
UPGRADE_SECONDS = 600


class SchemaStore(NodeStore):
    """The form of one node's store."""

    def require_known(self) -> None:
        """Refuse a store that this release would misread.

        Raises:
            WrongChain: a later release has written it, or the number cannot be read.
        """
        number = self._number()
        if number > PRUNED_SCHEMA:
            raise WrongChain(
                f"A later release of Quarry has written this store: it has form {number}, and this release reads forms "
                f"up to {PRUNED_SCHEMA}. Use that release, or another QUARRY_NODE or data directory."
            )

    def adopt(self, now: float, *, prunes: bool = False) -> None:
        """Note that the store has the form of this release. `now`: Unix seconds.

        If an earlier one has written it, nothing is packed or pruned for UPGRADE_SECONDS: its ticker may still run, and
        would take packed or pruned blocks for lost ones.

        Args:
            prunes: the node removes bodies of old blocks.
        """
        number = PRUNED_SCHEMA if prunes else SCHEMA
        if self._number() < number:
            self._redis.hset(self.keys.packed, "held", str(int(now) + UPGRADE_SECONDS))
            self._redis.set(self.keys.schema, str(number))

    def _number(self) -> int:
        found = self._redis.get(self.keys.schema)
        if found is not None and not (found.isdigit() and len(found) < 10):
            raise WrongChain(
                "The number of the form of this store cannot be read: the key that ends in :schema is damaged. "
                f"This release of Quarry writes {SCHEMA} there."
            )
        return int(found or 1)
