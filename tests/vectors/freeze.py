"""Write the frozen vectors: bytes and hashes that every release and every other implementation must reproduce.

They are calculated from docs/consensus.md with the standard library and plain definitions (RFC 6962 recursively, LWMA
in fractions, RFC 8032 by hand; eth-account makes the signatures of wallets), without `shared/`. A vector that changes
is a fork: run `python -m tests.vectors.freeze` only to change the rules of the chain. The `receipts` are no
rule, but indexers keep them.
"""

import json
import math
import random
import re
import tomllib
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.vectors import ed25519, ed25519_edges, outcomes, receipts, sealed
from tests.vectors.plain import canonical, eip55, keccak256, sha256

HERE = Path(__file__).parent
SPECS = HERE.parents[1] / "shared" / "chain_specs"
Json = dict[str, Any]


def canonical_vectors() -> list[Json]:
    values: list[Any] = [
        {},
        [],
        {"b": 1, "a": [2, "three", {"d": "", "c": 0}]},
        {"é": "ü", "z": "☃", "a": "😀 \U0010ffff"},
        'quote " slash / backslash \\ tab \t newline \n return \r bell \x07 delete \x7f',
        {"A": 1, "a": 2, "_": 3, "10": 4, "9": 5},
        [0, -1, 2**53 - 1, 2**256, -(2**64)],
    ]
    return [
        {"value": value, "canonical": canonical(value).decode(), "sha256": sha256(canonical(value)).hex()}
        for value in values
    ]


def amount_vectors() -> Json:
    spelled = "0 1 5 10 0.25 0.000000000000000001 1.000000000000000001 9999999999.5 123456789.987654321".split()
    top = 2**256 - 1
    spelled += [f"{top // 10**18}.{top % 10**18:018}".rstrip("0"), str(2**256 // 10**18)]
    return {
        "accepted": [{"amount": text, "units": str(Fraction(text) * 10**18)} for text in spelled],
        "refused": [
            *["", " ", "-1", "+1", "00", "01", "1.", ".5", "1.0", "0.10", "0.0", "1e5", "1E5", "1_000", " 7", "7\n"],
            *[
                "\uff17",
                "\uff11\uff12",
                "\u0663",
                "1\uff12",
                "0.\u06631",
                "0x10",
                "1,5",
                "1.2.3",
                "NaN",
                "Infinity",
                "true",
                "--1",
                "0.0000000000000000001",
            ],
            f"{(top + 1) // 10**18}.{(top + 1) % 10**18:018}".rstrip("0"),
            "9" * 60,
            "1" * 5000,
        ],
    }


def address_vectors() -> Json:
    seeds = [bytes([i]) * 32 for i in (0, 1, 2, 255)]
    bodies = [bytes(20), b"\xff" * 20, bytes(range(20)), bytes.fromhex("5eed".rjust(40, "0"))]
    keys = [{"seed": seed.hex(), "public_key": ed25519.public_key(seed).hex()} for seed in seeds]
    for entry in keys:
        entry["address"] = eip55(keccak256(bytes.fromhex(entry["public_key"]))[-20:])
    return {
        # The test cases in the text of EIP-55.
        "eip55": [
            "0x52908400098527886E0F7030069857D2E4169EE7",
            "0xde709f2102306220921060314715629080e2fb77",
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
            "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
            "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
            "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
        ],
        "bytes": [{"bytes": body.hex(), "address": eip55(body)} for body in bodies],
        "keys": keys,
    }


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962, 2.1."""
    if len(leaves) < 2:
        return leaves[0] if leaves else sha256(b"")
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\x01" + merkle_root(leaves[:k]) + merkle_root(leaves[k:]))


def merkle_path(m: int, leaves: Sequence[bytes]) -> list[Json]:
    """PATH of RFC 6962, 2.1.1, with the side on which each sibling stands."""
    if len(leaves) < 2:
        return []
    k = 1 << (len(leaves) - 1).bit_length() - 1
    if m < k:
        return [*merkle_path(m, leaves[:k]), {"side": "right", "hash": merkle_root(leaves[k:]).hex()}]
    return [*merkle_path(m - k, leaves[k:]), {"side": "left", "hash": merkle_root(leaves[:k]).hex()}]


def merkle_vectors() -> list[Json]:
    # The leaves of the Certificate Transparency project's reference trees, and more for trees of other sizes.
    data = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
    data += [f"{i:04x}" for i in range(8, 21)]
    leaves = [sha256(b"\x00" + bytes.fromhex(item)) for item in data]
    return [
        {
            "data": data[:n],
            "root": merkle_root(leaves[:n]).hex(),
            "branches": [merkle_path(m, leaves[:n]) for m in range(n)] if n in (1, 2, 3, 7, 8, 13, 21) else [],
        }
        for n in (*range(0, 18), 21)
    ]


def transaction_vectors() -> list[Json]:
    seed, other = bytes([1]) * 32, bytes([2]) * 32
    sender, recipient = (eip55(keccak256(ed25519.public_key(key))[-20:]) for key in (seed, other))
    common = {"chain_id": 7, "sender": sender, "recipient": recipient}
    drafts: list[Json] = [
        {"type": "transfer", "nonce": 0, "amount": "0.25", "fee": "0.001"},
        {"type": "transfer", "nonce": 1, "amount": "0", "fee": "0", "data": 'Grüße 😀 \n"quoted"'},
        {"type": "approve", "nonce": 2**64 - 2, "amount": str(10**30), "fee": "0"},
        {"type": "transfer_from", "nonce": 3, "amount": "5", "fee": "1", "owner": recipient},
    ]
    vectors = []
    for draft in drafts:
        unsigned = {**common, **draft}
        message = b"quarry-transaction:" + canonical(unsigned)
        signature, key = ed25519.sign(seed, message).hex(), ed25519.public_key(seed).hex()
        whole = {**unsigned, "scheme": "ed25519", "public_key": key, "signature": signature}
        vectors.append(
            {
                "seed": seed.hex(),
                "unsigned": unsigned,
                "message": message.hex(),
                "id": sha256(message).hex(),
                "signature": signature,
                "leaf": sha256(b"\x00" + canonical(whole)).hex(),
            }
        )
    return vectors


def seal_of(header: Json) -> str:
    return sha256(canonical({name: value for name, value in header.items() if name != "proof"})).hex()


def header_vectors() -> list[Json]:
    def header(**changes: Any) -> Json:
        fields = {"index": 2, "timestamp": 1767225610, "previous_hash": "ab" * 32, "difficulty": 256}
        return {**fields, "transactions_root": sha256(b"").hex(), **changes}

    vectors = []
    for draft in (header(), header(index=2**53 - 1, timestamp=2**53 - 1, difficulty=2**256 - 1), header(difficulty=1)):
        seal = seal_of(draft)
        for proof in (0, 1, 100, 2**53 - 1, first_proof(seal) if draft["difficulty"] == 256 else 7):
            digest = sha256((seal + str(proof)).encode())
            vectors.append(
                {
                    "header": {**draft, "proof": proof},
                    "seal": seal,
                    "hash": digest.hex(),
                    # as fractions of the hash space, because the rule is written as a product
                    "valid": Fraction(int.from_bytes(digest, "big"), 2**256) < Fraction(1, draft["difficulty"]),
                }
            )
    return vectors


def first_proof(seal: str) -> int:
    """The smallest valid proof at difficulty 256: a hash whose first byte is zero."""
    return next(i for i in range(10**6) if sha256((seal + str(i)).encode())[0] == 0)


def genesis_vectors() -> list[Json]:
    token = {"name": "Quarry", "symbol": "QRY", "decimals": 18, "address": "0x" + "5eed".rjust(40, "0")}
    defaults = {"development": False, "rules": "standard", "token": token, "reward": "1", "allocations": {}}
    defaults |= {"difficulty": 65536, "block_interval": 0, "max_block_bytes": 1048576, "max_block_transactions": 4000}
    vectors = []
    for name in ("dev", "lab", "network", "tutorial"):
        spec = {**defaults, **tomllib.loads((SPECS / f"{name}.toml").read_text())}
        spec["token"] = {**token, "address": eip55(bytes.fromhex(spec["token"]["address"][2:]))}
        spec["allocations"] = {eip55(bytes.fromhex(a[2:])): amount for a, amount in spec["allocations"].items()}
        block = {"index": 1, "timestamp": spec["genesis_timestamp"], "proof": 100, "transactions": []}
        spec_hash = sha256(canonical(spec)).hex()
        if spec["rules"] == "tutorial":
            block["previous_hash"] = 1
            digest = sha256(canonical(block)).hex()
        else:
            block |= {"previous_hash": spec_hash, "difficulty": spec["difficulty"]}
            block["transactions_root"] = merkle_root([]).hex()
            header = {name: value for name, value in block.items() if name != "transactions"}
            digest = sha256((seal_of(header) + "100").encode()).hex()
        vectors.append({"name": name, "spec": spec, "spec_hash": spec_hash, "genesis": block, "hash": digest})
    return vectors


def lwma(case: Json) -> int:
    """The difficulty of docs/consensus.md in fractions: the weighted mean solve time against the mean difficulty."""
    times: list[int] = case["timestamps"]
    difficulties: list[int] = case["difficulties"]
    interval: int = case["interval"]
    height: int = case["first_index"] + len(times)
    if interval == 0 or height <= 5:
        return int(case["spec_difficulty"])
    k = min(60, height - 3)
    monotonic = [times[-k - 1]]
    for stamp in times[-k:]:
        monotonic.append(max(stamp, monotonic[-1] + 1))
    solve_times = [min(b - a, 6 * interval) for a, b in pairwise(monotonic)]
    weights = range(1, k + 1)
    mean_time = Fraction(sum(j * t for j, t in zip(weights, solve_times, strict=True)), sum(weights))
    mean_difficulty = Fraction(sum(difficulties[-k:]), k)
    wanted = math.floor(mean_difficulty * interval / mean_time)
    low, high = (math.floor(Fraction(part, 4) * difficulties[-1]) for part in (3, 5))
    return max(256, low, min(high, wanted))


def difficulty_vectors() -> list[Json]:
    rng = random.Random(20260101)
    start = 1767225600
    cases: list[Json] = []

    def case(name: str, gaps: Sequence[int], *, level: int = 65536, first: int = 1, interval: int = 10) -> None:
        times = [start]
        for gap in gaps:
            times.append(times[-1] + gap)
        # not all the same, so that an off-by-one window gives another result
        difficulties = [level + (i * 7919) % (level // 16 + 1) for i in range(len(times))]
        cases.append({"name": name, "interval": interval, "spec_difficulty": level, "first_index": first})
        cases[-1] |= {"timestamps": times, "difficulties": difficulties}

    for n in (1, 2, 3, 4, 5, 6, 7, 59, 60, 61, 62, 63, 64, 80):
        case(f"steady, {n} blocks from genesis", [10] * (n - 1))
    case("window in mid-chain", [10] * 60, first=5000)
    case("constant difficulty", [1] * 60, interval=0)
    case("a little fast", [9] * 60, first=100)
    case("much too fast: clamped at 5/4", [1] * 60, first=100)
    case("all at the same second", [0] * 60, first=100)
    case("a little slow", [11] * 60, first=100)
    case("much too slow: clamped at 3/4", [60] * 60, first=100)
    case("one idle night", [10] * 50 + [30000] + [10] * 9, first=100)
    case("idle night just before", [10] * 59 + [30000], first=100)
    case("every night idle", [10, 10, 30000] * 20, first=100)
    case("never below 256", [60] * 60, level=256, first=100)
    case("parent below 256 rises to it", [60] * 60, level=16, first=100)
    case("far above 64 bits", [9, 12] * 30, level=2**190 + 12345, first=100)
    case("out of order: pairs swapped", [20, -10] * 30, first=100)
    case("out of order: one liar ahead", [10] * 40 + [130, -120] + [10] * 18, first=100)
    case("out of order: one liar behind", [10] * 40 + [-50, 70] + [10] * 18, first=100)
    case("out of order: falling times", [-3] * 60, first=100)
    case("liar first in the window", [130, -120] + [10] * 58, first=100)
    case("liar last in the window", [10] * 59 + [130], first=100)
    case("interval of a second", [1, 0, 2, 1] * 15, interval=1, first=100)
    case("interval of a day", [80000, 90000] * 30, interval=86400, first=100)
    for i in range(12):
        gaps = [round(rng.expovariate(1 / 10)) - (200 if rng.random() < 0.1 else 0) for _ in range(rng.randint(3, 70))]
        case(f"random {i}", gaps, level=rng.randint(200, 10**9), first=1)
    return [{**item, "next": lwma(item)} for item in cases]


def payout_vectors() -> list[Json]:
    """How rewards are split, in fractions: no rule of the chain, but each miner can check its payments by it."""
    coin = 10**18
    cases: list[tuple[str, int, list[tuple[str, int]], int, int, int]] = [
        ("one miner", coin, [("a", 5)], 0, 0, 1),
        ("two, with a rest", 10, [("b", 1), ("a", 2)], 0, 0, 1),
        ("an address twice", 10 * coin, [("a", 1), ("b", 2), ("a", 3)], 0, 0, 1),
        ("no address", 9 * coin, [("", 2), ("a", 1)], 0, 0, 1),
        ("the operator keeps 1.5 %", 4 * coin, [("a", 1), ("b", 1)], 150, 0, 1),
        ("each pays its fee", coin, [("a", 1), ("b", 3)], 0, 10**14, 1),
        ("below the least", coin, [("a", 1), ("b", 999_999)], 0, 10**14, 10**15),
        ("nobody", coin, [], 0, 0, 1),
        ("no credit", coin, [("a", 0)], 0, 0, 1),
        ("all is kept", coin, [("a", 7)], 10_000, 0, 1),
        ("only without address", coin, [("", 7)], 0, 0, 1),
        ("large credit", 123456789012345678901, [("a", 2**61), ("b", 2**61 - 1), ("", 17)], 25, 10**14, 10**15),
    ]
    vectors = []
    for what, reward, credits, kept, cost, least in cases:
        shared, total = math.floor(Fraction(reward * (10_000 - kept), 10_000)), sum(credit for _, credit in credits)
        sent = {}
        for address in sorted({name for name, credit in credits if name and credit}):
            part = Fraction(shared * sum(credit for name, credit in credits if name == address), total)
            if math.floor(part) - cost >= least:
                sent[address] = str(math.floor(part) - cost)
        vectors.append(
            {
                "what": what,
                "reward": str(reward),
                "credits": [list(item) for item in credits],
                "kept": kept,
                "cost": str(cost),
                "least": str(least),
                "sent": sent,
            }
        )
    return vectors


def _receipt_vectors() -> Json:
    return receipts.vectors([item["spec"] for item in genesis_vectors() if item["name"] != "tutorial"])


# What is in each file, by the file's name without its ending.
VECTORS: dict[str, Callable[[], Any]] = {
    "canonical": canonical_vectors,
    "amounts": amount_vectors,
    "addresses": address_vectors,
    "merkle": merkle_vectors,
    "ed25519": ed25519_edges.vectors,
    "transactions": transaction_vectors,
    "recipients": outcomes.recipient_vectors,
    "timestamps": outcomes.timestamp_vectors,
    "headers": header_vectors,
    "sealed_headers": sealed.sealed_header_vectors,
    "upgrades": sealed.upgrade_vectors,
    "genesis": genesis_vectors,
    "difficulty": difficulty_vectors,
    "receipts": _receipt_vectors,
    "payouts": payout_vectors,
}


def text(value: Any) -> str:
    """Readable JSON: one line per item, and lists of numbers on one line."""
    spread = json.dumps(value, indent=1, ensure_ascii=True)
    return re.sub(r"\[\s+((?:-?\d+,\s+)*-?\d+)\s+\]", lambda m: "[" + re.sub(r"\s+", " ", m[1]) + "]", spread) + "\n"


def main() -> None:
    for name, vectors in VECTORS.items():
        (HERE / f"{name}.json").write_text(text(vectors()))


if __name__ == "__main__":
    main()
