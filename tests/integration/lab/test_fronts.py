"""Strategies on real nodes: what is withheld, held back, left and shown, while nodes die and links are cut."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.measures import main_chain
from lab.real.lab import RealLab
from lab.recording import VERSION, Recorder
from lab.strategies import FeeSniper, TimeLiar
from lab.strategy import WAIT, Action, publish_all
from services.settings.table import load_spec
from services.system.processes import started_at
from shared.amounts import COIN
from shared.timestamps import MAX_AHEAD
from tests.support.told import Told

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
WITHIN = 90.0  # seconds: a machine may be busy


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[RealLab]:
    recorder = Recorder()
    recorder.note(0.0, "begin", recording=VERSION, scenario="x", world="real", seed=1, nodes=3, spec={}, parameters={})
    lab = RealLab(3, load_spec("lab"), 1, recorder, tmp_path)
    try:
        lab.mining(False)
        for node in lab.nodes:
            node.limit(None)
        lab.node(2).mine()
        yield lab
    finally:
        pids = [pid for node in lab.nodes for pid in node.running.pids()]
        lab.close()
        assert [pid for pid in pids if started_at(pid) is not None] == [], "nothing is left running"


def answered(lab: RealLab, number: int) -> bool:
    """Whether the strategy of a node has decided about the node's tip."""
    tip = lab.node(number).tip().hash
    events = list(lab._tree._recorder.events)
    return any(event.kind in ("withheld", "published") and event.fields["hash"] == tip for event in events)


def agree(lab: RealLab) -> bool:
    return len({node.tip().hash for node in lab.nodes}) == 1


def test_a_strategy_works_on_real_nodes(lab: RealLab) -> None:
    one, two, three = lab.nodes
    lab.wait(lambda: agree(lab), WITHIN)

    # Blocks are withheld, and then published together.
    strategy = Told(lambda view: publish_all(view) if len(view.withheld) == 3 else WAIT)
    lab.strategy(1, strategy)
    one.mine(2)
    lab.wait(lambda: len(strategy.views) == 2, WITHIN)
    lab.run_for(1)
    assert two.tip().height == three.tip().height == one.tip().height - 2
    one.mine()
    lab.wait(lambda: agree(lab), WITHIN)
    assert [view.lead for view in strategy.views if view.block.mine] == [1, 2, 3]

    # Blocks of others are held back until it gives up; payments pass; and the node may die meanwhile.
    strategy = Told(lambda view: Action(give_up=view.lead < -1))
    lab.strategy(1, strategy)
    payment = two.send(three, "0.1")
    lab.wait(lambda: one.depth(payment) == 0, WITHIN)
    one.mine()
    secret = one.tip()
    two.mine(2)
    lab.wait(lambda: strategy.views[-1].lead == -1, WITHIN)
    one.kill()
    one.start()
    lab.run_for(1)
    assert one.tip() == secret and one.depth(payment) == 1
    lab.link(3, 1).cut()
    three.mine()
    lab.wait(lambda: agree(lab), WITHIN)  # node 2 tells it
    assert strategy.views[-1].lead == -2 and not lab._tree.has_heard(2, secret.hash)
    lab.link(3, 1).restore()

    # A block is left for its parent, and its payment mined anew, as a fee sniper does.
    lab.strategy(1, None)
    payment = two.send(three, "0.1")
    two.mine()
    lab.wait(lambda: agree(lab) and one.depth(payment) == 1, WITHIN)
    parent = one.tip().parent
    lab.strategy(1, Told(lambda view: WAIT if view.private else Action(onto=parent)))
    three.mine()
    lab.wait(lambda: one.tip().hash == parent and one.depth(payment) == 0, WITHIN)
    lab.wait(lambda: len(one.peers()) == 2, WITHIN)
    one.mine()
    assert one.tip().parent == parent and one.tip().transactions == (payment,)

    # Honest again, live.
    lab.strategy(1, None)
    three.mine()
    lab.wait(lambda: agree(lab), WITHIN)

    # Its clock is false, as far as its peers accept; then it is right.
    lab.strategy(1, TimeLiar("as far ahead as allowed"))

    def ahead() -> bool:
        one.mine()
        return one.tip().timestamp - time.time() > MAX_AHEAD - 30

    lab.wait(ahead, WITHIN)
    lab.wait(lambda: agree(lab), WITHIN)
    lab.strategy(1, None)
    three.mine()  # else node 1 would go on from the last timestamp
    lab.wait(lambda: agree(lab), WITHIN)
    one.mine()
    assert abs(one.tip().timestamp - time.time()) < 30
    assert all(each.held for each in lab.observations)


def test_a_high_fee_is_sniped_on_real_nodes(lab: RealLab) -> None:
    """Nobody else finds a block meanwhile, so that it needs no luck: a tie goes to the lower hash, two blocks win."""
    one, two, three = lab.nodes
    while two.balance(two.wallet) <= 2 * COIN:
        two.mine()
    lab.wait(lambda: agree(lab), WITHIN)
    sniper = FeeSniper(least=COIN)
    lab.strategy(1, sniper)
    payment = two.send(three, "0.5", fee=1)
    two.mine()
    robbed = two.tip()
    assert robbed.transactions == (payment,) and robbed.fees == COIN
    lab.wait(lambda: one.tip().hash == robbed.parent and one.depth(payment) == 0, WITHIN, "node 1 works on the parent")
    for _ in range(2):
        if not sniper.won:
            one.mine()
            lab.wait(lambda: answered(lab, 1), WITHIN)
    assert (sniper.won, sniper.lost) == (1, 0)
    lab.wait(lambda: agree(lab), WITHIN, "all follow the sniper")
    taken = next(block for block in main_chain(lab.blocks()) if payment in block.transactions)
    assert taken.finder == 1 and taken.parent == robbed.parent and taken.fees == COIN
    assert three.tip().height >= taken.height and two.depth(payment) is not None
    assert all(each.held for each in lab.observations)
