"""Recordings and their pages as files."""

from __future__ import annotations

import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from api.cli import terminal
from lab.interface import LabError
from lab.recording import MAX_LINE, BadRecording, Event, read_recording
from services.system.files import writing


def read_file(path: Path) -> list[Event]:
    """The events of a recording. Raises `LabError` or `BadRecording`."""
    try:
        with path.open(encoding="ascii", newline="\n") as file:
            return read_recording(_lines(file))
    except BadRecording as error:
        raise BadRecording(f"{path}: {error}") from None
    except UnicodeDecodeError:
        raise BadRecording(f"{path} is no recording: it is not ASCII.") from None
    except OSError as error:
        raise LabError(f"{path} cannot be read: {error.strerror}.") from None


def _lines(file: TextIO) -> Iterator[str]:
    """The lines of a file, which may have none and any size: of a line that is too long only as much as shows that."""
    while line := file.readline(MAX_LINE + 1):
        yield line


def write_page(events: list[Event], page: Path, recording: Path) -> None:
    """Write the page of a recording: all of it, or nothing changes.

    Raises:
        LabError: the page would replace its own recording, or the disk refuses.
    """
    from lab.page.exporting import exported

    try:
        if page.exists() and page.samefile(recording):
            raise LabError(f"{page} is the recording itself: the page needs another name.")
        with writing(page) as out:
            out.write(exported(events).encode())
    except OSError as error:
        raise LabError(f"{page} cannot be written: {error.strerror}.") from None


def open_page(events: list[Event], recording: Path) -> None:
    """Write the page of a recording beside it, and ask for a browser."""
    page = recording.with_suffix(".html").absolute()
    write_page(events, page, recording)
    if not webbrowser.open(page.as_uri()):
        terminal.say(f"No browser was found. Open {page}.")
