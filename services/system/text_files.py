"""Small text files that a person made or saved: keys, phrases, keystores, transactions, proofs.

Editors and shells write the same words in other bytes: with a byte order mark, with other line ends, in UTF-16. What is
plain is read; everything else is named with its remedy, never with what is in it.
"""

import os
import stat
from pathlib import Path

from shared.errors import NodeError

_UTF8_MARK = b"\xef\xbb\xbf"
# The longer ones first: UTF-32's mark begins with UTF-16's.
_OTHER_MARKS = (
    (b"\xff\xfe\0\0", "UTF-32"),
    (b"\0\0\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
# Where a shell puts the pipe of `<(command)`.
_PIPES = ("/dev/fd/", "/dev/stdin", "/proc/self/fd/")


class BadTextFile(NodeError):
    """A file is missing, no file, too large, or not in UTF-8. The message names it, never what is in it."""


def read_text_file(path: Path, *, limit: int) -> bytes:
    """What is in a file, as UTF-8 without a byte order mark.

    Args:
        limit: bytes that it may have.

    Raises:
        BadTextFile: there is none, it cannot be read, or it is no such text.
    """
    return plain_text(read_small(path, limit=limit), str(path))


def read_small(path: Path, *, limit: int) -> bytes:
    """The bytes of a file, or of the pipe that a shell makes of a command.

    Raises:
        BadTextFile: there is none, it is a directory, a named pipe or a device, too large, or cannot be read.
    """
    try:
        # Without waiting: a named pipe would keep us until somebody writes to it.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                if not stat.S_ISFIFO(mode) or not str(path).startswith(_PIPES):
                    raise BadTextFile(f"{path} is {_kind(mode)}, not a file.")
                os.set_blocking(descriptor, True)
            content = file.read(limit + 1)
    except FileNotFoundError:
        raise BadTextFile(f"There is no file {path}.") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise BadTextFile(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from None
    if len(content) > limit:
        raise BadTextFile(f"{path} is too large: at most {limit:,} bytes are expected here.")
    return content


def plain_text(content: bytes, name: str) -> bytes:
    """`content` as UTF-8 without a byte order mark.

    Args:
        name: what the message calls it.

    Raises:
        BadTextFile: it is in another encoding, or no text.
    """
    content = without_mark(content, name)
    try:
        content.decode()
    except UnicodeDecodeError:
        raise BadTextFile(f"{name} is not in UTF-8: save it as UTF-8.") from None
    return content


def without_mark(content: bytes, name: str) -> bytes:
    """`content` without a byte order mark, in any encoding that has ASCII's letters where ASCII has them.

    Raises:
        BadTextFile: it is in UTF-16 or UTF-32, or holds NUL.
    """
    content = content.removeprefix(_UTF8_MARK)
    for mark, encoding in _OTHER_MARKS:
        if content.startswith(mark):
            raise BadTextFile(f"{name} is in {encoding}: save it as UTF-8.")
    if b"\0" in content:
        # Text of Latin letters in UTF-16 has a NUL in every second place.
        every_second = not any(content[0::2]) or not any(content[1::2])
        raise BadTextFile(f"{name} is in UTF-16: save it as UTF-8." if every_second else f"{name} is not text.")
    return content


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a directory"
    if stat.S_ISFIFO(mode):
        return "a named pipe"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"
