"""A front between a miner with a strategy and its peers: what is withheld, published and held back."""

from collections.abc import Callable, Iterator

import pytest

from lab.simulated.lab import SimulatedLab
from lab.strategy import WAIT, Action, View, publish_all
from tests.support.told import Told


@pytest.fixture(name="lab")
def lab_fixture() -> Iterator[SimulatedLab]:
    with SimulatedLab(3, seed=2) as lab:
        lab.mining(False)
        lab.node(2).mine()
        lab.wait(lambda: len({node.tip().hash for node in lab.nodes}) == 1, 30)
        yield lab


def kinds(lab: SimulatedLab, *wanted: str) -> list[tuple[str, str]]:
    return [(event.kind, event.fields["hash"]) for event in lab.recorder.events if event.kind in wanted]


def test_blocks_are_withheld_and_published_together(lab: SimulatedLab) -> None:
    strategy = Told(lambda view: publish_all(view) if len(view.withheld) == 3 else WAIT)
    lab.strategy(1, strategy)
    one, two, three = lab.nodes
    one.mine(2)
    lab.run_for(20)
    assert (one.tip().height, two.tip().height, three.tip().height) == (4, 2, 2)
    one.mine()
    lab.wait(lambda: two.tip().hash == three.tip().hash == one.tip().hash, 30)
    assert [len(view.private) for view in strategy.found] == [1, 2, 3]
    assert [view.lead for view in strategy.found] == [1, 2, 3]
    last = strategy.found[-1]
    assert last.block == last.tip == last.private[-1] and last.fork == last.public and last.published == 0
    assert all(known.mine for known in last.private) and not last.fork.mine
    own = [block.hash for block in lab.blocks()[2:]]
    # The last one was published at once, so it was never withheld.
    assert kinds(lab, "withheld", "published") == [
        ("withheld", own[0]), ("withheld", own[1]), *[("published", name) for name in own],
    ]  # fmt: skip


def test_blocks_of_others_are_held_back_until_the_strategy_gives_up(lab: SimulatedLab) -> None:
    strategy = Told(lambda view: Action(give_up=view.lead < -1))
    lab.strategy(1, strategy)
    one, two, three = lab.nodes
    one.mine()
    secret = one.tip().hash
    two.mine(2)  # better than the withheld block: an ordinary node would take it
    lab.run_for(20)
    assert one.tip().hash == secret
    assert strategy.heard[-1].lead == -1 and strategy.heard[-1].public.hash == two.tip().hash
    three.mine()
    lab.wait(lambda: one.tip().hash == three.tip().hash, 30)
    assert strategy.heard[-1].lead == -2
    assert not [event for event in kinds(lab, "heard") if event[1] == secret][1:]  # nobody else has seen it


def test_without_a_branch_of_its_own_the_node_follows(lab: SimulatedLab) -> None:
    strategy = Told()
    lab.strategy(1, strategy)
    lab.node(2).mine(2)
    lab.wait(lambda: lab.node(1).tip().hash == lab.node(2).tip().hash, 30)
    view = strategy.heard[-1]
    assert view.fork == view.public == view.block == view.tip and view.private == () and view.lead == 0


def test_a_strategy_works_on_an_older_block(lab: SimulatedLab) -> None:
    strategy = Told(lambda view: publish_all(view) if view.private else Action(onto=view.block.parent))
    parent = lab.node(1).tip()
    lab.strategy(1, strategy)
    lab.node(2).mine()
    lab.run_for(10)
    assert lab.node(1).tip().hash == parent.hash
    lab.node(1).mine()
    assert lab.blocks()[-1].parent == parent.hash
    assert strategy.found[-1].lead == 0


def test_a_block_may_be_left_for_its_parent(lab: SimulatedLab) -> None:
    """The node has stored the public tip already, and takes it off its chain."""
    genesis = lab.blocks()[0].hash
    strategy = Told(lambda view: Action(onto=genesis) if not view.private else WAIT)
    lab.strategy(1, strategy)
    lab.node(2).mine()
    lab.wait(lambda: lab.node(1).tip().hash == genesis, 30)
    lab.node(1).mine()
    assert lab.node(1).tip().height == 2


def test_payments_pass_unless_the_strategy_refuses_them(lab: SimulatedLab) -> None:
    class Picky(Told):
        def takes(self, transaction: str) -> bool:
            return transaction != refused

    lab.node(2).mine()
    lab.node(3).mine()
    lab.run_for(5)
    _, two, three = lab.nodes
    refused = two.send(three, "0.1")  # before the strategy is there: the first relay has not gone out yet
    lab.strategy(1, Picky(publish_all))
    kept = three.send(two, "0.1")
    lab.wait(lambda: lab.node(1).depth(kept) == 0, 30)
    assert lab.node(1).depth(refused) is None
    lab.node(1).mine()
    assert lab.blocks()[-1].transactions == (kept,)


def raises(view: View) -> Action:
    raise RuntimeError("oops")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (raises, "raised RuntimeError: oops"),
        (lambda view: Action(publish=9), "publish 9 of 1"),
        (lambda view: "all", "no Action"),
        (lambda view: Action(onto="ff" * 32), "no block of the public branch"),
    ],
    ids=["raises", "publishes too much", "no action", "onto nothing"],
)
def test_a_strategy_that_fails_is_reported_and_its_node_is_honest(
    lab: SimulatedLab, answer: Callable[[View], Action], said: str
) -> None:
    lab.strategy(1, Told(answer))
    lab.node(1).mine()
    lab.wait(lambda: len({node.tip().hash for node in lab.nodes}) == 1, 30)
    assert lab.node(2).tip().finder == 1
    [told] = [event.fields["text"] for event in lab.recorder.events if event.kind == "said"]
    assert said in told
    assert [each.held for each in lab.observations] == [False]
    lab.node(1).mine()
    lab.wait(lambda: len({node.tip().hash for node in lab.nodes}) == 1, 30)


def test_a_strategy_can_be_taken_away(lab: SimulatedLab) -> None:
    strategy = Told()
    lab.strategy(1, strategy)
    lab.node(1).mine(2)
    lab.run_for(10)
    assert lab.node(2).tip().height == 2
    lab.strategy(1, None)
    lab.wait(lambda: lab.node(2).tip().hash == lab.node(1).tip().hash, 30)
    lab.node(1).mine()
    assert len(strategy.found) == 2
    names = [event.fields["name"] for event in lab.recorder.events if event.kind == "strategy"]
    assert names == ["told", None]
