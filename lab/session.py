"""`quarry lab up`: real nodes and a page from which a person breaks them, until Ctrl-C."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

from lab import recording
from lab.page.app import Feed, create_app, serving
from lab.page.controls import Controls
from lab.real.lab import RealLab, require_room
from lab.recording import Recorder
from lab.runner import SPEC, recording_file, recording_path
from services.settings.table import load_spec

NAME = "up"


def run_session(nodes: int, port: int, hash_rate: str, directory: Path, tell: Callable[[str], object]) -> Path:
    """Run a lab until it is interrupted. Returns the path of its recording.

    Raises:
        LabError: it does not start.
    """
    require_room(nodes)
    spec = load_spec(SPEC)
    path = recording_path(directory, NAME, "real", int(time.time()))
    feed = Feed()
    ended = threading.Event()
    with recording_file(path) as out:
        recorder = Recorder(out, feed.add)
        recorder.note(
            0.0, "begin", recording=recording.VERSION, scenario=NAME, world="real", seed=0, nodes=nodes,
            spec=spec.to_object(), parameters={},
        )  # fmt: skip
        tell(f"Starting {nodes} nodes …")
        lab = RealLab(nodes, spec, 0, recorder)
        try:
            for node in lab.nodes:
                node.limit(hash_rate)
            urls = {node.number: node.url for node in lab.nodes}
            with serving(create_app(Controls(lab, {}), feed, urls), feed, port) as url:
                tell(f"The lab: {url}  Ctrl-C ends it.")
                signal.signal(signal.SIGTERM, lambda number, frame: ended.set())
                while not ended.wait(0.2):
                    pass
        except KeyboardInterrupt:
            pass
        finally:
            lab.close()
            recorder.end()
    return path
