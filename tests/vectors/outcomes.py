"""Vectors of outcomes: the rule that a transaction or block breaks, or that a block is too early."""

from typing import Any

from eth_account import Account

from tests.vectors import ed25519
from tests.vectors.plain import canonical, eip55, keccak256

Json = dict[str, Any]


def call_data(signature: str, *words: int | str) -> str:
    """Solidity's encoding of a call whose arguments are numbers and addresses."""
    head = keccak256(signature.encode())[:4].hex()
    return "0x" + head + "".join(f"{word if isinstance(word, int) else int(word, 16):064x}" for word in words)


def recipient_vectors() -> list[Json]:
    """Well-formed, signed transactions of both schemes, and the rule that their recipient breaks."""
    token, zero, other = (eip55(bytes.fromhex(digits.rjust(40, "0"))) for digits in ("5eed", "0", "5eee"))
    seed, secret = bytes([1]) * 32, "0x" + "46" * 32
    sender = eip55(keccak256(ed25519.public_key(seed))[-20:])
    vectors = []

    def case(name: str, whole: Json, rule: str | None) -> None:
        vectors.append({"name": name, "token": token, "chain_id": 7, "transaction": whole, "rule": rule})

    for target, where, rule in (
        (zero, "the zero address", "bad_recipient"),
        (token, "the token", "bad_recipient"),
        (other, "the address after the token", None),
    ):
        for kind, more in (
            ("transfer", {"amount": "5"}),
            ("transfer", {"amount": "0"}),
            ("approve", {"amount": "5"}),
            ("transfer_from", {"amount": "0", "owner": sender}),
        ):
            unsigned = {"type": kind, "chain_id": 7, "nonce": 0, "sender": sender, "recipient": target, "fee": "0"}
            unsigned |= more
            signature = ed25519.sign(seed, b"quarry-transaction:" + canonical(unsigned)).hex()
            whole = {**unsigned, "scheme": "ed25519", "public_key": ed25519.public_key(seed).hex()}
            case(f"{kind} of {more['amount']} to {where}", {**whole, "signature": signature}, rule)

        wallet = Account.from_key(secret)
        calls: list[tuple[str, str, str, str, int, Json]] = [
            ("transfer", "token", token, call_data("transfer(address,uint256)", target, 5), 60_000, {}),
            ("approve", "token", token, call_data("approve(address,uint256)", target, 5), 50_000, {}),
            (
                "transfer_from",
                "token",
                token,
                call_data("transferFrom(address,address,uint256)", sender, target, 5),
                70_000,
                {"owner": sender},
            ),
        ]
        if target != token:  # a plain transfer to the token is not valid
            calls.append(("transfer", "plain", target, "0x", 21_000, {}))
        for kind, form, to, data, gas, more in calls:
            value = 5 if form == "plain" else 0
            draft = {"chainId": 7, "nonce": 0, "gasPrice": 1, "gas": gas, "to": to, "value": value, "data": data}
            raw = bytes(wallet.sign_transaction(draft).raw_transaction)
            fee = f"0.{gas:018d}".rstrip("0")
            whole = {"type": kind, "chain_id": 7, "nonce": 0, "sender": wallet.address, "recipient": target, **more}
            whole |= {"amount": "0.000000000000000005", "fee": fee, "scheme": "ethereum", "signature": raw.hex()}
            case(f"{form} {kind} of a wallet to {where}", whole, rule)
        reward = {"type": "reward", "chain_id": 7, "nonce": 2, "sender": "0", "recipient": target, "amount": "1"}
        case(f"reward to {where}", {**reward, "fee": "0"}, rule)
    return vectors


def timestamp_vectors() -> list[Json]:
    """Blocks of which only the timestamp may be wrong, and their outcome at the time `now`."""
    start = 1767225600
    vectors = []
    for interval in (0, 1, 2, 10, 39, 40, 41, 600, 86400):
        ahead = 120 if interval == 0 or interval >= 40 else 3 * interval
        for more, outcome in ((ahead, "valid"), (ahead + 1, "too_early"), (2**40, "too_early")):
            window = [start + 7 * i for i in range(20)]
            now = window[-1] + 1
            vectors.append({"interval": interval, "timestamps": window, "now": now, "timestamp": now + more})
            vectors[-1]["outcome"] = outcome
    # The sixth of the last eleven, sorted, is the earliest timestamp that may follow.
    for window in (
        [start],
        [start, start - 9],
        [start + 50 - 5 * i for i in range(11)],
        [start + i % 4 for i in range(30)],
    ):
        last = sorted(window[-11:])
        least = last[len(last) // 2]
        for stamp, outcome in ((least, "valid"), (least - 1, "timestamp_too_low")):
            vectors.append({"interval": 10, "timestamps": window, "now": start + 100, "timestamp": stamp})
            vectors[-1]["outcome"] = outcome
    return vectors
