"""The chain over HTTP: as it is hashed, as it is known, and verified without our code."""

import hashlib
import json
from typing import Any

import pytest

from services.node import Node
from shared.canonical import canonical
from tests.support import verifier
from tests.support.http import Client
from tests.support.keys import ALICE, BOB, CAROL, fresh_key
from tests.support.nodes import grow, mine, redis_of, transfer
from tests.support.running import RunningNode

BLOCK = {"index", "timestamp", "transactions", "proof", "previous_hash", "difficulty", "transactions_root"}
KNOWN = {"hash", "chainwork", "size", "confirmations", "on_chain"}


@pytest.fixture
def blocks(node: Node) -> list[Any]:
    """Five blocks, from genesis, as `/chain` should serve them."""
    grow(node, transfer(ALICE, 0), transfer(BOB, 0))
    grow(node)
    grow(node, transfer(ALICE, 1, type="approve"))
    grow(node, transfer(BOB, 1, type="transfer_from", owner=ALICE.address, recipient=CAROL.address))
    return [json.loads(text) for text in node.chain.stream(1, node.chain.tip().height)]


def test_chain_serves_every_block_exactly_as_it_is_hashed(client: Client, blocks: list[Any]) -> None:
    answer = client.get("/chain")
    assert answer.ok() == {"chain": blocks, "length": 5}
    assert [set(block) for block in blocks] == [BLOCK] * 5
    # Byte for byte, so that a client can hash what it got without parsing it.
    for block in blocks:
        assert canonical(block) in answer.body


@pytest.mark.parametrize(
    ("query", "heights"),
    [
        ("from=2", [2, 3, 4, 5]),
        ("limit=2", [1, 2]),
        ("from=2&limit=2", [2, 3]),
        ("from=5&limit=500", [5]),
        ("from=6", []),
        ("from=999999999999999&limit=1", []),
    ],
)
def test_chain_serves_a_page(client: Client, blocks: list[Any], query: str, heights: list[int]) -> None:
    assert client.get(f"/chain?{query}").ok() == {"chain": [blocks[height - 1] for height in heights], "length": 5}


def test_a_page_ends_where_it_would_be_too_long_and_has_one_block_at_least(
    client: Client, blocks: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = [len(canonical(block)) for block in blocks]
    for cap, count in ((sum(sizes[:3]), 3), (sum(sizes[:3]) - 1, 2), (1, 1)):
        monkeypatch.setattr("api.rest.blocks.MAX_PAGE_BYTES", cap)
        assert client.get("/chain?limit=500").ok() == {"chain": blocks[:count], "length": 5}
        assert client.get("/chain").ok()["chain"] == blocks


def test_blocks_lists_the_newest_first_without_transactions(client: Client, blocks: list[Any]) -> None:
    listed = client.get("/blocks").ok()
    assert listed["length"] == 5 and [block["index"] for block in listed["blocks"]] == [5, 4, 3, 2, 1]
    for view in listed["blocks"]:
        header = {name: value for name, value in blocks[view["index"] - 1].items() if name != "transactions"}
        assert set(view) == set(header) | KNOWN | {"transaction_count"} and view | header == view
    assert [view["transaction_count"] for view in listed["blocks"]] == [2, 2, 1, 3, 0]
    assert [view["confirmations"] for view in listed["blocks"]] == [1, 2, 3, 4, 5]
    assert [view["chainwork"] for view in listed["blocks"]] == [256, 192, 128, 64, 0]


@pytest.mark.parametrize(
    ("query", "heights"),
    [
        ("limit=2", [5, 4]),
        ("before=4&limit=2", [3, 2]),
        ("before=2", [1]),
        ("before=1", []),
        ("before=99", [5, 4, 3, 2, 1]),
    ],
)
def test_blocks_are_read_page_by_page(client: Client, blocks: list[Any], query: str, heights: list[int]) -> None:
    assert [block["index"] for block in client.get(f"/blocks?{query}").ok()["blocks"]] == heights


def test_a_block_is_found_by_height_by_hash_and_as_the_latest(client: Client, blocks: list[Any]) -> None:
    by_height = client.get("/blocks/2").ok()
    assert by_height == client.get(f"/blocks/{by_height['hash']}").ok()
    assert set(by_height) == BLOCK | KNOWN
    assert by_height["hash"] == verifier.block_hash(blocks[1]) == blocks[2]["previous_hash"]
    assert by_height["size"] == len(canonical(blocks[1])) and by_height["confirmations"] == 4
    assert [{k: v for k, v in item.items() if k != "id"} for item in by_height["transactions"]] == blocks[1][
        "transactions"
    ]
    for position, item in enumerate(by_height["transactions"]):
        found = client.get(f"/transactions/{item['id']}").ok()
        assert (found["block"], found["index"], found["position"]) == (by_height["hash"], 2, position)
    assert client.get("/blocks/latest").ok() == client.get("/blocks/5").ok()


@pytest.mark.parametrize("name", ["0", "6", "-1", "0" * 64, "A" * 64, "f" * 63, "last", "1e0", "1.0", "9" * 400])
def test_a_block_that_is_not_there_is_unknown(client: Client, name: str) -> None:
    client.get(f"/blocks/{name}").refused(404, "unknown_block")


def test_the_spec_hashes_to_the_parent_of_genesis(client: Client, blocks: list[Any]) -> None:
    assert hashlib.sha256(canonical(client.get("/spec").ok())).hexdigest() == blocks[0]["previous_hash"]


def test_the_independent_verifier_agrees_with_the_node(client: Client, node: Node, blocks: list[Any]) -> None:
    state = verifier.verify(client.get("/spec").ok(), client.get("/chain").ok()["chain"])
    status = client.get("/status").ok()
    assert (state.height, state.tip, state.chainwork) == (status["height"], status["tip"], status["chainwork"])
    assert len(state.transactions) == 8
    for address, account in state.accounts.items():
        view = client.get(f"/accounts/{address}").ok()
        assert (node.chain.account(address).balance, view["nonce"]) == (account.balance, account.nonce)


def test_the_independent_verifier_agrees_with_a_node_that_real_workers_feed(shared_node: RunningNode) -> None:
    client = shared_node.client
    for _ in range(2):
        key = fresh_key()
        client.submit(transfer(key, 0))
        client.submit(transfer(key, 1, data="é ☃ 𝄞"))
        tip = client.post("/mine").ok()
    state = verifier.verify_url(f"http://127.0.0.1:{shared_node.door.port}")
    assert state.height >= tip["index"] and state.accounts[key.address].nonce == 2


def test_status_tells_what_the_node_is_doing(client: Client, node: Node) -> None:
    client.submit(transfer(ALICE, 0))
    idle = client.get("/status").ok()
    assert (idle["node"], idle["spec"], idle["chain_id"]) == (node.settings.node, "test", 4242)
    assert (idle["height"], idle["tip"], idle["chainwork"]) == (1, client.get("/blocks/1").ok()["hash"], 0)
    assert (
        idle["mempool"] == {k: client.get("/mempool").ok()[k] for k in ("size", "bytes")}
        and idle["mempool"]["size"] == 1
    )
    assert (idle["peers"], idle["round"], idle["requests"]) == ([], None, 0)
    assert set(idle["workers"]) == {"mining", "network"}
    client.post("/mine?wait=0").ok(202)
    busy = client.get("/status").ok()
    assert busy["requests"] == 1 and busy["round"] == client.get(f"/rounds/{busy['round']['id']}").ok() | {"rate": 0}
    assert (busy["round"]["state"], busy["round"]["height"], busy["round"]["transactions"]) == ("open", 2, 1)
    mine(node)
    done = client.get("/status").ok()
    assert (done["height"], done["round"], done["requests"], done["mempool"]["size"]) == (2, None, 0, 0)
    assert done["supply"] == "100001"


def test_a_running_node_counts_its_workers(shared_node: RunningNode) -> None:
    assert shared_node.client.get("/status").ok()["workers"] == {"mining": 2, "network": 1}


@pytest.mark.parametrize(("path", "status"), [("/healthz", "ok"), ("/readyz", "ready")])
def test_the_node_says_that_it_is_well(client: Client, path: str, status: str) -> None:
    assert client.get(path).ok() == {"status": status}


def test_every_answer_is_hardened_against_browsers(client: Client) -> None:
    for answer in (client.get("/status"), client.get("/nothing"), client.get("/docs"), client.get("/chain")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in answer.headers


def test_a_store_that_was_emptied_is_said_to_be_so(client: Client, node: Node) -> None:
    """Neither "not found", as if the chain went on without the block, nor an internal error."""
    redis_of(node).delete(*redis_of(node).keys(f"{node.chain.keys.prefix}*"))
    for path in ("/readyz", "/status", "/chain", "/blocks", "/blocks/latest", "/headers?locator=" + "0" * 64, "/"):
        assert client.get(path).status == 503, path
    client.get("/readyz").refused(503, "not_begun")
    client.post("/transactions/new", transfer(ALICE, 0)).refused(503, "not_begun")
    client.post("/mine?wait=0").refused(503, "not_begun")
    result = client.post("/transactions/batch", {"transactions": [transfer(ALICE, 0)]})
    assert result.status == 503
    assert not redis_of(node).exists(node.chain.keys.entries)
