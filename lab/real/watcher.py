"""Follow one real node: the blocks that it has, its tip, and whether it still has something to mine."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import urllib3

from api.cli.client import NodeClient
from api.cli.group import Failure
from lab.blocktree import BlockTree
from lab.interface import LabBlock
from shared.amounts import parse_amount

_EVENTS_TIMEOUT = 15.0  # seconds; a living stream says something every ten
_PAUSE = 0.2  # seconds before a node that does not answer is asked again
_WAITING = 2  # mining requests that wait at a node which mines all the time: one is answered, one is there already


class Watcher:
    """One thread that follows a node's events until `stop`.

    Args:
        finder_of: the number of the node that a reward goes to; None: a stranger's.
    """

    def __init__(
        self, number: int, client: NodeClient, tree: BlockTree, finder_of: Callable[[str], int | None]
    ) -> None:
        self._number = number
        self._client = client
        self._tree = tree
        self._finder_of = finder_of
        self._stop = threading.Event()
        self.mines = True
        self._looks = threading.Lock()  # an older look must not end after a newer one
        self._thread = threading.Thread(target=self._run, name=f"watch node {number}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def look(self) -> None:
        """Take in what the node has now. Raises `Failure`: it does not answer."""
        with self._looks:
            status = self._client.get("/status")
            tip = str(status["tip"])
            self._take(tip)
            self._tree.moved(self._number, tip)
            if self.mines:
                for _ in range(_WAITING - int(status["requests"])):
                    self._client.post("/mine", wait=0)

    def _take(self, tip: str) -> None:
        """Take in a block that is or was the node's tip, and those below it that are new."""
        missing: list[dict[str, Any]] = []
        hash = tip
        while not self._tree.has_heard(self._number, hash):
            found = self._client.get(f"/blocks/{hash}")
            missing.append(found)
            if int(found["index"]) == 1:
                break
            hash = str(found["previous_hash"])
        for found in reversed(missing):
            block = self._block(found)
            self._tree.add(block)
            self._tree.heard(self._number, block.hash)

    def _run(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(Failure, urllib3.exceptions.HTTPError, OSError):
                self.look()
                for tip in self._events():
                    if self._stop.is_set():
                        return
                    now = self._tree.tip(self._number)
                    if now is None or now.hash != tip:
                        self._take(tip)  # it may be detached again already
                        self.look()
            self._stop.wait(_PAUSE)

    def _events(self) -> Iterator[str]:
        """The hash of each new tip, as the node tells of it."""
        pool = urllib3.PoolManager(retries=False)
        timeout = urllib3.Timeout(_EVENTS_TIMEOUT)
        with pool.request("GET", f"{self._client.url}/events", preload_content=False, timeout=timeout) as response:
            rest, kind = b"", ""
            for piece in response.stream(4096):
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    name, _, value = line.decode().partition(": ")
                    if name == "event":
                        kind = value
                    elif name == "data" and kind in ("block", "reorganisation"):
                        yield str(json.loads(value)["hash"])

    def _block(self, found: dict[str, Any]) -> LabBlock:
        reward = next((each for each in found["transactions"] if each.get("type") == "reward"), None)
        paid = [each for each in found["transactions"] if each.get("type") != "reward"]
        return LabBlock(
            hash=str(found["hash"]),
            parent=str(found["previous_hash"]),
            height=int(found["index"]),
            chainwork=int(found["chainwork"]),
            finder=None if reward is None else self._finder_of(str(reward["recipient"])),
            found_at=self._tree.now(),
            timestamp=float(found["timestamp"]),
            transactions=tuple(str(each["id"]) for each in paid),
            fees=sum(parse_amount(each.get("fee", "0"), field="fee") for each in paid),
        )
