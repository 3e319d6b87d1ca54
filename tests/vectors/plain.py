"""Canonical JSON, hashes and addresses for the frozen vectors, written without `shared/`."""

import hashlib
from typing import Any

from Crypto.Hash import keccak


def canonical(value: Any) -> bytes:
    """Canonical JSON written out: sorted keys, ", " and ": ", everything outside printable ASCII escaped."""
    if isinstance(value, dict):
        items = (canonical(name) + b": " + canonical(value[name]) for name in sorted(value))
        return b"{" + b", ".join(items) + b"}"
    if isinstance(value, list):
        return b"[" + b", ".join(canonical(item) for item in value) + b"]"
    if isinstance(value, bool):
        return b"true" if value else b"false"
    return str(value).encode() if isinstance(value, int) else quoted(value)


def quoted(text: str) -> bytes:
    short = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\f": "\\f", "\b": "\\b"}
    units = text.encode("utf-16-be")
    parts = []
    for unit in (int.from_bytes(units[i : i + 2], "big") for i in range(0, len(units), 2)):
        plain = chr(unit) if 0x20 <= unit < 0x7F or chr(unit) in short else f"\\u{unit:04x}"
        parts.append(short.get(plain, plain))
    return ('"' + "".join(parts) + '"').encode()


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def keccak256(data: bytes) -> bytes:
    return keccak.new(digest_bits=256, data=data).digest()


def eip55(address: bytes) -> str:
    bits = bin(int.from_bytes(keccak256(address.hex().encode()), "big") | 1 << 256)[3:]
    return "0x" + "".join(c.upper() if bits[4 * i] == "1" else c for i, c in enumerate(address.hex()))
