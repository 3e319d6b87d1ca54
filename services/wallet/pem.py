"""Finding the private key in a PEM file as tools write it: after text, beside certificates, with any line ends.

RFC 7468 lets text stand before a block (`openssl pkcs12` writes Bag Attributes there, in any encoding). OpenSSL's old
form has headers inside the block (RFC 1421), of which `Proc-Type: 4,ENCRYPTED` asks for a passphrase.
"""

import base64
import binascii
import re
from dataclasses import dataclass

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----(.*?)-----END \1-----", re.DOTALL)
_BEGIN = re.compile(rb"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY-----")
_HEADER = re.compile(rb"[A-Za-z0-9-]+:")
_USABLE = ("PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "EC PRIVATE KEY")
_FIRST_OF_DER = b"\x30"  # a SEQUENCE, which all of these files are


class NoPrivateKey(Exception):
    """The text holds no usable private key in PEM. The message is the rest of a sentence that begins with its file."""


@dataclass(frozen=True, slots=True)
class Block:
    """One private key in PEM."""

    label: str
    headers: tuple[bytes, ...]
    der: bytes  # encrypted, where `encrypted` says so

    @property
    def encrypted(self) -> bool:
        """Whether it needs a passphrase."""
        legacy = any(b"ENCRYPTED" in header for header in self.headers if header.startswith(b"Proc-Type:"))
        return legacy or self.label == "ENCRYPTED PRIVATE KEY"

    @property
    def text(self) -> bytes:
        """The block alone, in standard form."""
        body = base64.b64encode(self.der)
        lines = [f"-----BEGIN {self.label}-----".encode(), *self.headers, *([b""] if self.headers else [])]
        lines += [body[i : i + 64] for i in range(0, len(body), 64)]
        return b"\n".join([*lines, f"-----END {self.label}-----".encode(), b""])


def private_block(text: bytes) -> Block:
    """The one private key in a PEM file.

    Raises:
        NoPrivateKey: there is none, more than one, or one in a form that is not read. The message says which.
    """
    found = [_block(match[1].decode(), match[2]) for match in _BLOCK.finditer(text)]
    usable = list(dict.fromkeys(block for block in found if block.label in _USABLE))
    if len(usable) > 1:
        raise NoPrivateKey(f"holds {len(usable)} private keys: leave one in it")
    if usable:
        return usable[0]
    if any(block.label == "OPENSSH PRIVATE KEY" for block in found):
        raise NoPrivateKey("is a private key in OpenSSH's own format: convert it to PKCS#8")
    for block in found:
        if block.label.endswith("PRIVATE KEY"):
            raise NoPrivateKey("holds neither an Ed25519 nor a secp256k1 private key")
    if _BEGIN.search(text):
        raise NoPrivateKey("is cut off: the END line of its private key is missing")
    if found:
        what = found[0].label.lower()
        raise NoPrivateKey(f"holds {'an' if what[0] in 'aeiou' else 'a'} {what}, and no private key")
    if is_der(text):
        raise NoPrivateKey("is binary, not PEM: `openssl pkey -inform DER` or `openssl pkcs12` converts it")
    raise NoPrivateKey("holds no private key in PEM")


def is_der(text: bytes) -> bool:
    """Whether a file is binary (DER), as keys and PKCS#12 may be."""
    return text.startswith(_FIRST_OF_DER) and not text.isascii()


def _block(label: str, inner: bytes) -> Block:
    lines = [line.strip() for line in inner.splitlines()]
    headers = [line for line in lines if _HEADER.match(line)]
    body = b"".join(line for line in lines if not _HEADER.match(line))
    try:
        der = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        der = b""
    if not der and label in _USABLE:
        raise NoPrivateKey("is damaged: its private key is not base64")
    return Block(label, tuple(headers), der)
