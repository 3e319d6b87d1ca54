"""`quarry lab up`: nodes, real or simulated, and a page from which a person breaks them, until Ctrl-C."""

from __future__ import annotations

import contextlib
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from types import FrameType

from lab import recording
from lab.attack.joining import Attacks, noted
from lab.interface import Lab, LabError, World
from lab.page.app import Feed, create_app, serving_page
from lab.page.controls import Controls
from lab.recording import Recorder
from lab.runner import SPEC, MakeLab, new_recording
from lab.strategy import Strategy
from services.settings.table import load_spec

NAME = "up"
_BEAT = 0.1  # seconds between two looks
_CONTROL_SECONDS = 30.0  # that a control may take


class Pace:
    """Virtual time that passes with the clock on the wall, and the controls of a lab that works in one thread."""

    def __init__(self, lab: Lab, speed: float) -> None:
        self._lab = lab
        self._speed = speed
        self._asked: queue.SimpleQueue[tuple[Callable[[], None], Future[None]]] = queue.SimpleQueue()
        self._before = time.monotonic()

    def do(self, work: Callable[[], None]) -> None:
        """Have the lab's thread do something, and wait for it.

        Raises:
            LabError: the lab is busy for too long. It is not done later.
        """
        answer: Future[None] = Future()
        self._asked.put((work, answer))
        try:
            answer.result(_CONTROL_SECONDS)
        except TimeoutError:
            if answer.cancel():
                raise LabError("The lab is too busy to do that: try again, or begin with a lower --speed.") from None
            answer.result()  # it is being done just now

    def beat(self) -> None:
        """Do what was asked, and let the time pass that has passed since the last call."""
        with contextlib.suppress(queue.Empty):
            while True:
                work, answer = self._asked.get_nowait()
                if not answer.set_running_or_notify_cancel():
                    continue
                try:
                    answer.set_result(work())
                except Exception as error:
                    answer.set_exception(error)
        now = time.monotonic()
        passed, self._before = now - self._before, now
        self._lab.run_for(min(passed, 1.0) * self._speed)


def run_session(
    make: MakeLab,
    world: World,
    nodes: int,
    port: int,
    hash_rate: str | float | None,
    directory: Path,
    tell: Callable[[str], object],
    strategies: Mapping[str, Callable[[], Strategy]],
    speed: float = 1.0,
) -> Path:
    """Run a lab until it is interrupted. Returns the path of its recording.

    Args:
        hash_rate: the limit of each node at first.
        speed: virtual seconds in a second, of a simulated lab.

    Raises:
        LabError: it does not start.
    """
    spec = load_spec(SPEC)
    seed = int(time.time())
    feed = Feed()
    with new_recording(directory, NAME, world, seed) as (path, out), until_interrupted() as interrupted:
        recorder = Recorder(out, feed.add)
        recorder.note(
            0.0, "begin", recording=recording.VERSION, scenario=NAME, world=world, seed=seed, nodes=nodes,
            spec=spec.to_object(), parameters={},
        )  # fmt: skip
        tell(f"Starting {nodes} nodes …")
        lab = make(nodes, spec, seed, recorder)
        try:
            for node in lab.nodes:
                node.limit(hash_rate)
            pace = Pace(lab, speed) if world == "simulated" else None
            controls = Controls(lab, strategies) if pace is None else Controls(lab, strategies, pace.do)
            urls = {node.number: str(url) for node in lab.nodes if (url := getattr(node, "url", None)) is not None}
            app = create_app(controls, feed, urls, Attacks(lab, path).attack)
            with serving_page(app, feed, port) as url, noted(directory, url, urls):
                if not interrupted.is_set():  # while the nodes were started
                    tell(f"The lab: {url}  Ctrl-C ends it.")
                while not interrupted.wait(_BEAT):
                    recorder.require_written()
                    if pace is not None:
                        pace.beat()
        finally:
            lab.close()
            recorder.end()
    return path


@contextlib.contextmanager
def until_interrupted() -> Iterator[threading.Event]:
    """An event that is set by Ctrl-C and SIGTERM, so that neither interrupts the cleaning up."""
    event = threading.Event()

    def interrupt(number: int, frame: FrameType | None) -> None:
        event.set()

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
