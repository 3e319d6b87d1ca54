"""Vectors of receipts: the events and bloom filters of block 0 and of a block with fees.

They are no part of consensus, but indexers keep them: one that changes makes their balances wrong.
"""

from fractions import Fraction
from typing import Any

from tests.vectors import ed25519
from tests.vectors.plain import canonical, eip55, keccak256, sha256

Json = dict[str, Any]

NOBODY = "0x" + "0" * 40
SEEDS = [bytes([number]) * 32 for number in (1, 2, 3)]
ANNE, BEN, CARA = (eip55(keccak256(ed25519.public_key(seed))[-20:]) for seed in SEEDS)
MINER = eip55(bytes([9]) * 20)


def topic(address: str) -> str:
    return address[2:].lower().rjust(64, "0")


def units(amount: str) -> int:
    return int(Fraction(amount) * 10**18)


def log(name: str, source: str, target: str, amount: int) -> Json:
    head = keccak256(f"{name}(address,address,uint256)".encode()).hex()
    return {"topics": [head, topic(source), topic(target)], "data": f"{amount:064x}"}


def bloom(token: str, logs: list[Json]) -> str:
    """The filter M3:2048 of the Yellow Paper, bit by bit."""
    bits = [0] * 2048
    for item in logs:
        for value in (token[2:], *item["topics"]):
            digest = keccak256(bytes.fromhex(value))
            for pair in range(3):
                bits[2047 - (digest[2 * pair] << 8 | digest[2 * pair + 1]) % 2048] = 1
    return f"{int(''.join(map(str, bits)), 2):0512x}"


def receipt(identifier: str, token: str, logs: list[Json], first: int) -> Json:
    numbered = [{**item, "index": first + offset} for offset, item in enumerate(logs)]
    return {"id": identifier, "logs": numbered, "bloom": bloom(token, logs)}


def block_zero(spec: Json) -> Json:
    token, spec_hash = spec["token"]["address"], sha256(canonical(spec))
    given = [log("Transfer", NOBODY, address, units(amount)) for address, amount in sorted(spec["allocations"].items())]
    return {
        "hash": spec_hash.hex(),
        "transactions_root": sha256(b"\0" + canonical(spec)).hex(),
        "size": len(canonical(spec)),
        "bloom": bloom(token, given),
        "receipts": [receipt(sha256(b"quarry-allocations:" + spec_hash).hex(), token, given, 0)],
    }


def body() -> list[Json]:
    """A reward and transactions of three accounts; the first two that pay fees do so twice."""
    drafts: list[tuple[int, Json]] = [
        (1, {"type": "transfer", "nonce": 0, "recipient": CARA, "amount": "2", "fee": "0"}),
        (1, {"type": "transfer", "nonce": 1, "recipient": ANNE, "amount": "0.5", "fee": "0.003"}),
        (0, {"type": "approve", "nonce": 0, "recipient": CARA, "amount": "7", "fee": "0.001"}),
        (2, {"type": "transfer_from", "nonce": 0, "owner": ANNE, "recipient": BEN, "amount": "1.25", "fee": "0.002"}),
        (0, {"type": "transfer", "nonce": 1, "recipient": ANNE, "amount": "0", "fee": "0.000000000000000001"}),
        (1, {"type": "transfer", "nonce": 2, "recipient": CARA, "amount": "0.1", "fee": "0.01"}),
    ]
    signed = []
    for number, fields in drafts:
        unsigned = {"chain_id": 7, "sender": (ANNE, BEN, CARA)[number], **fields}
        signature = ed25519.sign(SEEDS[number], b"quarry-transaction:" + canonical(unsigned)).hex()
        key = ed25519.public_key(SEEDS[number]).hex()
        signed.append({**unsigned, "scheme": "ed25519", "public_key": key, "signature": signature})
    fees = "0.016000000000000001"
    reward = {"type": "reward", "chain_id": 7, "nonce": 2, "sender": "0", "recipient": MINER}
    return [{**reward, "amount": "1" + fees[1:], "fee": "0"}, *signed]


def block_with_fees(token: str) -> Json:
    transactions = body()
    signed_by = ("scheme", "public_key", "signature")
    ids = [
        sha256(b"quarry-transaction:" + canonical({k: v for k, v in item.items() if k not in signed_by})).hex()
        for item in transactions
    ]
    first = [
        log("Transfer", NOBODY, MINER, units(transactions[0]["amount"])),
        log("Transfer", BEN, NOBODY, units("0.013")),
        log("Transfer", ANNE, NOBODY, units("0.001") + 1),
        log("Transfer", CARA, NOBODY, units("0.002")),
    ]
    others = [
        log("Transfer", BEN, CARA, units("2")),
        log("Transfer", BEN, ANNE, units("0.5")),
        log("Approval", ANNE, CARA, units("7")),
        log("Transfer", ANNE, BEN, units("1.25")),
        log("Transfer", ANNE, ANNE, 0),
        log("Transfer", BEN, CARA, units("0.1")),
    ]
    receipts = [receipt(ids[0], token, first, 0)]
    receipts += [
        receipt(name, token, [item], number)
        for number, (name, item) in enumerate(zip(ids[1:], others, strict=True), len(first))
    ]
    return {"transactions": transactions, "bloom": bloom(token, [*first, *others]), "receipts": receipts}


def vectors(specs: list[Json]) -> Json:
    """`specs`: the chain specs whose block 0 is frozen."""
    return {
        "block_zero": [{"spec": spec, **block_zero(spec)} for spec in specs],
        "block": block_with_fees(specs[0]["token"]["address"]),
    }
