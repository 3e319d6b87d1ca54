"""False timestamps stay within what the rules allow. What they do to the difficulty: shared/test_difficulty.py."""

import pytest

from lab.strategies import LIES, TimeLiar
from lab.strategy import Times
from shared.block import Header
from shared.chain_spec import ChainSpec

SPEC = ChainSpec(name="test", chain_id=7, genesis_timestamp=0, difficulty=1000, block_interval=10)
WINDOW = [Header(height, 100 + 10 * height, "", 1000, "", 0, "") for height in range(1, 40)]
TIMES = Times(WINDOW, now=500, earliest=440, latest=530, right=1000.0, spec=SPEC)


@pytest.mark.parametrize("name", LIES)
def test_every_lie_is_allowed(name: str) -> None:
    assert 440 <= TimeLiar(name).timestamp(TIMES) <= 530


def test_a_lie_may_be_a_function_and_is_bounded() -> None:
    assert TimeLiar(lambda times: 10**9).timestamp(TIMES) == 530
    assert TimeLiar(lambda times: -5).timestamp(TIMES) == 440
    assert TimeLiar("the truth").timestamp(TIMES) == 500
    assert (TIMES.parent.index, TIMES.height, TIMES.newest) == (39, 40, 490)
