"""Secrets that people bring: from a private file, standard input or a prompt, and never as an argument, which every
user of the machine can see.
"""

import re
import sys
from pathlib import Path

import click

from api.cli.group import USAGE, Failure
from services.wallet import keyring, keystores

_MAX_INPUT = 65_536
_KEY = re.compile(r"(?:0x)?[0-9a-fA-F]{64}")
_STDIN = "-"


def read(file: Path) -> bytes:
    """A short file, or standard input for `-`."""
    if str(file) == _STDIN:
        content = sys.stdin.buffer.read(_MAX_INPUT + 1)
    else:
        with file.open("rb") as opened:
            content = opened.read(_MAX_INPUT + 1)
    if len(content) > _MAX_INPUT:
        raise Failure("The input is too large.")
    return content


def read_ethereum(file: Path, index: int) -> bytes:
    """The private key (32 bytes) in a file of hexadecimal digits, a keystore, or a phrase, of which `index` is meant.

    Raises:
        Failure: it is none of them. UnsafePermissions: others can read it. BadPhrase, BadKeystore, WrongPassphrase.
    """
    if str(file) == _STDIN and sys.stdin.isatty():
        content = str(click.prompt("Private key or recovery phrase", hide_input=True, err=True)).encode()
    else:
        if str(file) != _STDIN:
            keyring.require_private(file)
        content = read(file)
    if keystores.is_keystore(content):
        return keystores.decrypt(content, _keystore_passphrase(is_taken=str(file) == _STDIN))
    text = content.decode("utf-8", errors="replace").strip()
    if _KEY.fullmatch(text):
        return bytes.fromhex(text.removeprefix("0x"))
    if len(text.split()) > 1:
        from services.wallet import phrases

        return phrases.private_key(text, index)
    raise Failure("An Ethereum private key is 64 hexadecimal digits; a keystore or a recovery phrase will do as well.")


def new_keystore_passphrase() -> str:
    """A passphrase for a keystore: asked for twice, or the first line of standard input."""
    if sys.stdin.isatty():
        given = str(click.prompt("Passphrase of the keystore", hide_input=True, confirmation_prompt=True, err=True))
    else:
        given = _line()
    if not given:
        raise Failure("The passphrase must not be empty; give it at a terminal, or as the first line of input.", USAGE)
    return given


def _keystore_passphrase(*, is_taken: bool) -> str:
    """`is_taken`: standard input was the keystore itself."""
    if sys.stdin.isatty():
        return str(click.prompt("Passphrase of the keystore", hide_input=True, err=True))
    if is_taken:
        raise Failure("Name the keystore's file: standard input is for its passphrase.", USAGE)
    return _line()


def _line() -> str:
    return sys.stdin.readline(_MAX_INPUT).rstrip("\r\n")
