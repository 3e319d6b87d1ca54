"""The part of the Redis schema about miners that are not trusted. `keys` says what holds for all keys."""


class MiningKeys:
    """Names of one node's keys for what vouchers.py and leases.py store."""

    prefix: str

    def _key(self, name: str) -> str:
        return self.prefix + name

    @property
    def vouchers(self) -> str:
        """HASH SHA-256 of a secret (hex) -> id of the voucher."""
        return self._key("vouchers")

    @property
    def voucher_names(self) -> str:
        """HASH name as it is compared -> id of the voucher."""
        return self._key("voucher-names")

    def voucher(self, voucher_id: str) -> str:
        """HASH {name, compared, created_at, secret, code}: one voucher. The last two are SHA-256 of its secrets."""
        return self._key(f"voucher:{voucher_id}")

    @property
    def vouchers_seen(self) -> str:
        """ZSET id of a voucher -> Unix seconds of its miners' last lease or report."""
        return self._key("vouchers-seen")

    def miners(self, voucher_id: str) -> str:
        """ZSET name of a miner -> Unix seconds of its last lease or report. Capped."""
        return self._key(f"miners:{voucher_id}")

    def miner(self, miner_id: str) -> str:
        """HASH {address, difficulty, credited, squares, reported, shares, late, refused, proofs, blocks, expected}:
        what one miner has done (services/store/leases.py). Its id is "voucher_id:name".
        """
        return self._key(f"miner:{miner_id}")

    def lease(self, lease_id: str) -> str:
        """HASH {voucher, voucher_name, secret, miner, round, version, height, parent, prefix, difficulty,
        share_difficulty, start, stop, made_at, expires, done}: one lease. Expires.
        """
        return self._key(f"lease:{lease_id}")

    def lease_shares(self, lease_id: str) -> str:
        """SET of the shares that were taken for a lease. Expires with it."""
        return self._key(f"lease-shares:{lease_id}")

    def leases(self, miner_id: str) -> str:
        """ZSET id of a lease that one miner has not worked off -> Unix seconds of its expiry. Capped, expires."""
        return self._key(f"leases:{miner_id}")
