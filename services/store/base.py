"""What every store of one node holds: its connection, the names of its keys, and the scripts that change them."""

from services.ports import Store
from services.store.keys import Keys
from services.store.packs import RecordReader
from services.store.scripts import Scripts


class NodeStore:
    """One node's part of a database. Only this package issues Redis commands; other code calls named methods."""

    def __init__(self, redis: Store, keys: Keys) -> None:
        self._redis = redis
        self.keys = keys
        self._scripts = Scripts(redis)
        self._blocks = RecordReader(redis, keys, self._scripts)

    def is_marked(self) -> bool:
        """Whether the stored state is marked as wrong (services/store/faults.py)."""
        return self._redis.hget(self.keys.fault, "sentence") is not None
