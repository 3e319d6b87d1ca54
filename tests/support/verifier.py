"""An independent verifier: recomputes a chain of the standard rules from `GET /spec`, `/upgrades` and `/chain`.

Written from docs/consensus.md and docs/permissioned.md, not from the node's code, and imports none of it, so a mistake
in `shared/` is not repeated here. It is plain and slow on purpose. `python -m tests.support.verifier URL` checks a
running node.
"""

import argparse
import hashlib
import json
import re
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from typing import Any, NoReturn

import nacl.exceptions
import nacl.signing
from Crypto.Hash import keccak

Json = dict[str, Any]

BLOCK_FIELDS = {"index", "timestamp", "transactions", "proof", "previous_hash", "difficulty", "transactions_root"}
SEALED = {"sealer", "sealer_signature"}
UPGRADABLE = {"difficulty", "block_interval", "max_block_bytes", "max_block_transactions", "sealers"}
UNSIGNED = {"type", "chain_id", "nonce", "sender", "recipient", "amount", "fee"}
AMOUNT = re.compile(r"(0|[1-9][0-9]*)(\.[0-9]{0,17}[1-9])?")
ZERO_ADDRESS = "0x" + "0" * 40
GAS = {"transfer": 21_000, "token transfer": 60_000, "approve": 50_000, "transfer_from": 70_000}


class TooEarly(Exception):
    """A block is valid except that its time has not come. The same block may be valid later."""


@dataclass
class Account:
    """Base units, and the nonce of the account's next transaction."""

    balance: int = 0
    nonce: int = 0


@dataclass
class Verified:
    """What the chain says, after all of it was checked. Amounts are base units; zero entries may be absent."""

    height: int = 0
    tip: str = ""
    chainwork: int = 0
    supply: int = 0
    accounts: dict[str, Account] = field(default_factory=dict)
    allowances: dict[tuple[str, str], int] = field(default_factory=dict)  # (owner, spender)
    transactions: dict[str, int] = field(default_factory=dict)  # id -> height; rewards too

    def account(self, address: str) -> Account:
        return self.accounts.setdefault(address, Account())


class Chain:
    """The checks, in the order of a block's life. Every failure is an AssertionError with height and reason.

    Args:
        now: Unix seconds; a block may be too early at that time. None: no block is too early.
        upgrades: the object of `GET /upgrades`; None: there are none.
    """

    def __init__(self, spec: Json, now: float | None = None, upgrades: Json | None = None) -> None:
        self.spec = spec
        self.now = now
        # From which height on which constants hold, and from which height on its difficulty.
        self.eras: list[tuple[int, Json, int]] = [(1, spec, 2)]
        self.height = 1
        self.blocks: list[Json] = []
        self.state = Verified()
        self.require(spec["rules"] == "standard", "only chains of the standard rules can be verified")
        for address, text in spec["allocations"].items():
            self.payee("allocation", address)
            self.state.account(self.address(address)).balance += self.amount(text)
        if "sealers" in spec:
            self.sealers(spec["sealers"])
        self.schedule(upgrades or {"spec": hashlib.sha256(canonical(spec)).hexdigest(), "upgrades": []})
        self.state.supply = sum(account.balance for account in self.state.accounts.values())

    def fail(self, reason: str) -> NoReturn:
        raise AssertionError(f"block {self.height}: {reason}")

    def require(self, condition: bool, reason: str) -> None:
        if not condition:
            self.fail(reason)

    def equal(self, what: str, found: Any, expected: Any) -> None:
        # True == 1 and 1.0 == 1 in Python, never in hashed data.
        self.require(type(found) is type(expected) and found == expected, f"{what} is {found!r}, expected {expected!r}")

    def integer(self, what: str, value: Any, low: int = 0, high: int = 2**53 - 1) -> int:
        self.require(type(value) is int and low <= value <= high, f"{what} is no integer in its range")
        return int(value)

    def amount(self, text: Any) -> int:
        self.require(isinstance(text, str) and AMOUNT.fullmatch(text) is not None, f"amount {text!r} is not normal")
        whole, _, decimals = text.partition(".")
        units = int(whole + decimals + "0" * (18 - len(decimals)))
        self.require(units < 2**256, "amount is not below 2^256")
        return units

    def address(self, text: Any) -> str:
        self.require(isinstance(text, str) and re.fullmatch("0x[0-9a-fA-F]{40}", text) is not None, "bad address")
        self.require(text == eip55(bytes.fromhex(text[2:])), f"address {text} has a wrong checksum")
        return str(text)

    def payee(self, what: str, address: Any) -> None:
        """No key belongs to these two addresses, so nothing may be sent there (`bad_recipient`)."""
        lost = (ZERO_ADDRESS, self.spec["token"]["address"])
        self.require(address not in lost, f"the {what} goes to {address}, to which no key belongs")

    # Who may seal, and what holds at which height.

    def sealers(self, names: Any) -> None:
        self.require(isinstance(names, list) and 0 < len(names) <= 100, "sealers is no list of 1 to 100")
        self.equal("order of sealers", [self.address(name) for name in names], sorted(set(names), key=str.lower))
        for name in names:
            self.payee("right to seal", name)

    def schedule(self, upgrades: Json) -> None:
        digest = hashlib.sha256(canonical(self.spec)).hexdigest()
        self.equal("spec of the upgrades", upgrades["spec"], digest)
        for upgrade in upgrades["upgrades"]:
            (before, constants, since), changes = self.eras[-1], upgrade["changes"]
            self.equal("fields of an upgrade", set(upgrade), {"height", "changes", "signatures"})
            self.integer("height of an upgrade", upgrade["height"], low=before + 1)
            self.require(bool(changes) and changes.keys() <= UPGRADABLE, "an upgrade changes what it may not")
            if changes.get("sealers"):
                self.sealers(changes["sealers"])
            text = {"previous": digest, "height": upgrade["height"], "changes": changes}
            signed = b"quarry-upgrade:" + canonical(text)
            signers = [self.signer(item["sealer"], signed, item["signature"]) for item in upgrade["signatures"]]
            allowed = constants.get("sealers", [])
            self.require(len(set(signers)) == len(signers) and set(signers) <= set(allowed), "a wrong signer")
            self.require(not allowed or len(signers) > len(allowed) / 2, "an upgrade without a majority")
            digest = hashlib.sha256(signed).hexdigest()
            since = upgrade["height"] if "difficulty" in changes else since
            self.eras.append((upgrade["height"], {**constants, **changes}, since))

    def signer(self, public_key: Any, text: bytes, signature: Any) -> str:
        """The address of the key whose good signature this is."""
        key = self.hex(public_key, 32)
        try:
            nacl.signing.VerifyKey(key).verify(text, self.hex(signature, 64))
        except nacl.exceptions.BadSignatureError:
            self.fail("a signature does not fit what is signed")
        return eip55(keccak256(key)[-20:])

    def era(self) -> tuple[int, Json, int]:
        """What holds at the height of the block in question."""
        return [item for item in self.eras if item[0] <= self.height][-1]

    @property
    def constants(self) -> Json:
        return self.era()[1]

    def add(self, block: Json) -> None:
        self.height = len(self.blocks) + 1
        self.require(isinstance(block, dict), "not an object")
        sealed = self.height > 1 and bool(self.constants.get("sealers"))
        self.equal("set of fields", set(block), BLOCK_FIELDS | (SEALED if sealed else set()))
        self.equal("index", block["index"], self.height)
        self.require(isinstance(block["transactions"], list), "transactions is no list")
        self.require(all(isinstance(item, dict) for item in block["transactions"]), "a transaction is no object")
        self.integer("timestamp", block["timestamp"])
        self.integer("proof", block["proof"])
        leaves = [hashlib.sha256(b"\x00" + canonical(item)).digest() for item in block["transactions"]]
        self.equal("transactions_root", block["transactions_root"], merkle_root(leaves).hex())
        digest = block_hash(block)
        if self.height == 1:
            self.genesis(block)
        else:
            self.header(block, digest)
            self.body(block)
        self.blocks.append(block)
        self.state.height, self.state.tip = self.height, digest

    def genesis(self, block: Json) -> None:
        self.equal("timestamp", block["timestamp"], self.spec["genesis_timestamp"])
        self.equal("difficulty", block["difficulty"], self.spec["difficulty"])
        self.equal("proof", block["proof"], 100)
        self.equal("transactions", block["transactions"], [])
        self.equal("previous_hash", block["previous_hash"], hashlib.sha256(canonical(self.spec)).hexdigest())

    def header(self, block: Json, digest: str) -> None:
        self.equal("previous_hash", block["previous_hash"], self.state.tip)
        last = sorted(earlier["timestamp"] for earlier in self.blocks[-11:])
        self.require(block["timestamp"] >= last[len(last) // 2], "timestamp lies before the median of the last 11")
        self.equal("difficulty", block["difficulty"], self.difficulty())
        self.require(int(digest, 16) * block["difficulty"] < 2**256, "proof is not valid for the difficulty")
        if sealers := self.constants.get("sealers"):
            signed = {n: block[n] for n in block if n not in ("transactions", "proof", "sealer_signature")}
            sealer = self.signer(block["sealer"], b"quarry-block:" + canonical(signed), block["sealer_signature"])
            self.require(sealer in sealers, f"{sealer} is no sealer")
        interval = self.constants["block_interval"]
        ahead = min(120, 3 * interval) if interval > 0 else 120
        if self.now is not None and block["timestamp"] > self.now + ahead:
            raise TooEarly(f"block {self.height}: its timestamp lies more than {ahead} s in the future")
        self.state.chainwork += block["difficulty"]

    def difficulty(self) -> int:
        """LWMA over the k blocks before this one; see "Difficulty" in docs/consensus.md."""
        _, constants, since = self.era()
        interval = constants["block_interval"]
        height = self.height - since + 2  # an upgrade of the difficulty begins anew
        if interval == 0 or height <= 5:
            return int(constants["difficulty"])
        k = min(60, height - 3)
        s = self.blocks[-k - 1]["timestamp"]
        total = weighted = 0
        for j, block in enumerate(self.blocks[-k:], start=1):
            s, before = max(block["timestamp"], s + 1), s
            weighted += j * min(s - before, 6 * interval)
            total += block["difficulty"]
        parent = self.blocks[-1]["difficulty"]
        following = total * interval * (k + 1) // (2 * weighted)
        return int(max(256, parent * 3 // 4, min(parent * 5 // 4, following)))

    def body(self, block: Json) -> None:
        transactions = block["transactions"]
        most = self.constants
        self.require(len(canonical(block)) <= most["max_block_bytes"], "more bytes than the spec allows")
        self.require(len(transactions) <= most["max_block_transactions"], "more transactions than the spec allows")
        self.require(bool(transactions), "no reward")
        reward, *rest = transactions
        fees = 0
        for item in rest:
            self.require(len(canonical(item)) <= 8192, "a transaction has more than 8192 bytes")
            fees += self.amount(item.get("fee"))
        minted = self.amount(self.spec["reward"])
        recipient = self.address(reward.get("recipient"))
        self.equal("reward", self.amount(reward.get("amount")), minted + fees)
        self.equal("set of fields of the reward", set(reward), UNSIGNED)
        fixed = {"type": "reward", "chain_id": self.spec["chain_id"], "nonce": self.height, "sender": "0", "fee": "0"}
        for name, value in fixed.items():
            self.equal(f"{name} of the reward", reward[name], value)
        self.payee("reward", recipient)
        self.state.account(recipient).balance += minted + fees
        self.state.supply += minted
        self.require(self.state.supply < 2**256, "the supply is not below 2^256")
        self.record(hashlib.sha256(message(reward)).hexdigest())
        for item in rest:
            self.transaction(item)
        self.equal("supply", sum(account.balance for account in self.state.accounts.values()), self.state.supply)

    def record(self, identifier: str) -> None:
        self.require(identifier not in self.state.transactions, f"transaction {identifier} is on the chain twice")
        self.state.transactions[identifier] = self.height

    def transaction(self, item: Json) -> None:
        kind, scheme = item.get("type"), item.get("scheme")
        self.require(kind in ("transfer", "approve", "transfer_from"), "unknown type of transaction")
        fields = UNSIGNED | {"scheme", "signature"} | ({"owner"} if kind == "transfer_from" else set())
        self.equal("chain_id", item.get("chain_id"), self.spec["chain_id"])
        if scheme == "ed25519":
            self.equal("fields", set(item), fields | {"public_key"} | (item.keys() & {"data"}))
            if "data" in item:
                self.require(isinstance(item["data"], str) and item["data"] != "", "data is not a non-empty text")
            self.ed25519(item)
        elif scheme == "ethereum":
            self.equal("fields", set(item), fields)
            self.ethereum(item)
        else:
            self.fail("unknown scheme")
        self.ledger(item)

    def ed25519(self, item: Json) -> None:
        public_key, signature = self.hex(item["public_key"], 32), self.hex(item["signature"], 64)
        self.equal("sender", self.address(item["sender"]), eip55(keccak256(public_key)[-20:]))
        try:
            nacl.signing.VerifyKey(public_key).verify(message(item), signature)
        except nacl.exceptions.BadSignatureError:
            self.fail("the signature does not fit the transaction")
        self.record(hashlib.sha256(message(item)).hexdigest())

    def hex(self, text: Any, size: int | None = None) -> bytes:
        self.require(isinstance(text, str) and re.fullmatch("([0-9a-f]{2})+", text) is not None, "bad hexadecimal")
        self.require(size is None or len(text) == 2 * size, f"not {size} bytes")
        return bytes.fromhex(text)

    def ethereum(self, item: Json) -> None:
        raw = self.hex(item["signature"])
        try:
            decoded = decode_raw(raw, self.spec["token"]["address"])
        except Exception as error:  # whatever the two libraries raise, the chain is invalid
            self.fail(f"the raw transaction cannot be read: {error}")
        for name in ("type", "chain_id", "nonce", "sender", "recipient", "owner"):
            self.equal(f"{name} of the raw transaction", item.get(name), decoded[name])
        for name in ("amount", "fee"):
            self.equal(f"{name} of the raw transaction", self.amount(item[name]), decoded[name])
        self.record(keccak256(raw).hex())

    def ledger(self, item: Json) -> None:
        kind = item["type"]
        sender, recipient = self.address(item["sender"]), self.address(item["recipient"])
        self.payee(kind, recipient)
        amount, fee = self.amount(item["amount"]), self.amount(item["fee"])
        account = self.state.account(sender)
        self.equal("nonce", self.integer("nonce", item["nonce"], high=2**64 - 2), account.nonce)
        account.nonce += 1
        account.balance -= fee
        self.require(account.balance >= 0, "the sender cannot pay the fee")
        if kind == "approve":
            self.state.allowances[sender, recipient] = amount
            return
        payer = self.address(item["owner"]) if kind == "transfer_from" else sender
        self.require(self.state.account(payer).balance >= amount, "the payer cannot pay the amount")
        if kind == "transfer_from":
            left = self.state.allowances.get((payer, sender), 0) - amount
            self.require(left >= 0, "the allowance does not suffice")
            self.state.allowances[payer, sender] = left
        self.state.account(payer).balance -= amount
        self.state.account(recipient).balance += amount


def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def keccak256(data: bytes) -> bytes:
    return keccak.new(digest_bits=256, data=data).digest()


def eip55(address: bytes) -> str:
    mask = keccak256(address.hex().encode()).hex()
    return "0x" + "".join(c.upper() if int(mask[i], 16) > 7 else c for i, c in enumerate(address.hex()))


def message(item: Json) -> bytes:
    """What an Ed25519 signature signs."""
    unsigned = {name: item[name] for name in item if name not in ("scheme", "signature", "public_key")}
    return b"quarry-transaction:" + canonical(unsigned)


def block_hash(block: Json) -> str:
    seal = hashlib.sha256(canonical({n: block[n] for n in block if n not in ("transactions", "proof")})).hexdigest()
    return hashlib.sha256((seal + str(block["proof"])).encode()).hexdigest()


def merkle_root(leaves: list[bytes]) -> bytes:
    """RFC 6962, 2.1, as its recursive definition reads."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + merkle_root(leaves[:split]) + merkle_root(leaves[split:])).digest()


def decode_raw(raw: bytes, token: str) -> Json:
    """What a raw signed Ethereum transaction says, in the ledger's terms; the sender by way of eth-account."""
    import rlp
    from eth_account import Account as EthereumAccount

    kind = raw[0] if raw[0] < 0x80 else 0
    assert kind in (0, 1, 2) and (kind or raw[0] >= 0xC0), "unknown type"
    items = rlp.decode(raw[1:] if kind else raw)
    if kind:
        chain_id, nonce, *prices, gas, to, value, data, access_list = (items[i] for i in range(len(items) - 3))
        assert access_list == [], "the access list is not empty"
        chain_id = number(chain_id)
    else:
        nonce, *prices, gas, to, value, data = items[:-3]
        chain_id = (number(items[-3]) - 35) // 2
    assert number(items[-1]) <= 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141 // 2, "high s"
    result = {"chain_id": chain_id, "nonce": number(nonce), "type": "transfer", "owner": None}
    result["sender"] = EthereumAccount.recover_transaction(raw)
    result |= {"recipient": eip55(to), "amount": number(value)}
    gas_used = GAS["transfer"]
    if eip55(to) == token:
        assert number(value) == 0, "value sent to the token"
        words = [data[i : i + 32] for i in range(4, len(data), 32)]
        addresses = [eip55(word[12:]) for word in words[:-1]]
        assert len(data) == 4 + 32 * len(words) and not any(any(word[:12]) for word in words[:-1]), "bad call data"
        result["amount"] = number(words[-1])
        match data[:4].hex(), addresses:
            case "a9059cbb", [recipient]:
                result["recipient"], gas_used = recipient, GAS["token transfer"]
            case "095ea7b3", [spender]:
                result |= {"type": "approve", "recipient": spender}
                gas_used = GAS["approve"]
            case "23b872dd", [owner, recipient]:
                result |= {"type": "transfer_from", "owner": owner, "recipient": recipient}
                gas_used = GAS["transfer_from"]
            case _:
                raise AssertionError("the token has no such call")
    else:
        assert data == b"", "call data for an address that is not the token"
    assert number(gas) >= gas_used, "the gas limit is too low"
    # EIP-1559 lists the priority fee first; the base fee is 0, so the priority is what is paid.
    assert number(prices[0]) <= number(prices[-1]), "the priority fee exceeds the maximum"
    result["fee"] = gas_used * number(prices[0])
    return result


def number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def verify(spec: Json, blocks: list[Json], now: float | None = None, upgrades: Json | None = None) -> Verified:
    """Check a whole chain from genesis.

    Args:
        spec: the object of `GET /spec`.
        blocks: the `chain` of `GET /chain`.
        now: Unix seconds; None if nothing in the chain can be too early.
        upgrades: the object of `GET /upgrades`; None: there are none.

    Raises:
        AssertionError: with the height of the first bad block and the reason.
        TooEarly: the time of a block has not come at `now`. Ask again later.
    """
    chain = Chain(spec, now, upgrades)
    for block in blocks:
        chain.add(block)
    return chain.state


def read(url: str) -> Any:
    """The JSON at `url`, duplicate keys and floats refused."""
    with urllib.request.urlopen(url, timeout=60) as response:
        return json.load(response, object_pairs_hook=unique, parse_float=refuse, parse_constant=refuse)


def unique(pairs: list[tuple[str, Any]]) -> Json:
    assert len(dict(pairs)) == len(pairs), "an object has the same key twice"
    return dict(pairs)


def refuse(text: str) -> NoReturn:
    raise AssertionError(f"{text} stands where only integers may")


def verify_url(url: str) -> Verified:
    """Check the whole chain of the node at `url`, by this machine's clock."""
    answer = read(url.rstrip("/") + "/chain")
    assert answer["length"] == len(answer["chain"]), "length is not the number of blocks"
    spec, upgrades = (read(url.rstrip("/") + path) for path in ("/spec", "/upgrades"))
    return verify(spec, answer["chain"], time.time(), upgrades)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.verifier", description="Verify a node's whole chain."
    )
    parser.add_argument("url", help="for example http://127.0.0.1:5000")
    try:
        state = verify_url(parser.parse_args(arguments).url)
    except AssertionError as error:
        print(f"invalid: {error}", file=sys.stderr)
        return 1
    except TooEarly as error:
        print(f"too early: {error}; verify again later", file=sys.stderr)
        return 2
    print(
        f"valid: {state.height} blocks, tip {state.tip}, chainwork {state.chainwork}, "
        f"{len(state.transactions)} transactions, supply {state.supply} base units"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
