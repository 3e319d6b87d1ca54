"""Recovery phrases (BIP-39) and the keys that wallets derive from them (BIP-32): m/44'/60'/0'/0/i."""

import hmac
from collections.abc import Iterator
from functools import cache
from itertools import count
from typing import Any

from shared.errors import NodeError

WORDS = (12, 15, 18, 21, 24)
# BIP-44: purpose 44', Ethereum's coin 60', account 0', external 0; then the index.
_HARDENED = 2**31
_PATH = (44 + _HARDENED, 60 + _HARDENED, 0 + _HARDENED, 0)


class BadPhrase(NodeError):
    """The words are not a recovery phrase. The message does not repeat them."""


def new_phrase(words: int) -> str:
    """A fresh English phrase of 12, 15, 18, 21 or 24 words."""
    phrase: str = _english().generate(words // 3 * 32)
    return phrase


def private_key(phrase: str, index: int = 0) -> bytes:
    """The private key (32 bytes) of account `index` of a phrase, as MetaMask, anvil and hardware wallets derive it.

    Raises:
        BadPhrase: a word is not on the list, their number is wrong, or the checksum is.
    """
    return derive(_english().to_seed(normal(phrase)), (*_PATH, index))


def private_keys(phrase: str) -> Iterator[bytes]:
    """The private keys of a phrase's accounts from the first on, without end; each as by `private_key`.

    Raises:
        BadPhrase: at the first key.
    """
    account = _descend(*_master(_english().to_seed(normal(phrase))), _PATH)
    return (_descend(*account, (index,))[0] for index in count())


def normal(phrase: str) -> str:
    """A phrase in lower case, with one blank between two words.

    Raises:
        BadPhrase: it is none.
    """
    words = " ".join(phrase.lower().split())
    if words.count(" ") + 1 not in WORDS:
        raise BadPhrase("A recovery phrase has 12, 15, 18, 21 or 24 words.")
    if not _english().check(words):
        raise BadPhrase(
            "These words are not a recovery phrase (BIP-39, English): one of them is mistyped or misplaced."
        )
    return words


def derive(seed: bytes, path: tuple[int, ...]) -> bytes:
    """The private key at a path of BIP-32; indexes from 2^31 are hardened."""
    return _descend(*_master(seed), path)[0]


def _master(seed: bytes) -> tuple[bytes, bytes]:
    digest = hmac.digest(b"Bitcoin seed", seed, "sha512")
    return digest[:32], digest[32:]


def _descend(secret: bytes, chain_code: bytes, path: tuple[int, ...]) -> tuple[bytes, bytes]:
    """The private key and the chain code at a path that begins at a key and its chain code."""
    from coincurve import PrivateKey

    # coincurve raises an error if a half of a digest is not a valid key, as BIP-32 demands; the chance is 2^-127.
    for index in path:
        key = PrivateKey(secret)
        head = b"\0" + key.secret if index >= _HARDENED else key.public_key.format()
        digest = hmac.digest(chain_code, head + index.to_bytes(4, "big"), "sha512")
        secret, chain_code = key.add(digest[:32]).secret, digest[32:]
    return secret, chain_code


@cache
def _english() -> Any:
    from mnemonic import Mnemonic

    return Mnemonic("english")
