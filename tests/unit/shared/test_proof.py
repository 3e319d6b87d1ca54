"""Proof of work: what a seal hashes and what it accepts."""

import hashlib

import pytest

from shared.proof import MAX_PROOF, accepts, meets, proof_hash

SEAL = b"5" * 64


def test_hash_is_sha256_of_seal_and_decimal_proof() -> None:
    for proof in (0, 7, 10**9, MAX_PROOF):
        assert proof_hash(SEAL, proof) == hashlib.sha256(b"5" * 64 + b"%d" % proof).digest()


def test_any_hash_meets_difficulty_one_and_only_zero_meets_the_highest() -> None:
    highest = b"\xff" * 32
    assert meets(highest, 1)
    assert not meets(highest, 2)
    assert meets(bytes(32), 2**256 - 1)


@pytest.mark.parametrize("difficulty", [2, 3, 256, 65536, 10**6, 2**200])
def test_the_bound_is_exact(difficulty: int) -> None:
    first_bad = -(-(2**256) // difficulty)  # rounded up: the smallest number whose product reaches 2^256
    assert meets((first_bad - 1).to_bytes(32, "big"), difficulty)
    assert not meets(first_bad.to_bytes(32, "big"), difficulty)


def test_65536_is_four_hex_zeros() -> None:
    assert meets(bytes.fromhex("0000" + "f" * 60), 65536)
    assert not meets(bytes.fromhex("0001" + "0" * 60), 65536)


def test_difficulty_is_the_expected_number_of_hashes() -> None:
    # 20,000 hashes at 1 in 100: 200 expected, standard deviation 14
    hits = sum(accepts(SEAL, 100, proof) for proof in range(20_000))
    assert 140 < hits < 260
