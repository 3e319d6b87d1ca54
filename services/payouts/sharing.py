"""Payouts: the rewards of this node's blocks, shared with the miners whose shares led to them.

Walk, per block: a seal keeps the window of shares (window.lua) → the block lies `depth` blocks deep → its reward is
split and the payments are signed → **the signed transactions are written down, before any is sent** → they are sent,
and sent again until all are mined → the last of them lies as deep → the block is forgotten. A process may end anywhere:
what is written down is sent again by whoever comes next, and a transaction with the same id does nothing twice.

After a restore from a backup, the node of before may have planned and paid since. A plan of the backup is sent as it
is. A block without one, which that node may have planned up to `depth` blocks above the backup's tip, is planned twice
as far above it, if no peer claims a better chain. Then, and before anything is signed anew, what the chain shows as
paid for the block is not paid again (payments_made.py). Until then it is not given up as detached either: the chain may
have to be fetched first.

The body of a block may be pruned before its payout is planned, if no payer ran for so long. What a plan needs of it is
kept (services/store/pruning.py).
"""

from collections.abc import Mapping, Sequence
from typing import Final

import structlog

from services.errors import BadSettings, Pruned
from services.node import Node
from services.payouts.payments_made import PaymentsMade
from services.settings.table import Settings
from services.store.payouts import PAYMENT_DATA, Lost, Outcome, Payment, Plan, Reward
from services.store.records import Tip
from services.wallet import keyring
from services.wallet.keyring import KeyringError
from shared.amounts import format_amount, parse_amount
from shared.errors import NodeError, Refusal
from shared.keys import KeyPair
from shared.ledger import Touched
from shared.payouts import split
from shared.transaction import sign

_log = structlog.get_logger(__name__)

# A payment that would be below so many times its fee is not made.
LEAST_FEES: Final = 10
# Transactions that one run sends: housekeeping goes on soon.
MOST_SENT: Final = 1_000
# In place of a height: as long as this process runs.
_ALWAYS: Final = 2**62


class Payer:
    """Pays for the blocks of one node. Several may run at once.

    Args:
        key: of the address that rewards go to.
        depth: in blocks, from 1 on. So deep a block must lie to be paid for, and its payments to be final.
    """

    def __init__(self, node: Node, key: KeyPair, depth: int) -> None:
        self._node = node
        self._store = node.payouts
        self._key = key
        self._depth = depth
        # What need not be looked at again: by block, the height of the tip before which nothing changes.
        self._settled: dict[str, int] = {}
        self._said: dict[str, str] = {}
        self._made = PaymentsMade(node, key.address)

    def run(self) -> int:
        """Do what can be done now for each block that waits. Returns how many payouts are over since.

        Raises:
            RedisError, NodeError: from the store. The next run goes on.
        """
        tip = self._node.chain.tip()
        due = self._store.due(tip.height - self._depth)
        waiting = {block for _, block in due}
        self._settled = {block: height for block, height in self._settled.items() if block in waiting}
        self._said = {block: reason for block, reason in self._said.items() if block in waiting}
        restored = self._store.restored() if due else 0
        over, left = 0, MOST_SENT
        for height, block in due:
            if self._node.chain.hash_at(height) != block:
                if not self._awaits(height, block, restored, tip):
                    over += self._end(block, "detached", height)
            elif tip.height >= self._settled.get(block, 0):
                plan = self._store.plan(block)
                if plan is None:
                    reward = self._reward(block)
                    if reward is None:
                        over += self._end(block, "forgotten", height)
                        continue
                    plan = self._planned(height, block, reward, [each for _, each in due], restored, tip)
                if plan is None:
                    continue
                if not plan.payments:
                    over += self._end(block, "nothing", height)
                    continue
                sent, is_over = self._pay(height, block, plan, left, restored)
                over, left = over + is_over, left - sent
        return over

    # --- planning ---

    def _reward(self, block: str) -> Reward | None:
        """The reward of a block. None: a release that kept nothing for payouts has pruned it, so nobody can be paid."""
        try:
            fields = self._node.chain.block_object(block)["transactions"][0]
        except Pruned:
            return self._store.remains(block).reward
        return Reward(fields["recipient"], fields["amount"])

    def _awaits(self, height: int, block: str, restored: int, tip: Tip) -> bool:
        """Whether the node from whose backup a block was restored may have paid for it in blocks that are yet unknown.

        Args:
            restored: height of the backup's tip; blocks above it were not restored.
            tip: of the chain.
        """
        if height > restored:
            return False
        ready = restored + 2 * self._depth
        if tip.height < ready:
            self._say(block, f"it was restored from a backup, and is paid for from height {ready} on")
            return True
        peers = self._node.peers.approved()
        better = next((peer.url for peer in peers if peer.state == "ok" and peer.chainwork > tip.chainwork), None)
        if better is not None or self._node.chain.has_journal():
            self._say(block, f"it was restored from a backup, and may be paid for on the chain of {better or 'a peer'}")
            return True
        return False

    def _paid_before(self, height: int, block: str, restored: int, tip: Tip) -> Mapping[str, Payment] | None:
        """What the node from whose backup a block was restored has paid for it since, by recipient. None: that cannot
        be known yet. The arguments are those of `_awaits`.
        """
        if height > restored:
            return {}
        if self._awaits(height, block, restored, tip):
            return None
        made = self._made.of(block, height, tip)
        if made is None:
            self._say(block, "it was restored from a backup, and what was paid for it since was pruned (QUARRY_KEEP)")
        return made

    def _planned(
        self, height: int, block: str, reward: Reward, due: Sequence[str], restored: int, tip: Tip
    ) -> Plan | None:
        """The plan of a block that had none, written down. Without payments: nobody is to be paid, and nothing is
        written. None: it cannot be made now.
        """
        if reward.recipient != self._key.address:
            self._say(block, f"its reward went to {reward.recipient}, and the key is that of {self._key.address}")
            self._settled[block] = _ALWAYS
            return None
        before = self._paid_before(height, block, restored, tip)
        if before is None:
            return None
        fee = self._node.settings.min_fee
        parts = split(
            parse_amount(reward.amount),
            self._store.shares(block),
            kept=self._node.settings.payout_kept,
            cost=fee,
            least=max(1, LEAST_FEES * fee),
        )
        parts.pop(self._key.address, None)
        payable = [(address, amount) for address, amount in parts.items() if self._is_payee(address)]
        if not payable:
            return Plan((), None)
        new = [part for part in payable if part[0] not in before]
        revision, nonces = self._free_nonces(due, len(new))
        payments = [self._signed(block, *part, fee, nonce) for part, nonce in zip(new, nonces, strict=True)]
        payments = [*before.values(), *payments]
        if not self._store.write(block, revision, self._depth, payments, first=True):
            return None
        _log.info("payout_planned", block=block, payments=len(payments), amount=_sum(payments))
        return self._store.plan(block)

    def _is_payee(self, address: str) -> bool:
        try:
            self._node.rules.check_payee(address, field="address")
        except NodeError:
            return False
        return True

    def _free_nonces(self, due: Sequence[str], count: int) -> tuple[str, list[int]]:
        """The revision of the plans, and the lowest nonces that neither a plan nor a waiting transaction has."""
        plans = self._store.plans(due)
        taken = set().union(*plans.nonces.values())
        taken |= {entry.nonce for entry in self._node.pool.queue(self._key.address)}
        found: list[int] = []
        nonce = self._node.chain.account(self._key.address).nonce
        while len(found) < count:
            if nonce not in taken:
                found.append(nonce)
            nonce += 1
        return plans.revision, found

    def _signed(self, block: str, recipient: str, amount: int, fee: int, nonce: int) -> Payment:
        fields = sign(
            {
                "type": "transfer",
                "chain_id": self._node.rules.spec.chain_id,
                "nonce": nonce,
                "sender": self._key.address,
                "recipient": recipient,
                "amount": format_amount(amount),
                "fee": format_amount(fee),
                "data": PAYMENT_DATA + block,
            },
            self._key,
        )
        return Payment(self._node.rules.read_request(fields).id, nonce, fields)

    # --- paying ---

    def _pay(self, height: int, block: str, plan: Plan, most: int, restored: int) -> tuple[int, bool]:
        """Send what is not mined yet. Returns how many were sent, and whether the payout is over.

        Args:
            restored: as of `_awaits`.
        """
        if plan.lost is not None and self._sign_again(height, block, plan, plan.lost, restored):
            return 0, False
        chain = self._node.chain
        tip, entries = chain.entries(Touched(frozenset({self._key.address}), frozenset()))
        used = entries.accounts[self._key.address].nonce
        mined = chain.locate_many([item.id for item in plan.payments])
        left = [item for item in plan.payments if item.id not in mined]
        if not left:
            last = max(place.height for place in mined.values())
            if tip.height - last < self._depth:
                self._settled[block] = last + self._depth
                return 0, False
            return 0, self._end(block, "paid", height)
        passed = frozenset(item.id for item in left if item.nonce < used)
        if passed and plan.lost is None and chain.tip().hash == tip.hash:
            # Another transaction of this account has the nonce. Once that is final, another nonce is taken.
            self._store.note_lost(block, Lost(tip.height, tip.hash, passed))
            self._say(block, f"other transactions of {self._key.address} have taken {len(passed)} nonces of it")
        # The pool takes no later ones.
        near = [item for item in left if used <= item.nonce <= used + self._node.settings.nonces_ahead][:most]
        read = [self._node.rules.read_request(item.fields) for item in near]
        refused = [item for item in self._node.submit(read, replaces=False) if isinstance(item, NodeError)]
        if refused:
            self._say(block, _reason(refused[0]))
        elif not passed:
            self._said.pop(block, None)
        return len(near), False

    def _sign_again(self, height: int, block: str, plan: Plan, lost: Lost, restored: int) -> bool:
        """Give transactions other nonces, if those of before can never be theirs. Returns whether it was tried.

        If the block `lost` names is not on the chain any more, they may be mined after all: it is forgotten.
        """
        tip = self._node.chain.tip()
        if self._node.chain.hash_at(lost.height) == lost.block and tip.height - lost.height < self._depth:
            return False
        is_final = self._node.chain.hash_at(lost.height) == lost.block
        before = self._paid_before(height, block, restored, tip)
        if before is None:
            return False
        made = {item.id: before.get(item.fields["recipient"]) for item in plan.payments if item.id in lost.ids}
        replaced = [item for item in plan.payments if is_final and item.id in lost.ids and made[item.id] is None]
        due = [each for _, each in self._store.due(tip.height)]
        revision, nonces = self._free_nonces(due, len(replaced))
        fresh = dict(zip((item.id for item in replaced), nonces, strict=True))
        payments = [
            self._renumbered(item, fresh[item.id]) if item.id in fresh else made.get(item.id) or item
            for item in plan.payments
        ]
        self._store.write(block, revision, self._depth, payments, first=False)
        return True

    def _renumbered(self, payment: Payment, nonce: int) -> Payment:
        unsigned = {name: value for name, value in payment.fields.items() if name not in _SIGNED}
        fields = sign({**unsigned, "nonce": nonce}, self._key)
        return Payment(self._node.rules.read_request(fields).id, nonce, fields)

    def _end(self, block: str, outcome: Outcome, height: int) -> bool:
        ended = self._store.end(block, self._depth, outcome)
        if ended and outcome == "forgotten":
            reason = "its body was pruned (QUARRY_KEEP) by a release that kept nothing of it for payouts"
            _log.warning("payout_over", block=block, height=height, outcome=outcome, reason=reason)
        elif ended and outcome != "nothing":
            _log.info("payout_over", block=block, height=height, outcome=outcome)
        return ended

    def _say(self, block: str, reason: str) -> None:
        """Log why a payout waits; each reason once."""
        if self._said.get(block) != reason:
            _log.warning("payout_waits", block=block, reason=reason)
        self._said[block] = reason


_SIGNED = frozenset({"scheme", "signature", "public_key"})


def payer_of(settings: Settings, node: Node) -> Payer | None:
    """The payer of this process; None: payouts are off.

    Raises:
        BadSettings: there is no key, or it is not that of the reward address.
    """
    if not settings.payout_depth:
        return None
    path = settings.payout_key_file
    if path is None or not settings.reward_address:
        raise BadSettings("QUARRY_PAYOUT_DEPTH needs QUARRY_REWARD_ADDRESS, and its key in QUARRY_PAYOUT_KEY_FILE.")
    try:
        key = keyring.load(path)
    except KeyringError as error:
        raise BadSettings(f"QUARRY_PAYOUT_KEY_FILE: {error}") from None
    if key.address != settings.reward_address:
        raise BadSettings(
            f"QUARRY_PAYOUT_KEY_FILE: it is the key of {key.address}, and rewards go to {settings.reward_address}."
        )
    return Payer(node, key, settings.payout_depth)


def _reason(error: NodeError) -> str:
    return f"{error.code}: {error.message}" if isinstance(error, Refusal) else str(error)


def _sum(payments: Sequence[Payment]) -> str:
    return format_amount(sum(parse_amount(item.fields["amount"]) for item in payments))
