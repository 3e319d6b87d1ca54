"""Which form a store has: the version of what is stored, so that no release misreads what a later one has written.

1: before packs. 2: old blocks may be in packs (docs/redis-schema.md). A store of form 1 is one of form 2 without packs,
so nothing is rewritten when it is opened; housekeeping packs its old blocks from then on, each pack in one step.
"""

from services.errors import WrongChain
from services.store.base import NodeStore

# Raised with every change after which an earlier release would misread the store.
SCHEMA = 2
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
        if number > SCHEMA:
            raise WrongChain(
                f"A later release of Quarry has written this store: it has form {number}, and this release reads forms "
                f"up to {SCHEMA}. Use that release, or another QUARRY_NODE or data directory."
            )

    def adopt(self, now: float) -> None:
        """Note that the store has the form of this release. `now`: Unix seconds.

        If an earlier one has written it, nothing is packed for UPGRADE_SECONDS: its ticker may still run, and would
        take packed blocks for lost ones.
        """
        if self._number() < SCHEMA:
            self._redis.hset(self.keys.packed, "held", str(int(now) + UPGRADE_SECONDS))
            self._redis.set(self.keys.schema, str(SCHEMA))

    def _number(self) -> int:
        found = self._redis.get(self.keys.schema)
        if found is not None and not (found.isdigit() and len(found) < 10):
            raise WrongChain(
                "The number of the form of this store cannot be read: the key that ends in :schema is damaged. "
                f"This release of Quarry writes {SCHEMA} there."
            )
        return int(found or 1)
