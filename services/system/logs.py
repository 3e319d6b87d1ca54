"""Structured logs, for people at a terminal or for machines."""

import logging
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, TextIO

import structlog
from structlog.typing import EventDict

from services.system.visible import escaped

if TYPE_CHECKING:
    from services.settings.table import Settings

# Characters of one value that a line for people shows.
_MAX_VALUE = 2000
_INDENT = "    "


class _Unfailing:
    """A stream whose writes never fail: a full disk or a closed terminal must not stop the program."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()


def begin(settings: "Settings") -> None:
    """Configure logging as the settings say, and log which variables were passed over, if any."""
    configure(settings.log_level, settings.log_format)
    if settings.passed_over:
        structlog.get_logger(__name__).warning(
            "variables_passed_over",
            names=" ".join(settings.passed_over),
            reason="they are not Quarry's: Kubernetes (enableServiceLinks) or docker-compose.yml sets them",
        )


def configure(level: str, style: Literal["console", "json"]) -> None:
    """Write log lines to standard error: structlog's own, and those of the libraries.

    An entry is one line: a peer's reason or a job's name can neither begin another line nor act on the terminal. JSON
    escapes such characters; for people they are named. A traceback, and the further lines of a library's message,
    follow their entry, indented.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Any] = [structlog.processors.format_exc_info]
    foreign = list(shared)
    if style == "json":
        last += [structlog.processors.JSONRenderer()]
    else:
        foreign += [_split_lines]
        console = structlog.dev.ConsoleRenderer(
            colors=sys.stderr is not None and sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
        last += [_make_visible, console]
    output: Any = _Unfailing(sys.stderr) if sys.stderr is not None else None
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.PrintLoggerFactory(output),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=foreign,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)


def _split_lines(_: Any, __: str, entry: EventDict) -> EventDict:
    """Split a library's message of several lines, such as RQ's tracebacks: the first becomes the event."""
    first, _, rest = str(entry.get("event", "")).partition("\n")
    return {**entry, "event": first, "exception": rest} if rest else entry


def _make_visible(_: Any, __: str, entry: EventDict) -> EventDict:
    """The entry for people: characters in its texts that hide or act are named."""
    shown = {escaped(str(name), _MAX_VALUE): _value(item) for name, item in entry.items()}
    block = entry.get("exception")
    if isinstance(block, str):
        # Indented, so that none of its lines looks like an entry.
        shown["exception"] = "\n".join(_INDENT + escaped(line, _MAX_VALUE) for line in block.split("\n"))
    return shown


def _value(value: Any) -> Any:
    if isinstance(value, bool | int | float | None):
        return value
    return escaped(value if isinstance(value, str) else repr(value), _MAX_VALUE)
