"""A lab in virtual time: what scenarios can do to it, and what is recorded."""

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from statistics import fmean
from typing import Any

import pytest

from lab.interface import LabError, NotReached
from lab.loading import load_scenario
from lab.measures import main_chain
from lab.recording import Recorder, read_recording
from lab.runner import observe, spec_of
from lab.simulated import node
from lab.simulated.lab import SimulatedLab
from lab.strategies import Honest, TimeLiar
from lab.strategy import Times
from services.settings.table import load_spec
from services.system.programs import ROOT


@pytest.fixture(name="lab")
def lab_fixture() -> Iterator[SimulatedLab]:
    with SimulatedLab(3, seed=1) as lab:
        yield lab


def agree(lab: SimulatedLab) -> bool:
    return len({node.tip().hash for node in lab.nodes}) == 1


def events(lab: SimulatedLab, kind: str) -> list[dict[str, Any]]:
    return [event.fields for event in lab.recorder.events if event.kind == kind]


def test_nodes_mine_all_the_time_and_agree(lab: SimulatedLab) -> None:
    lab.run_for(60)
    assert lab.now == pytest.approx(60)
    blocks = lab.blocks()
    assert 15 < len(blocks) < 50  # one in 2 s
    assert blocks[0].finder is None and {block.finder for block in blocks[1:]} == {1, 2, 3}
    known = {blocks[0].hash}
    for block in blocks[1:]:
        assert block.parent in known  # parents first
        assert block.chainwork == (block.height - 1) * lab.spec.difficulty + blocks[0].chainwork
        assert int(block.hash, 16) * lab.spec.difficulty < 2**256  # as rare as a real one
        known.add(block.hash)
    lab.mining(False)
    lab.wait(lambda: agree(lab), 60)
    before = len(lab.blocks())
    lab.run_for(30)
    assert len(lab.blocks()) == before


def test_hash_rates_decide_who_finds_the_blocks(lab: SimulatedLab) -> None:
    lab.node(1).limit("3 MH/s")
    lab.node(2).limit(1_000_000)
    lab.node(3).limit(0)
    lab.run_for(250)
    found = [block.finder for block in lab.blocks()[1:]]
    assert found.count(3) == 0
    assert found.count(1) / len(found) == pytest.approx(0.75, abs=0.12)
    assert len(found) == pytest.approx(250 / (lab.spec.difficulty / 4e6), rel=0.25)
    with pytest.raises(LabError, match="hash rate is 0"):
        lab.node(3).mine()
    for wrong in ("fast", -1, True, "1e9", float("nan")):
        with pytest.raises(LabError, match="hash rate"):
            lab.node(1).limit(wrong)
    assert events(lab, "limit")[:2] == [{"node": 1, "hash_rate": 3e6}, {"node": 2, "hash_rate": 1e6}]


def test_a_node_mines_on_demand_and_pays(lab: SimulatedLab) -> None:
    lab.mining(False)
    one, two, three = lab.nodes
    one.mine(2)
    lab.wait(lambda: agree(lab), 30)
    assert [block.finder for block in lab.blocks()[1:]] == [1, 1]
    assert three.balance(one.wallet) == 2 * lab.spec.reward
    assert one.next_nonce() == 0
    paid = one.send(two, "0.5")
    also = one.send(two.wallet, 0.25, at=three)
    lab.wait(lambda: two.depth(also) == 0, 30)
    assert (one.depth(paid), one.next_nonce(), two.depth("00" * 32)) == (0, 2, None)
    two.mine()
    lab.wait(lambda: agree(lab), 30)
    assert one.depth(paid) == three.depth(also) == 1
    two.mine()
    assert two.depth(paid) == 2
    assert two.balance(two.wallet) == 2 * lab.spec.reward + 75 * 10**16
    assert set(lab.blocks()[3].transactions) == {paid, also}
    with pytest.raises(LabError, match="refused the payment"):
        one.send(two, "500")
    for wrong in ("-1", "much", float("inf"), 1e-20):
        with pytest.raises(LabError):
            one.send(two, wrong)
    with pytest.raises(LabError):
        one.send("nobody", 1)
    assert [event["amount"] for event in events(lab, "payment")] == ["0.5", "0.25"]


def test_a_partition_keeps_its_sides_apart_until_it_is_healed(lab: SimulatedLab) -> None:
    lab.partition([1])
    lab.run_for(40)
    one, two, three = (node.tip() for node in lab.nodes)
    assert one.hash != two.hash == three.hash or two.height == three.height
    finders = {block.finder for block in main_chain(lab.blocks())[1:]}
    assert finders in ({1}, {2, 3})
    lab.mining(False)
    lab.heal()
    lab.wait(lambda: agree(lab), 180)
    assert events(lab, "groups") == [{"groups": [[1], [2, 3]]}, {"groups": [[1, 2, 3]]}]
    moved = [event for event in events(lab, "tip") if event["detached"]]
    assert moved and all(len(event["attached"]) >= len(event["detached"]) for event in moved)
    with pytest.raises(LabError, match="one group"):
        lab.partition([1, 2], [2, 3])
    with pytest.raises(LabError, match="no node 4"):
        lab.partition([1, 4])


def test_links_delay_and_can_be_cut(lab: SimulatedLab) -> None:
    lab.mining(False)
    for other in (2, 3):
        lab.link(1, other).set(latency=0.5)
        lab.link(other, 1).set(latency=0.25)
    lab.node(1).mine()
    found = lab.now
    lab.wait(lambda: agree(lab), 30)
    # Announcement, status, headers and blocks: four messages from node 1, and three to it.
    assert 4 * 0.5 + 3 * 0.25 <= lab.now - found < 7  # the nodes' workers also ask peers on their schedule
    for other in (2, 3):
        lab.link(1, other).cut()
    assert lab.link(1, 2).conditions.cut and not lab.link(2, 1).conditions.cut
    lab.node(1).mine()
    lab.run_for(30)
    assert not agree(lab)
    lab.link(1, 2).restore()
    lab.wait(lambda: agree(lab), 120)
    assert lab.link(1, 2).conditions.latency == 0.5
    assert events(lab, "link")[0] == {"from": 1, "to": 2, "latency": 0.5, "jitter": 0.0, "rate": None, "cut": False}
    with pytest.raises(LabError, match="latency"):
        lab.link(1, 2).set(latency=-1)
    with pytest.raises(LabError, match="no link to itself"):
        lab.link(1, 1)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_node_that_ended_starts_with_what_it_had(lab: SimulatedLab, end: str) -> None:
    lab.run_for(20)
    two = lab.node(2)
    getattr(two, end)()
    assert two.state == {"stop": "stopped", "kill": "killed"}[end]
    for ask in (two.tip, two.mine, two.stop, two.kill, lambda: two.balance(two.wallet), lambda: two.send(two, 1)):
        with pytest.raises(LabError, match="does not answer"):
            ask()
    stored = lab._network.members[1].checker.tip.block.index
    lab.run_for(20)
    assert not [block for block in lab.blocks() if block.finder == 2 and block.found_at > 20.1]
    two.start()
    with pytest.raises(LabError, match="runs already"):
        two.start()
    assert two.tip().height >= stored
    lab.mining(False)
    lab.wait(lambda: agree(lab), 120)
    assert [event["state"] for event in events(lab, "node")][-1] == "running"


def test_no_node_believes_a_peer_that_claims_work(lab: SimulatedLab) -> None:
    lab.run_for(10)
    lab.lie(claimed_blocks=50)
    lab.lie(claimed_blocks=100_000)
    lab.run_for(30)
    lab.mining(False)
    lab.wait(lambda: agree(lab), 60)
    assert lab.node(1).tip().height < 50
    assert not [block for block in lab.blocks()[1:] if block.finder is None]
    refused = events(lab, "invalid")
    assert {event["node"] for event in refused} == {1, 2, 3}
    assert {event["rule"] for event in refused} == {"wrong_proof"}
    assert len({event["hash"] for event in refused}) == 2
    drawn = {event["hash"]: event for event in events(lab, "block")}
    known = {block.hash for block in lab.blocks()}
    assert all(drawn[event["hash"]]["parent"] in known and event["hash"] not in known for event in refused)
    with pytest.raises(LabError):
        lab.lie(0)


def test_waiting_ends_with_a_sentence(lab: SimulatedLab) -> None:
    with pytest.raises(NotReached, match="After 5 s it was not reached that pigs fly"):
        lab.wait(lambda: False, 5, until="pigs fly")
    assert lab.now == pytest.approx(5, abs=0.1)
    with pytest.raises(LabError, match="cannot pass"):
        lab.run_for(-1)
    lab.close()
    lab.close()
    with pytest.raises(LabError, match="closed"):
        lab.run_for(1)


def test_what_cannot_be_simulated_is_refused() -> None:
    for nodes in (0, 65):
        with pytest.raises(LabError, match="1 to 64 nodes"):
            SimulatedLab(nodes)
    with pytest.raises(LabError, match="cannot be simulated"):
        SimulatedLab(2, load_spec("tutorial"))


def test_old_blocks_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checks read each block's own record: a long run must not end as one in which a promise was broken."""
    monkeypatch.setattr(node, "_settings", [replace(node._defaults(), pack_depth=2)])
    with SimulatedLab(1, seed=1) as lab:
        lab.node(1).limit("20MH/s")
        lab.wait(lambda: lab.node(1).tip().height > 80, 120)
        lab.run_for(30)  # housekeeping


def test_a_broken_promise_ends_the_run(lab: SimulatedLab) -> None:
    """The invariants are checked after every write."""
    lab.run_for(5)
    lab._network.members[0].checker.acknowledged.add("ab" * 32)
    with pytest.raises(LabError, match="gone without a trace"):
        lab.run_for(60)


RUN = """
import sys
from lab.simulated.lab import SimulatedLab
with SimulatedLab(3, seed=int(sys.argv[1])) as lab:
    lab.partition([1, 2])
    lab.run_for(20)
    lab.heal()
    lab.lie()
    lab.run_for(10)
    lab.recorder.end()
    print(lab.recorder.events[-1].fields["sha256"], lab.random.random())
"""


def test_the_same_seed_gives_the_same_run_in_every_process() -> None:
    def run(seed: int, hashes: str) -> str:
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": hashes}
        return subprocess.run(
            [sys.executable, "-c", RUN, str(seed)], env=environment, capture_output=True, text=True, timeout=100,
            check=True,
        ).stdout  # fmt: skip

    first = run(5, "1")
    assert len(first) > 64
    assert run(5, "2") == first
    assert run(6, "1") != first


def test_what_chance_decided_can_be_taken_out(lab: SimulatedLab) -> None:
    lab.run_for(40)
    blocks = {block.hash: block for block in lab.blocks()}
    assert len(lab.draws) == len(blocks) - 1
    for draw in lab.draws:
        block = blocks[draw.hash]
        found = (block.found_at, block.finder, block.parent, block.timestamp)
        assert found == (draw.time, draw.finder, draw.parent, draw.timestamp)
    assert [draw.time for draw in lab.draws] == sorted(draw.time for draw in lab.draws)


def late(lab: SimulatedLab, finder: int, since: float) -> float:
    """By how many seconds the timestamps of a node's blocks lie before their true times, in the mean."""
    found = [block for block in lab.blocks()[1:] if block.finder == finder and block.found_at > since]
    return fmean(block.found_at - (block.timestamp - lab.spec.genesis_timestamp) for block in found)


def test_a_miner_chooses_the_timestamps_of_its_blocks() -> None:
    """The true time in an honest block is some seconds old: that of the template."""
    spec = spec_of(load_scenario("timewarp"))
    with SimulatedLab(2, spec, seed=3) as lab:
        for node in lab.nodes:
            node.limit(spec.difficulty / 4)
        means = []
        for strategy in (None, TimeLiar("as far back as allowed"), TimeLiar("as far ahead as allowed"), None):
            lab.strategy(1, strategy)
            lab.run_for(10)  # templates are made anew
            since = lab.now
            lab.run_for(180)
            means.append(late(lab, 1, since))
            assert 0 < late(lab, 2, since) < 6
        assert 0 < means[0] < 6 and means[1] > 10 and means[2] < -3 and 0 < means[3] < 6, means
        assert lab.observations == []


@pytest.mark.parametrize(
    ("lie", "said"),
    [(lambda times: "noon", "not a whole number"), (lambda times: 1 // 0, "raised ZeroDivisionError")],
    ids=["nonsense", "raises"],
)
def test_a_strategy_that_cannot_tell_the_time_is_reported(lab: SimulatedLab, lie: Any, said: str) -> None:
    class Clockless(Honest):
        name = "clockless"

        def timestamp(self, times: Times) -> int:
            answer: int = lie(times)
            return answer

    lab.strategy(1, Clockless())
    lab.run_for(30)
    assert [each.held for each in lab.observations] == [False]
    assert any(said in event["text"] and "honest from now on" in event["text"] for event in events(lab, "said"))
    lab.mining(False)
    lab.wait(lambda: agree(lab), 60)
    assert {block.finder for block in lab.blocks()[1:]} == {1, 2, 3}


@pytest.mark.parametrize("name", ["partition", "crash", "liar"])
def test_a_scenario_holds_and_leaves_a_whole_recording(name: str) -> None:
    scenario = load_scenario(name)
    for seed in (1, 2):
        out = io.StringIO()
        seen = observe(scenario, SimulatedLab, "simulated", seed, {}, out)
        assert len(seen) >= 3 and all(each.held for each in seen), [each for each in seen if not each.held]
        told = read_recording(io.StringIO(out.getvalue()))
        assert told[0].fields["scenario"] == name
        assert {"block", "heard", "tip", "said", "verdict"} <= {event.kind for event in told}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", ["partition", "crash", "liar"])
def test_a_scenario_holds_with_many_seeds(name: str) -> None:
    scenario = load_scenario(name)
    failed = [
        (seed, each.claim)
        for seed in range(100, 200)
        for each in observe(scenario, SimulatedLab, "simulated", seed, {}, None)
        if not each.held
    ]
    assert failed == []


def test_two_labs_run_beside_each_other() -> None:
    with SimulatedLab(2, seed=1) as one, SimulatedLab(2, seed=1, recorder=Recorder()) as other:
        one.run_for(10)
        other.run_for(10)
        assert [block.hash for block in one.blocks()] == [block.hash for block in other.blocks()]
