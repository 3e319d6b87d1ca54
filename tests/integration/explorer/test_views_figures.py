"""The figures of a round are the same on every page, over HTTP, JSON-RPC, in events, metrics and the command line."""

import html
import json
import re
from typing import Any

from api.cli.progress import round_text
from services.node import Node
from services.store.news import News
from tests.support.http import Client
from tests.support.keys import BOB
from tests.support.nodes import redis_of, round_of
from tests.support.payees import paid_miner


def words(client: Client, path: str) -> str:
    """The text of a page, with one blank between any two elements."""
    return " ".join(html.unescape(re.sub("<[^>]+>", " ", client.get(path, Accept="text/html").body.decode())).split())


def searched(node: Node) -> str:
    """Open a round in which two workers have searched for ten seconds, and one that has left; its id."""
    node.requests.ask()
    found = round_of(node.mining, node.mining.open_round())
    redis: Any = redis_of(node)
    keys, now = node.mining.keys, node.clock.now()
    redis.hset(keys.round(found.id), "difficulty", 4_000_000)
    redis.hset(keys.round_search(found.id), "hashes", 1)  # its own count lags behind
    redis.hset(
        keys.round_workers(found.id),
        mapping={
            "anna-1": f"600000:{now - 10}:{now}",
            "anna-2": f"999900:{now - 10}:{now}",
            "ben-1": f"100:{now - 99}:{now - 60}",
        },
    )
    redis.hset(keys.counters, "hashes", 1_600_000)
    return found.id


def test_one_count_one_speed_one_estimate(node: Node, client: Client) -> None:
    round_id = searched(node)
    shown = client.get(f"/rounds/{round_id}").ok()
    assert (shown["hashes"], shown["probability"]) == (1_600_000, 0.3297)
    assert 159_000 < shown["rate"] <= 159_991
    assert shown["expected_seconds"] == round(4_000_000 / shown["rate"], 3)
    text = words(client, "/mining")
    assert "33% of searches" in text and "Hashes done 1.6 M" in text and "Hashes so far 1.6 M" in text
    assert "Speed 160 kH/s" in text and "Time left 25 s" in text
    assert "anna-1 60 kH/s 600,000" in text and "anna-2 100 kH/s 999,900" in text
    overview = words(client, "/")
    assert "33% of searches" in overview and "Hashes done 1.6 M" in overview and "Speed 160 kH/s" in overview
    status = client.get("/status").ok()
    assert status["round"]["hashes"] == shown["hashes"] and status["hashes"] == 1_600_000
    assert abs(status["round"]["rate"] - shown["rate"]) <= 1
    rpc = client.post("/rpc", {"jsonrpc": "2.0", "id": 1, "method": "eth_hashrate", "params": []}).ok()
    assert abs(int(rpc["result"], 16) - shown["rate"]) <= 1
    mining = client.post("/rpc", {"jsonrpc": "2.0", "id": 1, "method": "eth_mining", "params": []}).ok()
    assert mining["result"] is True
    state = News(node.mining.events, node.overviews, node.clock)._state()
    assert {name: state["round"][name] for name in ("hashes", "probability")} == {
        name: shown[name] for name in ("hashes", "probability")
    }
    assert state["round"]["workers"] == {"anna-1": 600_000, "anna-2": 999_900, "ben-1": 100}
    assert state["round"]["rates"].keys() == state["round"]["workers"].keys() and state["hashes"] == 1_600_000
    json.dumps(state)
    assert round_text(shown) == "1.6 M hashes, 160 kH/s by 3 workers, 25 s expected"
    metrics = client.get("/metrics").body.decode()
    line = next(line for line in metrics.splitlines() if line.startswith("quarry_hash_rate "))
    assert abs(float(line.split()[1]) - shown["rate"]) <= 1


def test_without_a_round_nobody_claims_to_search(node: Node, client: Client) -> None:
    for method, answer in ("eth_hashrate", "0x0"), ("eth_mining", False):
        found = client.post("/rpc", {"jsonrpc": "2.0", "id": 1, "method": method, "params": []}).ok()
        assert found["result"] == answer
    assert "quarry_hash_rate 0.0" in client.get("/metrics").body.decode()
    assert client.get("/status").ok()["round"] is None


def test_the_hash_rate_of_the_chain_is_shown_only_where_the_difficulty_follows_it(node: Node, client: Client) -> None:
    redis: Any = redis_of(node)
    for height, round_id in enumerate(("a" * 32, "b" * 32), 2):
        values: dict[Any, Any] = {
            "id": round_id, "state": "sealed", "height": height, "difficulty": 64, "hashes": 3000 * height, "wasted": 0,
            "opened_at": 10, "ended_at": 12, "block": "", "sealed_by": "", "transactions": 0,
        }  # fmt: skip
        redis.hset(node.mining.keys.round(round_id), mapping=values)
        redis.rpush(node.mining.keys.rounds_ended, round_id)
    redis.rpush(node.mining.keys.rounds_ended, "c" * 32)  # one that has been forgotten
    assert [found.height for found in node.mining.last_rounds(10)] == [2, 3]
    assert [found.height for found in node.mining.last_rounds(2)] == [3]
    text = words(client, "/")
    assert "Speed of this node's rounds" in text and "idle time is left out" in text
    assert "Hash rate of the chain" not in text and "median 3.75 kH/s" in text


def test_miners_are_shown_with_what_their_shares_bear_out(node: Node, client: Client) -> None:
    secret = node.leases.vouchers.new("class").secret
    node.requests.ask()
    lease = node.leases.take(secret, "liar <b>", "", 100_000)
    assert lease is not None
    node.leases.report(secret, lease.id, [], 10**9)
    text = words(client, "/miners")
    assert "liar <b>" in text and "not borne out" in text and "too few:" not in text
    node.mining._redis.hset(node.mining.keys.miner(f"{_voucher(node)}:liar <b>"), "expected", "9.5")
    assert "too few: 0.0075%" in words(client, "/miners")
    assert "/miners" in client.get("/mining", Accept="text/html").body.decode()


def test_miners_are_shown_with_what_they_were_paid(node: Node, client: Client) -> None:
    assert "has paid no miner" in words(client, "/miners")
    payment = "ab" * 32
    with paid_miner(node, BOB.address, payment) as block:
        text = words(client, "/miners")
        assert "2 . 5 QRY" in text and "0 blocks paid, 1 waiting" in text
        page = client.get("/miners", Accept="text/html").body.decode()
        assert f"/tx/{payment}" in page and f"/address/{BOB.address}" in page and block not in page


def _voucher(node: Node) -> str:
    return node.leases.vouchers.all()[0].id
