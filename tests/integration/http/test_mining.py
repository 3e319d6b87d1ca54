"""Asking for blocks over HTTP: real workers find the proofs."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from services.node import Node
from services.store.searches import Searched
from tests.support import verifier
from tests.support.http import Answer, Client
from tests.support.keys import ALICE, TOKEN, fresh_key
from tests.support.nodes import mine, transfer
from tests.support.running import RunningNode, StartNode
from tests.support.searching import claim_of
from tests.support.waiting import eventually

BEARER = f"Bearer {TOKEN}"


@pytest.fixture
def hopeless_node(start_node: StartNode) -> RunningNode:
    """A node whose blocks are so hard that its rounds do not end."""
    return start_node(spec={"difficulty": 2**80})


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_mine_answers_with_the_new_block(shared_node: RunningNode, method: str) -> None:
    client, key = shared_node.client, fresh_key()
    sent = transfer(key, 0)
    client.submit(sent)
    block = client.door.call(method, "/mine").ok()
    assert set(block) == {"message", "index", "transactions", "proof", "previous_hash", "hash"}
    assert sent in block["transactions"]
    stored = client.get(f"/blocks/{block['hash']}").ok()
    assert (stored["index"], stored["proof"], stored["on_chain"]) == (block["index"], block["proof"], True)
    assert client.get(f"/blocks/{block['index'] - 1}").ok()["hash"] == block["previous_hash"]


def test_ten_requests_at_once_give_ten_consecutive_blocks(running_node: RunningNode) -> None:
    client = running_node.client
    with ThreadPoolExecutor(10) as pool:
        blocks = list(pool.map(lambda _: client.post("/mine?wait=30").ok(), range(10)))
    blocks.sort(key=lambda block: block["index"])
    assert [block["index"] for block in blocks] == list(range(2, 12))
    parents = [block["previous_hash"] for block in blocks]
    assert parents == [client.get("/blocks/1").ok()["hash"], *(block["hash"] for block in blocks[:-1])]
    state = verifier.verify_url(f"http://127.0.0.1:{running_node.door.port}")
    assert (state.height, state.tip) == (11, blocks[-1]["hash"])


def test_who_does_not_wait_gets_a_job_to_look_at(shared_node: RunningNode) -> None:
    client = shared_node.client
    # The block may be there already: then there is nothing to wait for.
    answer = next(given for given in iter(lambda: client.post("/mine?wait=0"), None) if given.status == 202)
    job = answer.ok(202)["job"]
    assert set(answer.json) == {"job"} and answer.headers["location"] == f"/jobs/{job}"
    done = client.get(f"{answer.headers['location']}?wait=30").ok()
    assert (done["id"], done["status"]) == (job, "finished")
    assert client.get(f"/blocks/{done['block']}").ok()["on_chain"] is True
    ended = client.get(f"/rounds/{done['round']}").ok()
    assert (ended["state"], ended["block"], ended["expected_seconds"]) == ("sealed", done["block"], None)
    assert ended["sealed_by"] in [worker["name"] for worker in ended["workers"]]
    assert ended["hashes"] == sum(worker["hashes"] for worker in ended["workers"]) > 0


def test_a_request_answers_its_own_job_only(client: Client, node: Node) -> None:
    jobs = [client.post("/mine?wait=0").ok(202)["job"] for _ in range(3)]
    assert [client.get(f"/jobs/{job}").ok()["status"] for job in jobs] == ["started", "queued", "queued"]
    block = mine(node)
    assert client.get(f"/jobs/{jobs[0]}").ok()["block"] == block.hash
    assert [client.get(f"/jobs/{job}").ok()["block"] for job in jobs[1:]] == [None, None]


def test_the_65th_waiting_request_is_too_many(client: Client, node: Node) -> None:
    for _ in range(64):
        client.post("/mine?wait=0").ok(202)
    answer = client.post("/mine?wait=0")
    answer.refused(429, "too_many_requests")
    assert answer.headers["retry-after"] == "1"
    assert node.mining.situation().requests == 64
    mine(node)
    client.post("/mine?wait=0").ok(202)


def test_a_look_is_not_a_request_to_mine(client: Client, node: Node) -> None:
    answer = client.door.call("HEAD", "/mine")
    assert answer.status == 405 and {"GET", "POST"} <= set(answer.headers["allow"].split(", "))
    assert node.mining.situation().requests == 0


@pytest.mark.parametrize("path", ["/jobs/{}", "/rounds/{}"])
@pytest.mark.parametrize("name", ["0" * 32, "0" * 31, "G" * 32, "x"])
def test_a_job_or_round_that_never_was_is_unknown(client: Client, path: str, name: str) -> None:
    client.get(path.format(name)).refused(404, "unknown_job" if "jobs" in path else "unknown_round")


def test_a_round_tells_who_works_on_it(hopeless_node: RunningNode) -> None:
    client = hopeless_node.client
    client.post("/mine?wait=0").ok(202)
    open_round = client.get("/status").ok()["round"]
    assert set(open_round) >= {"id", "height", "difficulty", "hashes", "rate", "workers", "state"}

    def both_work() -> Any:
        view = client.get(f"/rounds/{open_round['id']}").ok()
        return view if len(view["workers"]) == 2 and view["rate"] else None

    view = eventually(both_work, 15)
    assert (view["state"], view["height"], view["difficulty"]) == ("open", 2, 2**80)
    assert all(set(worker) == {"name", "hashes", "rate"} for worker in view["workers"])
    assert view["expected_seconds"] == pytest.approx(2**80 / view["rate"])
    eventually(lambda: client.get(f"/rounds/{open_round['id']}").ok()["hashes"] > view["hashes"])


def test_cancelling_a_round_ends_the_search_and_the_request(hopeless_node: RunningNode) -> None:
    client = hopeless_node.client
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.post, "/mine?wait=30")
        round_id = eventually(lambda: client.get("/status").ok()["round"], 15)["id"]
        eventually(lambda: len(client.get(f"/rounds/{round_id}").ok()["workers"]) == 2, 15)

        headers: list[dict[str, str]] = [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic Og=="}]
        for authorization in headers:
            answer = client.door.call("DELETE", f"/rounds/{round_id}", None, **authorization)
            answer.refused(401, "admin_token_required")
            assert "Bearer" in answer.headers["www-authenticate"]
        assert client.get(f"/rounds/{round_id}").ok()["state"] == "open"

        cancelled = client.door.call("DELETE", f"/rounds/{round_id}", None, Authorization=BEARER).ok()
        assert (cancelled["id"], cancelled["state"]) == (round_id, "cancelled")
        waiting.result(10).refused(409, "round_cancelled")

    assert client.get("/status").ok()["round"] is None
    settings = hopeless_node.settings
    with hopeless_node.redis() as redis:
        assert settings.linger < 5
        eventually(lambda: not redis.zcard(f"quarry:{{{hopeless_node.name}}}:searchers"), 10)
        hashes = client.get("/status").ok()["hashes"]
        # The jobs have ended, and the workers take the next ones.
        eventually(lambda: not redis.zcard("rq:wip:mining"), 10)
    assert client.get("/status").ok()["hashes"] == hashes > 0
    again = client.post("/mine?wait=0").ok(202)["job"]
    eventually(lambda: client.get("/status").ok()["hashes"] > hashes)
    assert client.get(f"/jobs/{again}").ok()["status"] == "started"


def test_cancelling_answers_the_oldest_request_and_goes_on_with_the_next(client: Client) -> None:
    first, second = (client.post("/mine?wait=0").ok(202)["job"] for _ in range(2))
    round_id = client.get(f"/jobs/{first}").ok()["round"]
    client.door.call("DELETE", f"/rounds/{round_id}", None, Authorization=BEARER).ok()
    assert client.get(f"/jobs/{first}").ok()["status"] == "cancelled"
    started = client.get(f"/jobs/{second}").ok()
    assert started["status"] == "started" and started["round"] != round_id


def test_a_request_is_withdrawn_and_the_round_with_the_last_one(client: Client, node: Node) -> None:
    def withdraw(job: str) -> Any:
        return client.door.call("DELETE", f"/jobs/{job}", None).ok()

    first, second = (client.post("/mine?wait=0").ok(202)["job"] for _ in range(2))
    round_id = client.get(f"/jobs/{first}").ok()["round"]
    assert withdraw(second) == {"id": second, "status": "cancelled", "round": None, "block": None}
    assert client.get(f"/rounds/{round_id}").ok()["state"] == "open"  # the first request still waits
    assert withdraw(first)["status"] == withdraw(first)["status"] == "cancelled"
    assert client.get(f"/rounds/{round_id}").ok()["state"] == "cancelled"
    assert client.get("/status").ok()["round"] is None
    third = client.post("/mine?wait=0").ok(202)["job"]
    block = mine(node)
    assert withdraw(third)["block"] == block.hash and withdraw(third)["status"] == "finished"


def test_all_requests_are_withdrawn_at_once_by_the_admin(client: Client, node: Node) -> None:
    jobs = [client.post("/mine?wait=0").ok(202)["job"] for _ in range(3)]
    round_id = client.get(f"/jobs/{jobs[0]}").ok()["round"]

    def withdraw_all() -> Any:
        return client.door.call("DELETE", "/jobs", None, Authorization=BEARER).ok()

    assert withdraw_all() == {"cancelled": 3, "round": round_id}
    assert withdraw_all() == {"cancelled": 0, "round": None}
    assert {client.get(f"/jobs/{job}").ok()["status"] for job in jobs} == {"cancelled"}
    assert node.mining.situation().open_round == ""


def test_only_this_machine_and_the_admin_withdraw_a_request(client: Client) -> None:
    job = client.post("/mine?wait=0").ok(202)["job"]
    proxied = {"X-Forwarded-For": "203.0.113.9"}
    client.door.call("DELETE", f"/jobs/{job}", None, **proxied).refused(401, "admin_token_required")
    assert client.get(f"/jobs/{job}").ok()["status"] == "started"
    client.door.call("DELETE", f"/jobs/{job}", None, Authorization=BEARER, **proxied).ok()


def test_only_an_open_round_can_be_cancelled(client: Client, node: Node) -> None:
    def cancel(round_id: str) -> Answer:
        return client.door.call("DELETE", f"/rounds/{round_id}", None, Authorization=BEARER)

    cancel("0" * 32).refused(404, "unknown_round")
    client.post("/mine?wait=0").ok(202)
    round_id = node.mining.situation().open_round
    mine(node)
    assert cancel(round_id).ok()["state"] == "sealed"
    assert claim_of(node, round_id, "late", 100, Searched()) is None


def test_without_a_request_auto_mining_confirms_a_transaction(start_node: StartNode) -> None:
    client = start_node(workers=1, variables={"AUTOMINE": "true"}).client
    for nonce in range(2):
        identifier = client.submit(transfer(ALICE, nonce))

        def confirmed(identifier: str = identifier) -> bool:
            return bool(client.get(f"/transactions/{identifier}").ok()["status"] == "confirmed")

        eventually(confirmed, 15)
    status = client.get("/status").ok()
    assert status["automine"] is True and status["mempool"]["size"] == 0
    # Nothing waits, so nothing is mined.
    assert status["height"] == client.get("/status").ok()["height"] <= 3
    assert client.get(f"/accounts/{ALICE.address}").ok()["nonce"] == 2


def test_a_page_of_another_site_cannot_mine(client: Client, node: Node) -> None:
    answer = client.door.call("GET", "/mine", **{"Sec-Fetch-Site": "cross-site"})
    answer.refused(403, "cross_site")
    assert node.mining.situation().requests == 0


# --- the limit on the hash rate ---


def test_the_admin_limits_the_hash_rate(node: Node, client: Client) -> None:
    admin = {"Authorization": BEARER}
    assert client.get("/mining/limit").ok() == {"hash_rate_limit": None}
    for rate in ("1.5 MH/s", 1_500_000):
        assert client.post("/mining/limit", {"hash_rate_limit": rate}, **admin).ok() == {"hash_rate_limit": 1_500_000}
    assert client.get("/mining/limit").ok() == {"hash_rate_limit": 1_500_000}
    assert client.get("/status").ok()["hash_rate_limit"] == node.mining.hash_rate_limit() == 1_500_000
    assert "At most 1.5 MH/s" in client.get("/mining", Accept="text/html").body.decode()
    client.post("/mining/limit", {"hash_rate_limit": "2M"}).refused(401, "admin_token_required")
    client.door.call("DELETE", "/mining/limit").refused(401, "admin_token_required")
    assert node.mining.hash_rate_limit() == 1_500_000
    assert client.door.call("DELETE", "/mining/limit", None, **admin).ok() == {"hash_rate_limit": None}
    assert client.get("/status").ok()["hash_rate_limit"] is None


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        *[(bad, 400, "not_an_object") for bad in ([], "2M", 7)],
        *[(bad, 422, "wrong_fields") for bad in ({}, {"hash_rate": "2M"}, {"hash_rate_limit": 1, "worker": "w"})],
        *[
            ({"hash_rate_limit": bad}, 400, "bad_hash_rate")
            for bad in (None, True, 0, -1, 10**15 + 1, [], {}, "", "off", "2MB", "-1", "1e6", "0.5", "9" * 10**5)
        ],
        *[({"hash_rate_limit": bad}, 400, "float_refused") for bad in (1.5, 1e300)],
    ],
)  # fmt: skip
def test_a_limit_that_is_none_changes_nothing(node: Node, client: Client, body: Any, status: int, code: str) -> None:
    client.post("/mining/limit", body, Authorization=BEARER).refused(status, code)
    assert node.mining.hash_rate_limit() is None


def test_real_workers_heed_the_limit_and_what_is_shown_follows_it(hopeless_node: RunningNode) -> None:
    client, admin = hopeless_node.client, {"Authorization": BEARER}
    client.post("/mine?wait=0").ok(202)
    eventually(lambda: client.get("/status").ok()["hashes"] > 10_000)
    client.post("/mining/limit", {"hash_rate_limit": 1000}, **admin).ok()
    # Heeded within a second on an idle machine; on a busy one the worker may take longer to hear of it.
    after: dict[str, Any] = {}

    def heeds() -> bool:
        nonlocal after
        began, before = time.monotonic(), client.get("/status").ok()["hashes"]
        eventually(lambda: client.get("/status").ok()["hashes"] > before + 1000)
        after, seconds = client.get("/status").ok(), time.monotonic() - began
        return bool(after["hashes"] - before <= 1000 * (seconds + 0.4))  # no more than the limit, a bucket and a report

    eventually(heeds, 20)
    assert 0 < after["round"]["rate"] < 1100
    assert after["round"]["expected_seconds"] == pytest.approx(2**80 / after["round"]["rate"], rel=0.01)
    client.door.call("DELETE", "/mining/limit", None, **admin).ok()
    eventually(lambda: client.get("/status").ok()["round"]["rate"] > 10_000)
