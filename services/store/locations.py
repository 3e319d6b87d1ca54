"""Where many transactions stand on the chain, in as few round trips as it takes."""

from collections.abc import Sequence

from services.store.keys import Keys
from services.store.port import Store

_ID_BYTES = 32


def locate_many(redis: Store, keys: Keys, ids: Sequence[str]) -> dict[str, tuple[int, str]]:
    """Height and block hash of those of `ids` that are on the chain, by id; as `ChainStore.locate`, for a whole batch.

    One round trip, and two for each block that holds some of them. The ids of one block are held at a time: somebody
    may ask for one transaction of every block.
    """
    if not ids:
        return {}
    places: dict[int, list[tuple[str, int]]] = {}  # height -> ids and positions
    for identifier, place in zip(ids, redis.hmget(keys.transactions, [bytes.fromhex(i) for i in ids]), strict=True):
        if place is not None:
            height, position = map(int, place.split(b":"))
            places.setdefault(height, []).append((identifier, position))
    found: dict[str, tuple[int, str]] = {}
    for height, items in places.items():
        block_hash = redis.lindex(keys.heights, height - 1)
        packed = (redis.hget(keys.ids, block_hash) if block_hash else None) or b""
        for identifier, position in items:
            # The index is finished a moment after a reorganisation; the chain itself is the judge.
            if block_hash and packed[_ID_BYTES * position : _ID_BYTES * (position + 1)].hex() == identifier:
                found[identifier] = height, block_hash.decode()
    return found
