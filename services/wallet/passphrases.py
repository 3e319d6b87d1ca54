"""Passphrases as bytes. One that is typed with an é can reach us as one code point or as two, and other wallets differ
in what they make of that: ethers writes NFKC, geth and web3.py what was typed.

Written is NFKC (docs/wallets.md). Read is whatever opens it, so that every one of those files can be opened.
"""

import unicodedata
from typing import Literal

from shared.errors import NodeError

_FORMS: tuple[Literal["NFKC", "NFC", "NFD", "NFKD"], ...] = ("NFKC", "NFC", "NFD", "NFKD")


class BadPassphrase(NodeError):
    """The passphrase cannot be used to encrypt."""


def written(passphrase: str) -> bytes:
    """What a new file is encrypted with: UTF-8 in the normal form NFKC.

    Raises:
        BadPassphrase: it is not UTF-8, so that no other program could be given it.
    """
    try:
        return unicodedata.normalize("NFKC", passphrase).encode()
    except UnicodeEncodeError:
        raise BadPassphrase("The passphrase is not UTF-8.") from None


def readings(passphrase: str) -> list[bytes]:
    """What a file may have been encrypted with by somebody who typed `passphrase`, the likeliest first; at most five.

    Those that are no text, as an environment variable may be, stand for their bytes.
    """
    found = []
    for text in (passphrase, *(unicodedata.normalize(form, passphrase) for form in _FORMS)):
        try:
            found.append(text.encode("utf-8", "surrogateescape"))
        except UnicodeEncodeError:
            continue
    return list(dict.fromkeys(found))
