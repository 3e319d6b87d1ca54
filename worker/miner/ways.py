"""Where a miner asks: at the URL that it was given, or at the node's `quarry rpc`, which serves miners for less.

A node names the port of its `quarry rpc` in `/status`. Miners go there only if it is on the same host, and if it knows
the voucher, so another program at that port is passed over. Behind https or a path there is a proxy, which decides.
"""

import json

import urllib3

from services.launch.addresses import at_port, door_port, knows_voucher
from shared import wire
from shared.errors import InputError
from worker.miner.board import Board

# Seconds between two looks for a `quarry rpc` that was named and did not answer, or that was left.
LOOK_SECONDS = 30.0
_TIMEOUT = urllib3.Timeout(connect=2.0, read=3.0)
_MOST_BYTES = 2**20  # of one answer


class Ways:
    """The ways to one node. Every method may be called from any thread and process.

    Args:
        board: by which all processes of a miner ask at the same place; None: only `url` is asked.
    """

    def __init__(self, url: str, board: Board | None) -> None:
        self._url = url.rstrip("/")
        self._board = board

    def now(self) -> str:
        """The URL to ask at."""
        port = 0 if self._board is None else self._board.door_port
        return at_port(self._url, port) if port else self._url

    def leave(self, url: str) -> bool:
        """Stop asking at `url`, which does not serve this miner. Returns whether there is another way."""
        if self._board is None or url == self._url:
            return False
        if self.now() == url:
            self._board.door_port = 0
        return True


def look(url: str, headers: dict[str, str], board: Board) -> bool:
    """Look for the node's `quarry rpc`, and have all processes of the miner ask there if it serves them.

    Args:
        headers: with the voucher.

    Returns:
        whether another look may find more: the node or its `quarry rpc` did not answer.
    """
    with urllib3.PoolManager(retries=False) as pool:
        try:
            status, found = _ask(pool, "GET", f"{url}/status", {}, None)
            if status != 200:
                return status >= 500
            port = door_port(url, found.get("rpc_url"))
            if port is None:
                return False
            door = at_port(url, port)
            known = knows_voucher(
                lambda path, body: _ask(pool, "POST", door + path, headers, json.dumps(body).encode())[1].get("code")
            )
        except urllib3.exceptions.HTTPError:
            return True
    if known:
        board.door_port = port
    return not known


def keep_looking(url: str, headers: dict[str, str], board: Board) -> None:
    """Look again whenever none is used, until the miner is told to stop."""
    while not board.wait(LOOK_SECONDS):
        if board.door_port == 0:
            look(url, headers, board)


def _ask(
    pool: urllib3.PoolManager, method: str, url: str, headers: dict[str, str], body: bytes | None
) -> tuple[int, dict[str, object]]:
    """The status of the answer, and its JSON object; empty if it has none."""
    response = pool.request(
        method, url, body=body, headers=headers, timeout=_TIMEOUT, redirect=False, preload_content=False
    )
    text = response.read(_MOST_BYTES)
    response.close()
    try:
        found = wire.parse(text, floats=True)
    except InputError:
        found = None
    return response.status, found if isinstance(found, dict) else {}
