"""Leases over HTTP: the shapes of docs/mining.md, what is refused, waiting, and news of the tip."""

import json
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from api import leasing
from api.access import served
from api.app import create_app
from api.serving.budget import Kind
from services.mining.leases import Reported
from services.node import Node
from services.store.leases import Lease
from shared.proof import accepts
from tests.support.http import Answer, Client, FlaskDoor
from tests.support.keys import ALICE, TOKEN
from tests.support.nodes import MakeNode, grow
from tests.support.stopwatch import Stopwatch
from tests.support.waiting import eventually

FIELDS = {"lease", "round", "height", "tip", "seal", "difficulty", "share_difficulty", "start", "stop", "expires"}
RATE = 10_000


@pytest.fixture
def node(make_node: MakeNode) -> Node:
    return make_node(spec={"difficulty": 5000})


@pytest.fixture
def voucher(node: Node) -> dict[str, str]:
    return {"Authorization": f"Bearer {node.leases.vouchers.new('class').secret}"}


def lease(client: Client, voucher: dict[str, str], **fields: Any) -> Answer:
    return client.post("/leases", {"name": "anna", "rate": RATE, **fields}, **voucher)


def taken(client: Client, voucher: dict[str, str], **fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = lease(client, voucher, **fields).ok()
    return found


def search(found: dict[str, Any], difficulty: int) -> Iterator[int]:
    """Proofs as the contract has it: in [start, stop), the hash of the seal and the decimal proof."""
    for proof in range(found["start"], found["stop"]):
        if accepts(found["seal"].encode(), difficulty, proof):
            yield proof


def report(client: Client, voucher: dict[str, str], found: dict[str, Any], shares: Any, hashes: Any = 100) -> Answer:
    return client.post(f"/leases/{found['lease']}", {"shares": shares, "hashes": hashes}, **voucher)


def test_a_miner_leases_hands_in_shares_and_makes_a_block(client: Client, node: Node, voucher: dict[str, str]) -> None:
    node.requests.ask()
    found = taken(client, voucher, address=ALICE.address)
    assert found.keys() == FIELDS
    assert (found["height"], found["tip"], found["difficulty"]) == (2, node.chain.tip().hash, 5000)
    assert len(found["seal"]) == 64 and found["stop"] - found["start"] == RATE * 3 // 2
    assert 10 < found["expires"] - time.time() < 40 and type(found["expires"]) is int
    proofs = list(search(found, 5000))
    proof = proofs[0] if proofs else None
    share = next(item for item in search(found, found["share_difficulty"]) if item not in proofs)
    assert report(client, voucher, found, [share]).ok() == {
        "accepted": 1, "rejected": 0, "credited": found["share_difficulty"], "sealed": None, "stale": False,
    }  # fmt: skip
    while proof is None:
        found = taken(client, voucher)
        proof = next(search(found, 5000), None)
    answer = report(client, voucher, found, [proof]).ok()
    assert answer["sealed"] == node.chain.tip().hash and node.chain.tip().height == 2
    assert client.get("/blocks/2").ok()["hash"] == answer["sealed"]


def test_nothing_to_mine_is_204(client: Client, voucher: dict[str, str]) -> None:
    answer = lease(client, voucher)
    assert (answer.status, answer.body, answer.headers["retry-after"]) == (204, b"", "1")


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer nothing", "Basic cXZfMTo=", f"Bearer {TOKEN}", "Bearer " + "x" * 5000]
)
def test_who_has_no_voucher_is_refused(client: Client, node: Node, voucher: dict[str, str], authorization: str) -> None:
    node.requests.ask()
    found = taken(client, voucher)
    other = {"Authorization": authorization} if authorization else {}
    for answer in (lease(client, other), report(client, other, found, [])):
        answer.refused(401, "unknown_voucher")
        assert answer.headers["www-authenticate"] == 'Bearer realm="quarry"'


@pytest.mark.parametrize(
    "body, status, code",
    [
        ([], 400, "not_an_object"),
        ("lease", 400, "not_an_object"),
        ({"name": "a"}, 422, "wrong_fields"),
        ({"rate": 5}, 422, "wrong_fields"),
        ({"name": "a", "rate": 5, "more": 1}, 422, "wrong_fields"),
        ({"name": "", "rate": 5}, 400, "bad_name"),
        ({"name": " a", "rate": 5}, 400, "bad_name"),
        ({"name": "x" * 41, "rate": 5}, 400, "bad_name"),
        ({"name": 5, "rate": 5}, 400, "bad_name"),
        ({"name": "a\nb", "rate": 5}, 400, "bad_name"),
        ({"name": "\x1b[31m", "rate": 5}, 400, "bad_name"),
        ({"name": "a", "rate": 0}, 400, "bad_hash_rate"),
        ({"name": "a", "rate": -1}, 400, "bad_hash_rate"),
        ({"name": "a", "rate": "2M"}, 400, "bad_hash_rate"),
        ({"name": "a", "rate": True}, 400, "bad_hash_rate"),
        ({"name": "a", "rate": None}, 400, "bad_hash_rate"),
        ({"name": "a", "rate": 2**63}, 400, "bad_hash_rate"),
        ({"name": "a", "rate": 5, "address": "anna"}, 400, "bad_address"),
        ({"name": "a", "rate": 5, "address": 7}, 400, "bad_address"),
        ({"name": "a", "rate": 5, "address": "0x" + "0" * 40}, 400, "bad_recipient"),
    ],
)
def test_bad_leases(client: Client, node: Node, voucher: dict[str, str], body: Any, status: int, code: str) -> None:
    node.requests.ask()
    client.post("/leases", body, **voucher).refused(status, code)
    assert node.leases.miners(10) == []


def test_a_lease_of_fractions_is_refused(client: Client, voucher: dict[str, str]) -> None:
    for text in (b'{"name": "a", "rate": 1.5}', b'{"name": "a", "rate": 1e9}'):
        client.door.call("POST", "/leases", text, Content_Type="application/json", **voucher).refused(
            400, "float_refused"
        )


@pytest.mark.parametrize(
    "shares, hashes, status, code",
    [
        (None, 1, 400, "bad_batch_size"),
        ({}, 1, 400, "bad_batch_size"),
        ([0] * 257, 1, 400, "bad_batch_size"),
        (["1"], 1, 400, "bad_number"),
        ([True], 1, 400, "bad_number"),
        ([None], 1, 400, "bad_number"),
        ([[]], 1, 400, "bad_number"),
        ([], -1, 400, "bad_number"),
        ([], 2**53, 400, "bad_number"),
        ([], 2**63, 400, "bad_number"),
        ([], "5", 400, "bad_number"),
        ([], None, 400, "bad_number"),
        ([], True, 400, "bad_number"),
        ([-1], 1, 400, "share_outside_lease"),
        ([2**63], 1, 400, "share_outside_lease"),
        ([10**30], 1, 400, "share_outside_lease"),
        ([RATE * 3 // 2], 1, 400, "share_outside_lease"),
    ],
)
def test_bad_reports(
    client: Client, node: Node, voucher: dict[str, str], shares: Any, hashes: Any, status: int, code: str
) -> None:
    node.requests.ask()
    found = taken(client, voucher)
    report(client, voucher, found, shares, hashes).refused(status, code)
    [miner] = node.leases.miners(10)
    assert (miner.credited, miner.reported, miner.refused) == (0, 0, int(code.startswith("share")))
    report(client, voucher, found, [], 2**53 - 1).ok()


def test_a_share_that_is_none_and_one_that_is_repeated(client: Client, node: Node, voucher: dict[str, str]) -> None:
    node.requests.ask()
    found = taken(client, voucher)
    share = next(item for item in search(found, found["share_difficulty"]))
    none = next(n for n in range(found["start"], found["stop"]) if not accepts(found["seal"].encode(), 2, n))
    report(client, voucher, found, [none]).refused(400, "share_too_easy")
    report(client, voucher, found, [share, share]).refused(400, "share_repeated")
    report(client, voucher, found, [share]).ok()
    report(client, voucher, found, [share]).refused(400, "share_repeated")
    report(client, voucher, found, []).ok()


@pytest.mark.parametrize("name", ["0" * 32, "news", "x", "0" * 33, "%00", "A" * 32])
def test_unknown_leases(client: Client, voucher: dict[str, str], name: str) -> None:
    client.post(f"/leases/{name}", {"shares": [], "hashes": 0}, **voucher).refused(404, "unknown_lease")


def test_a_lease_of_another_voucher_is_unknown(client: Client, node: Node, voucher: dict[str, str]) -> None:
    node.requests.ask()
    found = taken(client, voucher)
    other = {"Authorization": f"Bearer {node.leases.vouchers.new('others').secret}"}
    report(client, other, found, []).refused(404, "unknown_lease")


def test_too_many_leases(client: Client, node: Node, voucher: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.mining.leases.MOST_LEASES", 2)
    node.requests.ask()
    first, _ = taken(client, voucher), taken(client, voucher)
    answer = lease(client, voucher)
    answer.refused(429, "too_many_leases")
    assert answer.headers["retry-after"] == "1"
    report(client, voucher, first, [], first["stop"] - first["start"]).ok()
    taken(client, voucher)


def test_a_voucher_is_revoked_while_its_miner_works(client: Client, node: Node, voucher: dict[str, str]) -> None:
    node.requests.ask()
    found = taken(client, voucher)
    assert node.leases.vouchers.revoke("class")
    report(client, voucher, found, list(search(found, found["share_difficulty"]))[:5]).refused(401, "unknown_voucher")
    lease(client, voucher).refused(401, "unknown_voucher")
    assert node.chain.tip().height == 1


# --- waiting ---


def test_a_miner_waits_for_a_round(client: Client, node: Node, voucher: dict[str, str]) -> None:
    answers: list[Answer] = []

    def wait() -> None:
        answers.append(client.post("/leases?wait=30", {"name": "anna", "rate": RATE}, **voucher))

    thread = threading.Thread(target=wait)
    thread.start()
    app = client.door.app  # type: ignore[attr-defined]
    eventually(lambda: served(app).budget.held(Kind.WAIT) == 1)
    node.requests.ask()
    thread.join(10)
    assert answers[0].ok()["height"] == 2 and served(app).budget.held(Kind.WAIT) == 0


def test_where_too_many_wait_the_answer_comes_at_once(client: Client, voucher: dict[str, str]) -> None:
    budget = served(client.door.app).budget  # type: ignore[attr-defined]
    for _ in range(budget.shares.patient):
        budget.take(Kind.WAIT)
    began = time.monotonic()
    assert client.post("/leases?wait=60", {"name": "a", "rate": 1}, **voucher).status == 204
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("wait", ["-1", "61", "x", "", "1e3", "nan", "0&wait=0"])
def test_bad_waits(client: Client, voucher: dict[str, str], wait: str) -> None:
    answer = client.post(f"/leases?wait={wait}", {"name": "a", "rate": 1}, **voucher)
    answer.refused(400, "bad_argument")


# --- news ---


def test_news_of_a_new_tip(node: Node) -> None:
    response = create_app(node, TOKEN).test_client().get("/leases/news", buffered=False)
    assert response.mimetype == "text/event-stream" and response.headers["X-Accel-Buffering"] == "no"
    stream = iter(response.response)
    assert tip_of(next(stream)) == {"tip": node.chain.tip().hash, "height": 1}
    grow(node)
    watch = Stopwatch(os.getpid())
    assert tip_of(next(stream)) == {"tip": node.chain.tip().hash, "height": 2}
    assert watch.seconds() < 1
    response.close()


def tip_of(text: str | bytes) -> Any:
    lines = (text.decode() if isinstance(text, bytes) else text).splitlines()
    assert lines[0] == "event: tip" and lines[1].startswith("data: ")
    return json.loads(lines[1].removeprefix("data: "))


def test_a_look_at_the_news_takes_no_place(node: Node) -> None:
    app = create_app(node, TOKEN)
    answer = Client(FlaskDoor(app)).door.call("HEAD", "/leases/news")
    assert (answer.status, answer.body, served(app).budget.held(Kind.STREAM)) == (200, b"", 0)


def test_json_is_written_as_it_is_represented(node: Node, voucher: dict[str, str]) -> None:
    secret = voucher["Authorization"].removeprefix("Bearer ")
    node.requests.ask()
    given = node.leases.take(secret, "a", "", 1)
    assert isinstance(given, Lease)
    far = given._replace(difficulty=2**255, share_difficulty=2**61, proofs=range(2**52, 2**53 - 1))
    for each in (given, far):
        assert json.loads(leasing.lease_json(each)) == leasing.represent_lease(each)
    for reported in (Reported(0, 0, 0, None, True), Reported(256, 1, 2**62, "0a" * 32, False)):
        assert json.loads(leasing.report_json(reported)) == leasing.represent_report(reported)
