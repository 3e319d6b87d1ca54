"""What a lab sees of refusals, from the node's own answers: blocks that break a rule, and peers without work."""

from __future__ import annotations

from typing import Any

import pytest
from redis import Redis

from lab.blocktree import BlockTree
from lab.interface import LabBlock, LabError
from lab.real.refusals import Refusals
from lab.recording import Event, Recorder
from tests.network.ports import Member, Network
from tests.support.clocks import START
from tests.support.keys import MINER
from tests.support.liars import OTHER_MINER, ForgedChain, ScriptedPeer
from tests.support.specs import make_spec

LIAR = "http://liar:5000"
HEIGHT = 5


class Asked:
    """A node of this process, or one that has ended."""

    def __init__(self, number: int, member: Member | None) -> None:
        self.number = number
        self._member = member

    def ask(self, path: str) -> Any:
        if self._member is None:
            raise LabError("node 3 is killed.")
        return self._member.get(path)


@pytest.fixture
def us(redis: Redis) -> Member:
    """A node whose blocks take 16 hashes each, and which knows a peer."""
    network = Network(redis, make_spec(difficulty=16))
    network.clock.time = START
    member = network.member("us")
    member.grow(HEIGHT - 1, MINER)
    member.befriend(LIAR)
    return member


def serve(us: Member, forge: str, **changes: Any) -> ForgedChain:
    """Have the liar show a longer chain whose third block is forged."""
    chain = ForgedChain(us.spec, [us.node.chain.block_object(name) for name in us.hashes()[:2]])
    chain.miner = OTHER_MINER
    chain.forge(**{**changes, "body": [chain.reward(amount="2")]} if forge == "reward" else changes)
    chain.grow(HEIGHT)
    peer = ScriptedPeer(chain)
    claim = {**peer.status(), "chainwork": 10**9}
    peer.status = lambda: claim
    us.network.http.serve(LIAR, peer)
    us.resolve()
    return chain


def lab_of(us: Member) -> tuple[BlockTree, Recorder]:
    """The blocks of our node, as a lab has seen them."""
    recorder = Recorder()
    tree = BlockTree(recorder, lambda: 0.0)
    for height, name in enumerate(us.hashes(), 1):
        tree.add(LabBlock(name, us.hashes()[height - 2] if height > 1 else "-", height, 16 * height, 1, 0.0, 0.0))
    return tree, recorder


def seen(recorder: Recorder) -> list[Event]:
    return [event for event in recorder.events if event.kind in ("block", "invalid")][HEIGHT:]


def test_a_block_with_work_that_breaks_a_rule_is_recorded_with_its_place(us: Member) -> None:
    bad = serve(us, "reward").hashes[2]
    tree, recorder = lab_of(us)
    refusals = Refusals(lambda: [Asked(3, None), Asked(1, us), Asked(2, us)], tree, {OTHER_MINER: 2}.get)
    refusals.look()
    refusals.look()
    block, *invalid = seen(recorder)
    assert block.kind == "block" and block.fields["hash"] == bad and block.fields["finder"] == 2
    assert (block.fields["parent"], block.fields["height"]) == (us.hashes()[1], 3)
    assert [event.fields for event in invalid] == [
        {"node": node, "hash": bad, "rule": "wrong_reward"} for node in (1, 2)
    ]
    assert bad not in {each.hash for each in tree.blocks()}, "no node has it"


def test_a_header_of_which_only_the_header_was_seen(us: Member) -> None:
    serve(us, "header", timestamp=1)
    tree, recorder = lab_of(us)
    Refusals(lambda: [Asked(1, us)], tree, {}.get).look()
    block, invalid = seen(recorder)
    assert block.fields["finder"] is None and invalid.fields["rule"] == "timestamp_too_low"


def test_a_liar_without_work_is_known_by_what_it_showed(us: Member) -> None:
    chain = serve(us, "work", valid=False)
    tree, recorder = lab_of(us)
    refusals = Refusals(lambda: [Asked(1, us)], tree, {}.get)
    refusals.look()
    assert seen(recorder) == [], "the node keeps no evidence of what took no work, and the lab does not know the peer"
    first = LabBlock(chain.hashes[2], us.hashes()[1], 3, 48, None, 0.0, 0.0)
    refusals.liar(LIAR, first)
    refusals.start()
    refusals.stop()
    block, invalid = seen(recorder)
    assert block.fields["hash"] == first.hash
    assert invalid.fields == {"node": 1, "hash": first.hash, "rule": "wrong_proof"}


def test_a_refused_block_on_an_unknown_branch_has_no_place(us: Member) -> None:
    recorder = Recorder()
    tree = BlockTree(recorder, lambda: 0.0)
    tree.refused(1, LabBlock("b" * 64, "a" * 64, 9, 9, None, 0.0, 0.0), "wrong_reward")
    assert [event.kind for event in recorder.events] == ["invalid"]
