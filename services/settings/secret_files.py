"""Text files that people write and settings name: secrets, which are for their owner alone, and chain specs."""

import codecs
import os
import stat
from pathlib import Path

from services.settings.values import BadValue

MIN_SECRET = 32  # characters
_MAX_SECRET = 4096  # bytes


def read_text(path: Path, limit: int) -> str:
    """The text of a file in UTF-8, without a byte order mark.

    Args:
        limit: bytes that it may have.

    Raises:
        BadValue: missing, unreadable, no regular file (a pipe would be waited for), too large, or not UTF-8.
    """
    return _decoded(path, _read(path, limit))


def read_secret(path: Path, least: int = MIN_SECRET, *, private: bool = True) -> str:
    """The secret in a file: one word of ASCII, blanks around it ignored.

    Args:
        least: characters that it must have.
        private: whether a file that others can read is refused.

    Raises:
        BadValue: as `read_text`; or others can read the file, or the secret is empty, too short or not one word.
    """
    text = _decoded(path, _read(path, _MAX_SECRET, private=private)).strip()
    if not text:
        raise BadSecret(f"names an empty file: {path}. {_REMEDY}")
    if not text.isascii() or not text.isprintable() or len(text.split()) != 1:
        raise BadValue(f"names a file that must hold one line of ASCII without blanks: {path}.")
    if len(text) < least:
        raise BadSecret(f"names a secret of fewer than {least} characters: {path}. {_REMEDY}")
    return text


class BadSecret(BadValue):
    """The file holds no secret, or one that can be guessed. It may be replaced: nothing of worth is lost."""


_REMEDY = "Make one: openssl rand -hex 32."


def _read(path: Path, limit: int, *, private: bool = False) -> bytes:
    try:
        # Not blocking: opening a pipe would wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a path"
        raise BadValue(f"names a file that cannot be read: {path}: {reason}.") from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise BadValue(f"must name a file, and {path} is none.")
        if private and found.st_mode & _others(found.st_uid):
            raise BadValue(f"names a secret that others can read: chmod 600 {path}.")
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(limit + 1)
    finally:
        os.close(descriptor)
    if len(content) > limit:
        raise BadValue(f"names a file of more than {limit} bytes: {path}.")
    return content


def _others(owner: int) -> int:
    """The permissions that make a file others': the group may read what root owns and gave to it, as secrets that
    Kubernetes mounts for a user who is not root. PostgreSQL has the same rule for its keys.
    """
    return 0o027 if owner == 0 and os.geteuid() != 0 else 0o077


def _decoded(path: Path, content: bytes) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in content:
        raise BadValue(f"names a file in UTF-16, or one that is no text: save it as UTF-8: {path}.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadValue(f"names a file that is not UTF-8: save it as UTF-8: {path}.") from None
