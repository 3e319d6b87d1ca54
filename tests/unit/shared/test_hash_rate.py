"""Hash rates as text: what is read, and what is refused with one sentence."""

import pytest

from shared.errors import InputError
from shared.hash_rate import MAX_HASH_RATE, parse_hash_rate


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("1", 1), ("1000", 1000), (1000, 1000), ("2M", 2_000_000), ("800k", 800_000), ("1.5MH/s", 1_500_000),
        ("1.5 MH/s", 1_500_000), ("1.5mh/S", 1_500_000), ("7 H/s", 7), ("0.25G", 250_000_000), ("1000T", MAX_HASH_RATE),
        ("1.23456k", 1234), ("007", 7), (MAX_HASH_RATE, MAX_HASH_RATE),
    ],
)  # fmt: skip
def test_a_hash_rate_is_read(text: object, rate: int) -> None:
    assert parse_hash_rate(text) == rate


@pytest.mark.parametrize(
    "text",
    [
        "", "0", 0, -1, "-1", "0.5", "0.0001k", "1001T", MAX_HASH_RATE + 1, "9" * 17, "1e6", "1_000", "1,5M", ".5M",
        "5.M", "2MB", "2P", "M", "H/s", "2 M H/s", " 2M", "2M ", "2M\n", "fast", "nan", "inf", True, 1.5, None, [],
        {"k": 1}, "\N{FULLWIDTH DIGIT TWO}M", "2\N{KELVIN SIGN}",
    ],
)  # fmt: skip
def test_nonsense_gets_one_sentence(text: object) -> None:
    with pytest.raises(InputError) as caught:
        parse_hash_rate(text, field="RATE")
    assert (caught.value.code, caught.value.field) == ("bad_hash_rate", "RATE")
    assert caught.value.message.startswith("RATE must be hashes per second") and caught.value.message.count(". ") == 0
