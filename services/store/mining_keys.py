"""The part of the Redis schema about searches and untrusted miners. `keys` says what holds for all keys."""


class MiningKeys:
    """Names of one node's keys for what searches.py, inbox.py, vouchers.py, leases.py and payouts.py store."""

    prefix: str

    def _key(self, name: str) -> str:
        return self.prefix + name

    # --- searches: claim.lua, hand_in.lua, take_entry.lua ---

    def round_search(self, round_id: str) -> str:
        """HASH {cursor, hashes, wasted, leased, own}: how far the search of a round has come, as its workers write it.
        Expires with the round.
        """
        return self._key(f"round-search:{round_id}")

    @property
    def search_news(self) -> str:
        """STREAM as `events`, without the transactions: what mining workers wait for. Capped."""
        return self._key("search-news")

    @property
    def inbox(self) -> str:
        """LIST of what mining workers hand to the node (services/store/inbox.py), oldest first. Capped."""
        return self._key("inbox")

    @property
    def inbox_taken(self) -> str:
        """LIST of those entries of `inbox` that a process of the node is dealing with."""
        return self._key("inbox-taken")

    @property
    def desk(self) -> str:
        """STRING that exists while a ticker of the node deals with the inbox. Expires in seconds."""
        return self._key("desk")

    @property
    def resting(self) -> str:
        """STRING Unix seconds until which the desk may let transactions gather before it opens the next round."""
        return self._key("resting")

    # --- vouchers and leases ---

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
        """HASH {voucher, voucher_name, secret, miner, address, round, version, height, parent, prefix, difficulty,
        share_difficulty, start, stop, made_at, expires, done}: one lease. Expires.
        """
        return self._key(f"lease:{lease_id}")

    def lease_shares(self, lease_id: str) -> str:
        """SET of the shares that were taken for a lease. Expires with it."""
        return self._key(f"lease-shares:{lease_id}")

    def leases(self, miner_id: str) -> str:
        """ZSET id of a lease that one miner has not worked off -> Unix seconds of its expiry. Capped, expires."""
        return self._key(f"leases:{miner_id}")

    # --- payouts: window.lua ---

    @property
    def payouts(self) -> str:
        """HASH {window, total, revision, restored, paid, nothing, detached, forgotten, payees_forgotten}: how many
        times the difficulty of a block the window of shares is long, and its hashes; how many plans were written; the
        height of the tip of the backup from which blocks that wait were restored; how many payouts ended how; and how
        many addresses left `payees`.
        """
        return self._key("payouts")

    @property
    def share_log(self) -> str:
        """LIST "hashes address height voucher_id miner": the window of shares, oldest first. Capped."""
        return self._key("share-log")

    @property
    def share_window(self) -> str:
        """HASH address, or "-" for none -> hashes in the window."""
        return self._key("share-window")

    @property
    def payouts_due(self) -> str:
        """ZSET hash of a block that this node has sealed, and whose payout is not over -> height. Capped."""
        return self._key("payouts-due")

    def payout_shares(self, block_hash: str) -> str:
        """HASH as `share_window`: the window when the block was sealed. Capped."""
        return self._key(f"payout-shares:{block_hash}")

    def payout(self, block_hash: str) -> str:
        """HASH {transactions, nonces, lost}: the plan of a payout, as JSON (services/store/payouts.py). A field
        "to:ADDRESS" for each recipient has its amount, in base units. Of bodies that were pruned, `reward` has the
        recipient and the amount of the block's reward, and "made:ADDRESS" a payment on the chain, as JSON.
        """
        return self._key(f"payout:{block_hash}")

    @property
    def payees(self) -> str:
        """ZSET address that payouts have paid -> height of the last block that it was paid for. Capped."""
        return self._key("payees")

    def payee(self, address: str) -> str:
        """HASH {paid, payments, since, block, transaction}: what payouts have paid to an address (base units), in how
        many transactions, the height of the first block, the hash of the last one, and the last transaction's id.
        """
        return self._key(f"payee:{address}")
