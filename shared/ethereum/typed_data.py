"""The hash of typed data that a wallet signs (EIP-712, as `eth_signTypedData_v4` reads it).

Values are read strictly: a value that does not fit its type is refused, since a library that guesses differently would
show one thing and sign another.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from shared.errors import InputError
from shared.hashing import keccak256

DOMAIN = "EIP712Domain"
# The fields of a domain, in the order in which they are written. Used where `types` does not describe the domain.
_DOMAIN_FIELDS = {
    "name": "string",
    "version": "string",
    "chainId": "uint256",
    "verifyingContract": "address",
    "salt": "bytes32",
}
# Bounds of the work: encoding a struct writes the text of every type that it depends on.
_MAX_STRUCTS = 256
_MAX_TYPE_TEXT = 65_536

_IDENTIFIER = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]{0,255}")
_TYPE = re.compile(r"([A-Za-z_$][A-Za-z0-9_$]{0,255})((?:\[[0-9]{0,9}\]){0,16})")
_LAST_ARRAY = re.compile(r"(.*)\[([0-9]*)\]")
_NUMBER = re.compile(r"(u?)int([0-9]{0,3})")
_BYTES = re.compile(r"bytes([0-9]{1,2})")
_HEX = re.compile(r"0x(?:[0-9a-fA-F]{2})*")
_INTEGER = re.compile(r"-?(?:[0-9]{1,80}|0x[0-9a-fA-F]{1,64})")


def typed_data_hash(message: Any) -> bytes:
    """The 32 bytes that are signed: Keccak-256 of 0x1901, the domain's hash and the message's hash.

    Args:
        message: the JSON object `{types, primaryType, domain, message}`. Whole numbers may be JSON integers, or strings
            in decimal or hex. Fields of `message` that its type does not name are passed over.

    Raises:
        InputError: `bad_typed_data`, with the field that is missing or does not fit.
    """
    if not isinstance(message, dict):
        raise _bad("typed data is an object with types, primaryType, domain and message")
    structs = _structs(message.get("types"))
    domain, primary = message.get("domain"), message.get("primaryType")
    if not isinstance(domain, dict):
        raise _bad("domain must be an object")
    if DOMAIN not in structs:
        if any(name not in _DOMAIN_FIELDS for name in domain):
            raise _bad(f"domain has a field that types.{DOMAIN} does not describe")
        structs[DOMAIN] = [(name, kind) for name, kind in _DOMAIN_FIELDS.items() if name in domain]
    if not isinstance(primary, str) or primary not in structs:
        raise _bad("primaryType must be one of types")
    encoder = _Encoder(structs)
    parts = [b"\x19\x01", encoder.hash_struct(DOMAIN, domain)]
    if primary != DOMAIN:
        parts.append(encoder.hash_struct(primary, message.get("message")))
    return keccak256(b"".join(parts))


def _bad(message: str) -> InputError:
    return InputError("bad_typed_data", f"The typed data cannot be signed: {message}.")


Structs = dict[str, list[tuple[str, str]]]  # name -> (field, type) in order


def _structs(types: Any) -> Structs:
    """The struct types, checked: each field's type exists, and no struct has the name of a type of Solidity."""
    if not isinstance(types, dict) or len(types) > _MAX_STRUCTS:
        raise _bad(f"types must be an object of at most {_MAX_STRUCTS} types")
    structs: Structs = {}
    text = 0
    for name, fields in types.items():
        if not _IDENTIFIER.fullmatch(name) or _is_atomic(name):
            raise _bad("a struct must have a name of its own")
        if not isinstance(fields, list):
            raise _bad(f"types.{name} must be a list of fields")
        structs[name] = [_field(name, field) for field in fields]
        if len({field for field, _ in structs[name]}) != len(structs[name]):
            raise _bad(f"types.{name} names a field twice")
        text += len(name) + sum(len(field) + len(kind) + 2 for field, kind in structs[name])
    if text > _MAX_TYPE_TEXT:
        raise _bad(f"types must have at most {_MAX_TYPE_TEXT} characters")
    for name, known in structs.items():
        for field, kind in known:
            base = _base(kind)
            if base not in structs and not _is_atomic(base):
                raise _bad(f"types.{name}.{field} has a type that is not defined")
    return structs


def _field(struct: str, field: Any) -> tuple[str, str]:
    if not isinstance(field, dict):
        raise _bad(f"types.{struct} must be a list of name and type")
    name, kind = field.get("name"), field.get("type")
    if not isinstance(name, str) or not _IDENTIFIER.fullmatch(name):
        raise _bad(f"types.{struct} has a field without a proper name")
    if not isinstance(kind, str) or not _TYPE.fullmatch(kind):
        raise _bad(f"types.{struct}.{name} has no proper type")
    return name, kind


def _base(kind: str) -> str:
    """A type without its array brackets."""
    return kind.partition("[")[0]


def _is_atomic(kind: str) -> bool:
    if kind in ("bool", "address", "string", "bytes"):
        return True
    if number := _NUMBER.fullmatch(kind):
        return _bits(number[2]) is not None
    fixed = _BYTES.fullmatch(kind)
    return fixed is not None and not fixed[1].startswith("0") and 1 <= int(fixed[1]) <= 32


def _bits(digits: str) -> int | None:
    """The bits of uintN or intN; None if there is no such type."""
    if not digits:
        return 256
    bits = int(digits)
    return bits if not digits.startswith("0") and bits % 8 == 0 and 8 <= bits <= 256 else None


class _Encoder:
    """Hashes structs of one set of types."""

    def __init__(self, structs: Structs) -> None:
        self._structs = structs
        self._type_hashes: dict[str, bytes] = {}

    def hash_struct(self, name: str, value: Any, path: str = "") -> bytes:
        """Keccak-256 of the type's hash and the encoded fields."""
        if not isinstance(value, Mapping):
            raise _bad(f"{path or name} must be an object")
        parts = [self._type_hash(name)]
        for field, kind in self._structs[name]:
            parts.append(self._encode(kind, value.get(field), f"{path or name}.{field}"))
        return keccak256(b"".join(parts))

    def _type_hash(self, name: str) -> bytes:
        if name not in self._type_hashes:
            others = sorted(self._depends_on(name) - {name})
            text = "".join(
                f"{item}({','.join(f'{kind} {field}' for field, kind in self._structs[item])})"
                for item in (name, *others)
            )
            self._type_hashes[name] = keccak256(text.encode())
        return self._type_hashes[name]

    def _depends_on(self, name: str) -> set[str]:
        """The structs that `name` is made of, itself included."""
        found, waiting = {name}, [name]
        while waiting:
            for _, kind in self._structs[waiting.pop()]:
                base = _base(kind)
                if base in self._structs and base not in found:
                    found.add(base)
                    waiting.append(base)
        return found

    def _encode(self, kind: str, value: Any, path: str) -> bytes:
        """One value as 32 bytes. `path` names it in errors."""
        if array := _LAST_ARRAY.fullmatch(kind):
            return self._encode_array(array[1], array[2], value, path)
        if kind in self._structs:
            # A struct that is absent counts as zero, so that types may refer to themselves.
            return bytes(32) if value is None else self.hash_struct(kind, value, path)
        if kind == "string":
            if not isinstance(value, str):
                raise _bad(f"{path} must be a string")
            return keccak256(_utf8(value, path))
        if kind == "bytes":
            return keccak256(_bytes(value, path))
        if kind == "bool":
            if type(value) is not bool:
                raise _bad(f"{path} must be true or false")
            return int(value).to_bytes(32, "big")
        if kind == "address":
            return _sized(value, 20, path).rjust(32, b"\0")
        if fixed := _BYTES.fullmatch(kind):
            return _sized(value, int(fixed[1]), path).ljust(32, b"\0")
        return _number(kind, value, path)

    def _encode_array(self, kind: str, length: str, value: Any, path: str) -> bytes:
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise _bad(f"{path} must be a list")
        if length and len(value) != int(length):
            raise _bad(f"{path} must have {int(length)} items")
        return keccak256(b"".join(self._encode(kind, item, f"{path}[{at}]") for at, item in enumerate(value)))


def _utf8(value: str, path: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise _bad(f"{path} must be text that UTF-8 can hold") from None


def _bytes(value: Any, path: str) -> bytes:
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise _bad(f"{path} must be 0x and an even number of hex digits")
    return bytes.fromhex(value[2:])


def _sized(value: Any, size: int, path: str) -> bytes:
    if not isinstance(value, str) or len(value) != 2 + 2 * size:
        raise _bad(f"{path} must be 0x and {size} bytes of hex")
    return _bytes(value, path)


def _number(kind: str, value: Any, path: str) -> bytes:
    found = _NUMBER.fullmatch(kind)
    bits = _bits(found[2]) if found else None
    assert found and bits, "`_structs` lets only known types through"
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        value = int(value, 16 if "x" in value else 10)
    if type(value) is not int:
        raise _bad(f"{path} must be a whole number")
    low, high = (0, 2**bits) if found[1] else (-(2 ** (bits - 1)), 2 ** (bits - 1))
    if not low <= value < high:
        raise _bad(f"{path} is out of the range of {kind}")
    return value.to_bytes(32, "big", signed=value < 0)
