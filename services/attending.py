"""A thread that sits at the desk of a node (services/mining/desk.py): in its ticker, and in each server process.

The ticker leads: while it does, server processes only look once a second whether it still does. So blocks are sealed
where no request waits, and a node whose ticker is down, or that has none, seals all the same.
"""

import threading
from typing import Final

import structlog

from services.connections.failures import fields
from services.connections.servers import RedisError
from services.errors import NotBegun
from services.node import Node
from shared.errors import NodeError

_log = structlog.get_logger(__name__)

# Seconds that one wait for an entry lasts. Connections for requests allow two.
_WAIT_SECONDS: Final = 1.0
# Seconds after the last sign of life of the ticker from which on the server processes sit at the desk.
_LEAD_SECONDS: Final = 3


class Attendant:
    """Deals with the inbox of one node, turn by turn."""

    def __init__(self, node: Node, stop: threading.Event, *, leads: bool) -> None:
        """`leads`: whether it deals with the inbox in any case; else only while nobody leads."""
        self._node = node
        self._stop = stop
        self._leads = leads
        self._failing = False

    def turn(self) -> None:
        """Deal with what comes within a second. Errors are logged, and the next turn tries again."""
        try:
            if self._leads:
                self._node.desk.inbox.attend(_LEAD_SECONDS)
            elif self._node.desk.inbox.is_attended():
                self._stop.wait(_WAIT_SECONDS)
                return
            self._node.desk.recover()
            self._node.desk.work(_WAIT_SECONDS)
            self._failing = False
        except NotBegun:
            self._stop.wait(_WAIT_SECONDS)
        except (RedisError, NodeError) as error:
            if not self._failing:  # one line, not one a second
                _log.warning("desk_interrupted", **fields(error))
            self._failing = True
            self._stop.wait(_WAIT_SECONDS)
        except Exception:
            _log.exception("bug")
            self._stop.wait(_WAIT_SECONDS)

    def run(self) -> None:
        """Take turns until `stop`."""
        while not self._stop.is_set():
            self.turn()


def attend(node: Node, stop: threading.Event, *, leads: bool) -> threading.Thread:
    """Start a thread that sits at the desk until `stop`. The process may end while the thread works."""
    thread = threading.Thread(target=Attendant(node, stop, leads=leads).run, name="desk", daemon=True)
    thread.start()
    return thread
