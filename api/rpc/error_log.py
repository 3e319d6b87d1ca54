"""Errors of JSON-RPC in the API's log, for the developer whose client made them: `quarry up` prints them."""

from typing import Any

import structlog

from services.settings.table import Settings
from services.system.allowance import Allowance

_log = structlog.get_logger(__name__)

# Entries in a second, of each process. Further errors are counted, so many clients with errors cost no time.
MOST = 10
_LONGEST = 300  # characters of a reason


class ErrorLog:
    """Writes a bounded number of entries. Safe to use from several threads."""

    def __init__(self) -> None:
        self._allowance = Allowance(MOST)

    def note(self, settings: Settings, method: str, error: dict[str, Any]) -> None:
        """Log one error, only on a development chain: elsewhere the callers are strangers.

        Args:
            method: a name that may be shown.
            error: the error object of the response.
        """
        if not settings.spec.development:
            return
        left_out = self._allowance.take()
        if left_out is None:
            return
        # For people, the fields are written in the order of the alphabet: the free text comes last.
        _log.info("rpc_error", code=error["code"], left_out=left_out, method=method, reason=error["message"][:_LONGEST])


ERRORS = ErrorLog()
