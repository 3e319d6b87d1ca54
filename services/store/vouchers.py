"""Vouchers in Redis. What they are for is in services/mining/vouchers.py."""

from dataclasses import dataclass
from typing import Literal, cast

from services.store.base import NodeStore

# Vouchers that are read in one round trip.
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Voucher:
    """One voucher without its secrets: only its holder has them."""

    id: str
    name: str
    created_at: float  # Unix seconds
    has_code: bool  # whether it has a short code too
    miners: int  # whose work is known


class VoucherStore(NodeStore):
    """The vouchers of one node."""

    def add(
        self, voucher_id: str, name: str, compared: str, secret: str, code: str, now: float, most: int
    ) -> Literal["added", "taken", "full"]:
        """Add a voucher, if none has its name and there are fewer than `most`.

        Args:
            compared: the name in the form in which no two may be equal.
            secret, code: SHA-256 in hex of the secret and of its short code; "" for no code.
        """
        args = [voucher_id, name, compared, secret, code, now, most]
        outcome = self._scripts.run("add_voucher", [self.keys.prefix], args)
        return cast(Literal["added", "taken", "full"], outcome.decode())

    def revoke(self, compared: str) -> bool:
        """Revoke a voucher by its name as it is compared. Returns whether there was one."""
        return bool(self._scripts.run("revoke_voucher", [self.keys.prefix], [compared]))

    def all(self) -> list[Voucher]:
        """The vouchers in the order of their names."""
        ids = [found.decode() for _, found in sorted(self._redis.hgetall(self.keys.voucher_names).items())]
        vouchers: list[Voucher] = []
        for first in range(0, len(ids), _PAGE):
            page = ids[first : first + _PAGE]
            pipeline = self._redis.pipeline(transaction=False)
            for each in page:
                pipeline.hmget(self.keys.voucher(each), ["name", "created_at", "code"])
                pipeline.zcard(self.keys.miners(each))
            replies = pipeline.execute()
            for each, (name, created_at, code), miners in zip(page, replies[::2], replies[1::2], strict=True):
                if name is not None:  # it was not revoked meanwhile
                    vouchers.append(Voucher(each, name.decode(), float(created_at), bool(code), miners))
        return vouchers

    def holder(self, secret: str) -> str | None:
        """The id of the voucher with the SHA-256 (hex) of this secret; None if there is none."""
        found = self._redis.hget(self.keys.vouchers, secret)
        return None if found is None else found.decode()
