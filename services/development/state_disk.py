"""State files on disk: read whole within their bound, and written in one step for their owner alone."""

import os
from pathlib import Path

from services.development.state_file import MAX_BYTES, TOO_LARGE, BadState
from services.system.files import writing


def read(file: Path) -> bytes:
    """The content of a state file. Raises: BadState: it is too large; OSError."""
    with file.open("rb") as source:
        content = source.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise BadState(TOO_LARGE)
    return content


def write(file: Path, content: bytes) -> None:
    """Write a state file over an old one: a reader sees the old content or the new, never a part. Raises: OSError."""
    with writing(file) as output:
        os.fchmod(output.fileno(), 0o600)
        output.write(content)
