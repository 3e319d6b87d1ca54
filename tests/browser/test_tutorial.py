"""The pages of a chain with the tutorial's rules, in a browser."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from werkzeug.serving import make_server

from api.app import create_app
from tests.browser.checks import check
from tests.browser.conftest import PHONE, Scene, Tab
from tests.support.http import Client, FlaskDoor
from tests.support.keys import MINER
from tests.support.nodes import forget, local_node, mine


@pytest.fixture(scope="module")
def tutorial(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a tutorial node in this process, with five blocks, on the server of `scene`."""
    node = local_node(scene.running.valkey.url, tmp_path_factory.mktemp("tutorial"), SPEC="tutorial")
    app = create_app(node)
    client = Client(FlaskDoor(app))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        for amount in (1, 5.0, [2, {"x": 1e300}], "viele"):
            client.submit({"sender": "anna", "recipient": "b\u00e9n \U0001f600", "amount": amount})
            mine(node)
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        forget(node)


@pytest.mark.parametrize("tab", [("dark", PHONE)], indirect=True)
def test_every_page_works_there(tab: Tab, tutorial: str, axe: str) -> None:
    tab.url = tutorial
    for path in (
        "/",
        "/supply",
        "/block/3",
        "/learn/anatomy",
        "/learn/anatomy?block=1",
        f"/address/{MINER}",
        "/mining",
    ):
        tab.page.route("**/events", lambda route: route.fulfill(status=204))  # which would occupy the server at its end
        tab.open(path)
        if path == "/learn/anatomy":
            tab.page.wait_for_selector("#a-verdict.good")
        check(tab, axe, path)


def test_a_forged_chain_needs_no_work(tab: Tab, tutorial: str) -> None:
    tab.url = tutorial
    for height in (2, 3, 4, 5):  # floats, other JSON and letters beyond ASCII are hashed as the node does
        tab.page.goto(f"{tutorial}/learn/anatomy?block={height}")
        tab.page.wait_for_selector("#a-verdict.good")
    tab.page.goto(f"{tutorial}/learn/anatomy?block=2")
    cards: Any = tab.page.locator("#b-blocks .link")
    bytes_ = cards.nth(0).locator("textarea")
    tab.page.wait_for_selector("#b-blocks .link .verdict.good")
    bytes_.fill(bytes_.input_value().replace('"amount": 1', '"amount": 1000', 1))
    tab.page.wait_for_selector("#b-blocks .link.broken")
    assert "Its proof is valid" in cards.nth(1).inner_text() and "Names another block" in cards.nth(1).inner_text()
    tab.page.click("#b-relink")
    tab.page.locator("#b-verdict", has_text="accepts this forged chain").wait_for()
    assert tab.page.locator("#b-blocks .link.broken").count() == 0
    bytes_.fill("{")
    tab.page.locator("#b-blocks .link.broken", has_text="not JSON").wait_for()
    tab.page.click("#b-reset")
    tab.page.wait_for_function("document.querySelectorAll('#b-blocks .link.broken').length === 0")
