"""Shortens RQ's own log lines: if Redis does not answer, RQ logs a line without a traceback."""

import logging

from services.connections.servers import RedisError


class _StoreAway(logging.Filter):
    """Removes the traceback from lines about errors of Redis, and adds the name of the error."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        if isinstance(error, RedisError):
            record.msg = f"{record.getMessage()} ({type(error).__name__})"
            record.args, record.exc_info, record.exc_text = (), None, None
        return True


def calm() -> None:
    """Install the filter in this process."""
    for name in ("rq.worker", "rq.job", "rq.registry"):
        logging.getLogger(name).addFilter(_StoreAway())
