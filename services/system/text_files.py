"""Small text files that people write: secrets, chain specs, keys, phrases, keystores, transactions, proofs.

Editors and shells save the same words as different bytes: with a byte order mark, other line ends, in UTF-16. UTF-8 is
read, with or without a mark. For anything else the message names the file and the remedy, and never its content.
"""

import os
import stat
from pathlib import Path

from shared.errors import NodeError

MIN_SECRET = 32  # characters
_MAX_SECRET = 4096  # bytes
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
    """A file is missing, not a file, too large, not UTF-8, or readable by others. The message begins with its name."""


class Exposed(BadTextFile):
    """Others can read the file, which is for its owner alone."""


class BadSecret(BadTextFile):
    """The file holds no secret, or one that can be guessed. Nothing is lost if it is replaced."""

    def __init__(self, fault: str) -> None:
        super().__init__(f"{fault}. Make a secret: openssl rand -hex 32.")
        self.fault = fault


def read_text_file(path: Path, *, limit: int, pipes: bool = True) -> bytes:
    """The content of a file as UTF-8 without a byte order mark.

    Args:
        limit: bytes that it may have.
        pipes: whether a shell's pipe counts as a file; it can be read only once.

    Raises:
        BadTextFile
    """
    return plain_text(read_small(path, limit=limit, pipes=pipes), str(path))


def read_secret(path: Path, least: int = MIN_SECRET, *, private: bool = True) -> str:
    """The secret in a file: one word of ASCII, without the blanks around it.

    Args:
        least: characters that it must have.
        private: whether to refuse a file that others can read.

    Raises:
        BadTextFile: the file cannot be used, or holds more than one word. BadSecret: the secret is empty or too short.
    """
    content = read_small(path, limit=_MAX_SECRET, private=private, pipes=False)
    text = plain_text(content, str(path)).decode().strip()
    if not text:
        raise BadSecret(f"{path} is empty")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise BadTextFile(f"{path} must hold one line of ASCII without blanks.")
    if len(text) < least:
        raise BadSecret(f"{path} holds a secret of fewer than {least} characters")
    return text


def read_small(path: Path, *, limit: int, private: bool = False, pipes: bool = True) -> bytes:
    """The bytes of a file, or of the pipe that a shell makes of a command.

    Args:
        limit: bytes that it may have.
        private: whether to refuse a file that others can read.
        pipes: whether a shell's pipe counts as a file.

    Raises:
        BadTextFile: missing, unreadable, too large, a directory, a named pipe, a device, or readable by others.
    """
    try:
        # Opening a named pipe without O_NONBLOCK waits for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                if not pipes or not stat.S_ISFIFO(found.st_mode) or not str(path).startswith(_PIPES):
                    raise BadTextFile(f"{path} is {_kind(found.st_mode)}, not a file.")
                os.set_blocking(descriptor, True)
            if private and found.st_mode & _not_private(found.st_uid):
                raise Exposed(f"{path} can be read by others: chmod 600 it.")
            content = file.read(limit + 1)
    except FileNotFoundError:
        raise BadTextFile(f"{path} does not exist.") from None
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
        BadTextFile: it is in another encoding, or not text.
    """
    content = without_mark(content, name)
    try:
        content.decode()
    except UnicodeDecodeError:
        raise BadTextFile(f"{name} is not UTF-8: save it as UTF-8.") from None
    return content


def without_mark(content: bytes, name: str) -> bytes:
    """`content` without a byte order mark, in any encoding that contains ASCII.

    Raises:
        BadTextFile: it is in UTF-16 or UTF-32, or contains NUL.
    """
    content = content.removeprefix(_UTF8_MARK)
    for mark, encoding in _OTHER_MARKS:
        if content.startswith(mark):
            raise BadTextFile(f"{name} is in {encoding}: save it as UTF-8.")
    if b"\0" in content:
        # In UTF-16, every second byte of Latin text is NUL.
        every_second = not any(content[0::2]) or not any(content[1::2])
        raise BadTextFile(f"{name} is in UTF-16: save it as UTF-8." if every_second else f"{name} is not text.")
    return content


def _not_private(owner: int) -> int:
    """The permission bits that a private file must not have.

    The group may read a file that root owns, since Kubernetes mounts secrets for other users in this way. PostgreSQL
    has the same rule for its keys.
    """
    return 0o027 if owner == 0 and os.geteuid() != 0 else 0o077


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a directory"
    if stat.S_ISFIFO(mode):
        return "a named pipe"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"
