"""Both kernels find what hashlib finds: the smallest valid proof of a range, or none."""

import importlib.util
from collections.abc import Callable
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.kernel import Kernel, choose
from worker.kernel.plain import largest_hash

SEAL = b"0ae90cdacdb49230553a9c64137c22d1b614182a043ffdc6a6ae65af30c9ee17"
LIMIT = 2**53
BOUNDARIES = (*(10**digits for digits in range(1, 16)), LIMIT)

NUMBA_MISSING = importlib.util.find_spec("numba") is None
FAST = pytest.param(
    "fast", marks=pytest.mark.skipif(NUMBA_MISSING, reason="the fast kernel needs Numba: install the extra `fast`")
)


@pytest.fixture(scope="module", params=["plain", FAST])
def kernel(request: pytest.FixtureRequest) -> Kernel:
    chosen = choose(request.param)
    chosen.warm_up()
    return chosen


def is_valid(prefix: bytes, difficulty: int, proof: int) -> bool:
    """The rule, word for word."""
    return int(sha256(prefix + str(proof).encode()).hexdigest(), 16) * difficulty < 2**256


def first_valid(prefix: bytes, difficulty: int, start: int, stop: int) -> int | None:
    return next((proof for proof in range(start, stop) if is_valid(prefix, difficulty, proof)), None)


def all_found(
    scan: Callable[[bytes, int, int, int], int | None], prefix: bytes, difficulty: int, proofs: range
) -> list[int]:
    """Every valid proof that repeated scans find, each from behind the last."""
    found: list[int] = []
    start = proofs.start
    while (proof := scan(prefix, difficulty, start, proofs.stop)) is not None:
        found.append(proof)
        start = proof + 1
    return found


def all_valid(prefix: bytes, difficulty: int, proofs: range) -> list[int]:
    return [proof for proof in proofs if is_valid(prefix, difficulty, proof)]


@st.composite
def ranges(draw: st.DrawFn) -> tuple[int, int]:
    """A range of up to 6,000 proofs: anywhere, or about a change of the number of digits."""
    near = draw(st.one_of(st.sampled_from(BOUNDARIES), st.integers(0, LIMIT), st.integers(0, 30_000)))
    start = min(LIMIT, max(0, near - draw(st.integers(-10, 4_000))))
    return start, min(LIMIT, start + draw(st.integers(0, 6_000)))


@settings(deadline=None, max_examples=150)
@given(
    seal=st.binary(min_size=32, max_size=32).map(lambda digest: digest.hex().encode()),
    difficulty=st.one_of(st.integers(1, 300), st.integers(1, 20_000), st.integers(1, 2**40)),
    proofs=ranges(),
)
def test_finds_what_hashlib_finds(kernel: Kernel, seal: bytes, difficulty: int, proofs: tuple[int, int]) -> None:
    assert kernel.scan(seal, difficulty, *proofs) == first_valid(seal, difficulty, *proofs)


@settings(deadline=None, max_examples=150)
@given(
    prefix=st.binary(max_size=200),
    difficulty=st.integers(1, 20_000),
    proofs=ranges(),
)
def test_takes_any_bytes_as_prefix(kernel: Kernel, prefix: bytes, difficulty: int, proofs: tuple[int, int]) -> None:
    assert kernel.scan(prefix, difficulty, *proofs) == first_valid(prefix, difficulty, *proofs)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_misses_no_proof_about_a_change_of_length(kernel: Kernel, boundary: int) -> None:
    proofs = range(max(0, boundary - 3_000), min(LIMIT, boundary + 3_000))
    expected = all_valid(SEAL, 200, proofs)
    assert all_found(kernel.scan, SEAL, 200, proofs) == expected
    assert expected or boundary < 10  # the ranges are long enough to prove something


@pytest.mark.parametrize("length", range(81))
def test_tutorial_prefix_of_any_length(kernel: Kernel, length: int) -> None:
    last_proof = (b"9007199254740991" * 6)[:length]
    for start in (0, 9_500, 99_999_500, 10**15 - 500, LIMIT - 1_000):  # 3 to 16 digits: the tail ends in each place
        proofs = range(start, start + 1_000)
        assert all_found(kernel.scan, last_proof, 100, proofs) == all_valid(last_proof, 100, proofs)


@pytest.mark.parametrize("length", range(70))
def test_range_of_any_length(kernel: Kernel, length: int) -> None:
    for start in (999, 10**9 - 33, 10**9 + 1_970, 5 * 10**12 + 7):  # up to, across and within table, chunk and vector
        proofs = range(start, start + length)
        assert all_found(kernel.scan, SEAL, 9, proofs) == all_valid(SEAL, 9, proofs)


@pytest.mark.parametrize(
    ("prefix", "difficulty", "start", "proof"),
    [
        (SEAL, 1, 0, 0),
        (SEAL, 2, 0, 1),
        (SEAL, 255, 0, 246),
        (SEAL, 65_536, 0, 15_594),
        (SEAL, 65_536, 10**15 - 30_000, 1_000_000_000_065_564),
        (SEAL, 65_536, LIMIT - 200_000, 9_007_199_254_591_175),
        (SEAL, 1_000, LIMIT - 5_000, LIMIT - 4_941),
        # The first proofs of every chain under tutorial rules, whose genesis has proof 100.
        (b"100", 65_536, 0, 35_293),
        (b"35293", 65_536, 0, 35_089),
        (b"35089", 65_536, 0, 119_678),
    ],
)
def test_frozen_proofs(kernel: Kernel, prefix: bytes, difficulty: int, start: int, proof: int) -> None:
    assert kernel.scan(prefix, difficulty, start, LIMIT) == proof
    assert kernel.scan(prefix, difficulty, start, proof) is None
    assert kernel.scan(prefix, difficulty, proof, proof + 1) == proof


def test_the_first_word_alone_proves_nothing(kernel: Kernel) -> None:
    # This proof's hash is above the largest valid one, yet both begin with the same 32 bits.
    near_miss, difficulty = 1_000_073_432, 1_136_825
    value = int(sha256(SEAL + b"%d" % near_miss).hexdigest(), 16)
    largest = (2**256 - 1) // difficulty
    assert value > largest and value >> 224 == largest >> 224

    assert kernel.scan(SEAL, difficulty, near_miss - 3_000, near_miss + 3_000) is None
    assert kernel.scan(SEAL, difficulty, near_miss, near_miss + 500_000) == 1_000_570_684
    assert kernel.scan(SEAL, difficulty - 1, near_miss - 3_000, near_miss + 3_000) == near_miss


@pytest.mark.parametrize("difficulty", [1, 2, 3, 65_536, 10**9 + 7, 2**255, 2**256, 2**300])
def test_largest_valid_hash_is_exact(difficulty: int) -> None:
    largest = largest_hash(difficulty)
    assert largest * difficulty < 2**256 <= (largest + 1) * difficulty


@pytest.mark.parametrize("difficulty", [2**32, 2**40, 2**255, 2**256, 2**300])
def test_difficulty_of_any_size(kernel: Kernel, difficulty: int) -> None:
    assert kernel.scan(SEAL, difficulty, 0, 50_000) is None


@pytest.mark.parametrize("difficulty", [1, 2, 255])
def test_every_proof_tried_in_turn_when_nearly_all_are_valid(kernel: Kernel, difficulty: int) -> None:
    proofs = range(10**12 - 600, 10**12 + 600)
    assert all_found(kernel.scan, SEAL, difficulty, proofs) == all_valid(SEAL, difficulty, proofs)


@pytest.mark.parametrize("proof", [0, 1, 9_999, 10_000, 10**10, LIMIT])
def test_empty_range_holds_no_proof(kernel: Kernel, proof: int) -> None:
    assert kernel.scan(SEAL, 1, proof, proof) is None
    assert kernel.scan(SEAL, 1, proof, max(0, proof - 5)) is None


@pytest.mark.parametrize(
    ("difficulty", "start", "stop"), [(0, 0, 10), (-1, 0, 10), (1, -1, 10), (1, 0, LIMIT + 1), (1, LIMIT, LIMIT + 1)]
)
def test_refuses_what_no_block_may_have(kernel: Kernel, difficulty: int, start: int, stop: int) -> None:
    with pytest.raises(ValueError, match=r"difficulty|range"):
        kernel.scan(SEAL, difficulty, start, stop)
