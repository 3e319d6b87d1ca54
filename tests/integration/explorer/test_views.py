"""The explorer's pages: what they show, that hostile text is harmless on them, and what they cost."""

import dataclasses
import re
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from api.app import create_app
from api.explorer.pages import blocks
from services.node import Node
from services.store.searches import Searched
from services.system.programs import ROOT
from shared import merkle
from shared.canonical import canonical
from shared.hashing import sha256
from tests.integration.explorer.pages import BROWSER, HTML, Page, page
from tests.support.http import Client, FlaskDoor
from tests.support.keys import ALICE, BOB, CAROL, MINER
from tests.support.nodes import MakeNode, grow, mine, redis_of, transfer
from tests.support.scene import HOSTILE, reorganise
from tests.support.searching import claim_of

PAGES = (
    "/",
    "/block/latest",
    "/block/1",
    f"/address/{MINER}",
    "/supply",
    "/pool",
    "/pool?order=age",
    "/network",
    "/mining",
    "/miners",
    "/join/ABCDE",
    "/learn",
    "/learn/hash",
    "/learn/signature",
    "/learn/transaction",
    "/learn/block",
    "/learn/chain",
    "/learn/network",
    "/learn/cost",
    "/learn/quiz",
    "/learn/glossary",
    "/learn/anatomy",
    "/send",
    "/token/0x0000000000000000000000000000000000005eed",
)


@pytest.fixture
def busy(node: Node, client: Client) -> str:
    """A chain with transactions of every kind, and one that waits; the id of a transfer with a hostile memo."""
    grow(node)
    client.submit(transfer(ALICE, 0, data=HOSTILE))
    client.submit(transfer(ALICE, 1, type="approve", recipient=CAROL.address, amount="7.5"))
    grow(node)
    client.submit(transfer(CAROL, 0, type="transfer_from", owner=ALICE.address, amount="2.5"))
    mine(node)
    client.submit(transfer(BOB, 0))
    return str(client.get("/blocks/3").ok()["transactions"][1]["id"])


def test_every_page_is_html_without_anything_of_others_or_inline(client: Client, busy: str) -> None:
    for path in (*PAGES, f"/tx/{busy}"):
        found = page(client, path)
        assert "<title>" in found.source and "<h1" in found.source, path
        for tag, attributes in found.elements:
            assert "style" not in attributes and not any(name.startswith("on") for name in attributes), (path, tag)
            assert tag != "style" and (tag != "script" or attributes.get("src", "").startswith("/assets/")), path
        for link in found.links():
            assert link.startswith("/"), f"{path} leads to {link}"


def test_every_link_leads_somewhere(client: Client, busy: str) -> None:
    seen: dict[str, str] = {}
    waiting = [(path, "the test") for path in (*PAGES, f"/tx/{busy}")]
    while waiting and len(seen) < 150:
        path, origin = waiting.pop()
        if path in seen:
            continue
        seen[path] = origin
        answer = client.get(path, **BROWSER)
        wanted = 401 if path == "/rq/" else 200  # which asks for the admin token
        assert answer.status == wanted, f"{origin} leads to {path}: {answer.status}"
        if answer.type == HTML and path != "/docs":
            waiting += [(link, path) for link in Page(answer).links()]
    assert len(seen) > 25 and "/rq/" in seen


def test_each_page_has_its_json_one_click_away(client: Client, busy: str) -> None:
    expected = {
        "/": "/status", "/pool": "/mempool", "/network": "/nodes", f"/tx/{busy}": f"/transactions/{busy}",
        f"/address/{MINER}": f"/accounts/{MINER}",
    }  # fmt: skip
    for path, target in expected.items():
        found = page(client, path)
        assert target in found.links() and "This page as JSON" in found.text
        client.get(target).ok()


def test_the_overview_shows_tip_blocks_mempool_and_supply(client: Client, busy: str) -> None:
    found = page(client, "/")
    assert "100,003" in found.text and re.search(r"1\s+waiting", found.text)
    assert "This node has no peers" in found.text
    assert {"/block/4", "/block/3"} <= found.links()
    earlier = page(client, "/?before=3")
    assert "Earlier blocks" in earlier.text and "/block/2" in earlier.links() and "/block/3" not in earlier.links()


def test_charts_are_drawn_from_few_blocks_however_long_the_chain_is(node: Node, client: Client) -> None:
    for _ in range(5):
        grow(node)
    reads = commands(node, lambda: page(client, "/"))
    for _ in range(80):
        grow(node)
    found = page(client, "/")
    assert sum(tag == "rect" for tag, _ in found.elements) == 60
    assert "Time between blocks" in found.text
    assert commands(node, lambda: page(client, "/")) <= reads + 2


def commands(node: Node, act: Any) -> int:
    """How many commands the store ran meanwhile."""
    redis: Any = redis_of(node)
    before = redis.info("stats")["total_commands_processed"]
    act()
    return int(redis.info("stats")["total_commands_processed"] - before)


def test_what_the_overview_weighs(client: Client, busy: str) -> None:
    found = page(client, "/")
    loaded = [client.get(link) for link in found.links() if link.startswith("/assets/")]
    assert len(loaded) == 4
    assert len(found.source) + sum(len(item.body) for item in loaded) < 100_000


def test_a_block_shows_header_and_transactions(client: Client, busy: str) -> None:
    block = client.get("/blocks/3").ok()
    found = page(client, "/block/3")
    for value in (block["hash"], block["previous_hash"], block["transactions_root"], str(block["proof"])):
        assert value in found.text
    assert {f"/tx/{item['id']}" for item in block["transactions"]} <= found.links()
    assert "new coins" in found.text and "3 transactions" in found.text
    assert page(client, f"/block/{block['hash']}").text.count(block["hash"]) >= 1


def test_a_block_says_who_mined_it_how_long_that_took_and_in_which_round(node: Node, client: Client) -> None:
    grow(node)
    client.submit(transfer(ALICE, 0, data=HOSTILE))
    mined = mine(node)
    found = page(client, f"/block/{mined.hash}")
    text = " ".join(found.text.split())
    assert re.search(rf"Miner.{{0,60}}{MINER}", text) and f"/address/{MINER}" in found.links()
    assert re.search(r"Time to solve(less than 1 s|\d+ s) after its parent", text)
    assert "The round that found it" in text and "1, found by test" in text and "of 64 expected" in text
    round_ = node.mining.round_of(mined.hash)
    assert round_ is not None and f"/rounds/{round_.id}" in found.links()
    assert "Memo" in text and "<script>alert(1)</script>" in text
    check_harmless(found)
    # A block of another node: no round of ours, and here no memo either.
    fetched = page(client, "/block/2")
    assert "The round that found it" not in fetched.text and "Memo" not in fetched.text
    assert "not when mining began" in fetched.text
    first = page(client, "/block/1")
    assert "Miner" not in first.text and "Time to solve" not in first.text


def test_a_block_whose_time_is_before_its_parents_says_so(
    node: Node, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    grow(node)
    later = grow(node)
    stored = node.chain.header(later.hash)
    assert stored is not None
    header = dataclasses.replace(stored.header, timestamp=stored.header.timestamp - 70)
    solved_in = blocks._solved_in(node, dataclasses.replace(stored, header=header))
    assert solved_in is not None and -71 <= solved_in <= -68
    monkeypatch.setattr("api.explorer.pages.blocks._solved_in", lambda *_: solved_in)
    assert "its time is 1 min before that of its parent" in page(client, "/block/3").text


def test_blocks_with_many_transactions_have_pages(node: Node, client: Client) -> None:
    for nonce in range(60):
        client.submit(transfer(ALICE, nonce))
    block = grow(node)
    first, second = page(client, "/block/2"), page(client, f"/block/{block.hash}?page=2")
    assert sum(link.startswith("/tx/") for link in first.links()) == 50
    assert sum(link.startswith("/tx/") for link in second.links()) == 11
    assert f"/block/{block.hash}?page=2" in first.links()


def test_a_transactions_way_is_told_wherever_it_is(client: Client, busy: str, node: Node) -> None:
    confirmed = page(client, f"/tx/{busy}")
    assert "In a block" in confirmed.text and re.search(r"Confirmed\s*2 times", confirmed.text)
    waiting = node.pool.queue(BOB.address)[0].id
    assert "not yet" in page(client, f"/tx/{waiting}").text
    node.pool.drop([waiting], "evicted", "a test wanted it", node.clock.now())
    gone = page(client, f"/tx/{waiting}")
    assert "Gone" in gone.text and "a test wanted it" in gone.text and "evicted" in gone.text


def test_the_drawn_merkle_branch_leads_to_the_root(client: Client, busy: str) -> None:
    found = page(client, f"/tx/{busy}")
    proof = client.get(f"/transactions/{busy}/proof").ok()
    value = merkle.leaf_hash(canonical(proof["transaction"]))
    hashes = [value.hex()]
    for step in proof["branch"]:
        sibling = bytes.fromhex(step["hash"])
        value = merkle.node_hash(sibling, value) if step["side"] == "left" else merkle.node_hash(value, sibling)
        hashes += [step["hash"], value.hex()]
    assert value.hex() == proof["header"]["transactions_root"] and len(proof["branch"]) == 2
    drawn = re.findall(r"<title>([0-9a-f]{64})</title>", found.source)
    assert drawn == hashes
    downloads = [attrs for tag, attrs in found.elements if tag == "a" and "download" in attrs]
    assert [attrs["href"] for attrs in downloads] == [f"/transactions/{busy}/proof"]


def test_an_address_shows_balance_history_and_allowances(client: Client, busy: str) -> None:
    alice = page(client, f"/address/{ALICE.address}")
    assert "996.498" in alice.text  # 1000 - 1 - 2.5 - two fees
    assert re.search(r"Left to spend.*5 QRY", " ".join(alice.text.split()))
    assert page(client, f"/address/{ALICE.address.lower()}").links() == alice.links()
    carol = page(client, f"/address/{CAROL.address}")
    assert "Allowances" in carol.text and f"/address/{ALICE.address}" in carol.links()
    assert "names this address" in page(client, "/address/0x00000000000000000000000000000000000000aa").text


def test_a_long_history_has_pages(node: Node, client: Client) -> None:
    for _ in range(30):
        grow(node)
    first, second = page(client, f"/address/{MINER}"), page(client, f"/address/{MINER}?page=2")
    assert [sum(link.startswith("/tx/") for link in found.links()) for found in (first, second)] == [25, 5]


def test_the_mempool_by_fee_and_by_age(client: Client) -> None:
    ids = [client.submit(transfer(key, 0, fee=fee)) for key, fee in ((ALICE, "0.1"), (BOB, "0.3"), (CAROL, "0.2"))]
    orders = {}
    for order in ("fee", "age"):
        found = page(client, f"/pool?order={order}")
        orders[order] = [attrs["href"][4:] for tag, attrs in found.elements if attrs.get("href", "").startswith("/tx/")]
    assert orders == {"fee": [ids[1], ids[2], ids[0]], "age": ids}


def test_a_fork_is_drawn_with_what_it_detached(make_node: MakeNode) -> None:
    node, rival = make_node(), make_node()
    client = Client(FlaskDoor(create_app(node)))
    ancestor = grow(node)
    identifier = client.submit(transfer(ALICE, 0))
    left = [grow(node), grow(node)]
    taken = reorganise(node, rival, left[0].index - 1, 3)
    found = page(client, "/network")
    assert "2 blocks detached, 3 attached" in " ".join(found.text.split())
    for block in (ancestor, *left, *taken):
        assert f"/block/{block.hash}" in found.links()
    assert f"/tx/{identifier}" in found.links() and "1 reorganisation" in found.text
    detached = page(client, f"/block/{left[0].hash}")
    assert "Not on the chain" in detached.text and f"/block/{taken[0].hash}" in detached.links()
    assert "since" in page(client, f"/tx/{identifier}").text  # it waits again


def test_peers_are_compared_with_our_chain(node: Node, client: Client) -> None:
    urls = [f"http://127.0.0.1:{port}" for port in (5001, 5002, 5003)]
    node.peers.add(*urls)
    old = grow(node)
    tip = grow(node)
    for url, height, known in zip(urls, (3, 2, 9), (tip.hash, old.hash, "ab" * 32), strict=True):
        node.peers.answered(url, height, known, 100)
    node.peers.failed(urls[2], "lying", f"It sent {HOSTILE}")
    text = " ".join(page(client, "/network").text.split())
    assert "agrees with us" in text and "is 1 block behind us" in text and "has a tip that we do not know" in text
    assert "alert" in text and "\u202e" not in text


def test_mining_shows_rounds_workers_and_waste(node: Node, client: Client) -> None:
    block = mine(node)
    found = page(client, "/mining")
    text = " ".join(found.text.split())
    assert f"/block/{block.hash}" in found.links() and "sealed" in text and "1 round, 1 found" in text
    node.requests.ask()
    assert "Block 3" in page(client, "/mining").text


@pytest.mark.parametrize(
    ("query", "target"),
    [
        ("2", "/block/2"), (" 2 ", "/block/2"), ("#2", "/block/2"), ("latest", "/block/latest"),
        (MINER, f"/address/{MINER}"), (MINER.lower(), f"/address/{MINER}"),
    ],
)  # fmt: skip
def test_search_goes_to_the_page(node: Node, client: Client, query: str, target: str) -> None:
    grow(node)
    answer = client.get(f"/search?q={query.replace('#', '%23').replace(' ', '+')}")
    assert (answer.status, answer.headers["location"]) == (302, target)


def test_search_knows_hashes_and_ids_with_and_without_0x(client: Client, busy: str) -> None:
    block = client.get("/blocks/3").ok()["hash"]
    for prefix in ("", "0x", "0X"):
        assert client.get(f"/search?q={prefix}{block}").headers["location"] == f"/block/{block}"
        assert client.get(f"/search?q={prefix}{busy.upper()}").headers["location"] == f"/tx/{busy}"


@pytest.mark.parametrize(
    "path",
    [
        "/block/99", "/block/0", "/block/nonsense", f"/block/{'ab' * 32}", f"/tx/{'ab' * 32}", "/tx/x", "/address/0x12",
        f"/address/{MINER[:-1]}{'0' if MINER[-1] != '0' else '1'}", "/search?q=nothing+like+it", "/search",
        "/no/such/page", f"/search?q={'9' * 300}",
    ],
)  # fmt: skip
def test_what_is_unknown_is_a_helpful_404(client: Client, path: str) -> None:
    found = page(client, path, 404)
    assert "The latest blocks" in found.text and "/" in found.links()


@pytest.mark.parametrize("change", [str, str.upper, str.title], ids=["as it is", "upper", "mixed"])
def test_wallets_link_to_pages_as_eip_3091_says(client: Client, busy: str, change: Any) -> None:
    block = client.get("/blocks/3").ok()["hash"]
    for path, target in (("tx", busy), ("block", block)):
        answer = client.get(f"/{path}/0x{change(target)}", **BROWSER)
        assert (answer.status, answer.headers["location"]) == (302, f"/{path}/{target}")
        if change(target) != target:
            assert client.get(f"/{path}/{change(target)}", **BROWSER).headers["location"] == f"/{path}/{target}"
    assert client.get(f"/block/0x{block}?page=1").headers["location"] == f"/block/{block}?page=1"


def test_links_to_heights_and_addresses(client: Client, busy: str) -> None:
    assert client.get("/block/0x3").headers["location"] == client.get("/block/0X03").headers["location"] == "/block/3"
    assert client.get("/block/LATEST").headers["location"] == "/block/latest"
    for name in (MINER, MINER.lower(), "0x" + MINER[2:].upper(), "0X" + MINER[2:].upper()):
        assert MINER in page(client, f"/address/{name}").text
    assert (
        "has height 1" in page(client, "/block/0", 404).text and "has height 1" in page(client, "/block/0x0", 404).text
    )


def test_what_genesis_names_as_its_parent_leads_to_the_chain_spec(client: Client, make_node: MakeNode) -> None:
    parent = client.get("/blocks/1").ok()["previous_hash"]
    spec = client.get("/spec").ok()
    assert sha256(canonical(spec)).hex() == parent
    genesis = page(client, "/block/1")
    assert f'<a href="/spec">{parent}</a>' in genesis.source
    assert f"/block/{parent}" not in genesis.links()
    # The transaction that JSON-RPC shows in block 0 is a part of the spec, too.
    allocating = sha256(b"quarry-allocations:" + bytes.fromhex(parent)).hex()
    for path in (f"/block/{parent}", f"/block/0x{parent.upper()}", f"/tx/0x{allocating}", f"/search?q={parent}",
                 f"/search?q=0x{parent}", f"/search?q={allocating.upper()}"):  # fmt: skip
        answer = client.get(path)
        assert (answer.status, answer.headers["location"]) == (302, "/spec"), path
    tutorial = Client(FlaskDoor(create_app(make_node(SPEC="tutorial"))))
    assert "/spec" not in page(tutorial, "/block/1").links()  # whose parent is the number 1


def test_the_coin_has_a_page_where_wallets_look_for_tokens(client: Client, make_node: MakeNode, busy: str) -> None:
    address = client.get("/spec").ok()["token"]["address"]
    assert address.endswith("5eed")
    for name in (address, address.lower(), "0X" + address[2:]):
        found = page(client, f"/token/{name}?a={MINER}")
        assert address in found.text and "QRY" in found.text and "100,003" in found.text
    missing = page(client, f"/token/{MINER}", 404)
    assert MINER in missing.text and f"/token/{address}" in missing.links()
    tutorial = Client(FlaskDoor(create_app(make_node(SPEC="tutorial"))))
    page(tutorial, f"/token/{address}", 404)


def test_a_page_that_is_missing_says_what_was_looked_for(client: Client) -> None:
    for path in ("/block/0xABCDEF0123456789", f"/tx/0x{'Ab' * 32}", "/address/0x12", "/token/x", "/no/such/page"):
        asked = path if path.startswith("/no") else path.rpartition("/")[2]
        assert asked in page(client, path, 404).text


@pytest.mark.parametrize("accept", [{}, {"Accept": "*/*"}, {"Accept": "application/json"}], ids=str)
def test_programs_get_problems_about_pages(client: Client, accept: dict[str, str]) -> None:
    for kind, name in (("block", "0"), ("transaction", "x"), ("address", "x"), ("token", "x")):
        path = {"transaction": "tx"}.get(kind, kind)
        client.get(f"/{path}/{name}", **accept).refused(404, f"unknown_{kind}")
    client.get("/search?q=nothing+like+it", **accept).refused(404, "nothing_found")
    assert client.get("/pool?page=0", **accept).refused(400, "bad_argument")["field"] == "page"


def test_a_fault_of_ours_is_told_on_a_page_too(node: Node, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr("api.explorer.pages.pool.pool", broken)
    assert "A fault of ours" in page(client, "/pool", 500).text
    assert b"secret" not in client.get("/pool", **BROWSER).body
    client.get("/pool").refused(500, "internal_error")


@pytest.mark.parametrize("order", ["AAA", "", "FEE", "fee ", "fee,age"])
def test_an_order_that_does_not_exist_is_refused(client: Client, order: str) -> None:
    assert "order must be fee or age" in page(client, f"/pool?order={order}".replace(" ", "+"), 400).text


def test_programs_get_problems_where_browsers_get_pages(client: Client) -> None:
    client.get("/no/such/page").refused(404, "not_found")
    client.get("/no/such/page", Accept="*/*").refused(404, "not_found")
    client.post("/no/such/page", {}).refused(404, "not_found")


@pytest.mark.parametrize(
    "path",
    [
        "/block/%3Cscript%3Ealert(1)%3C%2Fscript%3E",
        "/tx/%E2%80%AEgnp.exe",
        "/address/%22%3E%3Cimg%20src=x%20onerror=1%3E",
        "/search?q=%3Cscript%3Ealert(1)%3C/script%3E%E2%80%8B",
        "/%3Csvg%20onload=alert(1)%3E%E2%80%AE",
    ],
)
def test_hostile_addresses_are_shown_harmlessly(client: Client, path: str) -> None:
    found = page(client, path, 404)
    check_harmless(found)


def test_a_hostile_memo_is_shown_harmlessly(client: Client, busy: str) -> None:
    found = page(client, f"/tx/{busy}")
    check_harmless(found)
    assert "<script>alert(1)</script>" in found.text  # as text
    for codepoint in ("U+202E", "U+200B", "U+2066", "U+FEFF", "U+3164"):
        assert codepoint in found.text


def check_harmless(found: Page) -> None:
    assert not set("\u202e\u200b\u2066\u2069\ufeff\u3164\u0007") & set(found.source)
    for tag, attributes in found.elements:
        assert tag not in ("img", "script") or attributes["src"].startswith("/assets/")
        assert not any(name.startswith("on") for name in attributes)


@pytest.mark.parametrize("path", ["/?before=x", "/?before=0", "/pool?page=0", "/pool?page=99999", "/block/1?page=-1"])
def test_wrong_arguments_are_told_on_a_page(client: Client, path: str) -> None:
    assert "must be a whole number" in page(client, path, 400).text


def test_a_store_that_does_not_answer_is_told_on_a_page(node: Node, client: Client, monkeypatch: Any) -> None:
    def broken() -> Any:
        raise RedisConnectionError("refused")

    monkeypatch.setattr(type(node.chain), "tip", lambda _: broken())
    found = page(client, "/", 503)
    assert "does not answer" in found.text and "refused" not in found.text


def test_assets_are_kept_by_browsers_only_under_their_digest(client: Client) -> None:
    linked = next(link for link in page(client, "/").links() if "explorer.css" in link)
    assert "immutable" in client.get(linked).headers["cache-control"]
    assert client.get("/assets/explorer.css").headers["cache-control"] == "no-cache"
    assert client.get("/assets/explorer.css").headers["x-content-type-options"] == "nosniff"
    client.get("/assets/views.py").refused(404, "unknown_asset")
    assert client.get("/assets/..%2Fviews.py").status == 404


def test_the_supply_is_explained_by_its_sources(node: Node, client: Client, make_node: MakeNode) -> None:
    for _ in range(3):
        grow(node, recipient=ALICE.address)
    text = " ".join(page(client, "/supply").text.split())
    assert "At genesis100,000 QRY" in text and "Mined, 3 blocks of 1 QRY3 QRY" in text
    assert "Together, the supply100,003 QRY" in text and "The first 20 of 100" in text
    assert "/supply" in page(client, "/").links()
    tutorial = make_node(SPEC="tutorial")
    other = Client(FlaskDoor(create_app(tutorial)))
    mine(tutorial)
    text = " ".join(page(other, "/supply").text.split())
    assert "not counted" in text and "Blocks with a reward1" in text and "QRY" not in text
    assert "not counted" in page(other, "/").text
    assert "the tutorial keeps no balances" in page(other, f"/address/{MINER}").text


def test_browsers_find_an_icon_where_they_look_for_one(client: Client) -> None:
    icon = client.get("/favicon.ico")
    assert (icon.status, icon.type) == (200, "image/x-icon") and icon.body[:4] == b"\0\0\1\0"
    assert 'rel="icon"' in page(client, "/").source


def test_pages_do_not_stand_in_the_way_of_the_endpoints(client: Client, node: Node) -> None:
    grow(node)
    for path in ("/blocks", "/blocks/2", "/mempool", "/nodes", "/status", "/chain", f"/accounts/{MINER}"):
        client.get(path, **BROWSER).ok()


def test_under_the_tutorials_rules_the_pages_work_too(make_node: MakeNode) -> None:
    node = make_node(SPEC="tutorial")
    client = Client(FlaskDoor(create_app(node)))
    post = {"sender": f"<b>anna</b>{HOSTILE}", "recipient": [1, {"x": "\u202e"}], "amount": 1.5}
    identifier = client.submit(post)
    check_harmless(page(client, f"/tx/{identifier}"))
    check_harmless(page(client, "/pool"))
    block = mine(node)
    for path in ("/", "/block/2", "/mining", "/network", "/learn", "/send", "/learn/anatomy?block=1"):
        check_harmless(page(client, path))
    identifiers = [item["id"] for item in client.get(f"/blocks/{block.hash}").ok()["transactions"]]
    for known in identifiers:
        found = page(client, f"/tx/{known}")
        check_harmless(found)
        assert "Merkle" not in found.text
    assert "What differs here" in page(client, "/learn/anatomy").text and "wallet" not in page(client, "/send").text


def test_a_name_as_long_as_an_address_is_no_way_in(make_node: MakeNode) -> None:
    """Under the tutorial's rules a party can be any text, also one that looks like an address."""
    client = Client(FlaskDoor(create_app(make_node(SPEC="tutorial"))))
    name = "0x\u202e\u2066\u200b<b>" + "x" * 34
    assert len(name) == 42
    identifier = client.submit({"sender": name, "recipient": name[:40] + "\u3164\ufeff", "amount": 1})
    for path in (f"/tx/{identifier}", "/pool", "/"):
        check_harmless(page(client, path))


def test_names_of_workers_and_reasons_of_peers_are_harmless(client: Client, node: Node) -> None:
    node.peers.add("http://127.0.0.1:5001")
    node.peers.failed("http://127.0.0.1:5001", "lying", f"because {HOSTILE}")
    node.requests.ask()
    round_id = node.mining.situation().open_round
    assert claim_of(node, round_id, f"w \u202e{HOSTILE}", 1000, Searched()) is not None
    version = node.mining._redis.hget(node.mining.keys.round(round_id), "version") or b""
    claim_of(node, round_id, f"w \u202e{HOSTILE}", 1000, Searched(version.decode(), 1000))
    for path in ("/", "/network", "/mining"):
        found = page(client, path)
        check_harmless(found)
        assert "U+202E" in found.text, path


def test_every_page_is_described(node: Node) -> None:
    text = (ROOT / "docs" / "explorer.md").read_text("utf-8")
    for rule in create_app(node).url_map.iter_rules():
        if rule.endpoint.startswith("explorer."):
            path = re.sub(r"<(?:[a-z]+:)?([a-z_]+)>", r"{\1}", rule.rule)
            assert f"`{path}`" in text


def test_every_page_is_in_the_list_of_pages(node: Node) -> None:
    routes = create_app(node).url_map
    doors = routes.bind("localhost")
    listed = {doors.match(path.partition("?")[0])[0] for path in PAGES}
    pages = {rule.endpoint for rule in routes.iter_rules() if rule.endpoint.startswith("explorer.")}
    # A page by an id, a redirection, files.
    others = {"explorer.transaction", "explorer.search", "explorer.asset", "explorer.favicon"}
    assert pages - others == listed


def test_a_history_that_is_spread_over_a_long_chain_is_read_too(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(FlaskDoor(create_app(node)))
    for _ in range(5):
        grow(node)
    whole = page(client, f"/address/{MINER}")
    monkeypatch.setattr("api.explorer.places._RANGE", 2)  # each height by itself
    assert page(client, f"/address/{MINER}").links() == whole.links()
    assert sum(link.startswith("/tx/") for link in whole.links()) == 5
