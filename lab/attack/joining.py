"""A lab that runs already does an attack: how another process finds it and asks it to.

`quarry lab up` writes the address of its page into a file beside its recordings, and removes it at its end. The page
takes an attack at `/attack` and answers with its verdicts when it is over.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import urllib3

from lab.attack.application import Application
from lab.attack.asked import Asked, read_asked
from lab.attack.double_spend import DoubleSpend
from lab.interface import Claims, Lab, LabError
from lab.runner import ENDED, Result
from lab.verdicts import Observation, Verdict, judge_all
from services.system.files import writing
from services.system.processes import started_at

NAME = "attack double-spend"
_FILE = "up.json"
_MOST_ANSWER = 2**20
_SECONDS = 24 * 3600.0  # an attack takes as long as its blocks take


@contextmanager
def noted(directory: Path, url: str, nodes: Mapping[int, str]) -> Iterator[None]:
    """Let other processes find the page of this process's lab, and its nodes, while the block runs."""
    path, pid = directory / _FILE, os.getpid()
    text = json.dumps({"url": url, "nodes": nodes, "pid": pid, "started": started_at(pid)})
    with suppress(OSError), writing(path) as out:  # else nobody finds it, and it works all the same
        out.write(text.encode("ascii"))
    try:
        yield
    finally:
        with suppress(OSError):
            if running_lab(directory) == url:  # else another lab has taken its place
                path.unlink()


def running_lab(directory: Path) -> str | None:
    """The page of a lab that runs; None: there is none."""
    try:
        found = json.loads((directory / _FILE).read_text("ascii"))
        url, pid, started = str(found["url"]), int(found["pid"]), found["started"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return url if started is not None and started_at(pid) == started else None


class Attacks:
    """What the page of a lab does when it is asked for an attack: one at a time."""

    def __init__(self, lab: Lab, recording: Path) -> None:
        self._lab = lab
        self._recording = recording
        self._busy = threading.Lock()

    def attack(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Do it; the result as `--json` prints it.

        Raises:
            LabError: it cannot be done, or another one is being done.
        """
        asked = read_asked(values)
        application = Application(asked.against, asked.credited)
        if self._lab.world != "real":
            raise LabError("An application cannot watch a simulated node: start quarry lab up without --simulated.")
        if not self._busy.acquire(blocking=False):
            raise LabError("Another attack is under way.")
        claims = Claims()
        try:
            DoubleSpend(self._lab, application, asked, claims.check).run()
        except LabError as error:
            claims.observations.append(Observation(f"{ENDED} ({error})", held=False))
        finally:
            self._busy.release()
        return Result(
            NAME, "real", [self._lab.seed], judge_all([claims.observations]), str(self._recording)
        ).to_object()


def join(page: str, asked: Asked) -> Result:
    """Have a running lab do an attack.

    Raises:
        LabError: it refuses, or ends meanwhile.
    """
    body = json.dumps(asked.to_object()).encode()
    try:
        answer = urllib3.PoolManager(retries=False).request(
            "POST", f"{page}attack", body=body, headers={"Content-Type": "application/json"}, timeout=_SECONDS
        )
        found = json.loads(answer.data[:_MOST_ANSWER])
        if answer.status != 200:
            raise LabError(str(found["detail"]))
        verdicts = [Verdict(**each) for each in found["verdicts"]]
        return Result(NAME, "real", list(found["seeds"]), verdicts, found["recording"])
    except (urllib3.exceptions.HTTPError, ValueError, KeyError, TypeError):
        raise LabError(f"The lab at {page} ended before the attack did.") from None
