"""Following a log."""

import os
from pathlib import Path

_MOST_BYTES = 2**18  # of a log that are read at once; of more, only the last


class LogTail:
    """The new lines of a log that another process appends to, and that may be truncated or replaced.

    Args:
        back: how many bytes before its end to begin with; a line that is cut there is left out.
    """

    def __init__(self, path: Path, back: int = 0) -> None:
        self._path = path
        size = self._size()
        self._position = max(0, size - back)
        self._is_cut = back > 0 and self._position > 0
        self._rest = b""

    def lines(self) -> list[str]:
        """The whole lines since the last call."""
        size = self._size()
        if size < self._position:  # it was set aside (services/launch/log_files.py)
            self._position, self._rest = 0, b""
        if size == self._position:
            return []
        try:
            with self._path.open("rb") as file:
                if size - self._position > _MOST_BYTES:
                    self._position, self._rest = size - _MOST_BYTES, b""
                file.seek(self._position)
                read = file.read(_MOST_BYTES)
        except OSError:
            return []
        self._position += len(read)
        *whole, self._rest = (self._rest + read).split(b"\n")
        if self._is_cut and whole:
            self._is_cut = False
            del whole[0]
        return [line.decode(errors="replace") for line in whole]

    def _size(self) -> int:
        try:
            return os.stat(self._path).st_size
        except OSError:
            return 0
