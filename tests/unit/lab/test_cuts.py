"""Cuts and partitions, the same in every world."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from typing import Protocol

import pytest

from lab.blocktree import BlockTree
from lab.cuts import Cuts, parts_of
from lab.interface import LabError, Link
from lab.real.router import Router
from lab.real.wiring import Wiring
from lab.recording import VERSION, Recorder
from lab.simulated.lab import SimulatedLab
from lab.simulated.tree.lab import TreeLab
from services.settings.table import load_spec

NODES = 3


class Network(Protocol):
    """What the three labs have in common here."""

    def link(self, a: int, b: int) -> Link: ...
    def partition(self, *groups: list[int]) -> None: ...
    def heal(self) -> None: ...


class RealNetwork:
    """The links of a real lab, whose nodes need not run."""

    def __init__(self, router: Router, recorder: Recorder) -> None:
        for number in range(1, NODES + 1):
            router.add(number, "127.0.0.1", number)
        self._wiring = Wiring(router, NODES, BlockTree(recorder, lambda: 0.0).note)
        self.link = self._wiring.link
        self.heal = self._wiring.heal

    def partition(self, *groups: list[int]) -> None:
        self._wiring.partition(groups)


@pytest.fixture
def recorder() -> Recorder:
    recorder = Recorder()
    recorder.note(0.0, "begin", recording=VERSION, scenario="x", world="real", seed=1, nodes=3, spec={}, parameters={})
    return recorder


@pytest.fixture(params=["real", "full", "tree"])
def network(request: pytest.FixtureRequest, recorder: Recorder) -> Iterator[Network]:
    if request.param == "real":
        with Router() as router:
            yield RealNetwork(router, recorder)
    elif request.param == "full":
        with SimulatedLab(NODES, seed=1, recorder=recorder) as full:
            yield full
    else:
        with TreeLab(NODES, load_spec("lab"), 1, recorder) as tree:
            yield tree


def cut(network: Network) -> set[tuple[int, int]]:
    """The links that are cut."""
    return {ends for ends in permutations(range(1, NODES + 1), 2) if network.link(*ends).conditions.cut}


def test_partitions_and_single_cuts_are_the_same_in_every_world(network: Network, recorder: Recorder) -> None:
    assert cut(network) == set()
    network.partition([1])
    assert cut(network) == {(1, 2), (2, 1), (1, 3), (3, 1)}
    network.link(2, 3).cut()
    network.link(1, 2).restore()  # in spite of the partition
    assert cut(network) == {(2, 3), (2, 1), (1, 3), (3, 1)}
    network.partition([1, 2], [3])  # what was cut alone stays cut; what was restored is a matter of the partition again
    assert cut(network) == {(1, 3), (3, 1), (2, 3), (3, 2)}
    network.partition([1, 2, 3])
    assert cut(network) == {(2, 3)}
    network.link(2, 3).set(latency=0.5)
    assert cut(network) == {(2, 3)}
    network.link(2, 3).restore()
    assert cut(network) == set()
    network.link(3, 1).cut()
    network.partition([1], [2], [3])
    assert len(cut(network)) == 6
    network.heal()
    assert cut(network) == set() and network.link(2, 3).conditions.latency == 0.5
    for groups in ([[1], [1, 2]], [[4]]):
        with pytest.raises(LabError):
            network.partition(*groups)
    assert cut(network) == set()
    with pytest.raises(LabError):
        network.link(1, 1)
    with pytest.raises(LabError):
        network.link(1, 4)

    told = [event.fields for event in recorder.events if event.kind in ("groups", "link")]
    shown = [each["groups"] if "groups" in each else (each["from"], each["to"], each["cut"]) for each in told]
    assert shown == [
        [[1], [2, 3]], (2, 3, True), (1, 2, False), [[1, 2], [3]], [[1, 2, 3]], (2, 3, True), (2, 3, False),
        (3, 1, True), [[1], [2], [3]], [[1, 2, 3]],
    ]  # fmt: skip


def test_a_router_is_told_of_what_changes_only() -> None:
    """A connection that is open is not ended by a partition that leaves its link alone."""
    with Router() as router:
        recorder = Recorder()
        recorder.note(0.0, "begin", recording=VERSION, scenario="x", world="real", seed=1, nodes=3, spec={},
                      parameters={})  # fmt: skip
        network = RealNetwork(router, recorder)
        router.link(1, 2).stop()
        network.partition([1, 2], [3])
        network.heal()
        assert router._link(1, 2).stopped  # a restored link would pass again


def test_a_node_is_alone_after_a_partition_that_names_the_others() -> None:
    cuts = Cuts(3)
    assert cuts.part([[2, 3]]) == [[2, 3], [1]]
    assert cuts(1, 2) and not cuts(2, 3)
    assert cuts.heal() == [[1, 2, 3]]


def test_nodes_that_are_not_named_are_a_group_of_their_own() -> None:
    assert parts_of(4, [[2, 1]]) == [[1, 2], [3, 4]]
    assert parts_of(4, [[1], range(2, 5)]) == [[1], [2, 3, 4]]
    assert parts_of(3, [[], [3]]) == [[3], [1, 2]]
    assert parts_of(2, []) == [[1, 2]]


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ([[0]], "There is no node 0: this lab has the nodes 1 to 3."),
        ([[1], [4]], "There is no node 4"),
        ([[1], [1, 2]], "in one group of a partition only"),
        ([[2, 2]], "in one group of a partition only"),
    ],
)
def test_a_partition_that_cannot_be(groups: list[list[int]], said: str) -> None:
    with pytest.raises(LabError, match=said):
        parts_of(3, groups)
