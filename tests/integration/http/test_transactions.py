"""Transactions over HTTP: admitted, looked up, proved; and what waits."""

import hashlib
import json
from typing import Any

import pytest

from api.app import create_app
from api.rest.transactions import MAX_BATCH
from services.node import Node
from shared import merkle
from shared.canonical import canonical
from shared.transaction import MAX_TRANSACTION_BYTES, read_transaction
from tests.support.http import Client, FlaskDoor
from tests.support.keys import ALICE, BOB, CAROL, KEYS, MINER, fresh_key
from tests.support.nodes import MakeNode, mine, redis_of, transfer
from tests.support.running import RunningNode
from tests.support.stored import digest


@pytest.mark.parametrize("path", ["/transactions/new", "/transaction/new"])
def test_an_admitted_transaction_will_be_in_the_next_block(client: Client, node: Node, path: str) -> None:
    sent = transfer(ALICE, 0)
    answer = client.post(path, sent).ok(201)
    identifier = read_transaction(sent).id
    assert answer == {"message": "Transaction will be added to Block 2.", "id": identifier}
    assert [item.id for item in mine(node).transactions[1:]] == [identifier]


def test_sending_again_while_it_waits_is_acknowledged_again(client: Client, node: Node) -> None:
    sent = transfer(ALICE, 0)
    first = client.post("/transactions/new", sent).ok(201)
    before = digest(redis_of(node), node.settings.node)
    assert client.post("/transactions/new", sent).ok(201) == first
    assert digest(redis_of(node), node.settings.node) == before


def test_sending_again_once_it_is_mined_says_where_it_is(client: Client, node: Node) -> None:
    sent = transfer(ALICE, 0)
    identifier = client.submit(sent)
    block = mine(node)
    before = digest(redis_of(node), node.settings.node)
    again = client.post("/transactions/new", sent).ok(201)
    where = {"id": identifier, "block": block.hash, "index": 2}
    assert again == {"message": "The transaction is in Block 2.", **where}
    assert client.post("/transactions/batch", [sent]).ok()["results"] == [{"status": "accepted", **where}]
    assert digest(redis_of(node), node.settings.node) == before


@pytest.mark.parametrize("place", ["2:0", "1:1", "9:1"])
def test_an_index_that_is_not_finished_yet_is_not_believed(client: Client, node: Node, place: str) -> None:
    """Just after a reorganisation it still points to where a transaction was."""
    sent = transfer(ALICE, 0)
    identifier = client.submit(sent)
    mine(node)
    redis_of(node).hset(node.chain.keys.transactions, bytes.fromhex(identifier), place)
    client.post("/transactions/new", sent).refused(400, "nonce_too_low")


def test_another_transaction_with_a_used_nonce_is_refused(client: Client, node: Node) -> None:
    client.submit(transfer(ALICE, 0))
    mine(node)
    problem = client.post("/transactions/new", transfer(ALICE, 0, amount="2")).refused(400, "nonce_too_low")
    assert problem["field"] == "nonce"


def test_a_batch_that_is_sent_again_finds_each_of_its_blocks(client: Client, node: Node) -> None:
    """Half of it is mined, in two blocks; one was never sent, another's nonce was used by something else."""
    items = [transfer(ALICE, nonce) for nonce in range(4)]
    for item in items[:2]:
        client.submit(item)
        mine(node)
    client.submit(items[2])
    other = transfer(ALICE, 1, amount="2")
    results = client.post("/transactions/batch", [*items, other]).ok()["results"]
    assert [(item["status"], item.get("index"), item.get("code")) for item in results] == [
        ("accepted", 2, None),
        ("accepted", 3, None),
        ("accepted", None, None),
        ("accepted", None, None),
        ("refused", None, "nonce_too_low"),
    ]


def test_what_a_replaced_transaction_left_behind_is_told_when_it_is_sent_again(client: Client, node: Node) -> None:
    replaced = transfer(ALICE, 0, fee="0.1")
    identifier = client.submit(replaced)
    client.submit(transfer(ALICE, 0, fee="0.2"))
    mine(node)
    client.post("/transactions/new", replaced).refused(400, "nonce_too_low")
    assert client.get(f"/transactions/{identifier}").ok()["status"] == "replaced"


def test_a_transaction_as_large_as_allowed_is_mined(client: Client, node: Node) -> None:
    room = MAX_TRANSACTION_BYTES - len(canonical(transfer(ALICE, 0, data="x"))) + 1
    sent = transfer(ALICE, 0, data="x" * room)
    assert len(canonical(sent)) == MAX_TRANSACTION_BYTES
    client.submit(sent)
    assert mine(node).transactions[1].fields == sent


def test_a_request_is_normalised_before_it_is_verified(client: Client, node: Node) -> None:
    signed = transfer(ALICE, 0, amount="5", fee="1")
    typed = signed | {"amount": 5, "fee": 1, "sender": signed["sender"].lower()}
    identifier = client.submit(typed)
    assert client.get(f"/transactions/{identifier}").ok()["sender"] == ALICE.address
    assert mine(node).transactions[1].fields == signed


def test_where_a_transaction_is_from_waiting_to_confirmed(client: Client, node: Node) -> None:
    sent = transfer(ALICE, 0, data="a memo")
    identifier = client.submit(sent)
    waiting = client.get(f"/transactions/{identifier}").ok()
    assert waiting.pop("admitted_at") == pytest.approx(node.clock.now(), abs=30)
    assert waiting == {**sent, "id": identifier, "status": "pending"}
    block = mine(node)
    known = {"id": identifier, "status": "confirmed", "block": block.hash, "index": 2, "position": 1}
    assert client.get(f"/transactions/{identifier}").ok() == {**sent, **known, "confirmations": 1}
    mine(node)
    assert client.get(f"/transactions/{identifier}").ok() == {**sent, **known, "confirmations": 2}


def test_a_replaced_transaction_leaves_a_record_that_says_so(client: Client, node: Node) -> None:
    cheap, dear = transfer(ALICE, 0, fee="0.001"), transfer(ALICE, 0, fee="0.0011")
    old, new = client.submit(cheap), client.submit(dear)
    record = client.get(f"/transactions/{old}").ok()
    assert (record["id"], record["status"]) == (old, "replaced")
    assert record["reason"] and record["at"] == pytest.approx(node.clock.now(), abs=30)
    assert client.get(f"/transactions/{new}").ok()["status"] == "pending"
    assert [item["id"] for item in client.get("/mempool").ok()["transactions"]] == [new]


def test_a_replacement_that_offers_too_little_is_refused(client: Client) -> None:
    client.submit(transfer(ALICE, 0, fee="0.001"))
    client.post("/transactions/new", transfer(ALICE, 0, fee="0.00109")).refused(400, "replacement_underpriced")


@pytest.mark.parametrize("name", ["0" * 64, "0" * 63, "A" * 64, "x", "latest"])
@pytest.mark.parametrize("suffix", ["", "/proof"])
def test_a_transaction_that_nobody_sent_is_unknown(client: Client, name: str, suffix: str) -> None:
    client.get(f"/transactions/{name}{suffix}").refused(404, "unknown_transaction")


def test_a_batch_is_judged_item_by_item(client: Client, node: Node) -> None:
    good, follower = transfer(ALICE, 0), transfer(ALICE, 1)
    items: list[Any] = [
        good,
        transfer(BOB, 0, amount="1001"),
        "no transaction",
        follower,
        {**transfer(CAROL, 0), "note": "hi"},
        good,
        transfer(ALICE, 3000),
        transfer(CAROL, 0, amount="2") | {"amount": "3"},
    ]
    answer = client.post("/transactions/batch", {"transactions": items}).ok()
    found = [(item["status"], item.get("code")) for item in answer["results"]]
    assert found == [
        ("accepted", None),
        ("refused", "insufficient_funds"),
        ("refused", "not_an_object"),
        ("accepted", None),
        ("refused", "unknown_field"),
        ("accepted", None),
        ("refused", "nonce_too_far"),
        ("refused", "bad_signature"),
    ]
    assert answer["accepted"] == 3
    ids = [item.get("id") for item in answer["results"]]
    assert ids[0] == ids[5] == read_transaction(good).id and ids[3] == read_transaction(follower).id
    assert all(item["detail"] for item in answer["results"] if item["status"] == "refused")
    assert [item.fields for item in mine(node).transactions[1:]] == [good, follower]


def test_a_batch_may_be_a_bare_list_of_up_to_2000(client: Client) -> None:
    item = transfer(ALICE, 0)
    assert client.post("/transactions/batch", [item]).ok()["accepted"] == 1
    for items in ([], [0] * (MAX_BATCH + 1)):
        client.post("/transactions/batch", items).refused(400, "bad_batch_size")
    assert client.post("/transactions/batch", [0] * MAX_BATCH).ok()["accepted"] == 0


@pytest.mark.parametrize("value", [1, "x", {}, {"transactions": 5}, {"transactions": [], "more": 1}])
def test_what_is_no_list_is_no_batch(client: Client, value: Any) -> None:
    problem = client.post("/transactions/batch", value).refused(400, "not_a_batch")
    assert problem["field"] == "transactions"


@pytest.mark.parametrize("others", [0, 1, 2, 6])
def test_a_proof_is_verified_with_nothing_but_the_blocks_hash(client: Client, node: Node, others: int) -> None:
    wanted = client.submit(transfer(ALICE, 0))
    for key in KEYS[1 : 1 + others]:
        client.submit(transfer(key, 0, fee="0.002"))
    block_hash = mine(node).hash
    proof = client.get(f"/transactions/{wanted}/proof").ok()
    assert set(proof) == {"id", "transaction", "position", "branch", "header", "block"}
    assert (proof["id"], proof["block"], proof["position"]) == (wanted, block_hash, 1 + others)

    # With our own code.
    leaf = merkle.leaf_hash(canonical(proof["transaction"]))
    steps = [merkle.Step(step["side"], bytes.fromhex(step["hash"])) for step in proof["branch"]]
    assert merkle.follow(leaf, steps).hex() == proof["header"]["transactions_root"]

    # By hand, as a client does that has none of our code.
    node_hash = hashlib.sha256(b"\x00" + json.dumps(proof["transaction"], sort_keys=True).encode()).digest()
    for step in proof["branch"]:
        pair = [bytes.fromhex(step["hash"]), node_hash]
        node_hash = hashlib.sha256(b"\x01" + b"".join(pair if step["side"] == "left" else pair[::-1])).digest()
    header = dict(proof["header"])
    assert node_hash.hex() == header["transactions_root"]
    number = header.pop("proof")
    seal = hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()
    assert hashlib.sha256(f"{seal}{number}".encode()).hexdigest() == block_hash

    # Another transaction does not fit.
    forged = merkle.leaf_hash(canonical(proof["transaction"] | {"amount": "2"}))
    assert merkle.follow(forged, steps).hex() != proof["header"]["transactions_root"]


def test_what_only_waits_has_no_proof(client: Client) -> None:
    identifier = client.submit(transfer(ALICE, 0))
    client.get(f"/transactions/{identifier}/proof").refused(404, "unknown_transaction")


def test_the_mempool_lists_the_highest_fee_first_then_arrival(client: Client) -> None:
    fees = {ALICE: "0.001", BOB: "0.003", CAROL: "0.001", KEYS[3]: "0.002", KEYS[4]: "0.001"}
    ids = {key: client.submit(transfer(key, 0, fee=fee)) for key, fee in fees.items()}
    expected = [ids[key] for key in (BOB, KEYS[3], ALICE, CAROL, KEYS[4])]
    listed = client.get("/mempool").ok()
    assert set(listed) == {"size", "bytes", "transactions"}
    assert [item["id"] for item in listed["transactions"]] == expected
    assert listed["size"] == 5
    assert listed["bytes"] > sum(len(canonical(transfer(key, 0, fee=fee))) for key, fee in fees.items())
    assert {item["status"] for item in listed["transactions"]} == {"pending"}

    paged = [client.get(f"/mempool?limit=2&offset={offset}").ok() for offset in (0, 2, 4, 6)]
    assert [item["id"] for page in paged for item in page["transactions"]] == expected
    assert [len(page["transactions"]) for page in paged] == [2, 2, 1, 0]
    assert {page["size"] for page in paged} == {5}


def test_an_account_tells_its_balance_and_the_nonce_to_use_next(client: Client, node: Node) -> None:
    def account(address: str) -> Any:
        return client.get(f"/accounts/{address}").ok()

    fresh = {"address": ALICE.address, "balance": "1000", "nonce": 0, "pending_nonce": 0, "name": None}
    assert account(ALICE.address) == account(ALICE.address.lower()) == fresh
    for nonce in (0, 1, 3):
        client.submit(transfer(ALICE, nonce))
    assert account(ALICE.address) == fresh | {"pending_nonce": 2}  # 3 waits for the gap to close
    mine(node)
    assert account(ALICE.address) == fresh | {"balance": "997.998", "nonce": 2, "pending_nonce": 2}
    client.submit(transfer(ALICE, 2))
    assert account(ALICE.address)["pending_nonce"] == 4
    own = {"address": MINER, "balance": "1.002", "nonce": 0, "pending_nonce": 0, "name": node.settings.node}
    assert account(MINER) == own
    node.names.give(ALICE.address, "alice")
    assert account(ALICE.address)["name"] == "alice"


def test_a_full_mempool_says_so_and_takes_a_better_offer(make_node: MakeNode) -> None:
    client = Client(FlaskDoor(create_app(make_node(MAX_MEMPOOL="2"))))
    cheapest = client.submit(transfer(ALICE, 0, fee="0.001"))
    client.submit(transfer(BOB, 0, fee="0.002"))
    refused = client.post("/transactions/new", transfer(CAROL, 0, fee="0.001"))
    refused.refused(503, "mempool_full")
    assert refused.headers["retry-after"] == "1"
    client.submit(transfer(CAROL, 0, fee="0.0011"))
    assert client.get(f"/transactions/{cheapest}").ok()["status"] == "evicted"


def test_a_transaction_travels_from_a_socket_to_a_block_and_back(shared_node: RunningNode) -> None:
    client, key = shared_node.client, fresh_key()
    identifier = client.submit(transfer(key, 0))
    block = client.post("/mine").ok()
    assert identifier in [item["id"] for item in client.get(f"/blocks/{block['hash']}").ok()["transactions"]]
    assert client.get(f"/transactions/{identifier}").ok()["status"] == "confirmed"
