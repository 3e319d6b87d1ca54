"""Vectors of sealed headers and of upgrades: what is signed, the signatures, and the digests."""

from typing import Any

from tests.vectors import ed25519
from tests.vectors.plain import canonical, eip55, keccak256, sha256

Json = dict[str, Any]


def address_of(seed: bytes) -> str:
    return eip55(keccak256(ed25519.public_key(seed))[-20:])


def sealed_header_vectors() -> list[Json]:
    """Headers with a sealer: the bytes that are signed, the seal, and the hash for some proofs."""
    vectors = []
    for number, (index, stamp, difficulty) in enumerate([(2, 1767225610, 256), (2**53 - 1, 2**53 - 1, 2**200)]):
        seed = bytes([11 + number]) * 32
        header: Json = {"index": index, "timestamp": stamp, "previous_hash": "ab" * 32, "difficulty": difficulty}
        header |= {"transactions_root": sha256(b"").hex(), "sealer": ed25519.public_key(seed).hex()}
        message = b"quarry-block:" + canonical(header)
        header["sealer_signature"] = ed25519.sign(seed, message).hex()
        seal = sha256(canonical(header)).hex()
        hashes = {str(proof): sha256((seal + str(proof)).encode()).hex() for proof in (0, 100, 2**53 - 1)}
        vectors.append(
            {
                "seed": seed.hex(),
                "address": address_of(seed),
                "header": header,
                "message": message.hex(),
                "seal": seal,
                "hashes": hashes,
            }
        )
    return vectors


def upgrade_vectors() -> Json:
    """A spec of three sealers, and two upgrades: the first by two of them, the second by the one that it leaves."""
    seeds = [bytes([number]) * 32 for number in (21, 22, 23)]
    names = {address_of(seed): seed for seed in seeds}
    sealers = sorted(names, key=str.lower)
    token = {"name": "Quarry", "symbol": "QRY", "decimals": 18, "address": "0x" + "5eed".rjust(40, "0")}
    spec: Json = {"name": "sealed", "development": False, "rules": "standard", "chain_id": 7, "token": token}
    spec |= {"reward": "1", "genesis_timestamp": 1767225600, "allocations": {}, "difficulty": 256}
    spec |= {"block_interval": 10, "max_block_bytes": 1048576, "max_block_transactions": 4000, "sealers": sealers}
    previous, upgrades, digests = sha256(canonical(spec)).hex(), [], []
    plans: list[tuple[int, Json, list[str]]] = [
        (100, {"sealers": sealers[:1], "difficulty": 1024}, sealers[:2]),
        (250, {"block_interval": 30, "max_block_bytes": 2**21, "sealers": []}, sealers[:1]),
    ]
    for height, changes, signers in plans:
        message = b"quarry-upgrade:" + canonical({"previous": previous, "height": height, "changes": changes})
        signatures = [
            {"sealer": ed25519.public_key(names[name]).hex(), "signature": ed25519.sign(names[name], message).hex()}
            for name in signers
        ]
        upgrades.append({"height": height, "changes": changes, "signatures": signatures})
        previous = sha256(message).hex()
        digests.append(previous)
    return {"spec": spec, "upgrades": {"spec": sha256(canonical(spec)).hex(), "upgrades": upgrades}, "digests": digests}
