"""A browser and a node with something to look at. Without Chromium or Playwright these tests are skipped."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from services.jobs.queues import RqJobs
from services.node import Node, build_node
from services.settings.table import load
from services.wallet.development import ACCOUNTS
from tests.support.keys import ALICE, BOB, CAROL
from tests.support.nodes import forget, grow, local_node, transfer
from tests.support.payees import pay
from tests.support.running import RunningNode
from tests.support.scene import HOSTILE, reorganise

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FAUCET = {ACCOUNTS[0].address: "1000"}  # whose coins it gives away
# Chromium draws its address bar, which nobody sees here, by two pages of its own (WebUIOmnibox...), which cost 0.8 s
# of a core for each window. Of two such lists Chromium takes the last, so ours begins with what Playwright disables.
DISABLED = (
    "AimEnabled", "AvoidCorsURLLoaderRestartOnRedirect", "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose", "HttpsFirstBalancedModeAutoEnable", "HttpsUpgrades", "LensOverlay", "MediaRouter",
    "NetworkTimeServiceQuerying", "OptimizationHints", "PaintHolding", "PreconnectToSearch",
    "TcpPortRandomizationWin", "ThirdPartyStoragePartitioning", "WebUIOmniboxAimPopup", "WebUIOmniboxPopup",
    "SpareRendererForSitePerProcess",  # a process in reserve for the next page, which is often none
)  # fmt: skip
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 800}


@dataclass
class Scene:
    """A running node and what is on it."""

    running: RunningNode
    url: str
    confirmed: str  # id of a transfer with a hostile memo
    waiting: str  # id of a transfer that waits for a nonce before it
    fork: list[str]  # hashes of detached blocks


@dataclass
class Tab:
    """One page of the browser, and what went wrong on it."""

    page: Any
    url: str
    problems: list[str] = field(default_factory=list)

    def note(self, problem: str) -> bool:
        self.problems.append(problem)
        return True

    def dismiss(self, dialog: Any) -> None:
        self.note(f"dialog: {dialog.message}")
        dialog.dismiss()

    def open(self, path: str) -> None:
        self.page.goto(self.url + path, wait_until="load")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's Chromium under Playwright."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra `browser`)")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine (apt-get install chromium)")
    with playwright.sync_playwright() as play:
        arguments = ["--disable-dev-shm-usage", f"--disable-features={','.join(DISABLED)}"]
        # Pages are drawn by the processor anyway; without an imitation of a graphics card that is less work.
        arguments += ["--disable-gpu", "--disable-software-rasterizer"]
        arguments += ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = play.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory, browser: Any) -> Iterator[Scene]:
    """A node of real processes, with blocks, a fork, a peer, and transactions on the chain and in the mempool."""
    directory = tmp_path_factory.mktemp("browser")
    with RunningNode(directory / "node", workers=2, spec={"allocations": FAUCET}) as running:
        with inside(running) as node:
            # Before workers mine anything: this chain is made in this process, where its proofs are easy.
            rival = local_node(running.valkey.url, directory, {"difficulty": 64, "allocations": FAUCET})
            try:
                found = furnish(node, rival)
            finally:
                forget(rival)
        yield Scene(running, f"http://127.0.0.1:{running.door.port}", *found)


@contextmanager
def inside(running: RunningNode) -> Iterator[Node]:
    """The running node's store, in this process."""
    with Redis.from_url(running.valkey.url) as redis:
        store: Any = redis
        yield build_node(load(running.environment), store=store, queue=RqJobs(redis))


def furnish(node: Node, rival: Node) -> tuple[str, str, list[str]]:
    for _ in range(6):
        grow(node)
    left = [grow(node), grow(node)]
    reorganise(node, rival, left[0].index - 1, 3)
    submit(node, transfer(ALICE, 0, data=HOSTILE))
    submit(node, transfer(BOB, 0))
    submit(node, transfer(ALICE, 1, type="approve", recipient=CAROL.address, amount="7.5"))
    block = grow(node)
    waiting = submit(node, transfer(CAROL, 5, data=HOSTILE))
    node.peers.add("http://127.0.0.1:9")
    node.peers.answered("http://127.0.0.1:9", block.index, block.hash, 100)
    confirmed = next(item.id for item in block.transactions if item.fields.get("data"))
    pay(node, BOB.address, confirmed)
    return confirmed, waiting, [it.hash for it in left]


def submit(node: Node, fields: dict[str, Any]) -> str:
    admitted = node.submit([node.rules.read_request(fields)])[0]
    assert not isinstance(admitted, Exception), admitted
    return admitted.id


@pytest.fixture
def tab(browser: Any, scene: Scene, request: pytest.FixtureRequest) -> Iterator[Tab]:
    """A page of the scene's node, in the view of the test's `tab` parameter, or else light and as wide as a desktop."""
    scheme, viewport = getattr(request, "param", ("light", DESK))
    with opened(browser, scene.url, scheme, viewport) as found:
        yield found


@contextmanager
def opened(browser: Any, url: str, scheme: str, viewport: dict[str, int]) -> Iterator[Tab]:
    """A tab for pages below `url`, in a colour scheme and a viewport.

    Afterwards: no console errors, no violation of the content security policy, nothing loaded from elsewhere.
    """
    context = browser.new_context(color_scheme=scheme, viewport=viewport, reduced_motion="reduce")
    opened = Tab(context.new_page(), url)
    page = opened.page
    page.on("pageerror", lambda error: opened.note(f"error: {error}"))
    page.on("console", lambda said: said.type in ("error", "warning") and opened.note(said.text))
    page.on("request", lambda sent: sent.url.startswith(opened.url) or opened.note(f"asks {sent.url}"))
    page.on("dialog", opened.dismiss)
    page.set_default_timeout(30_000)  # a page of /docs reacts after seconds where the machine is busy
    try:
        yield opened
    finally:
        context.close()
    assert opened.problems == []


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core."""
    package = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    return (Path(package.__file__).parent / "axe.min.js").read_text("utf-8")
