"""Structured logs, for people at a terminal or for machines."""

import logging
import sys
from typing import TYPE_CHECKING, Any, Literal

import structlog

if TYPE_CHECKING:
    from services.settings import Settings


def begin(settings: "Settings") -> None:
    """Write log lines as the settings say; the first names the variables that are passed over, if there are any."""
    configure(settings.log_level, settings.log_format)
    if settings.passed_over:
        structlog.get_logger(__name__).warning(
            "variables_passed_over",
            names=" ".join(settings.passed_over),
            reason="they are not Quarry's: Kubernetes (enableServiceLinks) or docker-compose.yml sets them",
        )


def configure(level: str, style: Literal["console", "json"]) -> None:
    """Write log lines to standard error: structlog's own, and those of the libraries."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if style == "json"
        # Plain: rich would print the values of variables, secrets among them.
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer]
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
