"""The lab's page in a browser: frames of a large tree, how far it is behind the nodes, how soon controls are heeded.

It needs Chromium and Playwright (the extra `browser`). Frames a second depend on what else the machine does; the
processor time of a frame, of all processes of the browser together, hardly does.
"""

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.node import descendants
from benchmarks.report import Result
from lab.measures import share_hash_rate
from lab.page.app import Feed, create_app, serving_page
from lab.page.controls import Controls
from lab.page.exporting import exported
from lab.real.lab import RealLab
from lab.recording import VERSION, Event, Recorder
from lab.simulated.tree.lab import TreeLab
from services.settings.table import load_spec
from shared.chain_spec import ChainSpec

BLOCKS, NODES = 2000, 8
FRAMES = 30  # a second, at least
BEHIND = HEEDED = 1.0  # seconds, at most
LATENCY = 0.3  # seconds of each link of the drawn network: a branch now and then
_WITHIN = 60.0  # seconds
_TICK = os.sysconf("SC_CLK_TCK")

# Notes when each hash is first told in the table of nodes, in Unix milliseconds: that follows the tree's drawing.
_WATCH = """() => {
  window.shown = {};
  const look = () => {
    for (const code of document.querySelectorAll("#nodes code")) window.shown[code.textContent] ??= Date.now();
  };
  new MutationObserver(look).observe(document.getElementById("nodes"), { childList: true, subtree: true });
}"""
_DIAL = "(dial, rate) => { dial.value = String(rate); dial.dispatchEvent(new Event('change')); }"
_FRAMES = """seconds => new Promise((done) => {
  let frames = 0;
  const began = performance.now();
  const frame = (now) => {
    frames += 1;
    if (now - began < seconds * 1000) requestAnimationFrame(frame); else done([frames, (now - began) / 1000]);
  };
  requestAnimationFrame(frame);
})"""


def run(say: Callable[[str], None], quick: bool = False) -> list[Result]:
    """Results "lab_drawing" and "lab_live"."""
    drawing, live = Result("lab_drawing"), Result("lab_live")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        drawing.notes.append("not measured: there is no Chromium on this machine")
        return [drawing]
    with browser_page(program) as page:
        say(f"drawing {BLOCKS:,} blocks of {NODES} nodes")
        _draw(drawing, page, 3.0 if quick else 10.0)
        say(f"a page of {2 if quick else NODES} real nodes")
        _live(live, page, 2 if quick else NODES, 3 if quick else 10)
    return [drawing, live]


@contextmanager
def browser_page(program: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        arguments = ["--disable-dev-shm-usage"] + (["--no-sandbox"] if os.geteuid() == 0 else [])
        browser = play.chromium.launch(executable_path=program, args=arguments)
        try:
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.set_default_timeout(1000 * _WITHIN)
            yield page
        finally:
            browser.close()


def recorded() -> list[Event]:
    """A recording of a large network whose links are slow."""
    recorder = Recorder()
    spec = load_spec("lab")
    recorder.note(0.0, "begin", recording=VERSION, scenario="benchmark", world="simulated", seed=1, nodes=NODES,
                  spec=spec.to_object(), parameters={})  # fmt: skip
    with TreeLab(NODES, spec, 1, recorder) as lab:
        for a in lab.nodes:
            for b in lab.nodes:
                if a is not b:
                    lab.link(a.number, b.number).set(latency=LATENCY)
        lab.wait(lambda: len(lab.blocks()) >= BLOCKS, within=1e9)
    recorder.end()
    return recorder.events


def _draw(result: Result, page: Any, seconds: float) -> None:
    """Play the recording as fast as the page can, from its middle on: once all of it in sight, once its end."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "run.html"
        path.write_text(exported(recorded()), "utf-8")
        page.goto(path.as_uri())
        page.wait_for_selector(f"#nodes tr:nth-child({NODES})")
        for view, button in (("all", "fit"), ("end", "follow")):
            page.click(f"#{button}")
            page.eval_on_selector("#moment", "it => { it.value = it.max * 0.6; it.dispatchEvent(new Event('input')); }")
            page.select_option("#speed", "60")
            page.click("#play")
            before = _used()
            frames, passed = page.evaluate(_FRAMES, seconds)
            used = _used() - before
            page.click("#play")
            result.add(f"{view}_frames", frames / passed, "1/s", target=FRAMES, than=f"load {os.getloadavg()[0]:.1f}")
            result.add(f"{view}_frame_cpu", 1000 * used / frames, "ms", target=1000 / FRAMES, better="lower",
                       than="all processes of the browser")  # fmt: skip


def _used() -> float:
    """Seconds of processor time that the browser's processes have taken so far."""
    total = 0.0
    for pid in descendants(os.getpid()):
        try:
            name, _, fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
        except OSError:
            continue  # it has just ended
        if "chrom" in name:
            total += sum(map(int, fields.split()[11:13])) / _TICK
    return total


def _live(result: Result, page: Any, nodes: int, rounds: int) -> None:
    feed = Feed()
    recorder = Recorder(tell=feed.add)
    spec = load_spec("lab")
    recorder.note(0.0, "begin", recording=VERSION, scenario="up", world="real", seed=1, nodes=nodes,
                  spec=spec.to_object(), parameters={})  # fmt: skip
    with ExitStack() as stack:
        lab = _real(nodes, spec, recorder)
        stack.callback(lab.close)
        urls = {node.number: node.url for node in lab.nodes}
        url = stack.enter_context(serving_page(create_app(Controls(lab, {}), feed, urls), feed))
        page.goto(url)
        page.wait_for_selector(f"#nodes tr:nth-child({nodes})")
        page.evaluate(_WATCH)
        share_hash_rate(lab, {}, 0.5 * nodes)
        lab.mining(False)
        behind = [_behind(page, lab, 1 + number % nodes) for number in range(rounds)]
        result.add("behind_median", statistics.median(behind), "s", target=BEHIND, better="lower")
        result.add("behind_most", max(behind), "s", than=f"of {rounds} blocks; {nodes} nodes")
        heeded = [seconds for number in range(rounds) for seconds in _heeded(page, lab, number)]
        result.add("heeded_median", statistics.median(heeded), "s", target=HEEDED, better="lower")
        result.add("heeded_most", max(heeded), "s", than=f"of {len(heeded)} controls")
    result.notes.append(f"load average {os.getloadavg()[0]:.1f}; a busy machine answers later")


def _real(nodes: int, spec: ChainSpec, recorder: Recorder) -> RealLab:
    return RealLab(nodes, spec, 1, recorder)


def _behind(page: Any, lab: RealLab, number: int) -> float:
    """Seconds from the moment at which a node says that it has a block until the page shows it."""
    node = lab.node(number)
    before = str(node.ask("/status")["tip"])
    client = node.client()
    client.post("/mine", wait=0)
    deadline = time.monotonic() + _WITHIN
    while (tip := str(client.get("/status")["tip"])) == before:
        if time.monotonic() > deadline:
            raise RuntimeError("no block was found")
        time.sleep(0.01)
    had = time.time()
    short = tip[:10]
    page.wait_for_function("hash => window.shown[hash] !== undefined", arg=short)
    return max(0.0, float(page.evaluate("hash => window.shown[hash]", short)) / 1000 - had)


def _heeded(page: Any, lab: RealLab, number: int) -> Iterator[float]:
    """Seconds from just before a click until the nodes or the router do what was asked."""
    rate = float(200_000 + 100_000 * (number % 2))
    began = time.monotonic()
    page.eval_on_selector("#rate-1", _DIAL, rate)
    yield _since(began, lambda: lab.node(1).ask("/status")["hash_rate_limit"] == rate)
    began = time.monotonic()
    page.click("#cut")
    yield _since(began, lambda: lab.link(1, 2).conditions.cut)
    began = time.monotonic()
    page.click("#heal")
    yield _since(began, lambda: not lab.link(1, 2).conditions.cut)


def _since(began: float, condition: Callable[[], bool]) -> float:
    while not condition():
        if time.monotonic() - began > _WITHIN:
            raise RuntimeError("a control was not heeded")
        time.sleep(0.005)
    return time.monotonic() - began
