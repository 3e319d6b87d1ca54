"""Labs of real nodes: one start serves one story of partition, payment, kill and liar."""

from __future__ import annotations

import json
import os
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from api.cli.group import Failure
from lab.interface import LabError
from lab.loading import Value, load_scenario
from lab.page.facts import Facts
from lab.real.lab import NODES_PER_CORE, RealLab, require_room
from lab.real.node import RealNode
from lab.recording import VERSION, Recorder, read_recording
from lab.runner import run_real
from lab.strategy import WAIT, Action, View
from services.launch.nursery import AVAILABLE
from services.settings.table import load_spec
from services.system.processes import processes, started_at
from shared.chain_spec import ChainSpec

WITHIN = 90.0  # seconds: a machine may be busy


@pytest.fixture
def recorder() -> Recorder:
    recorder = Recorder()
    recorder.note(0.0, "begin", recording=VERSION, scenario="x", world="real", seed=1, nodes=2, spec={}, parameters={})
    return recorder


@pytest.fixture
def lab(recorder: Recorder, tmp_path: Path) -> Iterator[RealLab]:
    lab = RealLab(2, load_spec("lab"), 1, recorder, tmp_path)
    try:
        yield lab
    finally:
        pids = [pid for node in lab.nodes for pid in node.running.pids()]
        lab.close()
        assert [pid for pid in pids if started_at(pid) is not None] == [], "nothing is left running"


def parents(node: RealNode) -> set[int]:
    """Of the node's programs, without its Valkey."""
    table, (_, *programs) = processes(), node.running.pids()
    return {table[pid].parent for pid in programs}


def answers(node: RealNode) -> bool:
    try:
        node.client().get("/readyz")
    except Failure:
        return False
    return True


def ask(url: str, method: str) -> object:
    call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": []}
    request = urllib.request.Request(url, json.dumps(call).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)["result"]


class Quiet:
    """A strategy that publishes nothing."""

    name = "quiet"

    def on_found(self, view: View) -> Action:
        return WAIT

    on_heard = on_found


def through_the_router(lab: RealLab, asking: int, url: str) -> tuple[int, str]:
    """What a node gets from a peer."""
    proxy = urllib3.ProxyManager(f"http://127.0.0.1:{lab._router.port_of(asking)}", retries=False)
    answer = proxy.request("GET", url, timeout=10)
    return answer.status, answer.data.decode()


def agree(lab: RealLab) -> bool:
    return len({node.tip().hash for node in lab.nodes}) == 1


@pytest.mark.timeout(300)  # a dozen waits for real nodes, on a busy machine
def test_real_nodes_part_and_heal_and_pay_and_die_and_are_lied_to(
    lab: RealLab, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = lab.nodes
    nursery = lab._nursery.pid
    starter = nursery if AVAILABLE else os.getpid()
    assert parents(one) == parents(two) == {starter}, "they were forked"
    assert one.client().get("/status")["rpc_url"] is None
    assert ask(f"{one.url}/rpc", "eth_chainId") == hex(lab.spec.chain_id)
    lab.wait(lambda: one.balance(one.wallet) > 0 and two.balance(one.wallet) > 0, WITHIN, "node 1 has coins")

    lab.partition([1], [2])
    fork = min(one.tip().height, two.tip().height)
    lab.wait(lambda: min(one.tip().height, two.tip().height) > fork + 1, WITHIN, "both sides have found blocks")
    assert one.tip().hash != two.tip().hash
    nonce = one.next_nonce()
    here, there = one.send(two, "0.25", nonce=nonce), one.send(one, "0.25", nonce=nonce, at=two)
    assert here != there
    lab.mining(False)
    lab.heal()
    lab.wait(lambda: agree(lab), WITHIN, "both have one tip")

    payment = next(each for each in (here, there) if one.depth(each) is not None)
    one.mine()
    lab.wait(lambda: (two.depth(payment) or 0) >= 1, WITHIN, "the payment is confirmed at both")
    assert one.depth("0" * 64) is None

    height = two.tip().height
    lab.mining(True)
    lab.wait(lambda: two.client().get("/status")["requests"] > 0, WITHIN, "node 2 has something to mine")
    two.kill()
    with pytest.raises(LabError, match="node 2 is killed"):
        two.tip()
    two.limit(0)
    two.start()
    assert two.client().get("/status")["requests"] == 0, "what it had stored is cancelled"
    lab.mining(False)
    lab.wait(lambda: agree(lab), WITHIN, "both have one tip again")
    assert two.tip().height >= height and (two.depth(payment) or 0) >= 1
    assert parents(two) == {starter}

    lab.mining(True)  # an honest branch grows beside the liar's
    lab.lie(50)
    lab.wait(
        lambda: {event.fields["node"] for event in recorder.events if event.kind == "invalid"} == {1, 2},
        WITHIN, "both nodes have refused what the liar shows",
    )  # fmt: skip
    refused = next(event.fields for event in recorder.events if event.kind == "invalid")
    drawn = next(event.fields for event in recorder.events if event.fields.get("hash") == refused["hash"])
    assert refused["rule"] == "wrong_proof" and drawn["parent"] in {block.hash for block in lab.blocks()}
    assert refused["hash"] not in {block.hash for block in lab.blocks()}
    lab.mining(False)
    lab.wait(lambda: agree(lab), WITHIN, "both have one tip in spite of the liar")
    assert one.tip().height < height + 50

    lab.strategy(1, Quiet())
    one.mine()
    secret = one.tip().hash
    lab.wait(lambda: any(event.kind == "withheld" for event in recorder.events), WITHIN, "the block is withheld")
    for path in ("/status", "/headers", "/chain", "/tips", "/blocks/latest", "/events", f"/blocks/{secret}"):
        status, body = through_the_router(lab, 2, f"{one.url}{path}")
        assert status in (200, 404) and secret not in body, path
    assert not agree(lab)
    lab.strategy(1, None)
    lab.wait(lambda: agree(lab), WITHIN, "the withheld block is published")
    assert all(each.held for each in lab.observations)

    # Without the nursery the nodes go on: their programs end and are started in the ordinary way.
    if nursery is not None:
        os.kill(nursery, signal.SIGKILL)
    lab.wait(lambda: len(one.running.pids()) == 5 and parents(one) == {os.getpid()}, WITHIN, "node 1 has new programs")
    lab.wait(lambda: answers(one), WITHIN, "node 1 answers again")
    one.mine()
    lab.wait(lambda: answers(two) and agree(lab), WITHIN, "node 2 has the block")

    kinds = [event.kind for event in recorder.events]
    assert {
        "strategy",
        "withheld",
        "published",
        "block",
        "heard",
        "tip",
        "groups",
        "payment",
        "node",
        "limit",
        "said",
    } <= set(kinds)
    assert any(event.kind == "tip" and event.fields["detached"] for event in recorder.events)
    states = [event.fields for event in recorder.events if event.kind == "node"]
    assert [each["state"] for each in states if each["node"] == 2] == ["running", "killed", "running"]
    with pytest.raises(LabError, match="There is no node 3"):
        lab.node(3)
    with pytest.raises(LabError, match="no link to itself"):
        lab.link(1, 1)
    assert "pool is full" not in caplog.text, "no connection was thrown away"


def test_more_nodes_than_fit_are_refused_in_a_sentence_that_says_what_fits() -> None:
    most = (os.cpu_count() or 1) * NODES_PER_CORE
    require_room(most)
    with pytest.raises(LabError, match=f"64000 real nodes do not fit on .* cores: up to {most} do"):
        require_room(64_000)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "name", ["partition", "liar", "latency", "majority", "crash", "selfish", "fees", "double_spend", "timewarp"]
)
def test_a_scenario_holds_on_real_nodes(name: str, tmp_path: Path) -> None:
    small: dict[str, dict[str, Value]] = {
        "latency": {"blocks": 30, "delay": 0.05},
        "liar": {"nodes": 2},
        "majority": {"depth": 2, "share": 0.75},
        "crash": {"nodes": 3, "away": 2.0},
        "selfish": {"blocks": 40, "alpha": 0.4},
        "fees": {"blocks": 40, "q": 0.4, "fee": 2},
        "double_spend": {"q": 0.8, "z": 1, "blocks": 1},
        "timewarp": {"blocks": 30, "warm_up": 10, "share": 0.4},
    }
    labs: list[RealLab] = []

    def make(nodes: int, spec: ChainSpec, seed: int, recorder: Recorder) -> RealLab:
        labs.append(RealLab(nodes, spec, seed, recorder))
        return labs[-1]

    result = run_real(load_scenario(name), make, 1, small.get(name, {}), tmp_path)
    assert result.held, result.verdicts
    assert result.recording is not None
    events = read_recording(Path(result.recording).read_text("ascii").splitlines(keepends=True))
    tree = {block.hash: block.parent for block in labs[0].blocks()}
    assert {block.hash: block.parent for block in Facts(events).blocks.values()} == tree, "it replays to the same tree"
    refused = {event.fields["rule"] for event in events if event.kind == "invalid"}
    assert refused == ({"wrong_proof"} if name == "liar" else set())
