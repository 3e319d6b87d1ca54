"""Reading secrets: from a private file, standard input or a prompt. Never from an argument, which every user of the
machine can see.
"""

import re
from pathlib import Path

from api.cli import terminal
from api.cli.group import USAGE, Failure
from services.system.text_files import plain_text, read_text_file
from services.wallet import keyring, keystores

_MAX_INPUT = 65_536
_KEY = re.compile(r"(?:0[xX])?[0-9a-fA-F]{64}")
STDIN = "-"


def read(file: Path) -> bytes:
    """A text file of at most 64 KiB, or standard input for `-`, as UTF-8 without a byte order mark.

    Raises:
        BadTextFile: it cannot be read, or is not text. Failure: standard input is too long.
    """
    if str(file) != STDIN:
        return read_text_file(file, limit=_MAX_INPUT)
    content = terminal.standard_input().read(_MAX_INPUT + 1)
    if len(content) > _MAX_INPUT:
        raise Failure(f"Standard input is longer than {_MAX_INPUT} bytes.")
    return plain_text(content, name_of(file))


def name_of(file: Path) -> str:
    """What a message that begins with it calls the file."""
    return "Standard input" if str(file) == STDIN else str(file)


def read_ethereum(file: Path, index: int) -> bytes:
    """The private key (32 bytes) in a file that holds hexadecimal digits, a keystore or a recovery phrase.

    Args:
        index: which account of a recovery phrase.

    Raises:
        Failure: the file holds none of these. UnsafePermissions: other users can read it. BadTextFile, BadPhrase,
        BadKeystore, WrongPassphrase.
    """
    if str(file) == STDIN and terminal.is_attended():
        content = terminal.ask("Private key or recovery phrase", hidden=True).encode("utf-8", "replace")
    else:
        content = read(file)
        if str(file) != STDIN:
            keyring.require_private(file)
    if keystores.is_keystore(content):
        return keystores.decrypt(content, _keystore_passphrase(is_taken=str(file) == STDIN))
    text = content.decode().strip()
    if _KEY.fullmatch(text):
        return bytes.fromhex(text[-64:])
    if len(text.split()) > 1 and "-----BEGIN" not in text:
        from services.wallet import phrases

        return phrases.private_key(text, index)
    if "-----BEGIN" in text:
        raise Failure(f"{name_of(file)} is PEM: import it without --scheme ethereum, whatever kind of key it holds.")
    raise Failure(
        f"{name_of(file)} holds no Ethereum key: give a private key of 64 hexadecimal digits, a keystore or a recovery "
        "phrase."
    )


def new_keystore_passphrase() -> str:
    """A passphrase for a keystore: asked for twice, or the first line of standard input.

    An empty one is allowed, with a warning.

    Raises:
        Failure: standard input is neither a terminal nor has a line.
    """
    if terminal.is_attended():
        given: str | None = terminal.ask("Passphrase of the keystore", hidden=True, twice=True)
    else:
        given = _line()
    if given is None:
        raise Failure(
            "Type the keystore's passphrase at a terminal, or make it the first line of standard input.", USAGE
        )
    if not given:
        terminal.say("Warning: the passphrase is empty, so anyone who can read the keystore has the key.")
    return given


def _keystore_passphrase(*, is_taken: bool) -> str:
    """Asked for, or the first line of standard input; `is_taken`: standard input was the keystore itself."""
    if terminal.is_attended():
        return terminal.ask("Passphrase of the keystore", hidden=True)
    if is_taken:
        raise Failure("Give the keystore as a file: standard input is needed for its passphrase.", USAGE)
    return _line() or ""


def _line() -> str | None:
    """The first line of standard input; None at its end."""
    text = terminal.standard_input().readline(_MAX_INPUT)
    return plain_text(text, "Standard input").decode().rstrip("\r\n") if text else None
