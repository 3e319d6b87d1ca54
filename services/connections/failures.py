"""Why the store gave no answer, for the log: what callers are told is the same for all reasons."""

from typing import Any

import structlog
from redis.exceptions import RedisError, ResponseError

from services.connections.servers import explain
from services.system.allowance import Allowance

_log = structlog.get_logger(__name__)

# Entries in a second, of each process. While a store is away, each request would write one.
MOST = 10
_LONGEST = 200  # characters of what a server says


class FailureLog:
    """Writes a bounded number of entries. Safe to use from several threads."""

    def __init__(self) -> None:
        self._allowance = Allowance(MOST)

    def note(self, error: RedisError) -> None:
        """Log that a request has failed with this error."""
        left_out = self._allowance.take()
        if left_out is not None:
            _log.error("store_unavailable", left_out=left_out, **fields(error))


FAILURES = FailureLog()


def fields(error: Exception) -> dict[str, Any]:
    """What a log entry says of an error: its kind, the reason, and for how many seconds its command waited, if that is
    known (request_client.py).
    """
    waited = getattr(error, "waited", None)
    found = {"error": type(error).__name__, "reason": reason(error)}
    return found if waited is None else {**found, "waited": round(waited, 3)}


def reason(error: Exception) -> str:
    """Why, in words: ours, or those of the server if it answered. Of an error of Redis they hold no argument of a
    command and nothing of the URL.
    """
    if not isinstance(error, RedisError):
        return str(error)
    if not isinstance(error, ResponseError):
        return explain(error)
    # redis-py puts the command before the text, and the server may put its arguments behind it.
    text = str(error).rpartition("of pipeline caused error: ")[2].partition(", with args")[0]
    return f"{explain(error)}: {text[:_LONGEST]}"
