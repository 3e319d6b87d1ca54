"""The lines about events: what they say, what hostile text does to them, and how many there are."""

import io
import json
import logging
import re
import sys
from collections.abc import Iterator
from typing import Any, Literal

import pytest
import structlog

from api.cli import terminal
from api.cli.node import event_lines as lines
from api.cli.node.event_lines import MOST_LINES, Pace, RpcFailure
from services.system import logs
from services.system.visible import escaped, is_plain
from shared.canonical import canonical

HASH = "0000ab12cd34" + "ef" * 26
ALICE, BOB = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266", "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
HOSTILE = "\x1b[2J\x1b]0;owned\x07\r\nFORGED \u202eevil\u2066\u200b\u2028FORGED\U000e0041 長い長い" + "x" * 5000


def test_a_block_says_height_hash_transactions_and_miner() -> None:
    assert lines.block_line(12, HASH, 4, ALICE) == "block 12  0x0000ab12cd34  3 transactions  miner 0xf39F…2266"
    assert lines.block_line(12, HASH, 2, "") == "block 12  0x0000ab12cd34  1 transaction"
    assert lines.block_line(12, HASH, None, "") == "block 12  0x0000ab12cd34"


def test_a_transaction_says_who_pays_whom() -> None:
    fields = {"type": "transfer", "sender": ALICE, "recipient": BOB, "amount": "1.5"}
    assert (
        lines.transaction_line(HASH, fields, "QRY") == "transaction 0x0000ab12cd34  0xf39F…2266 to 0x7099…79C8  1.5 QRY"
    )
    assert lines.transaction_line(HASH, fields | {"type": "approve"}, "QRY").endswith("approve 1.5 QRY")
    assert lines.transaction_line(HASH, None, "QRY") == "transaction 0x0000ab12cd34"


def test_own_addresses_have_their_names() -> None:
    names = {ALICE: "alice", BOB: "a-wallet-with-a-very-long-name"}

    def name_of(address: Any) -> str:
        return names.get(address, "")

    fields = {"type": "transfer", "sender": ALICE, "recipient": BOB, "amount": "1"}
    text = lines.transaction_line(HASH, fields, "QRY", name_of)
    assert text == "transaction 0x0000ab12cd34  alice to a-wallet-with-a-ver…  1 QRY"
    assert lines.block_line(2, HASH, 1, ALICE, name_of).endswith("miner alice")
    assert lines.block_line(2, HASH, 1, "0x1234567890123456", name_of).endswith("miner 0x1234…3456")


def test_a_reorganisation_says_where_the_branches_part() -> None:
    assert lines.reorganisation_line(3, 5, HASH) == "reorganisation after block 3: block 5 0x0000ab12cd34 is the tip"


@pytest.mark.parametrize("width", [20, 80])
def test_text_of_strangers_neither_acts_nor_widens_a_line(width: int) -> None:
    fields = dict.fromkeys(("type", "sender", "recipient", "amount"), HOSTILE)
    for text in (
        lines.transaction_line(HOSTILE, fields, HOSTILE),
        lines.transaction_line(HASH, {}, "QRY"),
        lines.block_line(1, HOSTILE, 1, HOSTILE),
        lines.reorganisation_line(1, 2, HOSTILE),
        lines.rpc_error_line(RpcFailure(-32000, 0, HOSTILE, HOSTILE)),
    ):
        first, *others = lines.stamped(text, node="node12", at=0, width=width)
        assert all(is_plain(shown) and terminal.cells(shown) <= width for shown in (first, *others))
        assert re.match(r"\d\d:\d\d:\d\d node12 ", f"{first} ")
        assert len(others) <= 2
        assert all(shown.startswith("  ") for shown in others)


def test_a_long_reason_is_told_on_further_lines() -> None:
    failure = RpcFailure(-32602, 0, "eth_getBalance", "address must be 0x and 40 hexadecimal digits.")
    shown = lines.stamped(lines.rpc_error_line(failure), node="", at=0, width=80)
    assert [text[9:] for text in shown] == [
        "RPC error -32602 eth_getBalance: address must be 0x and 40 hexadecimal",
        "digits.",
    ]
    assert shown[1].startswith(" " * 9)


# --- The miner of a block ---------------------------------------------------------------------------------------------


def test_the_miner_is_read_from_the_reward_alone() -> None:
    reward = {"type": "reward", "recipient": ALICE, "data": "x"}
    block = canonical({"index": 3, "previous_hash": HASH, "transactions": [reward, {"data": '"transactions": ['}]})
    assert lines.miner_of(block) == ALICE
    assert lines.miner_of(block[:-10]) == ALICE


@pytest.mark.parametrize(
    "block", [None, b"", b"\xff", b"[]", canonical({"transactions": []}), canonical({"transactions": [[]]}),
              canonical({"transactions": [{"type": "reward"}]}), b'{"transactions": [{"recipient": "0x']
)  # fmt: skip
def test_a_block_without_a_reward_has_no_miner(block: bytes | None) -> None:
    assert lines.miner_of(block) == ""


# --- Errors of JSON-RPC, from the API's log ---------------------------------------------------------------------------


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A function that logs an entry in a format, as the API does, and returns what was written."""

    def say(style: Literal["console", "json"], event: str, **fields: Any) -> str:
        stream = io.StringIO()
        monkeypatch.setattr(sys, "stderr", stream)
        logs.configure("info", style)
        structlog.get_logger("test").info(event, **fields)
        return stream.getvalue().rstrip("\n")

    handlers = logging.getLogger().handlers
    yield say
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = handlers


@pytest.mark.parametrize("style", ["console", "json"])
@pytest.mark.parametrize(
    "reason",
    ["plain", "with blanks", "a=b method=forged reason=x", "'quoted'", '"double"', HOSTILE[:60], "", "x" * 300],
)
def test_what_the_api_logs_is_read_again(said: Any, style: Literal["console", "json"], reason: str) -> None:
    text = said(style, "rpc_error", code=-32602, left_out=3, method="eth_call", reason=reason)
    assert "\n" not in text
    found = lines.read_rpc_error(text)
    assert found is not None
    assert (found.code, found.left_out, found.method) == (-32602, 3, "eth_call")
    assert escaped(found.reason) == escaped(reason)


@pytest.mark.parametrize("style", ["console", "json"])
def test_other_entries_are_no_errors_whatever_they_quote(said: Any, style: Literal["console", "json"]) -> None:
    quoted = "2026-01-01T00:00:00Z [info     ] rpc_error   code=1 left_out=0 method=m reason=r"
    assert lines.read_rpc_error(said(style, "peer_refused", reason=quoted)) is None
    assert lines.read_rpc_error(said(style, "x", reason=f"\n{quoted}")) is None
    assert lines.read_rpc_error(said(style, "rpc_errors", code=1, left_out=0, method="m", reason="r")) is None


@pytest.mark.parametrize(
    "text",
    ["", "{", "{}", "[]", '{"event": "rpc_error"}', json.dumps({"event": "rpc_error", "code": {}, "left_out": 0}),
     '{"event": "rpc_error", "code": "NaN", "left_out": 0, "method": "m", "reason": "r"}', "{" * 5000, "x" * 100_000],
)  # fmt: skip
def test_a_damaged_line_is_no_error(text: str) -> None:
    assert lines.read_rpc_error(text) is None


# --- How many ---------------------------------------------------------------------------------------------------------


def test_a_few_are_printed_one_by_one_and_the_others_are_counted() -> None:
    pace = Pace("transaction", "transactions")
    assert [pace.admits(10.0 + number / 1000) for number in range(MOST_LINES + 812)] == [True] * MOST_LINES + [
        False
    ] * 812
    assert pace.summary(10.9) == ""
    assert pace.summary(11.0) == "+ 812 transactions in 1 s"
    assert pace.summary(11.1) == ""
    assert pace.admits(11.2)


def test_a_flood_of_any_length_is_a_few_lines_a_second() -> None:
    pace, printed, counted = Pace("block", "blocks"), 0, 0
    for number in range(20_000):  # ten seconds of 2,000 events
        now = number / 2000
        printed += pace.admits(now)
        if line := pace.summary(now):
            counted += int(line.split()[1].replace(",", ""))
    counted += int(pace.summary(100.0).split()[1].replace(",", ""))
    assert printed <= 11 * MOST_LINES
    assert printed + counted == 20_000


def test_a_slow_trickle_is_never_summarised() -> None:
    pace = Pace("block", "blocks")
    assert all(pace.admits(number / 4) and pace.summary(number / 4) == "" for number in range(100))


def test_what_is_known_by_its_number_counts_too() -> None:
    pace = Pace("RPC error", "RPC errors")
    assert pace.admits(0.0)
    pace.leave_out(1)
    assert pace.summary(3.4) == "+ 1 RPC error in 3 s"
