"""What a backup takes of a node beside its chain and mempool: tokens, vouchers, what miners have done, and payouts.

Items are of these kinds, in this order, as JSON:

    token    {digest, name, scopes, created_at}     digest: SHA-256 of the secret (hex)
    voucher  {id, name, created_at, secret, code}   secret, code: SHA-256 (hex); code: "" for none
    miner    {voucher, name, seen, done}            voucher: an id; done: the fields of `miner:…` as they are stored
    share    "hashes address height who"            an item of the window of shares, the oldest first
    payout   {block, height, shares, plan}          a block that waits for its payout: hashes by address ("-": none),
                                                    and its plan, {payments: signed transactions, lost}, or null
    payee    {address, height, paid, payments, since, block, transaction}
                                                    what payouts that are over have paid to an address (base units, as
                                                    text), and for which block the last of them was: its height, its
                                                    hash, and the id of the transaction; since: height of the first
    payouts  {paid, nothing, detached, forgotten}   how many payouts ended how
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from services.store.base import NodeStore
from services.store.leases import STORED_OF_MINERS
from services.store.payouts import (
    PAYEE_FIELDS,
    Lost,
    Payment,
    PayoutStore,
    Plan,
    amounts_of,
    encode_lost,
    encode_payments,
)
from services.store.vouchers import VoucherStore

KINDS: Final = ("token", "voucher", "miner", "share", "payout", "payee", "payouts")
OUTCOMES: Final = ("paid", "nothing", "detached", "forgotten")
# Miners that are copied, those that were seen last.
MOST_MINERS = 200_000
_PAGE = 500


class AccountingStore(NodeStore):
    """Reads the items of one node, and writes them to the store of a node that does not run yet."""

    def items(self) -> Iterator[tuple[str, Any]]:
        """Kind and value of each item. Nothing is locked: what changes meanwhile may be as before or as after."""
        for digest, text in sorted(self._redis.hgetall(self.keys.tokens).items()):
            yield "token", {"digest": digest.decode(), **json.loads(text)}
        yield from self._vouchers()
        for text in self._redis.lrange(self.keys.share_log, 0, -1):
            yield "share", text.decode()
        yield from self._payouts()
        yield from self._payees()
        ended = self._redis.hmget(self.keys.payouts, list(OUTCOMES))
        if any(ended):
            yield "payouts", {name: int(count or 0) for name, count in zip(OUTCOMES, ended, strict=True)}

    def put_voucher(self, item: Mapping[str, Any], compared: str, most: int) -> bool:
        """Write a voucher. Returns whether it is there now, under its id."""
        store = VoucherStore(self._redis, self.keys)
        store.add(item["id"], item["name"], compared, item["secret"], item["code"], item["created_at"], most)
        return store.holder(str(item["secret"])) == str(item["id"])

    def put_miner(self, item: Mapping[str, Any]) -> None:
        """Write what a miner of a voucher that is there has done, unless the store knows the miner."""
        pairs = [text for pair in item["done"].items() for text in pair]
        self._scripts.run("put_miner", [self.keys.prefix], [item["voucher"], item["name"], item["seen"], *pairs])

    def put_shares(self, items: Sequence[str]) -> None:
        """Write the window of shares, if the store has none."""
        if items:
            self._scripts.run("put_shares", [self.keys.prefix], list(items))

    def put_payout(self, item: Mapping[str, Any], plan: Plan | None, restored: int) -> None:
        """Write a block that waits for its payout, unless it waits in the store.

        Args:
            restored: height of the backup's tip.
        """
        transactions = nonces = lost = ""
        if plan is not None:
            transactions, nonces = encode_payments(plan.payments)
            lost = "" if plan.lost is None else encode_lost(plan.lost)
        pairs = [text for payee, hashes in item["shares"].items() for text in (payee, str(hashes))]
        amounts = amounts_of(() if plan is None else plan.payments)
        pairs += [text for pair in amounts.items() for text in pair]
        args = [item["block"], item["height"], restored, transactions, nonces, lost, 2 * len(item["shares"]), *pairs]
        self._scripts.run("put_payout", [self.keys.prefix], args)

    def put_payee(self, item: Mapping[str, Any]) -> None:
        """Write what an address has been paid, unless the store knows it."""
        pairs = [text for name in PAYEE_FIELDS for text in (name, str(item[name]))]
        self._scripts.run("put_payee", [self.keys.prefix], [item["address"], item["height"], *pairs])

    def put_ended(self, counts: Mapping[str, int]) -> None:
        """Write how many payouts ended how, where the store has no number."""
        for name in OUTCOMES:
            if counts[name] and self._redis.hget(self.keys.payouts, name) is None:
                self._redis.hset(self.keys.payouts, name, str(counts[name]))

    def _vouchers(self) -> Iterator[tuple[str, Any]]:
        ids = []
        for item in VoucherStore(self._redis, self.keys).all():
            secret, code = self._redis.hmget(self.keys.voucher(item.id), ["secret", "code"])
            if secret is not None:  # it was not revoked meanwhile
                ids.append(item.id)
                yield "voucher", {
                    "id": item.id, "name": item.name, "created_at": item.created_at, "secret": secret.decode(),
                    "code": (code or b"").decode(),
                }  # fmt: skip
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.zrange(self.keys.vouchers_seen, 0, -1, desc=True)
        known, left = set(ids), MOST_MINERS
        for voucher in (name.decode() for name in pipeline.execute()[0]):
            if voucher in known and left > 0:
                for miner in self._miners(voucher, left):
                    left -= 1
                    yield "miner", miner

    def _miners(self, voucher: str, most: int) -> Iterator[dict[str, Any]]:
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.zrange(self.keys.miners(voucher), 0, most - 1, desc=True, withscores=True)
        seen = [(name.decode(), at) for name, at in pipeline.execute()[0]]
        for start in range(0, len(seen), _PAGE):
            page = seen[start : start + _PAGE]
            for name, _ in page:
                pipeline.hmget(self.keys.miner(f"{voucher}:{name}"), list(STORED_OF_MINERS))
            for (name, at), values in zip(page, pipeline.execute(), strict=True):
                pairs = zip(STORED_OF_MINERS, values, strict=True)
                done = {field: value.decode() for field, value in pairs if value is not None}
                yield {"voucher": voucher, "name": name, "seen": at, "done": done}

    def _payouts(self) -> Iterator[tuple[str, Any]]:
        store = PayoutStore(self._redis, self.keys)
        for height, block in store.due(2**53):
            plan = store.plan(block)
            shares = {payee or "-": hashes for payee, hashes in store.shares(block)}
            if not shares and plan is None:
                continue  # its payout has just ended
            yield "payout", {"block": block, "height": height, "shares": shares, "plan": plan and _plan(plan)}

    def _payees(self) -> Iterator[tuple[str, Any]]:
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.zrange(self.keys.payees, 0, -1, withscores=True)
        known = [(address.decode(), int(height)) for address, height in pipeline.execute()[0]]
        for start in range(0, len(known), _PAGE):
            page = known[start : start + _PAGE]
            for address, _ in page:
                pipeline.hmget(self.keys.payee(address), list(PAYEE_FIELDS))
            for (address, height), values in zip(page, pipeline.execute(), strict=True):
                if None in values:
                    continue  # it has just been forgotten
                paid, payments, since, block, transaction = (value.decode() for value in values)
                yield "payee", {
                    "address": address, "height": height, "paid": paid, "payments": int(payments), "since": int(since),
                    "block": block, "transaction": transaction,
                }  # fmt: skip


def _plan(plan: Plan) -> dict[str, Any]:
    lost = plan.lost
    return {
        "payments": [item.fields for item in plan.payments],
        "lost": None if lost is None else [lost.height, lost.block, sorted(lost.ids)],
    }


def plan_of(value: Mapping[str, Any], payments: tuple[Payment, ...]) -> Plan:
    """The plan of an item.

    Args:
        payments: of its transactions.
    """
    lost = value["lost"]
    return Plan(payments, None if lost is None else Lost(lost[0], lost[1], frozenset(lost[2])))
