"""Random draws, and draws that cannot be."""

import pytest

from lab.simulated.tree.draws import BadDraws, Draw, Luck, check_draws
from shared.proof import meets


def test_luck_is_what_the_seed_says() -> None:
    luck = Luck(1)
    hashes = [luck.hash(1000) for _ in range(200)]
    assert all(meets(bytes.fromhex(hash), 1000) for hash in hashes)
    assert not all(meets(bytes.fromhex(hash), 2000) for hash in hashes)
    again = Luck(1)
    assert [again.hash(1000) for _ in range(200)] == hashes
    assert sum(luck.wait() for _ in range(5000)) / 5000 == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(("draws", "says"), [
    ([Draw(2.0, 1, "a" * 64), Draw(1.0, 1, "b" * 64)], "never fall"),
    ([Draw(-1.0, 1, "a" * 64)], "begin at 0"),
    ([Draw(float("nan"), 1, "a" * 64)], "begin at 0"),
    ([Draw(1.0, 3, "a" * 64)], "there are 2"),
    ([Draw(1.0, 0, "a" * 64)], "there are 2"),
    ([Draw(1.0, 1, "a" * 64), Draw(2.0, 1, "a" * 64)], "earlier one"),
])  # fmt: skip
def test_impossible_draws_are_refused(draws: list[Draw], says: str) -> None:
    with pytest.raises(BadDraws, match=says):
        check_draws(draws, 2)
