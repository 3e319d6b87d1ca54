"""Events: by range, address and topics, from the index and by scanning; filters, through time and reorganisations."""

import random
from pathlib import Path
from typing import Any

import pytest

from api.rpc import logs as log_methods
from services.errors import Busy
from services.node import Node
from services.store import filters
from services.token import logs as log_search
from shared import erc20
from tests.integration.rpc.client import OWNERS, TOKEN, ZERO, Rpc, refused, reorganise, rpc_node
from tests.support.keys import ALICE, BOB, MINER
from tests.support.nodes import MakeNode, grow, transfer

ANNE, BEN, CARA, DORA, EVE = OWNERS[:5]
NOBODY = "0x000000000000000000000000000000000000dEaD"
TRANSFER, APPROVAL = "0x" + erc20.TRANSFER_TOPIC.hex(), "0x" + erc20.APPROVAL_TOPIC.hex()


def topic(address: str) -> str:
    return "0x" + "00" * 12 + address[2:].lower()


def value(log: Any) -> int:
    return int(log["data"], 16)


def busy(node: Node, rpc: Rpc, blocks: int) -> None:
    """Grow blocks of transfers, approvals and transferFrom between a few accounts, of both schemes."""
    chance = random.Random(blocks)
    nonces = dict.fromkeys((owner.address for owner in OWNERS[:4]), 0)
    alice = 0
    for number in range(blocks):
        for _ in range(chance.randrange(4)):
            owner, other = chance.sample(OWNERS[:4], 2)
            allowed = node.chain.allowance(other.address, owner.address)
            call = chance.choice(
                [
                    erc20.encode_transfer(other.address, number),
                    erc20.encode_approve(other.address, number + 1),
                    erc20.encode_transfer_from(other.address, NOBODY, allowed and 1),
                ]
            )
            rpc.send(owner.token(nonces[owner.address], call))
            nonces[owner.address] += 1
        if chance.random() < 0.5:
            rpc.client.submit(transfer(ALICE, alice, recipient=chance.choice([BEN.address, NOBODY])))
            alice += 1
        grow(node)


def every_log(rpc: Rpc) -> list[Any]:
    """All events from the receipts of all blocks, which are the reference."""
    tip = rpc.number("eth_blockNumber")
    return [
        log
        for height in range(tip + 1)
        for receipt in rpc("eth_getBlockReceipts", hex(height))
        for log in receipt["logs"]
    ]


def fits(log: Any, topics: list[Any]) -> bool:
    if len(topics) > len(log["topics"]):
        return False
    return all(
        wanted is None or wanted == [] or found in (wanted if isinstance(wanted, list) else [wanted])
        for wanted, found in zip(topics, log["topics"], strict=False)
    )


QUESTIONS: list[list[Any]] = [
    [], [TRANSFER], [APPROVAL], [[TRANSFER, APPROVAL]], [None], [[]], [None, topic(ANNE.address)], [None, None,
    topic(NOBODY)],
    [TRANSFER, topic(ZERO)], [TRANSFER, topic(ZERO), topic(MINER)], [TRANSFER, [topic(ZERO), topic(ANNE.address)]],
    [TRANSFER, None, [topic(BEN.address), topic(NOBODY)]], [APPROVAL, topic(ANNE.address), topic(BEN.address)],
    [None, topic(ALICE.address)], [None, [topic(ALICE.address), topic(CARA.address)], [topic(BEN.address),
    topic(NOBODY)]],
    ["0x" + "11" * 32], [None, "0x" + "11" * 32], [TRANSFER, topic(ANNE.address), topic(BEN.address), None],
    [None, None, topic(ZERO)], [TRANSFER, topic(ANNE.address), topic(ZERO)],
    [None, topic(BOB.address)], [TRANSFER, [], topic(DORA.address)],
]  # fmt: skip


def test_index_and_scan_and_receipts_say_the_same(node: Node, rpc: Rpc) -> None:
    busy(node, rpc, 30)
    reference = every_log(rpc)
    tip = rpc.number("eth_blockNumber")
    assert len(reference) > 60
    for topics in QUESTIONS:
        for first, last in ((0, tip), (1, tip), (0, 0), (5, 20), (tip, tip), (12, 12), (tip - 3, tip + 50)):
            expected = [log for log in reference if first <= int(log["blockNumber"], 16) <= last and fits(log, topics)]
            asked = {"fromBlock": hex(first), "toBlock": hex(last), "topics": topics}
            assert rpc("eth_getLogs", asked) == expected, (topics, first, last)
            assert rpc("eth_getLogs", {**asked, "address": TOKEN}) == expected
            assert rpc("eth_getLogs", {**asked, "address": [NOBODY, TOKEN.upper().replace("0X", "0x")]}) == expected
            assert rpc("eth_getLogs", {**asked, "address": NOBODY}) == []
        for height in (0, 1, 7, tip):
            block_hash = rpc("eth_getBlockByNumber", hex(height), False)["hash"]
            expected = [log for log in reference if log["blockHash"] == block_hash and fits(log, topics)]
            assert rpc("eth_getLogs", {"blockHash": block_hash, "topics": topics}) == expected


def test_long_histories_are_searched_in_pages(node: Node, rpc: Rpc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_search, "_PAGE", 3)
    busy(node, rpc, 40)
    reference = every_log(rpc)
    for first, last in ((0, 41), (1, 41), (10, 12), (20, 20), (39, 41)):
        for who in (ANNE.address, MINER):
            topics = [TRANSFER, None, topic(who)]
            expected = [log for log in reference if first <= int(log["blockNumber"], 16) <= last and fits(log, topics)]
            assert rpc("eth_getLogs", {"fromBlock": hex(first), "toBlock": hex(last), "topics": topics}) == expected


def test_defaults_are_the_latest_block(node: Node, rpc: Rpc) -> None:
    grow(node)
    grow(node)
    (log,) = rpc("eth_getLogs", {})
    assert log["blockNumber"] == "0x3"
    allocations = len(node.settings.spec.allocations)
    assert len(rpc("eth_getLogs", {"fromBlock": "earliest", "toBlock": "latest"})) == allocations + 2
    assert rpc("eth_getLogs", {"fromBlock": "0x9"}) == []
    assert rpc("eth_getLogs", {"fromBlock": "0x9", "toBlock": "0x" + "f" * 20}) == []
    assert len(rpc("eth_getLogs", {"fromBlock": None, "address": None, "topics": None, "blockHash": None})) == 1


BAD: list[Any] = [None, 5, [], "x", {"topics": 5}, {"topics": [5]}, {"topics": ["0x12"]}, {"topics": [["0x12"]]},
    {"topics": [None] * 5},
       {"topics": [[TRANSFER] * 1001]}, {"address": 5}, {"address": [5]}, {"address": "0x12"},
       {"address": [TOKEN] * 1001},
       {"fromBlock": "0x3", "toBlock": "0x2"}, {"blockHash": "0x12"}, {"blockHash": TRANSFER, "fromBlock": "0x1"},
       {"topics": [{"a": 1}]}, {"fromBlock": "later"}]  # fmt: skip


@pytest.mark.parametrize("criteria", BAD, ids=lambda item: str(item)[:40])
def test_bad_criteria(rpc: Rpc, criteria: Any) -> None:
    refused(lambda: rpc("eth_getLogs", criteria), -32602, "...")
    refused(lambda: rpc("eth_newFilter", criteria), -32602, "...")


def test_an_unknown_block_is_an_error(rpc: Rpc) -> None:
    refused(lambda: rpc("eth_getLogs", {"blockHash": TRANSFER}), -32000, "unknown block")


def test_caps(node: Node, rpc: Rpc, monkeypatch: pytest.MonkeyPatch) -> None:
    busy(node, rpc, 12)
    for _ in range(4):
        grow(node)
    whole = {"fromBlock": "0x1", "toBlock": "latest"}
    found = len(rpc("eth_getLogs", whole))
    monkeypatch.setattr(log_search, "MAX_BLOCKS", 12)
    refused(lambda: rpc("eth_getLogs", whole), -32000, "block range is larger than 12 blocks")
    assert rpc("eth_getLogs", {**whole, "fromBlock": "0x6"})
    assert rpc("eth_getLogs", {"fromBlock": "0x0", "toBlock": "0xb"})
    refused(
        lambda: rpc("eth_getLogs", {"fromBlock": "0x0", "toBlock": "0xc"}), -32000, "block range is larger than 12..."
    )
    assert rpc("eth_getLogs", {**whole, "topics": [TRANSFER, topic(ALICE.address)]})  # the index narrows it down
    busy_one = {**whole, "topics": [None, None, topic(MINER)]}
    refused(lambda: rpc("eth_getLogs", busy_one), -32000, "more than 12 blocks name these addresses")
    monkeypatch.setattr(log_search, "MAX_BLOCKS", 2000)
    monkeypatch.setattr(log_search, "MAX_LOGS", found - 1)
    refused(lambda: rpc("eth_getLogs", whole), -32000, f"query returned more than {found - 1} results")
    monkeypatch.setattr(log_search, "MAX_LOGS", found)
    assert len(rpc("eth_getLogs", whole)) == found
    transactions = len({log["transactionHash"] for log in rpc("eth_getLogs", whole)})
    monkeypatch.setattr(log_search, "MAX_TRANSACTIONS", transactions - 1)
    refused(lambda: rpc("eth_getLogs", whole), -32000, "the blocks hold more than...")


def test_while_a_reorganisation_is_unfinished_histories_are_not_asked(node: Node, rpc: Rpc) -> None:
    busy(node, rpc, 8)
    asked = {"fromBlock": "0x1", "topics": [None, topic(ANNE.address)]}
    expected = rpc("eth_getLogs", asked)
    node.chain._redis.set(node.chain.keys.journal, "{}")
    for address in (ANNE.address, MINER):
        node.chain._redis.pipeline(transaction=True).delete(node.chain.keys.history(address))
    assert rpc("eth_getLogs", asked) == expected != []


# --- Filters ---------------------------------------------------------------------------------------------------------


def test_a_log_filter_tells_everything_new_once(node: Node, rpc: Rpc) -> None:
    grow(node)
    everything = rpc("eth_newFilter", {})
    mine = rpc("eth_newFilter", {"address": TOKEN, "topics": [TRANSFER, None, topic(NOBODY)], "fromBlock": "latest"})
    bounded = rpc("eth_newFilter", {"fromBlock": "0x4", "toBlock": "0x5", "topics": [TRANSFER, topic(ZERO)]})
    assert rpc("eth_getFilterChanges", mine) == rpc("eth_getFilterChanges", everything) == []
    for nonce in range(4):
        rpc.send(ANNE.raw(nonce, NOBODY, nonce))
        grow(node)
    assert [value(log) for log in rpc("eth_getFilterChanges", mine)] == [0, 1, 2, 3]
    changes = rpc("eth_getFilterChanges", everything)
    assert len(changes) == 3 * 4  # of each block: the reward, the fee, the transfer
    assert [log["blockNumber"] for log in rpc("eth_getFilterChanges", bounded)] == ["0x4", "0x5"]
    for each in (mine, everything, bounded):
        assert rpc("eth_getFilterChanges", each) == []
    assert [log["blockNumber"] for log in rpc("eth_getFilterLogs", bounded)] == ["0x4", "0x5"]
    assert rpc("eth_getFilterChanges", bounded) == []


def test_events_that_could_not_be_sent_come_with_the_next_poll(
    node: Node, rpc: Rpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client asks again after "too many large answers", and must not miss what it asked for."""
    everything = rpc("eth_newFilter", {})
    blocks = [grow(node) for _ in range(3)]

    def full(size: int) -> None:
        raise Busy("too_many_answers", "Too many large answers are being sent at once; try again.")

    with monkeypatch.context() as patch:
        patch.setattr(log_methods, "reserve", full)
        refused(lambda: rpc("eth_getFilterChanges", everything), -32005, "...")
    changes = rpc("eth_getFilterChanges", everything)
    assert [log["blockHash"] for log in changes] == [f"0x{block.hash}" for block in blocks]
    assert rpc("eth_getFilterChanges", everything) == []


def test_block_and_pending_filters(node: Node, rpc: Rpc) -> None:
    blocks, pending = rpc("eth_newBlockFilter"), rpc("eth_newPendingTransactionFilter")
    assert rpc("eth_newPendingTransactionFilter", False) and rpc("eth_getFilterChanges", pending) == []
    sent = [rpc.send(ANNE.raw(nonce, NOBODY, 1)) for nonce in range(3)]
    assert rpc("eth_getFilterChanges", pending) == sent
    assert rpc("eth_getFilterChanges", pending) == []
    grown = [grow(node), grow(node)]
    assert rpc("eth_getFilterChanges", blocks) == ["0x" + block.hash for block in grown]
    assert rpc("eth_getFilterChanges", blocks) == rpc("eth_getFilterChanges", pending) == []
    for each in (blocks, pending):
        refused(lambda: rpc("eth_getFilterLogs", each), -32000, "filter not found")  # noqa: B023 # called at once
    refused(lambda: rpc("eth_newPendingTransactionFilter", True), -32602, "...")


def test_a_reorganisation_takes_events_back(make_node: MakeNode, tmp_path: Path) -> None:
    node, rpc = rpc_node(make_node, tmp_path)
    rival, _ = rpc_node(make_node, tmp_path)
    logs = rpc("eth_newFilter", {"topics": [TRANSFER, None, topic(NOBODY)]})
    blocks = rpc("eth_newBlockFilter")
    raws = [ANNE.raw(nonce, NOBODY, nonce + 1) for nonce in range(3)]
    for raw in raws:
        rpc.send(raw)
        grow(node)
    seen = rpc("eth_getFilterChanges", logs)
    assert [value(log) for log in seen] == [1, 2, 3]
    assert len(rpc("eth_getFilterChanges", blocks)) == 3
    attached = reorganise(node, rival, 2, raws[1:2], [], [])
    changes = rpc("eth_getFilterChanges", logs)
    assert [(value(log), log["removed"]) for log in changes] == [(3, True), (2, True), (2, False)]
    assert [{**log, "removed": False} for log in changes[:2]] == [seen[2], seen[1]]
    assert changes[2]["blockHash"] == "0x" + attached[0].hash
    assert rpc("eth_getFilterChanges", blocks) == ["0x" + block.hash for block in attached]
    assert rpc("eth_getFilterChanges", logs) == rpc("eth_getFilterChanges", blocks) == []
    reference = every_log(rpc)
    for topics in ([None, topic(ANNE.address)], [None, None, topic(NOBODY)], []):
        expected = [log for log in reference if fits(log, topics)]
        assert rpc("eth_getLogs", {"fromBlock": "0x0", "topics": topics}) == expected
    refused(lambda: rpc("eth_getLogs", {"blockHash": seen[2]["blockHash"]}), -32000, "unknown block")


def test_filters_end_when_uninstalled_or_not_polled(node: Node, rpc: Rpc) -> None:
    one, other = rpc("eth_newFilter", {}), rpc("eth_newBlockFilter")
    assert int(one, 16) and int(other, 16) and one != other
    ttl = node.chain._redis.ttl(node.chain.keys.filter(f"{int(one, 16):032x}"))  # type: ignore[attr-defined] # not in the port
    assert 0 < ttl <= filters.KEEP_SECONDS == 300
    assert rpc("eth_uninstallFilter", one) is True
    assert rpc("eth_uninstallFilter", one) is False
    refused(lambda: rpc("eth_getFilterChanges", one), -32000, "filter not found")
    refused(lambda: rpc("eth_getFilterLogs", one), -32000, "filter not found")
    assert rpc("eth_getFilterChanges", other) == []
    bad: Any
    for bad in (None, "x", [], "0x", -1, True, "0x01"):
        refused(lambda: rpc("eth_getFilterChanges", bad), -32602, "...")  # noqa: B023 # called at once
    for unknown in (0, "0x0", "0x" + "f" * 64):
        refused(lambda: rpc("eth_getFilterChanges", unknown), -32000, "filter not found")  # noqa: B023 # called at once


def test_filters_are_counted_and_bounded(node: Node, rpc: Rpc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "MAX_FILTERS", 3)
    made = [rpc("eth_newBlockFilter") for _ in range(3)]
    refused(lambda: rpc("eth_newBlockFilter"), -32000, "too many filters are installed")
    rpc("eth_uninstallFilter", made[0])
    rpc("eth_newBlockFilter")
    now = node.clock.now()
    monkeypatch.setattr(node.clock, "now", lambda: now + 301)
    rpc("eth_newBlockFilter")  # the others have expired
    refused(lambda: rpc("eth_newFilter", {"topics": [[TRANSFER] * 900]}), -32602, "a filter's criteria are too long")


def test_a_filter_that_slept_long_catches_up_in_parts(node: Node, rpc: Rpc, monkeypatch: pytest.MonkeyPatch) -> None:
    from api.rpc import logs

    monkeypatch.setattr(logs, "_MAX_BLOCKS", 4)
    blocks, mints = rpc("eth_newBlockFilter"), rpc("eth_newFilter", {"topics": [TRANSFER, topic(ZERO)]})
    grown = ["0x" + grow(node).hash for _ in range(10)]
    for name in (blocks, mints):
        polls = [
            [item if name == blocks else item["blockHash"] for item in rpc("eth_getFilterChanges", name)]
            for _ in range(4)
        ]
        assert [len(poll) for poll in polls] == [4, 4, 2, 0]
        assert [item for poll in polls for item in poll] == grown
    monkeypatch.setattr(logs, "MAX_LOGS", 4)  # two for each transaction
    grown = ["0x" + grow(node).hash for _ in range(3)]
    polls = [rpc("eth_getFilterChanges", blocks) for _ in range(3)]
    assert [item for poll in polls for item in poll] == grown and len(polls[0]) == 2
