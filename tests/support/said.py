"""A log that keeps its lines, in place of a module's own.

structlog's `capture_logs` does not work once a command has configured logging in this process, as loggers are cached.
"""

from typing import Any

import pytest


class Said:
    """What was logged: `lines`, each with its event, and its level as `log_level`."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def __getattr__(self, level: str) -> Any:
        def say(event: str, **values: Any) -> None:
            self.lines.append({"event": event, "log_level": level, **values})

        return say


def listen(monkeypatch: pytest.MonkeyPatch, logger: str) -> list[dict[str, Any]]:
    """The lines that `logger` ("package.module.name") gets from now on."""
    said = Said()
    monkeypatch.setattr(logger, said)
    return said.lines
