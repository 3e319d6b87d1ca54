"""The page /join/CODE mines in the browser, and its search finds what every other search finds."""

import json
import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from api.app import create_app
from services.launch.ports import reserved
from services.node import Node
from tests.support.door import RunningDoor
from tests.support.keys import TOKEN
from tests.support.nodes import forget, local_node
from tests.support.pages import blocks
from tests.support.servers import make_server
from tests.support.serving import serving
from tests.support.waiting import eventually

VECTORS = next(json.loads(block.text) for block in blocks("docs/mining.md") if block.value == "shares")
SEARCH = """async (vector) => {
  const { search } = await import("/assets/sha256-proofs.js");
  return search(vector.seal, vector.start, Math.min(vector.stop, 2 ** 53), vector.share_difficulty, 2 ** 60).shares;
}"""
SPEED = """async () => {
  const { search } = await import("/assets/sha256-proofs.js");
  search("0".repeat(64), 1e9, 1e9 + 2e6, 2 ** 50, 2 ** 60);
}"""
HASHES = 2e6


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    directory = tmp_path_factory.mktemp("join")
    with (
        make_server(directory / "valkey") as server,
        reserved("127.0.0.1", 0) as port,
        reserved("127.0.0.1", 0) as rpc_port,
    ):
        ports = {"PORT": str(port), "RPC_PORT": str(rpc_port)}
        node = local_node(server.url, directory, {"difficulty": 2_000_000}, **ports)
        yield node
        forget(node)


@pytest.fixture
def asked() -> list[str]:
    """The paths that the node's API is asked for."""
    return []


@pytest.fixture
def page(browser: Any, node: Node, asked: list[str]) -> Iterator[Any]:
    app = create_app(node, TOKEN)

    def noting(environ: dict[str, Any], start_response: Any) -> Any:
        asked.append(environ["PATH_INFO"])
        return app(environ, start_response)

    with serving(noting, node.settings.port) as url:
        context = browser.new_context(base_url=url)
        found = context.new_page()
        found.problems = []
        found.on("pageerror", lambda error: found.problems.append(str(error)))
        yield found
        context.close()
        assert found.problems == []


def test_a_browser_finds_a_block_and_shows_its_share(page: Any, node: Node) -> None:
    code = node.leases.vouchers.new("phones", code=True).code
    node.requests.ask()
    height = node.chain.tip().height
    page.goto(f"/join/{code}", wait_until="load")
    page.click("#join-start")
    eventually(lambda: (page.wait_for_timeout(100), node.chain.tip().height > height)[1], 90, "a block of the page")
    eventually(lambda: (page.wait_for_timeout(100), page.text_content("#join-blocks") == "1")[1], what="the block")
    eventually(lambda: (page.wait_for_timeout(100), page.text_content("#join-share") != "0%")[1], what="the share")
    page.click("#join-stop")
    assert re.fullmatch(r"[0-9.]+ [kM]H/s", page.text_content("#join-rate"))
    [miner] = node.leases.miners(10)
    assert miner.name.startswith("browser-") and (miner.blocks, miner.refused) == (1, 0) and miner.credited > 0
    node.leases.vouchers.revoke("phones")


def test_a_browser_mines_at_the_door_and_at_the_api_when_that_is_gone(page: Any, node: Node, asked: list[str]) -> None:
    code = node.leases.vouchers.new("phones", code=True).code
    node.requests.ask()
    height = node.chain.tip().height
    with RunningDoor(node, node.settings.rpc_port):
        page.goto(f"/join/{code}", wait_until="load")
        page.click("#join-start")
        eventually(lambda: (page.wait_for_timeout(100), node.chain.tip().height > height)[1], 90, "a block of the page")
        assert not [path for path in asked if path.startswith("/leases")]
    node.requests.ask()
    eventually(lambda: (page.wait_for_timeout(100), node.chain.tip().height > height + 1)[1], 90, "a second block")
    eventually(lambda: (page.wait_for_timeout(100), page.text_content("#join-blocks") == "2")[1], what="the blocks")
    assert {"/leases", "/leases/news"} <= set(asked)
    page.click("#join-stop")
    node.leases.vouchers.revoke("phones")


def test_it_says_that_it_looks_for_the_door_and_can_be_stopped_meanwhile(
    page: Any, node: Node, asked: list[str]
) -> None:
    code = node.leases.vouchers.new("phones", code=True).code
    start, stop, state = (page.locator(f"#join-{name}") for name in ("start", "stop", "state"))
    with socket.create_server(("127.0.0.1", node.settings.rpc_port)) as door:  # it takes connections and says nothing
        door.settimeout(20)
        page.goto(f"/join/{code}", wait_until="load")
        page.click("#join-start")
        with door.accept()[0]:
            assert (start.is_visible(), stop.is_visible()) == (False, True)
            assert state.get_attribute("role") == "status" and "Looking" in state.inner_text()
            for width in (1280, 390):
                page.set_viewport_size({"width": width, "height": 800})
                assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            page.click("#join-stop")
            assert (start.is_visible(), stop.is_visible(), state.is_visible()) == (True, False, False)
            page.click("#join-start")
            assert stop.is_visible() and state.is_visible()
    eventually(lambda: (page.wait_for_timeout(100), "/leases" in asked)[1], what="a lease from the API")
    assert stop.is_visible() and "Looking" not in state.inner_text()
    page.click("#join-stop")
    node.leases.vouchers.revoke("phones")
    assert [path for path in asked if path.startswith("/leases")].count("/leases/news") == 1, "the first start mines"


def test_a_wrong_code_is_named(page: Any) -> None:
    page.goto("/join/WRONG", wait_until="load")
    page.click("#join-start")
    page.wait_for_selector("#join-state.bad")
    assert "voucher" in page.text_content("#join-state") and page.is_visible("#join-start")


def test_vectors(page: Any) -> None:
    page.goto("/miners", wait_until="load")
    for vector in VECTORS:
        expected = [proof for proof in vector["shares"] if proof < 2**53]
        assert page.evaluate(SEARCH, vector) == expected


def test_one_core_does_a_million_hashes_a_second(page: Any, record_property: Any) -> None:
    """By the processor time of the page's thread: other programs may have the core meanwhile."""
    page.goto("/miners", wait_until="load")
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def spent() -> float:
        found = session.send("Performance.getMetrics")["metrics"]
        return float(next(item["value"] for item in found if item["name"] == "TaskDuration"))

    speeds = []
    for _ in range(3):
        before = spent()
        page.evaluate(SPEED)
        speeds.append(HASHES / (spent() - before) / 1e6)
    record_property("MH/s", max(speeds))
    print(f"{max(speeds):.2f} MH/s on one core of the browser")
    assert max(speeds) >= 1
