"""Nodes whose old blocks are packed: they give their chain to others, and leave it for a better one."""

import random

import pytest

from services.store import packing
from services.store.packing import HELD_SECONDS
from tests.network.branches import check, fork, random_block
from tests.network.ports import Member, Network
from tests.support.keys import ALICE, BOB, KEYS


@pytest.fixture(autouse=True)
def _small_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "BLOCKS", 4)


def pack(member: Member) -> int:
    done = 0
    while count := member.node.chain.packs.pack_next(1, member.node.clock.now):
        done += count
    return done


def test_a_node_fetches_a_packed_chain(network: Network) -> None:
    a, b = fork(network)
    a.grow(10, ALICE.address)
    assert pack(a) >= 8
    assert b.resolve().replaced
    assert b.hashes() == a.hashes()
    check(b)


@pytest.mark.parametrize("seed", range(2))
def test_packed_blocks_are_left_for_a_better_branch_and_come_back(network: Network, seed: int) -> None:
    """Back and forth between branches of random transactions, everything packed each time."""
    rng, keys = random.Random(seed), KEYS[:4]
    a, b = network.members("a", "b")
    a.mine(*random_block(a, rng, keys, 8), recipient=ALICE.address)
    a.grow(5, ALICE.address)
    network.copy(a, b)
    for loser, winner in ((a, b), (b, a), (a, b)):
        for _ in range(rng.randint(3, 7)):
            loser.mine(*random_block(loser, rng, keys, rng.randint(0, 4)), recipient=BOB.address)
        while winner.height <= loser.height:
            winner.mine(*random_block(winner, rng, keys, rng.randint(0, 4)), recipient=ALICE.address)
        network.clock.sleep(HELD_SECONDS + 1)
        for member in (loser, winner):
            pack(member)
            assert member.node.chain.packs.totals().height >= member.height - 4
        assert loser.resolve().replaced
        assert loser.hashes() == winner.hashes()
        assert loser.node.repair.run().findings == winner.node.repair.run().findings == ()
        loser.node.chain.packs.unpack_above(0, 0)
        check(loser)
