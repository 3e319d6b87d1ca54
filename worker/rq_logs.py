"""What RQ's own log lines say, made fit for operators: a store that is away is a line, not a traceback."""

import logging

from services.connections import RedisError


class _StoreAway(logging.Filter):
    """Takes the traceback off a line that only reports that Redis did not answer."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        if isinstance(error, RedisError):
            record.msg = f"{record.getMessage()} ({type(error).__name__})"
            record.args, record.exc_info, record.exc_text = (), None, None
        return True


def calm() -> None:
    """Set it up in this process."""
    for name in ("rq.worker", "rq.job", "rq.registry"):
        logging.getLogger(name).addFilter(_StoreAway())
