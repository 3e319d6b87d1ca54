"""Workers whose clocks are wrong, and chains whose last blocks lie in the future: this is shown, and no job fails."""

import json
import math
import platform
import time
from typing import Any, cast

import pytest
from redis import Redis

from api.app import create_app
from api.cli.client import NodeClient
from api.cli.node import doctor
from services.clocks import ClockBoard, CommonClock, store_time
from services.connections.servers import as_store
from services.launch.embedded import EmbeddedValkey
from services.mining.searches import REFRESH_SECONDS
from services.node import Node, build_node
from services.peers.client import PeerClient
from services.peers.http import PeerHttp, PeerRequest
from services.store.searches import Claim, Searched
from shared.errors import TooEarly
from tests.support.clocks import START, FakeClock
from tests.support.http import Client, FlaskDoor
from tests.support.keys import ALICE
from tests.support.nodes import TestNode, make_settings, round_of
from tests.support.searching import claim_of
from tests.support.specs import make_spec

INTERVAL = 10
AHEAD = 30  # three intervals


@pytest.fixture
def here(redis: Redis) -> TestNode:
    """A node whose blocks may lie 30 s ahead."""
    return TestNode(redis, make_settings(make_spec(block_interval=INTERVAL, difficulty=256)))


def mine_ahead(here: TestNode, seconds: float, blocks: int = 12) -> None:
    """Append blocks of a miner whose clock is ahead, each at the time that it carries."""
    here.clock.time += seconds
    for _ in range(blocks):
        here.mine()
    here.clock.time -= seconds


def searched(here: TestNode, round_id: str, worker: str = "w1") -> tuple[Claim, int]:
    """A claim and a proof that lies in it."""
    claim = claim_of(here.node, round_id, worker, 10_000, Searched())
    assert claim is not None
    found = here.node.mining.template(round_id)
    assert found is not None
    return claim, next(proof for proof in claim.proofs if found[1].accepts(proof))


# --- a worker whose clock is ahead ---


@pytest.mark.parametrize("ahead", [300.0, -300.0])
def test_a_worker_whose_clock_is_wrong_stamps_blocks_by_the_stores(redis: Redis, ahead: float) -> None:
    here = TestNode(redis, make_settings(make_spec(genesis_timestamp=int(time.time()) - 1000)))
    here.clock.time = time.time()
    wrong = CommonClock(FakeClock(time.time() + ahead), lambda: store_time(as_store(redis)))
    worker = build_node(here.settings, store=as_store(redis), queue=here.queue, clock=wrong)
    template = worker.rounds._templates.make(here.settings.reward_address).template
    assert template.fields["timestamp"] == pytest.approx(time.time(), abs=5)
    # And the others do not find its block in the future.
    here.node.acceptor.accept(here.sealed(template))
    assert [item.name for item in worker.wrong_clocks()] == ["api"]
    assert here.node.wrong_clocks() == []


def test_without_a_clock_given_a_node_compares_its_own(redis: Redis) -> None:
    node = build_node(make_settings(), store=as_store(redis), queue=TestNode(redis).queue)
    assert isinstance(node.clock, CommonClock) and node.clock.ahead() == 0
    assert node.clock.now() == pytest.approx(time.time(), abs=5)


# --- the last blocks lie in the future ---


def test_mining_waits_and_goes_on_by_itself(here: TestNode) -> None:
    mine_ahead(here, 300)
    rounds, requests, queue = here.node.rounds, here.node.requests, here.queue
    opens = START + 300 - AHEAD
    assert rounds.waits_until() == opens
    asked = requests.ask()
    for _ in range(5):
        rounds.reconcile()
    assert here.node.mining.situation().open_round == "" and queue.searches == []
    assert requests.wait(asked, 0).status == "queued"
    here.clock.time = opens - 0.5
    rounds.reconcile()
    assert queue.searches == []
    here.clock.time = opens
    rounds.reconcile()
    assert rounds.waits_until() is None
    (round_id, _), *_ = queue.searches
    claim, proof = searched(here, round_id)
    accepted = rounds.seal(claim, proof, "w1")
    assert accepted is not None and accepted.request == asked
    assert accepted.block.header.timestamp == START + 300
    assert requests.wait(asked, 0).status == "finished"


def test_one_block_in_the_future_stops_nobody(here: TestNode) -> None:
    # The median of the last eleven decides, not the tip.
    for _ in range(11):
        here.mine()
    mine_ahead(here, 300, blocks=1)
    assert here.node.chain.tip().timestamp == START + 300
    assert here.node.rounds.waits_until() is None
    round_id = here.node.requests.ask() and here.node.rounds.ensure_open()
    assert round_id
    claim, proof = searched(here, round_id)
    accepted = here.node.rounds.seal(claim, proof, "w1")
    assert accepted is not None and accepted.block.header.timestamp == START


def test_automining_waits_too(redis: Redis) -> None:
    spec = make_spec(block_interval=INTERVAL, difficulty=256)
    here = TestNode(redis, make_settings(spec, automine=True))
    mine_ahead(here, 300)
    here.admit(ALICE, 0)
    assert here.node.rounds.ensure_open() is None and here.queue.searches == []
    here.clock.time += 300
    here.node.rounds.reconcile()
    assert here.queue.searches != []


def test_a_round_that_is_open_ends_and_its_request_waits(here: TestNode) -> None:
    # A search is under way; then a peer's blocks come, from the future.
    asked = here.node.requests.ask()
    round_id = here.node.rounds.ensure_open()
    assert round_id and claim_of(here.node, round_id, "w1", 10, Searched()) is not None
    mine_ahead(here, 300)
    assert claim_of(here.node, round_id, "w1", 10, Searched()) is None
    assert round_of(here.node.mining, round_id).state == "cancelled"
    answer = here.node.requests.wait(asked, 0)
    assert (answer.status, answer.round_id) == ("queued", None)
    assert here.node.mining.situation().requests == 1
    here.clock.time += 300
    here.node.rounds.reconcile()
    following = here.node.mining.situation().open_round
    assert following not in ("", round_id)
    assert here.node.requests.wait(asked, 0).round_id == following


def test_a_clock_that_is_set_back_during_a_search_costs_its_proof_and_nothing_else(here: TestNode) -> None:
    # The template was made an hour ahead; the clock is set right before its proof is found.
    here.clock.time += 3600
    asked = here.node.requests.ask()
    round_id = here.node.rounds.ensure_open()
    assert round_id
    claim, proof = searched(here, round_id)
    here.clock.time -= 3600
    block = here.node.mining.template(round_id)
    assert block is not None
    with pytest.raises(TooEarly):
        here.node.acceptor.accept(here.node.rules.read_block(block[1].with_proof(proof)))
    assert here.node.rounds.seal(claim, proof, "w1") is None
    found = here.node.mining.template(round_id)
    assert found is not None and found[1].fields["timestamp"] == START  # a new template, of now
    claim, proof = searched(here, round_id)
    accepted = here.node.rounds.seal(claim, proof, "w1")
    assert accepted is not None and accepted.request == asked


def test_a_template_from_the_future_is_renewed_before_anybody_finds_its_proof(here: TestNode) -> None:
    here.clock.time += 3600
    here.node.requests.ask()
    round_id = here.node.rounds.ensure_open()
    assert round_id
    here.clock.time -= 3600
    claim = claim_of(here.node, round_id, "w1", 10, Searched())
    assert claim is not None and claim.version == "2"
    here.clock.time -= REFRESH_SECONDS / 2  # a little is nothing
    claim = claim_of(here.node, round_id, "w1", 10, Searched())
    assert claim is not None and claim.version == "2"


def test_waiting_for_an_answer_ends_although_the_clock_is_set_back(
    here: TestNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = here.node.requests.ask()
    turns: list[float] = []

    def wait(request_id: str, seconds: float) -> None:
        turns.append(seconds)
        here.clock.time -= 3600

    monkeypatch.setattr(here.node.mining, "wait_for_answer", wait)
    assert here.node.requests.wait(asked, 3.5).status == "started"
    assert turns == [1.0, 1.0, 1.0, 0.5]


def test_a_peer_that_was_paused_by_a_clock_ahead_is_asked_again(here: TestNode) -> None:
    book = here.node.peers
    book.add("http://127.0.0.1:5999")
    here.clock.time += 3600
    book.failed("http://127.0.0.1:5999", "unreachable", "it does not answer")
    assert book.due() == []
    here.clock.time -= 3600
    assert [peer.url for peer in book.due()] == ["http://127.0.0.1:5999"]


# --- what the doors say ---


def page(client: Client, path: str) -> str:
    answer = client.get(path, Accept="text/html")
    assert answer.status == 200
    return answer.body.decode()


@pytest.fixture
def client(here: TestNode) -> Client:
    return Client(FlaskDoor(create_app(here.node)))


def test_every_door_says_until_when(here: TestNode, client: Client) -> None:
    assert client.get("/status").ok()["mining_waits_until"] is None
    assert client.get("/readyz").ok() == {"status": "ready"}
    assert "Mining waits" not in page(client, "/")
    mine_ahead(here, 300)
    opens = START + 300 - AHEAD
    answer = client.post("/mine?wait=20", None)
    mined: dict[str, Any] = answer.ok(202)
    assert mined["mining_waits_until"] == opens and "Mining waits until 2025-06-15" in mined["message"]
    assert here.clock.time == START  # at once: an answer could not come in those 20 s
    job = client.get(f"/jobs/{mined['job']}").ok()
    assert job["status"] == "queued"
    status = client.get("/status").ok()
    assert (status["mining_waits_until"], status["round"], status["time"]) == (opens, None, START)
    ready = client.get("/readyz").ok()
    assert (ready["status"], ready["mining_waits_until"]) == ("ready", opens)
    for path in ("/", "/mining", "/pool", "/send", "/learn/block"):
        assert "Mining waits until 2025-06-15" in page(client, path), path
    here.clock.time = opens
    assert "Mining waits" not in page(client, "/mining")
    assert client.get("/status").ok()["mining_waits_until"] is None


def test_the_doctor_names_machines_whose_clocks_are_wrong(
    here: TestNode, valkey: EmbeddedValkey, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    ClockBoard(as_store(here.redis), FakeClock(time.time() + 300)).look("w1")
    now, wrong = doctor._clocks(valkey.url, valkey.url)
    assert now == pytest.approx(time.time(), abs=5)
    assert [(item.name, item.host, round(item.ahead)) for item in wrong] == [("w1", platform.node(), 300)]
    here.clock.time = time.time()
    here.mine()
    asked = cast(NodeClient, Asked(client))
    told = f"The clock of worker w1 on {platform.node()} is 300 s ahead of the store's; the tip "
    with pytest.raises(doctor.Trouble) as caught:
        doctor._clock(asked, asked.get("/status"), valkey.url, valkey.url)
    assert caught.value.verdict == "warn" and str(caught.value).startswith(told)
    mine_ahead(here, 300)
    with pytest.raises(doctor.Trouble) as caught:
        doctor._clock(asked, asked.get("/status"), valkey.url, valkey.url)
    assert caught.value.verdict == "fail"
    assert str(caught.value).startswith("Mining waits until ") and "w1" in str(caught.value)
    with pytest.raises(doctor.Trouble, match="Mining waits until "):  # without the store, by what the node says
        doctor._clock(asked, asked.get("/status"), None, None)
    with pytest.raises(doctor.Trouble, match="cannot be checked"):
        doctor._clock(asked, asked.get("/status"), "redis://127.0.0.1:1", valkey.url)
    # This machine's own clock is the wrong one.
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 600)
    _, wrong = doctor._clocks(valkey.url, valkey.url)
    assert ("this machine", 600) in [(item.name, round(item.ahead)) for item in wrong]


class Asked:
    """The command line's client, over the test client."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def get(self, path: str) -> Any:
        return self._client.get(path).ok()


def test_a_wrong_clock_is_named(here: TestNode, redis: Redis) -> None:
    node: Node = build_node(
        here.settings,
        store=as_store(redis),
        queue=here.queue,
        clock=CommonClock(FakeClock(time.time() + 300), lambda: store_time(as_store(redis))),
    )
    client = Client(FlaskDoor(create_app(node)))
    (wrong,) = client.get("/status").ok()["wrong_clocks"]
    assert wrong["name"] == "api" and math.isclose(wrong["ahead"], 300, abs_tol=5)
    text = page(client, "/mining")
    assert "The clock of the node" in text and "ahead of the store" in text


# --- peers ---


class Says:
    """The HTTP port to a peer that answers /status as the test says."""

    def __init__(self, status: dict[str, Any]) -> None:
        self._body = json.dumps(status).encode()

    def exchange(self, _: PeerRequest) -> tuple[int, bytes]:
        return 200, self._body

    def in_parallel(self, ask: Any, urls: Any) -> list[Any]:
        return [ask(url) for url in urls]


def peer_status(here: TestNode, **changes: Any) -> dict[str, Any]:
    tip = here.node.chain.tip()
    return {"genesis": tip.hash, "tip": tip.hash, "height": 1, "chainwork": 0, **changes}


PEER = "http://127.0.0.1:5999"


@pytest.mark.parametrize(("ahead", "named"), [(300.0, True), (-300.0, True), (6.0, True), (4.0, False), (0.0, False)])
def test_a_peer_whose_clock_is_wrong_is_named(here: TestNode, ahead: float, named: bool) -> None:
    http = cast(PeerHttp, Says(peer_status(here, time=here.clock.time + ahead)))
    node = build_node(here.settings, store=as_store(here.redis), queue=here.queue, clock=here.clock, http=http)
    node.peers.add(PEER)
    node.resolver.resolve()
    assert [(item.name, item.ahead) for item in node.wrong_clocks()] == ([(f"peer {PEER}", ahead)] if named else [])
    status = Client(FlaskDoor(create_app(node))).get("/status").ok()
    assert [item["name"] for item in status["wrong_clocks"]] == ([f"peer {PEER}"] if named else [])


@pytest.mark.parametrize("moment", [None, "now", True, -1, 2**53, 1e300, [], {}])
def test_a_peers_time_that_is_none_is_passed_over(here: TestNode, moment: Any) -> None:
    claim = PeerClient(cast(PeerHttp, Says(peer_status(here, time=moment))), 2**20).status(PEER)
    assert claim.time is None and claim.height == 1
    assert PeerClient(cast(PeerHttp, Says(peer_status(here))), 2**20).status(PEER).time is None
    assert PeerClient(cast(PeerHttp, Says(peer_status(here, time=1.5))), 2**20).status(PEER).time == 1.5
