"""Tokens, vouchers, miners and payouts of a backup: what may stand there."""

from typing import Any

import pytest

from services.backup.accounting import is_item
from tests.support.keys import ALICE

HASH, ID = "ab" * 32, "0123456789abcdef"
TOKEN = {"digest": HASH, "name": "night shift", "scopes": ["peers", "jobs"], "created_at": 1.5}
VOUCHER = {"id": ID, "name": "class", "created_at": 1, "secret": HASH, "code": ""}
DONE = {"address": ALICE.address, "credited": "12", "squares": "1.5e+300", "expected": "0.25"}
MINER = {"voucher": ID, "name": "Bob's phone", "seen": 3.5, "done": DONE}
PLAN = {"payments": [{"any": "thing"}], "lost": [7, HASH, [HASH]]}
PAYOUT = {"block": HASH, "height": 7, "shares": {ALICE.address: 2**62, "-": 1}, "plan": PLAN}
PAYEE = {"address": ALICE.address, "height": 9, "paid": "1" * 25, "payments": 2, "since": 7, "block": HASH,
         "transaction": HASH}  # fmt: skip
ENDED = {"paid": 1, "nothing": 0, "detached": 2, "forgotten": 0}

GOOD = [
    ("token", TOKEN),
    ("voucher", VOUCHER),
    ("voucher", VOUCHER | {"code": HASH}),
    ("miner", MINER),
    ("miner", MINER | {"done": {}}),
    ("miner", MINER | {"done": {"address": "of the tutorial"}}),
    ("share", f"12 {ALICE.address} 7 {ID} Bob's phone"),
    ("share", "12 - - node1-miner-1"),
    ("payout", PAYOUT),
    ("payout", PAYOUT | {"plan": None}),
    ("payout", PAYOUT | {"plan": PLAN | {"lost": None}}),
    ("payee", PAYEE),
    ("payouts", ENDED),
]

BAD: list[tuple[str, Any]] = [
    *((kind, value) for kind in ("token", "voucher", "miner", "share", "payout", "payee", "payouts")
      for value in (None, 1, "", [], {}, [HASH])),
    ("token", TOKEN | {"more": 1}),
    ("token", TOKEN | {"digest": HASH.upper()}),
    ("token", TOKEN | {"scopes": []}),
    ("token", TOKEN | {"scopes": ["all"]}),
    ("token", TOKEN | {"scopes": ["jobs", "jobs"]}),
    ("token", TOKEN | {"scopes": [["jobs"]]}),
    ("token", TOKEN | {"name": "\u202egnp"}),
    ("token", TOKEN | {"name": "x" * 41}),
    ("token", TOKEN | {"created_at": True}),
    ("token", TOKEN | {"created_at": -1}),
    ("voucher", VOUCHER | {"id": "a:b"}),
    ("voucher", VOUCHER | {"id": HASH}),
    ("voucher", VOUCHER | {"secret": ""}),
    ("voucher", VOUCHER | {"code": "ABC"}),
    ("miner", MINER | {"voucher": "}:tip"}),
    ("miner", MINER | {"name": "a\nb"}),
    ("miner", MINER | {"done": {"blockz": "1"}}),
    ("miner", MINER | {"done": {"credited": 1}}),
    ("miner", MINER | {"done": {"credited": "-1"}}),
    ("miner", MINER | {"done": {"credited": "1" * 20}}),
    ("miner", MINER | {"done": {"squares": "1e999"}}),
    ("miner", MINER | {"done": {"squares": "nan"}}),
    ("miner", MINER | {"done": {"squares": "1-1"}}),
    ("miner", MINER | {"done": {"address": "\x1b[2J"}}),
    ("share", "0 - - w"),
    ("share", "-5 - - w"),
    ("share", "5 0x12 7 v m"),
    ("share", f"5 {ALICE.address}"),
    ("share", "5 - - \x1b[2J"),
    ("share", "5 - - " + "x" * 201),
    ("share", f"{10**16} - - w"),
    ("payout", PAYOUT | {"block": "x"}),
    ("payout", PAYOUT | {"height": 1.0}),
    ("payout", PAYOUT | {"shares": {ALICE.address.lower(): 1}}),
    ("payout", PAYOUT | {"shares": {"-": -1}}),
    ("payout", PAYOUT | {"shares": {"-": 2**63}}),
    ("payout", PAYOUT | {"shares": {"-": "1"}}),
    ("payout", PAYOUT | {"plan": {}}),
    ("payout", PAYOUT | {"plan": PLAN | {"payments": []}}),
    ("payout", PAYOUT | {"plan": PLAN | {"payments": [{}] * 1_002}}),
    ("payout", PAYOUT | {"plan": PLAN | {"lost": [7, HASH]}}),
    ("payout", PAYOUT | {"plan": PLAN | {"lost": [7, HASH, ["x"]]}}),
    ("payee", PAYEE | {"address": "-"}),
    ("payee", PAYEE | {"paid": "0"}),
    ("payee", PAYEE | {"paid": 5}),
    ("payee", PAYEE | {"paid": "1" * 79}),
    ("payee", PAYEE | {"since": -1}),
    ("payee", PAYEE | {"transaction": "x"}),
    ("payouts", ENDED | {"paid": -1}),
    ("payouts", ENDED | {"window": 1}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "value"), GOOD)
def test_what_a_node_keeps_is_taken(kind: str, value: Any) -> None:
    assert is_item(kind, value)


@pytest.mark.parametrize(("kind", "value"), BAD)
def test_anything_else_is_refused(kind: str, value: Any) -> None:
    assert not is_item(kind, value)
