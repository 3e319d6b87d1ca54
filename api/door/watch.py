"""Looks at all connections about every second, and ends those that are silent, slow or stuck."""

import asyncio

import structlog

from api.door.door import Door
from api.door.http import HttpConnection
from api.door.limits import READ_SECONDS, TIGHT_READ_SECONDS, TIGHT_WAITING
from api.door.websocket import WebSocket

_log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.5
# Connections that were ended are logged at most this often.
_LOG_SECONDS = 10.0


async def watch(door: Door) -> None:
    """Look until cancelled."""
    logged, logged_at = dict(door.ended), door.now
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        look(door)
        if door.ended != logged and door.now - logged_at >= _LOG_SECONDS:
            more = {reason: count - logged.get(reason, 0) for reason, count in door.ended.items()}
            _log.info("connections_ended", **{reason: count for reason, count in more.items() if count})
            logged, logged_at = dict(door.ended), door.now


def look(door: Door) -> None:
    """Look once."""
    door.look_at_the_clock()
    everyone: list[HttpConnection | WebSocket] = [*door.callers, *door.sockets]
    unsent = sum(each.unsent for each in everyone)
    patience = TIGHT_READ_SECONDS if unsent > TIGHT_WAITING else READ_SECONDS
    for each in everyone:
        try:
            each.look(patience)
        except Exception as error:  # a bug; the others are still looked at
            _log.exception("bug", error=type(error).__name__)
