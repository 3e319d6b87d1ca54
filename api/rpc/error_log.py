"""Errors of JSON-RPC in the API's log, for the developer whose client made them: `quarry up` prints them."""

import threading
import time
from typing import Any

import structlog

from services.settings.table import Settings

_log = structlog.get_logger(__name__)

# Entries in a second, of each process. Further errors are counted, so many clients with errors cost no time.
MOST = 10
_LONGEST = 300  # characters of a reason


class ErrorLog:
    """Writes a bounded number of entries. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._began = float("-inf")
        self._written = 0
        self._left_out = 0

    def note(self, settings: Settings, method: str, error: dict[str, Any]) -> None:
        """Log one error, only on a development chain: elsewhere the callers are strangers.

        Args:
            method: a name that may be shown. error: the error object of the response.
        """
        if not settings.spec.development:
            return
        with self._lock:
            now = time.monotonic()
            if now - self._began >= 1.0:
                self._began, self._written = now, 0
            if self._written >= MOST:
                self._left_out += 1
                return
            self._written += 1
            left_out, self._left_out = self._left_out, 0
        # For people, the fields are written in the order of the alphabet: the free text comes last.
        _log.info("rpc_error", code=error["code"], left_out=left_out, method=method, reason=error["message"][:_LONGEST])


ERRORS = ErrorLog()
