"""Passphrases as bytes. A typed é can be one code point or two, and wallets differ: ethers encrypts with the normal
form NFKC, geth and web3.py with what was typed.

New files are encrypted with NFKC (docs/wallets.md). Reading tries every normal form, so that all of these files open.
"""

import unicodedata
from typing import Literal

from shared.errors import NodeError

_FORMS: tuple[Literal["NFKC", "NFC", "NFD", "NFKD"], ...] = ("NFKC", "NFC", "NFD", "NFKD")


class BadPassphrase(NodeError):
    """The passphrase cannot be used to encrypt."""


def written(passphrase: str) -> bytes:
    """The bytes that encrypt a new file: UTF-8 in the normal form NFKC.

    Raises:
        BadPassphrase: the passphrase is not UTF-8, so it could not be typed into another program.
    """
    try:
        return unicodedata.normalize("NFKC", passphrase).encode()
    except UnicodeEncodeError:
        raise BadPassphrase("The passphrase is not UTF-8.") from None


def readings(passphrase: str) -> list[bytes]:
    """The bytes that may have encrypted a file if `passphrase` was typed, the likeliest first; at most five.

    A passphrase that is not UTF-8, which an environment variable can hold, stands for its bytes.
    """
    found = []
    for text in (passphrase, *(unicodedata.normalize(form, passphrase) for form in _FORMS)):
        try:
            found.append(text.encode("utf-8", "surrogateescape"))
        except UnicodeEncodeError:
            continue
    return list(dict.fromkeys(found))
