"""Telling the tutorial's programs apart by what they serve."""

import hashlib
import itertools

import pytest

from shared.tutorial_variants import begins_as_later_ones, proves_as_later_ones
from tests.support.tutorial_node import find_proof

LAST = "ab" * 32
GENESIS = {"index": 1, "timestamp": 1.5, "transactions": [], "proof": 100, "previous_hash": "1"}


@pytest.mark.parametrize("form", ["{last}{proof}{hash}", "{last}{hash}{proof}", "{hash}{last}{proof}", "{hash}{proof}"])
def test_a_proof_over_the_last_block_is_recognised(form: str) -> None:
    texts = ((n, form.format(last=100, proof=n, hash=LAST)) for n in itertools.count())
    proof = next(n for n, text in texts if hashlib.sha256(text.encode()).hexdigest().startswith("0000"))
    assert proves_as_later_ones(100, proof, LAST, 65536)
    assert not proves_as_later_ones(100, proof + 1, LAST, 65536)
    assert not proves_as_later_ones(100, proof, "cd" * 32, 65536)


def test_a_proof_of_2017_is_no_later_one() -> None:
    assert not proves_as_later_ones(100, find_proof(100), LAST, 65536)


def test_the_first_block_of_dvf_blockchain_as_it_is_now() -> None:
    """Its constructor says `new_block(previous_hash='1', proof=100)`, where that of 2017 said 1."""
    assert begins_as_later_ones(GENESIS)


@pytest.mark.parametrize("changes", [{"previous_hash": 1}, {"proof": 101}, {"index": 2}, {"previous_hash": "2"}])
def test_other_first_blocks_are_not_theirs(changes: dict[str, object]) -> None:
    assert not begins_as_later_ones({**GENESIS, **changes})


@pytest.mark.parametrize("value", [None, [], "1", 1, {}])
def test_what_is_no_block_is_nobodys(value: object) -> None:
    assert not begins_as_later_ones(value)
