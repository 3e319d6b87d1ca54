"""The miner of the page /join: hashes of its worker for each second of processor time, in a headless Chromium.

The page's own worker (api/explorer/static/join-worker.js) is asked for ranges, under the content security policy of the
pages. What counts is the processor time of the worker's thread, as Linux accounts for it: other programs may have the
core meanwhile. It needs Linux, Chromium and Playwright (the extra `browser`).
"""

import mimetypes
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import api.explorer
from api.headers import CONTENT_POLICY
from benchmarks.lab_page import browser_page
from benchmarks.node import descendants
from benchmarks.report import Result

_STATIC = Path(api.explorer.__file__).parent / "static"
_TARGET = 1.0  # MH for each second of processor time
_TURNS = 5
_FIRST = 10**9  # proofs of ten digits
_ASK = """([start, stop]) => new Promise((resolve, reject) => {
  window.miner ??= new Worker("/join-worker.js", { type: "module" });
  window.miner.onmessage = ({ data }) => resolve(data);
  window.miner.onerror = (error) => reject(new Error(error.message || "the worker does not start"));
  window.miner.postMessage({ seal: "0".repeat(64), start, stop, shareDifficulty: 2 ** 40, difficulty: 2 ** 60 });
})"""


class _Files(BaseHTTPRequestHandler):
    """The explorer's static files, and an empty page, with the policy of the node's pages."""

    def do_GET(self) -> None:
        name = self.path.strip("/")
        path = _STATIC / name
        body = path.read_bytes() if name and path.is_file() and path.parent == _STATIC else b"<!doctype html>"
        self.send_response(200)
        self.send_header("Content-Type", (name and mimetypes.guess_type(name)[0]) or "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", CONTENT_POLICY)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def run(say: Callable[[str], None], quick: bool = False) -> list[Result]:
    """Result "browser_miner"."""
    result = Result("browser_miner")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        result.notes.append("not measured: there is no Chromium on this machine")
        return [result]
    hashes = 1_000_000 if quick else 4_000_000
    with _serving() as url, browser_page(program) as page:
        page.goto(url)
        page.evaluate(_ASK, [_FIRST, _FIRST + hashes])  # the browser compiles
        say(f"{_TURNS} times {hashes:,} hashes")
        best = wall = 0.0
        for turn in range(1, _TURNS + 1):
            start = _FIRST + turn * hashes
            before = _seconds_of_workers()
            answer = page.evaluate(_ASK, [start, start + hashes])
            best = max(best, hashes / (_seconds_of_workers() - before) / 1e6)
            wall = max(wall, hashes / answer["seconds"] / 1e6)
        result.add(
            "per_cpu_second", best, "MH/s", target=_TARGET,
            than=f"one core, by the processor time of the worker's thread; by the wall {wall:.2f} MH/s",
        )  # fmt: skip
    return [result]


@contextmanager
def _serving() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Files)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _seconds_of_workers() -> float:
    """Processor seconds of all threads of Chromium that run a worker's script."""
    total = 0
    for pid in descendants(os.getpid()):
        for thread in Path(f"/proc/{pid}/task").glob("*"):
            try:
                if thread.joinpath("comm").read_text().startswith("DedicatedWorker"):
                    total += int(thread.joinpath("schedstat").read_text().split()[0])
            except OSError:  # it has ended
                continue
    return total / 1e9
