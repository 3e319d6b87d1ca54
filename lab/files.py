"""Recordings and their pages as files."""

from __future__ import annotations

import webbrowser
from pathlib import Path

from api.cli import terminal
from lab.interface import LabError
from lab.recording import BadRecording, Event, read_recording


def read_file(path: Path) -> list[Event]:
    """The events of a recording. Raises `LabError` or `BadRecording`."""
    try:
        with path.open(encoding="ascii", newline="\n") as lines:
            return read_recording(lines)
    except UnicodeDecodeError:
        raise BadRecording(f"{path} is no recording: it is not ASCII.") from None
    except OSError as error:
        raise LabError(f"{path} cannot be read: {error.strerror}.") from None


def write_page(events: list[Event], page: Path) -> None:
    """Write the page of a recording. Raises `LabError`: the disk refuses."""
    from lab.page.exporting import exported

    try:
        page.write_text(exported(events), "utf-8")
    except OSError as error:
        raise LabError(f"{page} cannot be written: {error.strerror}.") from None


def open_page(events: list[Event], recording: Path) -> None:
    """Write the page of a recording beside it, and ask for a browser."""
    page = recording.with_suffix(".html").absolute()
    write_page(events, page)
    if not webbrowser.open(page.as_uri()):
        terminal.say(f"No browser was found. Open {page}.")
