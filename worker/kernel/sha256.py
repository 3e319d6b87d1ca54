"""SHA-256 (FIPS 180-4) for Numba, and the loop that tries the proofs of one length.

The functions are small and inlined by force into `first_chunk`, whose inner loop is then straight-line arithmetic on
32-bit words that LLVM turns into vector instructions. Three things keep it so: the loop never leaves early (it takes a
minimum instead), its index counts up from 0 (no check for negative ones), and every sum is cut back to 32 bits.

All that is compiled lives in this file, because Numba's cache notices a change of this file only. Importing it
imports Numba and compiles nothing yet.
"""

from collections.abc import Callable
from typing import Any, Final, TypeAlias, TypeVar, cast

import llvmlite.binding as llvm  # type: ignore[import-untyped]  # ships no type information
import numpy as np
from numba import njit
from numpy import uint32
from numpy.typing import NDArray

Word: TypeAlias = uint32
Words: TypeAlias = tuple[Word, ...]  # 16 of a block, or of the constants; 8 of a state
Function = TypeVar("Function", bound=Callable[..., Any])

LOW_DIGITS: Final = 4
LOW: Final = 10**LOW_DIGITS  # proofs that share their high digits; the low ones come from a table
CHUNK: Final = 2_000  # divides LOW; so few that Python confirms a candidate in a millisecond

# boundscheck is said here so that NUMBA_BOUNDSCHECK cannot stop vectorisation.
OPTIONS: Final[dict[str, Any]] = {"nogil": True, "error_model": "numpy", "boundscheck": False}
# Without the wrappers by which Python and C would call them: a fifth of the time that compiling takes.
_INLINED: Final[dict[str, Any]] = {
    "forceinline": True,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    **OPTIONS,
}


# Two vectors of proofs in turn fill each other's waits. LLVM's own guess is four, whose words do not fit the registers:
# 50 million hashes a second where two make 107 (Zen 5), 18 where two make 23 (the same with AVX2 only). The setting is
# the whole process's. An LLVM that does not know it ignores it, and only speed is lost.
llvm.set_option("quarry", "--force-vector-interleave=2")


def inlined(function: Function) -> Function:
    """Compile `function` into its callers. Left to itself LLVM keeps calls in the loop, and then no vectors."""
    return cast(Function, njit(**_INLINED)(function))


def _words(*values: int) -> Words:
    return tuple(uint32(value) for value in values)


INITIAL_STATE: Final = _words(
    0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19
)  # fmt: skip
# K of the standard, sixteen rounds a tuple: Numba resolves an index into a tuple only where it is written out.
ROUNDS_0_15: Final = _words(
    0x428A2F98, 0x71374491, 0xB5C0FBCF, 0xE9B5DBA5, 0x3956C25B, 0x59F111F1, 0x923F82A4, 0xAB1C5ED5,
    0xD807AA98, 0x12835B01, 0x243185BE, 0x550C7DC3, 0x72BE5D74, 0x80DEB1FE, 0x9BDC06A7, 0xC19BF174,
)  # fmt: skip
ROUNDS_16_31: Final = _words(
    0xE49B69C1, 0xEFBE4786, 0x0FC19DC6, 0x240CA1CC, 0x2DE92C6F, 0x4A7484AA, 0x5CB0A9DC, 0x76F988DA,
    0x983E5152, 0xA831C66D, 0xB00327C8, 0xBF597FC7, 0xC6E00BF3, 0xD5A79147, 0x06CA6351, 0x14292967,
)  # fmt: skip
ROUNDS_32_47: Final = _words(
    0x27B70A85, 0x2E1B2138, 0x4D2C6DFC, 0x53380D13, 0x650A7354, 0x766A0ABB, 0x81C2C92E, 0x92722C85,
    0xA2BFE8A1, 0xA81A664B, 0xC24B8B70, 0xC76C51A3, 0xD192E819, 0xD6990624, 0xF40E3585, 0x106AA070,
)  # fmt: skip
ROUNDS_48_63: Final = _words(
    0x19A4C116, 0x1E376C08, 0x2748774C, 0x34B0BCB5, 0x391C0CB3, 0x4ED8AA4A, 0x5B9CCA4F, 0x682E6FF3,
    0x748F82EE, 0x78A5636F, 0x84C87814, 0x8CC70208, 0x90BEFFFA, 0xA4506CEB, 0xBEF9A3F7, 0xC67178F2,
)  # fmt: skip


@inlined
def _rotate(x: Word, bits: int) -> Word:
    """x rotated right. Numba widens every operation to 64 bits: uint32() around a sum tells LLVM that 32 suffice."""
    return uint32((x >> uint32(bits)) | (x << uint32(32 - bits)))


@inlined
def _round(state: Words, word: Word, constant: Word) -> Words:
    a, b, c, d, e, f, g, h = state
    sigma_1 = _rotate(e, 6) ^ _rotate(e, 11) ^ _rotate(e, 25)
    choice = g ^ (e & (f ^ g))
    t1 = uint32(h + uint32(word + constant) + uint32(sigma_1) + uint32(choice))
    sigma_0 = _rotate(a, 2) ^ _rotate(a, 13) ^ _rotate(a, 22)
    majority = (a & b) | (c & (a | b))
    return (uint32(t1 + uint32(sigma_0) + uint32(majority)), a, b, c, uint32(d + t1), e, f, g)


@inlined
def _sixteen_rounds(state: Words, w: Words, k: Words) -> Words:
    state = _round(state, w[0], k[0])
    state = _round(state, w[1], k[1])
    state = _round(state, w[2], k[2])
    state = _round(state, w[3], k[3])
    state = _round(state, w[4], k[4])
    state = _round(state, w[5], k[5])
    state = _round(state, w[6], k[6])
    state = _round(state, w[7], k[7])
    state = _round(state, w[8], k[8])
    state = _round(state, w[9], k[9])
    state = _round(state, w[10], k[10])
    state = _round(state, w[11], k[11])
    state = _round(state, w[12], k[12])
    state = _round(state, w[13], k[13])
    state = _round(state, w[14], k[14])
    state = _round(state, w[15], k[15])
    return state


@inlined
def _next_word(back_16: Word, back_15: Word, back_7: Word, back_2: Word) -> Word:
    sigma_0 = _rotate(back_15, 7) ^ _rotate(back_15, 18) ^ (back_15 >> uint32(3))
    sigma_1 = _rotate(back_2, 17) ^ _rotate(back_2, 19) ^ (back_2 >> uint32(10))
    return uint32(uint32(back_16 + uint32(sigma_0)) + uint32(back_7 + uint32(sigma_1)))


@inlined
def _next_words(w: Words) -> Words:
    """The sixteen words of the message schedule after w."""
    w0, w1, w2, w3, w4, w5, w6, w7, w8, w9, w10, w11, w12, w13, w14, w15 = w
    w0 = _next_word(w0, w1, w9, w14)
    w1 = _next_word(w1, w2, w10, w15)
    w2 = _next_word(w2, w3, w11, w0)
    w3 = _next_word(w3, w4, w12, w1)
    w4 = _next_word(w4, w5, w13, w2)
    w5 = _next_word(w5, w6, w14, w3)
    w6 = _next_word(w6, w7, w15, w4)
    w7 = _next_word(w7, w8, w0, w5)
    w8 = _next_word(w8, w9, w1, w6)
    w9 = _next_word(w9, w10, w2, w7)
    w10 = _next_word(w10, w11, w3, w8)
    w11 = _next_word(w11, w12, w4, w9)
    w12 = _next_word(w12, w13, w5, w10)
    w13 = _next_word(w13, w14, w6, w11)
    w14 = _next_word(w14, w15, w7, w12)
    w15 = _next_word(w15, w0, w8, w13)
    return (w0, w1, w2, w3, w4, w5, w6, w7, w8, w9, w10, w11, w12, w13, w14, w15)


@inlined
def _sum(a: Words, b: Words) -> Words:
    return (
        uint32(a[0] + b[0]), uint32(a[1] + b[1]), uint32(a[2] + b[2]), uint32(a[3] + b[3]),
        uint32(a[4] + b[4]), uint32(a[5] + b[5]), uint32(a[6] + b[6]), uint32(a[7] + b[7]),
    )  # fmt: skip


@inlined
def _compress(state: Words, w: Words) -> Words:
    """The state after the block w. What a caller does not use of it is not computed."""
    after = _sixteen_rounds(state, w, ROUNDS_0_15)
    w = _next_words(w)
    after = _sixteen_rounds(after, w, ROUNDS_16_31)
    w = _next_words(w)
    after = _sixteen_rounds(after, w, ROUNDS_32_47)
    w = _next_words(w)
    return _sum(state, _sixteen_rounds(after, w, ROUNDS_48_63))


@inlined
def _word(message: NDArray[np.uint8], at: int) -> Word:
    """The big-endian word at byte `at` (>= 0) of the message."""
    return uint32(
        (uint32(message[at]) << uint32(24))
        | (uint32(message[at + 1]) << uint32(16))
        | (uint32(message[at + 2]) << uint32(8))
        | uint32(message[at + 3])
    )


@inlined
def _block(message: NDArray[np.uint8], at: int) -> Words:
    return (
        _word(message, at), _word(message, at + 4), _word(message, at + 8), _word(message, at + 12),
        _word(message, at + 16), _word(message, at + 20), _word(message, at + 24), _word(message, at + 28),
        _word(message, at + 32), _word(message, at + 36), _word(message, at + 40), _word(message, at + 44),
        _word(message, at + 48), _word(message, at + 52), _word(message, at + 56), _word(message, at + 60),
    )  # fmt: skip


@inlined
def _with_low_digits(w: Words, digits: Word, shift: Word, here: Words, after: Words) -> Words:
    """The block w with four ASCII digits put in.

    Args:
        digits: the four digits as one big-endian word.
        shift: 8 * their byte offset in the word where they begin (0, 8, 16 or 24).
        here: for each word, all ones where the digits begin, else 0.
        after: the same for the word after it, which takes what does not fit.

    Masks, and no index: which words change is known only when it runs, and one loop must serve every place. A loop
    for one place could compute the words that never change beforehand; that was measured as 5 to 8 % faster, and would
    be compiled once for each place.
    """
    a = uint32(digits >> shift)
    b = uint32(uint32(digits << uint32(1)) << uint32(uint32(31) - shift))  # two shifts: one by 32 is undefined
    return (
        uint32(w[0] | (a & here[0]) | (b & after[0])),
        uint32(w[1] | (a & here[1]) | (b & after[1])),
        uint32(w[2] | (a & here[2]) | (b & after[2])),
        uint32(w[3] | (a & here[3]) | (b & after[3])),
        uint32(w[4] | (a & here[4]) | (b & after[4])),
        uint32(w[5] | (a & here[5]) | (b & after[5])),
        uint32(w[6] | (a & here[6]) | (b & after[6])),
        uint32(w[7] | (a & here[7]) | (b & after[7])),
        uint32(w[8] | (a & here[8]) | (b & after[8])),
        uint32(w[9] | (a & here[9]) | (b & after[9])),
        uint32(w[10] | (a & here[10]) | (b & after[10])),
        uint32(w[11] | (a & here[11]) | (b & after[11])),
        uint32(w[12] | (a & here[12]) | (b & after[12])),
        uint32(w[13] | (a & here[13]) | (b & after[13])),
        w[14],  # the length of the message in bits, which the digits never reach
        w[15],
    )


@inlined
def _masks(masks: NDArray[np.uint32], row: int) -> Words:
    m = masks[row]
    return (m[0], m[1], m[2], m[3], m[4], m[5], m[6], m[7], m[8], m[9], m[10], m[11], m[12], m[13])


def first_chunk(
    message: NDArray[np.uint8],
    digits_at: int,
    digits: int,
    masks: NDArray[np.uint32],
    low_digits: NDArray[np.uint32],
    limit: Word,
    start: int,
    stop: int,
) -> int:
    """Find the first chunk of proofs, all of one length, with a candidate: a hash whose first word is <= limit.

    Args:
        message: whole 64-byte blocks, padded as SHA-256 asks; zero where the proof's digits belong. The high digits
            are written into it. All digits lie in the last block.
        digits_at: where the first digit belongs, in bytes from the start of the message.
        digits: how many digits every proof of the range has; >= 4.
        masks: shape (2, 14): see `_with_low_digits`.
        low_digits: LOW words: the number that is the index, as four ASCII digits.
        limit: the first word of the largest valid hash.
        start, stop: the range of proofs, stop excluded.

    Returns:
        The smallest proof of the range that lies in that chunk (a chunk begins at a multiple of CHUNK), or stop.
    """
    last_block = message.size - 64
    state = INITIAL_STATE
    for at in range(0, last_block, 64):
        block = _block(message, at)
        state = _compress(state, block)
    low_at = digits_at + digits - LOW_DIGITS
    shift = uint32(8 * (low_at % 4))
    here = _masks(masks, 0)
    after = _masks(masks, 1)
    for high in range(start // LOW, (stop + LOW - 1) // LOW):
        rest = high
        for at in range(low_at - 1, digits_at - 1, -1):
            message[at] = 48 + rest % 10
            rest //= 10
        block = _block(message, last_block)
        first = max(start - high * LOW, 0)
        end = min(stop - high * LOW, LOW)
        for chunk in range(first - first % CHUNK, end, CHUNK):
            left = max(first, chunk)
            right = min(end, chunk + CHUNK)
            table = low_digits[left:right]
            lowest = uint32(0xFFFFFFFF)
            for i in range(right - left):
                first_word = _compress(state, _with_low_digits(block, table[i], shift, here, after))[0]
                lowest = first_word if first_word < lowest else lowest
            if lowest <= limit:
                return high * LOW + left
    return stop
