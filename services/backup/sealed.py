"""A file that one passphrase opens: a stream that is encrypted and authenticated in chunks.

    quarry-backup 2\\n                                  format and version of what it holds; 3: without the chain
    {"check": …, "n": …, "p": 1, "r": 8, "salt": …}\\n  how the keys are made from the passphrase (scrypt)
    chunks                                             AES-256-GCM; each but the last has CHUNK bytes of the stream

The nonce of a chunk is its number and whether it is the last, and the two lines above are authenticated with each
(the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár, 2015). So a chunk that was altered, moved, repeated
or left out is found, and a file that was cut off is too. Every file has a key of its own, since its salt is random.
"""

import hashlib
import hmac
import io
import json
import os
import re
from typing import IO, Any

from services.wallet.passphrases import readings, written
from shared.errors import NodeError

# Versions that are written: with the chain, and without it. They differ in what they hold only, as the oldest that is
# read does (services/backup/content.py).
VERSION, WITHOUT_CHAIN = 2, 3
OLDEST, NEWEST = 1, 3
CHUNK = 65_536  # bytes of the stream
_TAG = 16
_MAGIC = b"quarry-backup "
_FIRST = re.compile(rb"quarry-backup ([1-9][0-9]{0,8})\n")
_MAX_LINE = 500
_SALT = 32
COST = 2**17  # of scrypt: 128 MiB and a third of a second
_R, _P = 8, 1
_MAX_N = 2**18  # 256 MiB is the most that a stranger's file can make a reader take


class BadBackup(NodeError):
    """The backup cannot be used. The message is one sentence; nothing was restored."""


class Sealer:
    """Writes a sealed stream to `output`, which is complete only after `finish`.

    Args:
        n: scrypt's cost, a power of two; None: COST.
        version: of what it holds; None: VERSION.

    Raises:
        BadPassphrase: the passphrase is not UTF-8.
    """

    def __init__(self, output: IO[bytes], passphrase: str, *, n: int | None = None, version: int | None = None) -> None:
        salt, n = os.urandom(_SALT), n or COST
        key, check_key = _keys(written(passphrase), salt, n)
        head = _head(version or VERSION, salt, n, check_key)
        self._seal = _aead(key)
        self._head = hashlib.sha256(head).digest()
        self._output = output
        self._waiting = bytearray()
        self._number = 0
        output.write(head)

    def write(self, data: bytes) -> None:
        """Add to the stream. Raises: OSError: the output does not take it."""
        self._waiting += data
        while len(self._waiting) > CHUNK:  # one chunk is kept, since it may be the last
            self._put(bytes(self._waiting[:CHUNK]), last=False)
            del self._waiting[:CHUNK]

    def finish(self) -> None:
        """End the stream. Raises: OSError."""
        self._put(bytes(self._waiting), last=True)
        self._waiting.clear()

    def _put(self, data: bytes, *, last: bool) -> None:
        self._output.write(self._seal.encrypt(_nonce(self._number, last), data, self._head))
        self._number += 1


class Opener(io.RawIOBase):
    """The stream of a sealed file. What is read of it is authentic, but may be only its beginning: read to the end.

    Args:
        source: at its beginning.
        passphrase: in any normal form; every form that may have sealed the file is tried.

    Raises:
        BadBackup: from here or from reading: another kind of file, another version, a wrong passphrase, a part that was
            altered, or an end that is missing.
    """

    def __init__(self, source: IO[bytes], passphrase: str) -> None:
        super().__init__()
        self.version, head, salt, n, check = _read_head(source)
        for reading in readings(passphrase):
            key, check_key = _keys(reading, salt, n)
            if hmac.compare_digest(_check(check_key, self.version, salt, n), check):
                break
        else:
            raise BadBackup("This passphrase does not open the backup, or the first lines of the backup were altered.")
        self._open = _aead(key)
        self._head = hashlib.sha256(head).digest()
        self._source = source
        self._number = 0
        self._at = len(head)
        self._next = source.read(CHUNK + _TAG)
        self._ready = memoryview(b"")
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready and not self._ended:
            self._ready = memoryview(self._chunk())
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def _chunk(self) -> bytes:
        from cryptography.exceptions import InvalidTag

        sealed, self._next = self._next, self._source.read(CHUNK + _TAG)
        last = not self._next
        try:
            data: bytes = self._open.decrypt(_nonce(self._number, last), sealed, self._head)
        except (InvalidTag, ValueError):  # ValueError: fewer bytes than a tag
            raise self._damage(sealed, last) from None
        self._ended = last
        self._number += 1
        self._at += len(sealed)
        return data

    def _damage(self, sealed: bytes, last: bool) -> BadBackup:
        from cryptography.exceptions import InvalidTag

        if last:
            try:
                self._open.decrypt(_nonce(self._number, False), sealed, self._head)
                return BadBackup(
                    f"The backup is cut off after byte {self._at + len(sealed)}: its last part is missing."
                )
            except (InvalidTag, ValueError):
                return BadBackup(f"The backup is cut off or was altered after byte {self._at}.")
        return BadBackup(f"The backup was altered after byte {self._at}.")


def _read_head(source: IO[bytes]) -> tuple[int, bytes, bytes, int, bytes]:
    """The version, the first two lines, and what the second says: salt, n, check. Raises: BadBackup."""
    first = source.readline(_MAX_LINE)
    found = _FIRST.fullmatch(first)
    if found is None:
        cut = first and _MAGIC.startswith(first[: len(_MAGIC)]) and not first.endswith(b"\n")
        raise BadBackup("The backup is cut off in its first line." if cut else "This is not a backup of Quarry.")
    version = int(found[1])
    if not OLDEST <= version <= NEWEST:
        raise BadBackup(f"The backup has version {version}; this release reads versions {OLDEST} to {NEWEST}.")
    line = source.readline(_MAX_LINE)
    try:
        value = json.loads(line)
        salt, n, check = bytes.fromhex(value["salt"]), value["n"], bytes.fromhex(value["check"])
        as_written = type(n) is int and line == _line(salt, n, check) and len(salt) == _SALT
    except (ValueError, KeyError, TypeError, RecursionError):
        as_written = False
    if not as_written:
        raise BadBackup("The backup is cut off or was altered in its second line.")
    if not 2 <= n <= _MAX_N or n & (n - 1):
        raise BadBackup("The second line of the backup asks for more work than any backup of this version.")
    return version, first + line, salt, n, check


def _head(version: int, salt: bytes, n: int, check_key: bytes) -> bytes:
    return _MAGIC + b"%d\n" % version + _line(salt, n, _check(check_key, version, salt, n))


def _line(salt: bytes, n: int, check: bytes) -> bytes:
    value = {"check": check.hex(), "n": n, "p": _P, "r": _R, "salt": salt.hex()}
    return json.dumps(value, sort_keys=True).encode() + b"\n"


def _check(check_key: bytes, version: int, salt: bytes, n: int) -> bytes:
    return hmac.digest(check_key, b"%d %d " % (version, n) + salt, "sha256")


def _keys(passphrase: bytes, salt: bytes, n: int) -> tuple[bytes, bytes]:
    """The key of the chunks, and the one that shows whether a passphrase is right."""
    derived = hashlib.scrypt(passphrase, salt=salt, n=n, r=_R, p=_P, dklen=64, maxmem=2 * 128 * _MAX_N * _R - 1)
    return derived[:32], derived[32:]


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11, "big") + (b"\1" if last else b"\0")


def _aead(key: bytes) -> Any:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key)
