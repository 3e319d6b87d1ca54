"""Peers that claim much work and send it byte by byte: an honest one among them is adopted all the same.

On real sockets: the slow peers are in one other process, and the resolver uses a node's own HTTP.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest
from redis import Redis

from services.connections.servers import as_store
from services.node import Node, build_node
from services.peers import patience
from services.peers.patience import PATIENCE
from services.settings.table import load
from services.system.programs import ROOT
from shared.chain_spec import ChainSpec
from tests.network.drippers import PLACES, WHOLE_PLACES
from tests.support.liars import ForgedChain
from tests.support.nodes import make_settings
from tests.support.queues import RecordingQueue
from tests.support.specs import make_spec
from tests.support.tutorial_node import TutorialNode, ticking

LIARS = 63
BLOCKS = 120


@contextmanager
def drippers(script: dict[str, Any]) -> Iterator[tuple[list[str], str]]:
    """The URLs of the liars and of the honest peer."""
    command = [sys.executable, "-m", "tests.network.drippers"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(json.dumps(script) + "\n")
            process.stdin.flush()
            urls = json.loads(process.stdout.readline())
            yield urls["liars"], urls["honest"]
        finally:
            process.kill()


def node_of(redis: Redis, spec: ChainSpec) -> Node:
    """A node with the system's clock and HTTP."""
    node = build_node(make_settings(spec, max_peers=64), store=as_store(redis), queue=RecordingQueue())
    node.chain.initialise()
    return node


def honest_chain(spec: ChainSpec) -> ForgedChain:
    chain = ForgedChain(spec)
    chain.grow(BLOCKS)
    return chain


def script_of(chain: ForgedChain, place: str, liars: int) -> dict[str, Any]:
    work = chain.chainwork
    return {"blocks": chain.blocks, "hashes": chain.hashes, "chainwork": work, "place": place, "liars": liars}


def adopted_after(node: Node, tip: str, seconds: float, every: float = 10.0) -> float:
    """Resolve as the schedule does until `tip` is ours; how long that took."""
    began = time.monotonic()
    while node.chain.tip().hash != tip:
        assert time.monotonic() - began < seconds, [(p.url, p.state, p.reason) for p in node.peers.all()][:8]
        run = time.monotonic()
        node.resolver.resolve()
        if node.chain.tip().hash != tip:
            time.sleep(max(0.0, every - (time.monotonic() - run)))
    return time.monotonic() - began


def run(redis: Redis, place: str, liars: int, seconds: float) -> float:
    spec = make_spec()
    chain = honest_chain(spec)
    node = node_of(redis, spec)
    with drippers(script_of(chain, place, liars)) as (slow, honest):
        node.peers.add(*slow, honest)
        took = adopted_after(node, chain.hashes[-1], seconds)
        known = {peer.url: peer for peer in node.peers.all()}
        assert known[honest].state == "ok" and known[honest].broken == 0
    print(f"{liars} peers drip at {place}: an honest one that was never met before is adopted after {took:.1f} s")
    return took


@pytest.mark.parametrize("place", ["headers", "bodies", "head"])
def test_an_honest_peer_among_some_who_drip(redis: Redis, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The part that always runs: fewer peers and a short patience."""
    monkeypatch.setattr(patience, "PATIENCE", 0.3)
    # Alone, then sixteen at once, then the rest.
    run(redis, place, 18, 60.0)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("place", PLACES)
def test_an_honest_peer_among_63_who_drip(redis: Redis, place: str) -> None:
    run(redis, place, LIARS, 60.0)


def test_whoever_did_not_deliver_comes_last(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once they have failed, their claims are worth nothing: the honest peer is asked first, and no other is."""
    monkeypatch.setattr(patience, "PATIENCE", 0.3)
    spec = make_spec()
    chain = honest_chain(spec)
    node = node_of(redis, spec)
    with drippers(script_of(chain, "headers", 3)) as (slow, honest):
        node.peers.add(*slow)
        node.resolver.resolve()
        assert {peer.broken for peer in node.peers.all()} == {1}
        node.peers.add(*slow, honest)  # the operator ends their pause, but their failures still count
        assert [peer.broken for peer in node.peers.due()].count(1) == 3
        began = time.monotonic()
        first = node.resolver.resolve()
        assert node.chain.tip().hash == chain.hashes[-1] and first.replaced
        assert f"{honest}" not in " ".join(first.notes)
        print(f"the second run took {time.monotonic() - began:.1f} s, with {len(first.notes)} peers that drip")


def whole(blocks: int) -> list[dict[str, Any]]:
    theirs = TutorialNode(clock=ticking(1525160363.0))
    while len(theirs.chain) < blocks:
        theirs.mine()
    return cast(list[dict[str, Any]], json.loads(json.dumps(theirs.chain)))


def run_whole(redis: Redis, place: str, liars: int, seconds: float) -> None:
    """The tutorial's rules: a claim is a whole chain, and so is what is adopted."""
    spec = load({"QUARRY_SPEC": "tutorial"}).spec
    node = node_of(redis, spec)
    honest = whole(4)
    longer = [*honest, *({**honest[-1], "index": number} for number in range(5, 40))]  # claimed, and never delivered
    script = {"blocks": honest, "hashes": [""], "chainwork": 0, "place": place, "liars": liars, "longer": longer}
    with drippers(script) as (slow, url):
        node.peers.add(*slow, url)
        began = time.monotonic()
        while node.chain.tip().height != 4:
            assert time.monotonic() - began < seconds
            node.resolver.resolve()
    print(f"{liars} peers drip, {place}: an honest whole chain is adopted after {time.monotonic() - began:.1f} s")


def test_an_honest_whole_chain_among_some_who_drip(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PATIENCE", 0.3)
    run_whole(redis, "second", 18, 60.0)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("place", WHOLE_PLACES)
def test_an_honest_whole_chain_among_63_who_drip(redis: Redis, place: str) -> None:
    run_whole(redis, place, LIARS, 60.0)


def test_the_patience_is_shorter_than_any_deadline_of_a_page() -> None:
    from services.peers.client import CHAIN_DEADLINE, CROWDED_DEADLINE, PAGE_DEADLINE

    assert PATIENCE < CROWDED_DEADLINE < PAGE_DEADLINE < CHAIN_DEADLINE
