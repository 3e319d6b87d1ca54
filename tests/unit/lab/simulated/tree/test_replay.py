"""The same draws give the same tree, with each strategy."""

from collections.abc import Callable

import pytest

from lab.recording import Recorder
from lab.simulated.tree.draws import BadDraws, Draw
from lab.simulated.tree.links import Links
from lab.simulated.tree.network import Network
from lab.simulated.tree.replay import draws_of, replay
from lab.simulated.tree.watcher import RecordingWatcher
from lab.strategies import Censor, DoubleSpender, FeeSniper, Honest, Majority, Selfish, SelfishLowHash, TimeLiar
from lab.strategy import Strategy
from tests.unit.lab.simulated.tree.spec import SPEC, make_spec

STRATEGIES: list[Callable[[], Strategy]] = [
    Honest, Majority, Selfish, SelfishLowHash, lambda: DoubleSpender(2), lambda: DoubleSpender(1, ties=True),
    lambda: FeeSniper(0), lambda: Censor(lambda payment: True), TimeLiar,
]  # fmt: skip


@pytest.mark.parametrize("make", STRATEGIES)
@pytest.mark.parametrize("interval", [0, 10])
def test_a_replay_gives_the_same_tree(make: Callable[[], Strategy], interval: int) -> None:
    spec = make_spec(block_interval=interval)
    links = Links(3, 0.05)
    network = Network([400.0, 300.0, 300.0], spec=spec, seed=8, links=links, strategies={0: make()})
    network.run(blocks=150)
    network.settle()
    again = replay(draws_of(network), 3, spec=spec, links=links, strategies={1: make()})
    assert again.digest() == network.digest()
    assert [node.tip.hash for node in again.nodes] == [node.tip.hash for node in network.nodes]
    assert [block.published for block in again.blocks] == [block.published for block in network.blocks]


def test_other_delays_give_another_tree() -> None:
    network = Network([500.0, 500.0], spec=SPEC, seed=8, links=Links(2, 0.3))
    network.run(blocks=50)
    assert replay(draws_of(network), 2, spec=SPEC).digest() != network.digest()


def test_a_script_acts_at_its_times() -> None:
    draws = [Draw(float(time), 1 + time % 2, f"{time:064x}") for time in range(1, 9)]

    def part(network: Network) -> None:
        network.links.set_cuts(lambda a, b: True)

    def heal(network: Network) -> None:
        network.links.set_cuts(lambda a, b: False)
        network.reconnect()

    parted = replay(draws, 2, spec=SPEC, script=[(2.5, part)])
    assert parted.nodes[0].tip is not parted.nodes[1].tip
    healed = replay(draws, 2, spec=SPEC, script=[(2.5, part), (6.5, heal)])
    assert healed.nodes[0].tip is healed.nodes[1].tip


def test_times_of_hearing_stand_for_links_that_are_not_known() -> None:
    links = Links(3, 0.1)
    for a, b in ((0, 1), (1, 2), (2, 0)):
        links.change(a, b, jitter=1.5)
    network = Network([400.0, 300.0, 300.0], spec=SPEC, seed=8, links=links, strategies={0: Selfish()})
    recorder = Recorder()
    network.watcher = RecordingWatcher(network, recorder)
    network.run(blocks=150)
    network.settle()
    heard = [(e.t, e.fields["node"], e.fields["hash"]) for e in recorder.events if e.kind == "heard"]
    again = replay(draws_of(network), 3, spec=SPEC, strategies={1: Selfish()}, heard=heard)
    assert again.digest() == network.digest()
    assert [node.tip.hash for node in again.nodes] == [node.tip.hash for node in network.nodes]
    with pytest.raises(BadDraws, match="before it is found"):
        replay([], 1, spec=SPEC, heard=[(1.0, 1, "ab")])


def test_a_hash_without_work_is_refused() -> None:
    with pytest.raises(BadDraws, match="does not meet"):
        replay([Draw(1.0, 1, "f" * 64)], 1, spec=SPEC)
