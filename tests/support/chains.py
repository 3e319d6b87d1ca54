"""Chains for tests: a valid chain, and a next block with exactly one thing wrong.

    chain = Chain()                       # genesis
    chain.mine(chain.transfer(ALICE, BOB, "5"))
    broken = chain.draft(difficulty=257)  # everything else is right: root, proof, reward
    assert chain.rejects(broken) == "wrong_difficulty"

What `rejects` refuses, the independent verifier must refuse too, and what `mine` accepts, it must accept.
"""

import copy
import itertools
from typing import Any

import pytest

from shared import merkle
from shared.amounts import format_amount, parse_amount
from shared.block import Block
from shared.canonical import canonical
from shared.chain_spec import ChainSpec, spec_from_object
from shared.difficulty import next_difficulty
from shared.errors import InputError, RuleError, TooEarly
from shared.ethereum import address_of_private_key, sign_raw
from shared.hashing import sha256
from shared.keys import KeyPair
from shared.replay import Replay
from shared.reward import make_reward
from shared.rules import rules_for
from shared.sealing import sign as sign_header
from shared.transaction import from_raw, sign
from shared.upgrades import to_object
from tests.support import verifier
from tests.support.keys import ALICE, MINER
from tests.support.specs import CHAIN_ID

Json = dict[str, Any]

START = 1767225600
# The first account of the mnemonic that anvil and hardhat use; its key is public.
WALLET_KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
WALLET = address_of_private_key(WALLET_KEY)


def make_spec(**changes: Any) -> ChainSpec:
    """A spec whose proofs take 256 hashes, with 100 coins each for Alice and the wallet."""
    fields = {"name": "test", "chain_id": CHAIN_ID, "genesis_timestamp": START, "difficulty": 256}
    fields["allocations"] = {ALICE.address: "100", WALLET: "100"}
    return spec_from_object({**fields, **changes})


def seal_of(block: Json) -> bytes:
    header = {name: value for name, value in block.items() if name not in ("transactions", "proof")}
    return sha256(canonical(header)).hex().encode()


def sealed(block: Json, difficulty: int = 256, *, valid: bool = True) -> Json:
    """`block` with the smallest proof that meets `difficulty`, or with `valid` False that does not."""
    prefix = seal_of(block)
    for proof in itertools.count():
        rare = int.from_bytes(sha256(prefix + str(proof).encode()), "big") * difficulty < 2**256
        if rare is valid:
            return {**block, "proof": proof}
    raise AssertionError("unreachable")


def signed_header(block: Json, key: KeyPair) -> Json:
    """A block without proof, its header signed by `key`."""
    header = {name: value for name, value in block.items() if name not in ("transactions", "proof")}
    return {**block, **sign_header({n: v for n, v in header.items() if not n.startswith("sealer")}, key)}


def root_of(transactions: list[Any]) -> str:
    return merkle.root([merkle.leaf_hash(canonical(item)) for item in transactions]).hex()


class Chain:
    """A valid chain that grows block by block."""

    def __init__(self, spec: ChainSpec | None = None, sealer: KeyPair | None = None) -> None:
        self.spec = spec or make_spec()
        self.sealer = sealer  # signs drafts where the spec names sealers
        self.rules = rules_for(self.spec)
        self.replay = Replay(self.rules)
        genesis = self.rules.genesis()
        self.blocks: list[Json] = [{**genesis.header.to_object(), "transactions": []}]
        self.replay.add(self.blocks[0])

    @property
    def height(self) -> int:
        return len(self.blocks)

    def fork(self) -> "Chain":
        """Another chain that begins with the same blocks."""
        return copy.deepcopy(self)

    def nonce(self, address: str) -> int:
        account = self.replay.accounts.get(address)
        return account.nonce if account else 0

    # Transactions. `changes` are made before signing, so the signature is good.

    def signed(self, key: KeyPair, **fields: Any) -> Json:
        unsigned = {"chain_id": self.spec.chain_id, "nonce": self.nonce(key.address), "sender": key.address, "fee": "0"}
        return sign({**unsigned, **fields}, key)

    def transfer(self, key: KeyPair, to: KeyPair, amount: Any, /, **changes: Any) -> Json:
        return self.signed(key, **{"type": "transfer", "recipient": to.address, "amount": amount, **changes})

    def approve(self, key: KeyPair, spender: KeyPair, amount: Any, /, **changes: Any) -> Json:
        return self.signed(key, **{"type": "approve", "recipient": spender.address, "amount": amount, **changes})

    def transfer_from(self, key: KeyPair, owner: KeyPair, to: KeyPair, amount: Any, /, **changes: Any) -> Json:
        fields = {"type": "transfer_from", "owner": owner.address, "recipient": to.address, "amount": amount}
        return self.signed(key, **{**fields, **changes})

    def from_wallet(self, to: str, **changes: Any) -> Json:
        """A transaction of the ethereum scheme; `changes` are arguments of `sign_raw`."""
        fields: Json = {"chain_id": self.spec.chain_id, "nonce": self.nonce(WALLET), "gas": 100_000, "gas_price": 3}
        return from_raw(sign_raw(**{"private_key": WALLET_KEY, "to": to, **fields, **changes}), self.spec)

    # Blocks

    def draft(
        self,
        *transactions: Any,
        reward: Any = None,
        body: list[Any] | None = None,
        proof_valid: bool = True,
        **fields: Any,
    ) -> Json:
        """The next block: its reward, then `transactions`. `fields` replace header fields before it is sealed.

        Args:
            reward: in place of the right one.
            body: the whole list of transactions, in place of reward and transactions.
        """
        if body is None:
            minted = self.spec.reward + sum(_fee(item) for item in transactions)
            right = make_reward(self.spec.chain_id, self.height + 1, MINER, min(minted, 2**256 - 1)).fields
            body = [right if reward is None else reward, *transactions]
        tip = self.replay.tip
        assert tip is not None
        asked = next_difficulty(self.replay.window, self.spec)
        block: Json = {
            "index": self.height + 1,
            "timestamp": int(tip.timestamp) + 10,
            "previous_hash": tip.hash,
            "difficulty": asked,
            "transactions_root": root_of(body),
            "transactions": body,
        }
        block |= fields
        if self.sealer is not None and self.spec.at(self.height + 1).sealers:
            block = {**signed_header(block, self.sealer), **fields}
        # The proof meets the chain's difficulty, whatever `fields` claim.
        return sealed(block, asked, valid=proof_valid)

    def mine(self, *transactions: Any, **changes: Any) -> Block:
        """Accept the next block, which must be valid."""
        return self.accept(self.draft(*transactions, **changes))

    def accept(self, block: Json, now: float | None = None) -> Block:
        accepted = self.replay.add(block, now)
        self.blocks.append(block)
        return accepted

    def rejects(self, block: Any, now: float | None = None) -> str:
        """The rule that `block` breaks as the next block. Nothing may change, and the verifier must refuse it too."""
        before = self.state()
        with pytest.raises(RuleError) as caught:
            self.replay.add(block, now)
        assert self.state() == before
        with pytest.raises(AssertionError, match=f"block {self.height + 1}: "):
            self.verify(block)
        return caught.value.code

    def too_early(self, block: Json, now: float) -> bool:
        """Whether `block` has to wait at `now`. False: it is accepted."""
        before = self.state()
        try:
            self.accept(block, now)
        except TooEarly:
            assert self.state() == before
            with pytest.raises(verifier.TooEarly, match=f"block {self.height + 1}: "):
                verifier.verify(self.spec.to_object(), [*self.blocks, block], now, to_object(self.spec))
            self.verify(block)  # at another time it is valid
            return True
        verifier.verify(self.spec.to_object(), self.blocks, now, to_object(self.spec))
        return False

    def verify(self, *more: Any) -> verifier.Verified:
        """The independent verifier's result for the chain followed by `more` blocks."""
        return verifier.verify(self.spec.to_object(), [*self.blocks, *more], upgrades=to_object(self.spec))

    def state(self) -> Any:
        replay = self.replay
        window = [header.hash for header in replay.window]
        return dict(replay.accounts), dict(replay.allowances), replay.supply, replay.chainwork, window

    def verified(self) -> verifier.Verified:
        """Check that the independent verifier agrees with the replay about the whole ledger."""
        found = self.verify()
        accounts = {
            address: (a.balance, a.nonce) for address, a in found.accounts.items() if (a.balance, a.nonce) != (0, 0)
        }
        assert accounts == {address: tuple(account) for address, account in self.replay.accounts.items()}
        assert {key: amount for key, amount in found.allowances.items() if amount} == self.replay.allowances
        claim = self.replay.claim
        assert (found.supply, found.chainwork, found.tip) == (self.replay.supply, claim.chainwork, claim.hash)
        return found


def _fee(item: Any) -> int:
    """The fee of a transaction that may be broken in any way."""
    try:
        return parse_amount(item["fee"])
    except (InputError, KeyError, TypeError):
        return 0


def reward_fields(chain: Chain, **changes: Any) -> Json:
    """The right reward of the next block without fees, with `changes`."""
    fields = make_reward(chain.spec.chain_id, chain.height + 1, MINER, chain.spec.reward).fields
    return {**fields, **changes}


def plus_one_unit(amount: str) -> str:
    return format_amount(parse_amount(amount) + 1)
