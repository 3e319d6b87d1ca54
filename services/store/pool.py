"""The mempool in Redis. Its policy is in services/mempool/judgement.py."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from services.errors import LedgerDiffers, NotBegun
from services.store.base import NodeStore
from services.store.records import allowance_field, decode_account, fee_of, fee_rank, id_of
from shared.ledger import Account, AllowanceKey
from shared.transaction import Transaction

# Entries that are read at once.
PAGE = 1000


@dataclass(frozen=True, slots=True)
class Waiting:
    """One transaction in the mempool, without its text."""

    id: str
    fee: int  # base units
    member: str  # its order member
    replacements: int = 0  # how often this nonce was replaced


class PoolView(NamedTuple):
    """What admission must know of one sender. Valid while the account and the revision of its queue stay the same."""

    account: Account
    revision: str  # "" if the sender has nothing queued
    next_nonce: int  # the first that neither the account nor the queue has used
    total: int | None  # what the queue costs the sender, base units; None if it must be summed up again
    pool_size: int
    cheapest_end: Waiting | None  # of all queues' last transactions
    cheapest_sender: str
    height: int  # of the tip
    payer: Account
    allowance: int
    at_nonce: dict[int, Waiting]  # what is queued at the nonces that were asked for
    fresh: bool = True  # False: remembered from the sender's last admission, not read from the store


@dataclass(frozen=True, slots=True)
class Entry:
    """One transaction of the mempool with its bookkeeping."""

    id: str
    sender: str
    nonce: int
    admitted_at: float  # Unix seconds
    replacements: int
    text: bytes  # the canonical transaction

    def fields(self) -> dict[str, Any]:
        """The transaction's JSON object."""
        value: dict[str, Any] = json.loads(self.text)
        return value


class Admission(NamedTuple):
    """What one admission writes: transactions of one sender, judged by `view`."""

    sender: str
    view: PoolView
    transactions: Sequence[Transaction]
    replacements: Sequence[int]  # per transaction, how often its nonce was replaced so far
    total: int  # what the sender's queue costs afterwards
    displaced: Waiting | None  # the view's cheapest end, if the pool is full


class Written(NamedTuple):
    """The state after an admission."""

    height: int  # of the tip
    attended: bool  # a round is open, or the desk opens the next one after a rest
    revision: str
    next_nonce: int
    automine: bool | None = None  # as a control method has set it; None: as the settings say


@dataclass(frozen=True, slots=True)
class Question:
    """What to read for one admission."""

    sender: str
    nonces: Sequence[int]
    payer: str = ""  # whose balance the amounts come from, if that is not the sender
    pair: AllowanceKey | None = None  # owner and spender whose allowance is wanted


class PoolStore(NodeStore):
    """The mempool's keys of one node."""

    def view(self, questions: Sequence[Question]) -> list[PoolView]:
        """What admission must know of each sender, each read at one moment, all in one round trip.

        Raises:
            NotBegun, LedgerDiffers
        """
        calls: list[list[Any]] = []
        for question in questions:
            field = allowance_field(question.pair) if question.pair else ""
            calls.append([question.sender, question.payer, field, *question.nonces])
        replies = self._scripts.run_many("pool_view", [self.keys.prefix], calls)
        return [_view(reply, question.nonces) for reply, question in zip(replies, questions, strict=True)]

    def queue(self, sender: str) -> list[Entry]:
        """A sender's transactions, by nonce."""
        return self.entries(self.queue_ids(sender))

    def queue_ids(self, sender: str) -> list[str]:
        """The ids of a sender's transactions, by nonce."""
        return [id_of(member) for member in self._redis.zrange(self.keys.queue(sender), 0, -1)]

    def queues(self, senders: Sequence[str], limit: int) -> list[list[tuple[int, str]]]:
        """Per sender, the first `limit` of its queue: nonce and id, in one round trip."""
        pipeline = self._redis.pipeline(transaction=False)
        for sender in senders:
            pipeline.zrange(self.keys.queue(sender), 0, limit - 1, withscores=True)
        return [[(int(nonce), id_of(member)) for member, nonce in items] for items in pipeline.execute()]

    def admit(self, admissions: Sequence[Admission], now: float, cap: int) -> list[Written | None]:
        """Write admissions in one round trip, each atomically.

        Returns:
            per admission the state after it, or None: nothing was written, since its view no longer holds.

        Raises:
            LedgerDiffers: the stored state is marked as wrong.
        """
        calls = [_admission_args(admission, now, cap) for admission in admissions]
        replies = self._scripts.run_many("admit", [self.keys.prefix], calls)
        for reply in replies:
            if reply[0] == b"differs":
                raise LedgerDiffers(reply[1].decode())
        return [_written(reply) if reply[0] == b"ok" else None for reply in replies]

    def drop(self, ids: Sequence[str], status: str, reason: str, now: float) -> int:
        """Take transactions out and record why. Returns how many of them were in the mempool."""
        return int(self._scripts.run("drop", [self.keys.prefix], [status, reason, now, *ids])) if ids else 0

    def entry(self, transaction_id: str) -> Entry | None:
        found = self.entries([transaction_id])
        return found[0] if found else None

    def entries(self, ids: Sequence[str]) -> list[Entry]:
        """The entries with these ids, in the order of `ids`, without those that are not in the mempool."""
        found = self._redis.hmget(self.keys.entries, list(ids)) if ids else []
        return [_entry(name, value) for name, value in zip(ids, found, strict=True) if value is not None]

    def senders(self, ids: Sequence[str]) -> dict[str, str]:
        """By id, the senders of those transactions with these ids that are in the mempool."""
        found = self._redis.hmget(self.keys.entries, list(ids)) if ids else []
        return {
            name: value.partition(b" ")[0].decode() for name, value in zip(ids, found, strict=True) if value is not None
        }

    def by_fee(self, page: int = PAGE) -> Iterator[list[Entry]]:
        """The mempool in pages: highest fee first, then arrival. What changes meanwhile may be missed."""
        after = "-"
        while members := self._redis.zrange(self.keys.order, after, "+", bylex=True, offset=0, num=page):
            after = "(" + members[-1].decode()
            yield self.entries([id_of(member) for member in members])
            if len(members) < page:
                return  # what follows now has just arrived; where much arrives, that would go on

    def totals(self) -> tuple[int, int]:
        """How many transactions are in the mempool, and the bytes of their entries."""
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.hlen(self.keys.entries)
        pipeline.hget(self.keys.pool, "bytes")
        size, used = pipeline.execute()
        return size, int(used or 0)

    def next_nonce(self, sender: str) -> int | None:
        """The first nonce that a sender's queue has not used, or None if nothing is queued."""
        found = self._redis.hget(self.keys.sender(sender), "next")
        return None if found is None else int(found)

    def record(self, transaction_id: str) -> dict[str, Any] | None:
        """Why a transaction left without being mined: {status, reason, at}; None if there is no record."""
        found = self._redis.hget(self.keys.records, transaction_id)
        return None if found is None else json.loads(found)

    def older_than(self, moment: float, limit: int, *, skip: int = 0) -> list[str]:
        """Ids of transactions that were admitted before `moment`, the oldest first, without the first `skip`."""
        found = self._redis.zrange(self.keys.expiry, "-inf", moment, byscore=True, offset=skip, num=limit)
        return [item.decode() for item in found]

    def revision(self) -> int:
        """A number that grows with each transaction that is added."""
        return int(self._redis.hget(self.keys.pool, "sequence") or 0)

    def newest(self, limit: int) -> tuple[int, list[str]]:
        """The revision, and the ids of at most `limit` transactions, the newest first."""
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.hget(self.keys.pool, "sequence")
        pipeline.zrange(self.keys.expiry, 0, limit - 1, desc=True)
        sequence, found = pipeline.execute()
        return int(sequence or 0), [item.decode() for item in found]

    def forget_records(self, before: float, keep: int, limit: int) -> int:
        """Forget records older than `before` (Unix seconds), and the oldest beyond `keep`, at most `limit`.

        Returns:
            how many were forgotten.
        """
        return int(self._scripts.run("forget_records", [self.keys.prefix], [before, keep, limit]))


def _view(reply: Sequence[Any], nonces: Sequence[int]) -> PoolView:
    """Raises: NotBegun, LedgerDiffers."""
    account, revision, next_nonce, total, total_revision, size, end, height, other, allowance = reply[:10]
    if reply[13]:  # first, so that nothing is judged by a wrong state
        raise LedgerDiffers(reply[13].decode())
    if not height:
        raise NotBegun
    own = decode_account(account)
    return PoolView(
        account=own,
        revision=revision.decode(),
        next_nonce=int(next_nonce) if next_nonce else own.nonce,
        total=0 if not revision else int(total) if total_revision == revision else None,
        pool_size=size,
        cheapest_end=_waiting(end, 0) if end else None,
        cheapest_sender=reply[12].decode(),
        height=int(height),
        payer=decode_account(other),
        allowance=int(allowance),
        at_nonce={
            nonce: _waiting(member, int(count))
            for nonce, member, count in zip(nonces, reply[10], reply[11], strict=True)
            if member
        },
    )


def _written(reply: Sequence[Any]) -> Written:
    automine = reply[5] == b"1" if reply[5] else None
    return Written(int(reply[1]), bool(reply[2]), str(reply[3]), int(reply[4]), automine)


def _admission_args(admission: Admission, now: float, cap: int) -> list[Any]:
    view, displaced = admission.view, admission.displaced
    args: list[Any] = [
        admission.sender,
        f"{view.account.balance}:{view.account.nonce}",
        view.revision,
        now,
        cap,
        displaced.member if displaced else "",
        view.cheapest_sender if displaced else "",
        admission.total,
    ]
    for transaction, replacements in zip(admission.transactions, admission.replacements, strict=True):
        args += [transaction.id, transaction.nonce, fee_rank(transaction.fee), replacements, transaction.canonical]
    return args


def _waiting(member: bytes, replacements: int) -> Waiting:
    return Waiting(id_of(member), fee_of(member), member.decode(), replacements)


def _entry(transaction_id: str, value: bytes) -> Entry:
    head, _, text = value.partition(b"\n")
    sender, nonce, admitted_at, replacements = head.split(b" ")
    return Entry(transaction_id, sender.decode(), int(nonce), float(admitted_at), int(replacements), text)
