"""The whole course in Chromium: each exercise is done as a reader does it, and computes what the node computes."""

import json
from typing import Any

import pytest

from shared import keys
from shared.transaction import check_signature, read_transaction
from tests.browser.checks import LIGHT, check, check_all, show
from tests.browser.conftest import PHONE, Scene, Tab, inside
from tests.support.specs import CHAIN_ID, mined_spec
from tests.support.waiting import eventually

VIEWS = (LIGHT, ("dark", PHONE))


def look(tab: Tab, axe: str, path: str) -> None:
    """The page as the exercise left it fits and is accessible: light at a desk, and dark on a phone."""
    check_all(tab, axe, path, VIEWS)
    show(tab, LIGHT)


def result(tab: Tab, kind: str, words: str) -> None:
    """Wait for a verdict on the exercise."""
    tab.page.locator(f"#verdict.{kind}", has_text=words).wait_for()


@pytest.mark.timeout(300)  # twenty audits, on a busy machine
def test_a_reader_goes_through_the_course(tab: Tab, scene: Scene, axe: str) -> None:
    tab.open("/learn")
    look(tab, axe, "/learn")
    tab.page.click(".begin")
    for slug, exercise in EXERCISES.items():
        tab.page.wait_for_url(f"**/learn/{slug}")
        exercise(tab, scene)
        assert tab.page.locator(f'.steps [data-lesson="{slug}"] .done').count() == 1
        look(tab, axe, f"/learn/{slug}")
        tab.page.locator('.course-pager a[rel="next"]').focus()
        tab.page.keyboard.press("Enter")
    tab.page.wait_for_url("**/learn/quiz")
    assert tab.page.locator(".quiz details[open]").count() == 0
    tab.page.locator(".quiz summary").nth(9).press("Enter")
    assert "private keys" in tab.page.locator(".quiz details").nth(9).inner_text()
    look(tab, axe, "/learn/quiz")
    tab.page.click("text=Next: take a block apart")
    tab.page.wait_for_selector("#a-verdict.good")
    look(tab, axe, "/learn/anatomy")
    tab.open("/learn/glossary#transactions-root")
    check(tab, axe, "/learn/glossary")  # long, so once
    tab.open("/learn")
    tab.page.locator(".contents .done").nth(6).wait_for()


def do_hash(tab: Tab, scene: Scene) -> None:
    text = tab.page.locator("#h-text")
    before = tab.page.inner_text("#h-hash")
    text.fill("Anna pays Ben 6 coins.")
    result(tab, "good", "digits have changed")
    assert tab.page.inner_text("#h-hash") != before
    text.fill("Anna pays Ben 5 coins.")
    assert tab.page.inner_text("#h-hash") == before
    assert "Your browser has computed the same." in tab.page.inner_text("#h-own")


def do_signature(tab: Tab, scene: Scene) -> None:
    tab.page.click("#s-sign")
    result(tab, "good", "fits the text")
    text, public, signature = (tab.page.locator(name) for name in ("#s-text", "#s-public", "#s-signature"))
    signed = (text.input_value().encode(), bytes.fromhex(signature.inner_text()))
    assert keys.verify(bytes.fromhex(public.inner_text()), *signed)
    assert tab.page.inner_text("#s-address") == keys.address_of_public_key(bytes.fromhex(public.inner_text()))
    text.press("End")
    text.type("0")
    result(tab, "bad", "does not fit")


def do_transaction(tab: Tab, scene: Scene) -> None:
    tab.page.click("#t-sign")
    result(tab, "good", "fits all fields")
    sent = read_transaction(json.loads(tab.page.inner_text("#t-json")))
    check_signature(sent, mined_spec())
    assert (sent.id, sent.chain_id) == (tab.page.inner_text("#t-id"), CHAIN_ID)
    tab.page.fill("#t-amount", "100")
    result(tab, "bad", "Refused")
    # The node says the same of it.
    forged = scene.running.client.post("/transactions/new", json.loads(tab.page.inner_text("#t-json")))
    forged.refused(400, "bad_signature")


def do_block(tab: Tab, scene: Scene) -> None:
    tab.page.click("#b-mine")
    result(tab, "good", "Found after")
    tab.page.click("#b-details summary")
    # Every rule holds for it: the node takes it as the next block of its chain.
    with inside(scene.running) as node:
        block = node.rules.read_block(json.loads(tab.page.inner_text("#b-json")))
        assert block.hash == tab.page.inner_text("#b-hash")
        assert node.acceptor.accept(block).block.hash == node.chain.tip().hash == block.hash
        assert node.chain.account(tab.page.inner_text("#b-address")).balance == 75 * 10**16


def do_chain(tab: Tab, scene: Scene) -> None:
    cards = tab.page.locator("#c-blocks .link")
    cards.nth(3).wait_for()
    stored = [scene.running.client.get(f"/blocks/{height}").ok()["hash"] for height in range(2, 6)]
    shown = [card.inner_text() for card in cards.all()]
    assert all(hash_[:10] in text and "As on the chain" in text for hash_, text in zip(stored, shown, strict=True))
    first = cards.nth(0).locator("input")
    address = first.input_value()
    # One in 64 is valid by luck. Then another character breaks it.
    for digit in "0123456789":
        first.fill(address[:-1] + digit)
        if digit != address[-1] and tab.page.locator("#c-blocks .broken").count() == 4:
            break
    result(tab, "bad", "not valid any more")
    for card in cards.all():
        if "broken" in str(card.get_attribute("class")):
            card.locator("button").click()
            eventually(lambda card=card: "broken" not in str(card.get_attribute("class")))
    result(tab, "good", "Mended")
    assert "more block" in tab.page.inner_text("#verdict")
    assert not any(hash_[:10] in card.inner_text() for hash_, card in zip(stored, cards.all(), strict=True))
    tab.page.click("#c-reset")
    assert all(hash_[:10] in card.inner_text() for hash_, card in zip(stored, cards.all(), strict=True))


def do_network(tab: Tab, scene: Scene) -> None:
    for name in "ABB":
        before = tab.page.locator(f'[data-node="{name}"] li').count()
        tab.page.click(f'[data-node="{name}"] button')
        tab.page.locator(f'[data-node="{name}"] li').nth(before).wait_for()
    chains = [tab.page.locator(f'[data-node="{name}"] ol') for name in "AB"]
    assert chains[0].inner_text() != chains[1].inner_text()
    tab.page.click("#n-connect")
    result(tab, "good", "that of node B. Node A drops 1 block and takes 2 blocks")
    assert chains[0].inner_text() == chains[1].inner_text() and chains[0].locator(".taken").count() == 2
    tab.page.click("#n-reset")
    assert chains[0].locator("li").count() == 1


def do_cost(tab: Tab, scene: Scene) -> None:
    tab.page.click("#w-measure")
    result(tab, "good", "Only work protects a chain")
    assert "attempts in a second" in tab.page.inner_text("#w-rate") and "kWh" in tab.page.inner_text("#w-energy")


EXERCISES: dict[str, Any] = {
    "hash": do_hash, "signature": do_signature, "transaction": do_transaction, "block": do_block, "chain": do_chain,
    "network": do_network, "cost": do_cost,
}  # fmt: skip


def endless(tab: Tab, step: str) -> None:
    """Open a step whose search finds nothing, and begin to mine."""

    def harder(route: Any) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body=answer.text().replace('data-difficulty="64"', f'data-difficulty="{2**52}"'))

    tab.page.route(f"**/learn/{step}", harder)
    tab.open(f"/learn/{step}")
    tab.page.click("#b-mine")
    eventually(lambda: tab.page.inner_text("#b-tried") != "0")


@pytest.mark.parametrize("leave", ["stop", "hidden"])
def test_mining_leaves_the_page_usable_and_ends_when_the_reader_leaves(tab: Tab, leave: str) -> None:
    endless(tab, "block")
    assert len(tab.page.workers) == 1
    # While it mines, the page still reacts: a task of the page's own waits for less than a search takes.
    waited = tab.page.evaluate(
        "new Promise((done) => { const t = performance.now(); setTimeout(() => done(performance.now() - t), 0); })"
    )
    assert waited < 1000
    if leave == "stop":
        assert tab.page.inner_text("#b-mine") == "Stop"
        tab.page.press("#b-mine", "Enter")
    else:
        tab.page.evaluate(
            "Object.defineProperty(document, 'hidden', {value: true});"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )
    tab.page.locator("#verdict", has_text="Stopped").wait_for()
    eventually(lambda: tab.page.evaluate("1") and tab.page.workers == [])  # the browser is asked, so it also tells
    assert tab.page.inner_text("#b-mine") == "Mine"


def test_without_scripts_the_course_can_be_read(browser: Any, scene: Scene) -> None:
    context = browser.new_context(java_script_enabled=False, viewport=PHONE)
    try:
        page = context.new_page()
        for slug in EXERCISES:
            page.goto(f"{scene.url}/learn/{slug}")
            assert page.locator("noscript").count() == 1 and len(page.inner_text(".lesson")) > 500
            assert page.locator("#try button:enabled").count() == 0, "a button that does nothing"
        page.goto(f"{scene.url}/learn/quiz")
        page.locator(".quiz summary").first.click()
        assert "fingerprint" in page.locator(".quiz details").first.inner_text()
    finally:
        context.close()
