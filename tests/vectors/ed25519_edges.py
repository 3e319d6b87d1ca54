"""Signatures about which verifiers disagree. Two libraries that disagree would fork the chain."""

from collections.abc import Iterator
from typing import Any

from tests.vectors.ed25519 import (
    BASE,
    TORSION,
    L,
    P,
    Point,
    add,
    challenge,
    encode,
    equation_holds,
    multiply,
    negate,
    public_key,
    sign,
    verify,
)

MESSAGE = b"hi"
Signed = tuple[bytes, bytes]  # public key, signature

# RFC 8032, 7.1, tests 1 to 3: seed, public key, message, signature.
RFC_8032 = (
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
)


def _scalar(number: int) -> bytes:
    return number.to_bytes(32, "little")


def _signature(r_bytes: bytes, r: int, a: int, a_bytes: bytes) -> bytes:
    """S = r + h·a, whatever points are encoded."""
    return r_bytes + _scalar((r + challenge(r_bytes, a_bytes, MESSAGE) * a) % L)


def _small_order_encodings() -> list[tuple[str, bytes, Point, bool]]:
    """Name, bytes, point and whether the bytes are canonical, for every way to write a point of order 1, 2, 4 or 8."""
    found = [(f"torsion point {i}", encode(p), p, True) for i in range(8) for p in [multiply(TORSION, i)]]
    for name, data, point, _ in list(found):
        number = int.from_bytes(data, "little")
        y, sign_bit = number % 2**255, number >> 255
        if y + P < 2**255:
            found.append((f"{name}, y + p", _scalar(y + P | sign_bit << 255), point, False))
        if point[0] % P == 0:  # x = 0 has no sign, but a bit for it
            found.append((f"{name}, sign of zero", _scalar(y | 1 << 255), point, False))
            if y + P < 2**255:
                found.append((f"{name}, y + p, sign of zero", _scalar(y + P | 1 << 255), point, False))
    return found


def _small_order_keys() -> Iterator[tuple[str, Signed]]:
    """The equation holds: h is chosen as a multiple of 8, so that h·A vanishes."""
    for name, a_bytes, point, _ in _small_order_encodings():
        for r in range(1, 10**4):
            r_bytes = encode(multiply(BASE, r))
            h = challenge(r_bytes, a_bytes, MESSAGE)
            if h % 8 == 0:
                assert equation_holds(point, multiply(BASE, r), h, r)
                yield f"A is {name}", (a_bytes, r_bytes + _scalar(r))
                break


def _small_order_commitments() -> Iterator[tuple[str, Signed]]:
    """The equation holds: A = a·B + T, and h is chosen so that h·T cancels R."""
    for name, r_bytes, point, _ in _small_order_encodings():
        for a in range(1, 10**4):
            mixed = add(multiply(BASE, a), TORSION)
            h = challenge(r_bytes, encode(mixed), MESSAGE)
            if encode(multiply(TORSION, h % 8)) == encode(negate(point)):
                assert equation_holds(mixed, point, h, h * a % L)
                yield f"R is {name}", (encode(mixed), r_bytes + _scalar(h * a % L))
                break


def _mixed_order() -> Iterator[tuple[str, Signed, bool]]:
    """Points outside the large group but not of small order: verifiers with and without the cofactor disagree."""
    a, r = 123456789, 987654321
    honest, commitment = multiply(BASE, a), multiply(BASE, r)
    mixed_r = encode(add(commitment, TORSION))
    yield (
        "R of mixed order (cofactored verifiers accept)",
        (encode(honest), _signature(mixed_r, r, a, encode(honest))),
        False,
    )
    mixed_a = encode(add(honest, TORSION))
    yield (
        "A of mixed order (cofactored verifiers accept)",
        (mixed_a, _signature(encode(commitment), r, a, mixed_a)),
        False,
    )
    for r in range(1, 10**4):
        r_bytes = encode(multiply(BASE, r))
        if challenge(r_bytes, mixed_a, MESSAGE) % 8 == 0:
            yield "A of mixed order, equation holds", (mixed_a, _signature(r_bytes, r, a, mixed_a)), True
            break


def vectors() -> list[dict[str, Any]]:
    """{name, public_key, message, signature, valid}, hex; `valid` as the plain verifier says, and as expected."""
    result: list[dict[str, Any]] = []

    def record(name: str, key: bytes, message: bytes, signature: bytes, valid: bool) -> None:
        assert verify(key, message, signature) is valid, name
        entry = {"name": name, "public_key": key.hex(), "message": message.hex(), "signature": signature.hex()}
        result.append({**entry, "valid": valid})

    for i, row in enumerate(RFC_8032, start=1):
        seed, key, message, signature = map(bytes.fromhex, row)
        assert (public_key(seed), sign(seed, message)) == (key, signature)
        record(f"RFC 8032 test {i}", key, message, signature, True)

    seed = bytes([7]) * 32
    key, good = public_key(seed), sign(seed, MESSAGE)
    s = int.from_bytes(good[32:], "little")
    record("honest", key, MESSAGE, good, True)
    record("another message", key, b"ho", good, False)
    record("one bit of R flipped", key, MESSAGE, bytes([good[0] ^ 1]) + good[1:], False)
    record("one bit of S flipped", key, MESSAGE, good[:32] + bytes([good[32] ^ 1]) + good[33:], False)
    record("another key", public_key(bytes(32)), MESSAGE, good, False)
    for times in (1, 2, 8, 15):
        if s + times * L < 2**256:
            record(f"S + {times}L", key, MESSAGE, good[:32] + _scalar(s + times * L), False)
    record("S is zero", key, MESSAGE, good[:32] + bytes(32), False)
    record("all zero", bytes(32), MESSAGE, bytes(64), False)
    not_a_point = _scalar(2)
    record("A is not on the curve", not_a_point, MESSAGE, good, False)
    record("R is not on the curve", key, MESSAGE, not_a_point + good[32:], False)
    for length in (0, 31, 33, 64):
        record(f"public key of {length} bytes", (key * 2)[:length], MESSAGE, good, False)
    for length in (0, 32, 63, 65, 128):
        record(f"signature of {length} bytes", key, MESSAGE, (good * 2)[:length], False)
    record("signature cut, its last byte in the message", key, good[63:] + MESSAGE, good[:63], False)
    record("signature longer by the message's first byte", key, MESSAGE[1:], good + MESSAGE[:1], False)
    for name, (a_bytes, signature) in (*_small_order_keys(), *_small_order_commitments()):
        record(name, a_bytes, MESSAGE, signature, False)
    for name, (a_bytes, signature), valid in _mixed_order():
        record(name, a_bytes, MESSAGE, signature, valid)
    return result
