"""What moves: live updates while workers mine, the button that asks for a block, the block taken apart, sending."""

import json
import os
import re
import secrets
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from api.explorer import text
from services.store.keys import Keys
from services.system.quantities import hashes_text, rate_text, time_left
from shared.keys import KeyPair
from tests.browser.conftest import Scene, Tab
from tests.support.keys import ALICE, BOB, fresh_key
from tests.support.nodes import transfer
from tests.support.processes import children
from tests.support.waiting import eventually

WALLET = """
window.asked = [];
window.ethereum = { request: async ({ method, params }) => {
  window.asked.push([method, params ?? null]);
  if (method === "eth_requestAccounts") return ["0x00000000000000000000000000000000000000aa"];
  if (method === "eth_chainId") return "0x1092";
  if (method === "eth_sendTransaction") return "0x" + "ab".repeat(32);
  return null;
} };
"""


def height(tab: Tab) -> int:
    text = tab.page.locator(".strip li:nth-child(2) .height").inner_text()
    return int(text.replace(",", ""))


def test_a_block_appears_by_itself(tab: Tab, scene: Scene) -> None:
    tab.open("/")
    tab.page.wait_for_selector('#live[data-state="live"]')
    before = height(tab)
    scene.running.client.post("/mine?wait=10").ok()
    eventually(lambda: height(tab) > before)


@contextmanager
def workers_stopped(scene: Scene) -> Iterator[None]:
    """No mining worker does anything meanwhile: one would find that a round of the test has no template, and end it."""
    stopped: list[int] = []
    for name, process in scene.running.processes.items():
        if name.startswith("mining"):
            os.kill(process.pid, signal.SIGSTOP)
            jobs = children(process.pid)
            for pid in jobs:
                os.kill(pid, signal.SIGSTOP)
            stopped += [process.pid, *jobs]
    try:
        yield
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


def test_a_round_is_seen_while_workers_search(tab: Tab, scene: Scene) -> None:
    """The bar and the figures grow with the events, without a reload; the bar is of the round, not of each worker."""
    tab.open("/mining")
    tab.page.wait_for_selector('#live[data-state="live"]')
    with workers_stopped(scene), scene.running.redis() as redis:
        keys = Keys(scene.running.name)
        redis.hset(keys.round("f" * 32), mapping=ROUND | {"id": "f" * 32})
        redis.hset(keys.round_workers("f" * 32), mapping={"anna": "1000:1:2", "ben<b>": "500:1:2"})
        redis.set(keys.open_round, "f" * 32)
        try:
            redis.xadd(keys.events, {"type": "round", "data": f"{'f' * 32} 77"})
            tab.page.wait_for_selector('[data-worker="anna"]')
            assert tab.page.locator("#round tbody tr").count() == 2
            redis.hset(keys.round("f" * 32), "hashes", 9500)
            redis.hset(keys.counters, "hashes", 45_500)
            redis.hset(keys.round_workers("f" * 32), mapping={"anna": "1000:1:3", "ben<b>": "44500:1:3"})
            fill = tab.page.locator("#round .fill")
            eventually(lambda: fill.get_attribute("width") == "50.1")
            shown = " ".join(tab.page.locator("#round").inner_text().split())
            assert "50% of searches" in shown and "Hashes done 45,500" in shown, shown
            assert "anna 500 H/s 1,000" in shown and "ben<b> 22.3 kH/s 44,500" in shown, shown
            assert tab.page.locator('[data-value="total"]').inner_text() == "45,500"
        finally:
            redis.delete(keys.open_round, keys.round("f" * 32), keys.round_workers("f" * 32))
            redis.xadd(keys.events, {"type": "cancelled", "data": "f" * 32})
    tab.page.wait_for_selector("#round .empty")


def test_the_browser_writes_figures_as_the_server_does(tab: Tab, scene: Scene) -> None:
    values = [0, 0.001, 0.4, 1, 9.94, 9.96, 59.4, 119, 121, 999, 1000, 7201, 99_949, 999_400, 999_600, 1e9, 5e14]
    tab.open("/mining")
    script = """async (values) => {
      const figures = await import("/assets/figures.js");
      return values.map((value) => [
        figures.hashes(value), figures.rate(value), figures.timeLeft(value), figures.percent(value / 1e15),
      ]);
    }"""
    expected = [[hashes_text(it), rate_text(it), time_left(it), text.percent(it / 1e15)] for it in values]
    assert tab.page.evaluate(script, values) == expected


def test_a_new_block_is_seen_to_arrive(tab: Tab, scene: Scene) -> None:
    """It is marked for some seconds, also without motion; what was there before is not."""
    tab.open("/")
    tab.page.wait_for_selector('#live[data-state="live"]')
    before = height(tab)
    assert tab.page.locator(".arrived").count() == 0
    scene.running.client.post("/mine?wait=10").ok()
    card = tab.page.wait_for_selector(".strip .arrived")
    assert f"{before + 1:,}" in card.inner_text()
    assert tab.page.locator("#blocks tr.arrived").count() == tab.page.locator(".strip .arrived").count() == 1
    style = tab.page.evaluate(
        "() => { const style = getComputedStyle(document.querySelector('.strip .arrived a'));"
        " return [style.animationName, style.borderColor]; }"
    )
    usual = tab.page.evaluate("() => getComputedStyle(document.querySelector('.strip li:last-child a')).borderColor")
    assert style[0] == "none" and style[1] != usual, "this browser prefers reduced motion"
    eventually(lambda: tab.page.locator(".arrived").count() == 0)


ROUND: dict[Any, Any] = {
    "state": "open", "hashes": 1500, "wasted": 0, "opened_at": 1, "height": 77, "difficulty": 65536, "version": 1,
    "parent": "", "transactions": 0,
}  # fmt: skip


def test_mine_a_block_with_the_button(tab: Tab, scene: Scene) -> None:
    tab.open("/mining")
    tab.page.click("#mine")
    tab.page.wait_for_selector("#mine-state.good a")
    tab.page.click("#mine-state a")
    tab.page.wait_for_url("**/block/*")
    assert "Header" in tab.page.content()


def test_paused_means_paused(tab: Tab, scene: Scene) -> None:
    tab.open("/")
    tab.page.wait_for_selector('#live[data-state="live"]')
    tab.page.click("#live")
    tab.page.wait_for_selector('#live[data-state="paused"]')
    before = height(tab)
    scene.running.client.post("/mine?wait=10").ok()
    tab.page.wait_for_timeout(1500)
    assert height(tab) == before
    tab.page.click("#live")
    eventually(lambda: height(tab) > before)


def test_without_a_stream_the_page_polls(tab: Tab, scene: Scene) -> None:
    refusal = json.dumps({"code": "too_many_streams"})
    tab.page.route("**/events", lambda route: route.fulfill(status=429, body=refusal))
    tab.open("/")
    tab.page.wait_for_selector('#live[data-state="polling"]')
    before = height(tab)
    with tab.page.expect_response("**/status"):  # the first look only notes where the node is
        pass
    scene.running.client.post("/mine?wait=10").ok()
    eventually(lambda: height(tab) > before)
    assert all("429" in item for item in tab.problems)  # Chromium logs it on the console
    tab.problems.clear()


def test_a_transaction_is_seen_on_its_way(tab: Tab, scene: Scene) -> None:
    key = fresh_key()
    tab.open("/send")
    tab.page.fill("#raw", json.dumps(transfer(key, 0)))
    tab.page.click("#raw-send")
    tab.page.wait_for_selector("#raw-state.good a")
    tab.page.click("#raw-state a")
    tab.page.wait_for_selector(".way .now")
    tab.page.wait_for_selector('#live[data-state="live"]')
    scene.running.client.post("/mine?wait=10").ok()
    tab.page.wait_for_selector(".way li:nth-child(3).done")


def test_a_refused_transaction_says_why(tab: Tab) -> None:
    tab.open("/send")
    tab.page.fill("#raw", json.dumps(transfer(ALICE, 0)))  # that nonce is on the chain already
    tab.page.click("#raw-send")
    tab.page.wait_for_selector("#raw-state.bad")
    assert "nonce" in tab.page.inner_text("#raw-state")
    assert all("400" in item for item in tab.problems)
    tab.problems.clear()


def test_the_faucet_gives_coins(tab: Tab, scene: Scene) -> None:
    address = KeyPair(secrets.token_bytes(32)).address
    tab.open("/send")
    tab.page.fill("#faucet-address", address)
    tab.page.click("#faucet-form button")
    tab.page.wait_for_selector("#faucet-state.good a")
    scene.running.client.post("/mine?wait=10").ok()
    eventually(lambda: scene.running.client.get(f"/accounts/{address}").ok()["balance"] == "10")


def test_a_wallet_is_asked_as_eip_1193_says(tab: Tab, scene: Scene) -> None:
    tab.page.add_init_script(WALLET)
    tab.open("/send")
    tab.page.click("#wallet-add")
    tab.page.click("#wallet-token")
    tab.page.fill("#wallet-to", BOB.address)
    tab.page.fill("#wallet-amount", "0.25")
    tab.page.click("#wallet-send")
    tab.page.wait_for_selector("#wallet-state a")
    asked: dict[str, Any] = dict(tab.page.evaluate("window.asked"))
    chain = asked["wallet_addEthereumChain"][0]
    spec = scene.running.client.get("/spec").ok()
    assert (int(chain["chainId"], 16), chain["rpcUrls"]) == (spec["chain_id"], [f"{scene.url}/rpc"])
    assert chain["nativeCurrency"] == {"name": "Quarry", "symbol": "QRY", "decimals": 18}
    assert asked["wallet_watchAsset"]["options"]["address"] == spec["token"]["address"]
    sent = asked["eth_sendTransaction"][0]
    assert (int(sent["value"], 16), sent["to"]) == (25 * 10**16, BOB.address)


def test_a_block_is_taken_apart_and_a_changed_byte_breaks_all_that_follow(tab: Tab, scene: Scene) -> None:
    tab.open("/learn/anatomy?block=3")
    tab.page.wait_for_selector("#a-verdict.good")
    block = scene.running.client.get("/blocks/3").ok()
    assert tab.page.inner_text("#a-hash") == block["hash"]
    assert tab.page.inner_text("#a-root") == block["transactions_root"]
    cards = tab.page.locator(".link")
    assert cards.count() == 4 and tab.page.locator(".link.broken").count() == 0
    cards.nth(1).locator('[data-role="amount"]').fill("1000")
    # Every block from there on is another one. One in 64 is valid all the same, by luck; not all three are.
    same = tab.page.locator(".link", has_text="As it is on the chain")
    eventually(lambda: same.count() == 1 and tab.page.locator(".link.broken").count() > 0)
    assert "As it is on the chain" in cards.nth(0).inner_text()
    tab.page.click("#b-reset")
    eventually(lambda: tab.page.locator(".link.broken").count() == 0)


def test_the_browser_hashes_text_of_every_kind_as_the_node_does(tab: Tab, scene: Scene) -> None:
    height = scene.running.client.get(f"/transactions/{scene.confirmed}").ok()["index"]
    tab.open(f"/learn/anatomy?block={height}")
    tab.page.wait_for_selector("#a-verdict.good")


def test_a_toy_block_is_mined_by_hand(tab: Tab) -> None:
    tab.open("/learn/anatomy")
    tab.page.click("#t-once")
    tab.page.wait_for_function("document.getElementById('t-count').textContent === '1'")
    tab.page.click("#t-search")
    tab.page.wait_for_selector("#t-verdict.good")
    hash_, count = tab.page.inner_text("#t-hash"), int(tab.page.inner_text("#t-count"))
    assert int(hash_, 16) * 16 < 2**256 and count >= 1
    assert re.fullmatch("[0-9]+", tab.page.inner_text("#t-proof"))


@pytest.mark.parametrize("tab", [("light", {"width": 390, "height": 844})], indirect=True)
def test_live_on_a_phone(tab: Tab, scene: Scene) -> None:
    tab.open("/")
    tab.page.wait_for_selector('#live[data-state="live"]')
    before = height(tab)
    scene.running.client.post("/mine?wait=10").ok()
    eventually(lambda: height(tab) > before)
