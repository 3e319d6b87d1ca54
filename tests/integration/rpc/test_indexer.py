"""An indexer that knows only events: its balances are the node's at every height, and through reorganisations."""

import random
from collections import Counter
from pathlib import Path
from typing import Any

from services.node import Node
from shared import erc20
from shared.addresses import checksummed
from tests.integration.rpc.client import GWEI, OWNERS, TOKEN, ZERO, Owner, Rpc, call_of, reorganise, rpc_node
from tests.support.keys import ALICE, BOB, MINER
from tests.support.nodes import MakeNode, grow, transfer

PEOPLE = OWNERS[:4]
NOBODY = "0x000000000000000000000000000000000000dEaD"
TRANSFER = "0x" + erc20.TRANSFER_TOPIC.hex()
ADDRESSES = (*(owner.address for owner in OWNERS[:5]), ALICE.address, BOB.address, MINER, NOBODY)


class Indexer:
    """Balances and the supply, from `Transfer` events alone."""

    def __init__(self) -> None:
        self.sums: Counter[str] = Counter()

    def take(self, log: Any) -> None:
        """Apply an event, or take back one that was removed."""
        assert log["topics"][0] == TRANSFER
        source, target = (checksummed(bytes.fromhex(topic[26:])) for topic in log["topics"][1:])
        amount = int(log["data"], 16) * (-1 if log["removed"] else 1)
        self.sums[source] -= amount
        self.sums[target] += amount

    def check(self, rpc: Rpc, tag: str) -> None:
        """Every balance and the supply are the node's at this height."""
        for address in ADDRESSES:
            assert self.sums[address] == rpc.number("eth_getBalance", address, tag), (address, tag)
        assert set(self.sums) <= {*ADDRESSES, ZERO}
        supply = rpc("eth_call", {"to": TOKEN, "data": call_of("totalSupply")}, tag)
        assert -self.sums[ZERO] == int(supply, 16)


def some(chance: random.Random, nonces: Counter[str], allowed: bool) -> list[bytes]:
    """Raw transactions of a block: coin and token, to themselves and others, with and without fees."""
    raws = []
    for _ in range(chance.randrange(5)):
        owner: Owner = chance.choice(PEOPLE)
        other = chance.choice(PEOPLE).address
        price = chance.choice([0, GWEI, 3 * GWEI])
        call = chance.choice(
            [
                b"",
                erc20.encode_transfer(other, chance.randrange(50)),
                erc20.encode_approve(other, 1000),
                erc20.encode_transfer_from(other, NOBODY, int(allowed)),
            ]
        )
        to = chance.choice([other, NOBODY])
        nonce = nonces[owner.address]
        nonces[owner.address] += 1
        raws.append(
            owner.token(nonce, call, gas_price=price) if call else owner.raw(nonce, to, nonce + 1, gas_price=price)
        )
    return raws


def busy(node: Node, rpc: Rpc, seed: int, blocks: int) -> None:
    """Everyone allows everyone a little, and then blocks of `some` transactions, and some of the other scheme."""
    for owner in PEOPLE:
        for nonce, spender in enumerate(PEOPLE):
            rpc.send(owner.token(nonce, erc20.encode_approve(spender.address, 1000)))
    rpc.client.submit(transfer(ALICE, 0, fee="0.003"))
    grow(node)
    chance = random.Random(seed)
    nonces = Counter({owner.address: len(PEOPLE) for owner in PEOPLE})
    for number in range(1, blocks):
        for raw in some(chance, nonces, allowed=True):
            rpc.send(raw)
        if number % 3 == 0:
            rpc.client.submit(transfer(ALICE, number // 3, fee="0.002"))
        grow(node)


def test_events_from_block_0_give_every_balance_at_every_height(make_node: MakeNode, tmp_path: Path) -> None:
    node, rpc = rpc_node(make_node, tmp_path, MIN_FEE="0")
    busy(node, rpc, 1, 24)
    logs = rpc("eth_getLogs", {"fromBlock": "0x0", "address": TOKEN, "topics": [TRANSFER]})
    order = [(int(log["blockNumber"], 16), int(log["logIndex"], 16)) for log in logs]
    assert order == sorted(order)
    indexer, tip = Indexer(), rpc.number("eth_blockNumber")
    for height in range(tip + 1):
        for log in logs:
            if int(log["blockNumber"], 16) == height:
                indexer.take(log)
        indexer.check(rpc, hex(height))
    burnt = [log for log in logs if int(log["topics"][2], 16) == 0]
    assert len(burnt) > 20 and {log["transactionIndex"] for log in burnt} == {"0x0"}
    # Those of one account, which are found through its history.
    for owner in PEOPLE:
        party = "0x" + "00" * 12 + owner.address[2:].lower()
        sides = [rpc("eth_getLogs", {"fromBlock": "0x0", "topics": [TRANSFER, *at]}) for at in ([None, party], [party])]
        received, sent = (sum(int(log["data"], 16) for log in side) for side in sides)
        assert received - sent == rpc.number("eth_getBalance", owner.address, "latest")


def test_a_filter_keeps_an_indexer_right_through_reorganisations(make_node: MakeNode, tmp_path: Path) -> None:
    node, rpc = rpc_node(make_node, tmp_path, MIN_FEE="0")
    indexer, chance = Indexer(), random.Random(7)
    watching = rpc("eth_newFilter", {"fromBlock": "0x0", "address": TOKEN, "topics": [TRANSFER]})
    for log in rpc("eth_getFilterLogs", watching):
        indexer.take(log)
    indexer.check(rpc, "0x0")
    removed = 0

    def follow() -> None:
        nonlocal removed
        for log in rpc("eth_getFilterChanges", watching):
            removed += log["removed"]
            indexer.take(log)
        indexer.check(rpc, "latest")

    busy(node, rpc, 2, 6)
    follow()
    for depth, polled in ((1, True), (4, True), (5, False)):
        fork = node.chain.tip().height - depth
        nonces = Counter(
            {owner.address: rpc.number("eth_getTransactionCount", owner.address, hex(fork)) for owner in PEOPLE}
        )
        bodies = [some(chance, nonces, allowed=False) for _ in range(depth + 1)]
        rival, _ = rpc_node(make_node, tmp_path, MIN_FEE="0")
        reorganise(node, rival, fork, *bodies)
        if polled:
            follow()
        grow(node)  # with what has come back to the mempool
        follow()
    assert removed > 30
    whole = Indexer()
    for log in rpc("eth_getLogs", {"fromBlock": "0x0", "topics": [TRANSFER]}):
        whole.take(log)
    assert +whole.sums == +indexer.sums and -whole.sums == -indexer.sums
