"""Ed25519 in plain Python, for making vectors: RFC 8032 arithmetic that also takes points that no signer uses.

It is slow and not constant-time, so it must not be used with real keys.
"""

import hashlib

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493  # order of the base point
D = -121665 * pow(121666, -1, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)

# Extended coordinates: x = X/Z, y = Y/Z, xy = T/Z.
Point = tuple[int, int, int, int]
IDENTITY: Point = (0, 1, 1, 0)


def add(a: Point, b: Point) -> Point:
    """RFC 8032, 5.1.4. The formula is complete, so it also doubles a point."""
    u, v = (a[1] - a[0]) * (b[1] - b[0]), (a[1] + a[0]) * (b[1] + b[0])
    c, d = 2 * a[3] * b[3] * D, 2 * a[2] * b[2]
    e, f, g, h = v - u, d - c, d + c, v + u
    return e * f % P, g * h % P, f * g % P, e * h % P


def multiply(point: Point, factor: int) -> Point:
    result = IDENTITY
    while factor:
        if factor & 1:
            result = add(result, point)
        point, factor = add(point, point), factor >> 1
    return result


def negate(point: Point) -> Point:
    return -point[0] % P, point[1], point[2], -point[3] % P


def from_y(y: int, odd: int) -> Point | None:
    """The point with this y and this parity of x; None if the curve has no such point."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_ONE % P
    if (x * x - square) % P:
        return None
    x = P - x if x & 1 != odd and x else x
    return x, y % P, 1, x * y % P


def encode(point: Point) -> bytes:
    inverse = pow(point[2], -1, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def decode(data: bytes) -> Point | None:
    """The point of a canonical encoding; None for any other 32 bytes."""
    number = int.from_bytes(data, "little")
    y, odd = number & (2**255 - 1), number >> 255
    point = from_y(y, odd) if y < P else None
    return point if point is not None and encode(point) == data else None


def _base_point() -> Point:
    point = from_y(4 * pow(5, -1, P) % P, 0)
    assert point is not None
    return point


BASE = _base_point()


def _torsion() -> Point:
    """A point of order 8: a point times L, which removes its part in the large group."""
    y = 2
    while True:
        point = from_y(y, 0)
        left = IDENTITY if point is None else multiply(point, L)
        if encode(multiply(left, 4)) != encode(IDENTITY):
            return left
        y += 1


TORSION = _torsion()


def challenge(r: bytes, a: bytes, message: bytes) -> int:
    """h = SHA-512(R, A, message) mod L, as RFC 8032 allows and libsodium computes it."""
    return int.from_bytes(hashlib.sha512(r + a + message).digest(), "little") % L


def expand(seed: bytes) -> tuple[int, bytes]:
    """Secret scalar and prefix of a seed (RFC 8032, 5.1.5)."""
    digest = hashlib.sha512(seed).digest()
    return int.from_bytes(digest[:32], "little") & (2**254 - 8) | 2**254, digest[32:]


def public_key(seed: bytes) -> bytes:
    return encode(multiply(BASE, expand(seed)[0]))


def sign(seed: bytes, message: bytes) -> bytes:
    """RFC 8032, 5.1.6."""
    scalar, prefix = expand(seed)
    r = int.from_bytes(hashlib.sha512(prefix + message).digest(), "little") % L
    encoded = encode(multiply(BASE, r))
    return encoded + ((r + challenge(encoded, public_key(seed), message) * scalar) % L).to_bytes(32, "little")


def equation_holds(a: Point, r: Point, h: int, s: int, cofactor: int = 1) -> bool:
    """cofactor·S·B = cofactor·(R + h·A)."""
    left = multiply(multiply(BASE, s), cofactor)
    return encode(left) == encode(multiply(add(r, multiply(a, h)), cofactor))


def verify(key: bytes, message: bytes, signature: bytes) -> bool:
    """The chain's rule: S < L, A and R canonical and not of small order, the equation without cofactor."""
    if len(key) != 32 or len(signature) != 64:
        return False
    s = int.from_bytes(signature[32:], "little")
    a, r = decode(key), decode(signature[:32])
    if a is None or r is None or s >= L:
        return False
    if encode(IDENTITY) in (encode(multiply(a, 8)), encode(multiply(r, 8))):
        return False
    return equation_holds(a, r, challenge(signature[:32], key, message), s)
