"""How often something may be done that strangers can cause."""

from services.system.allowance import Allowance


def test_so_many_a_second_and_the_next_says_how_many_were_left_out() -> None:
    now = 100.0
    allowance = Allowance(2, lambda: now)
    assert [allowance.take() for _ in range(5)] == [0, 0, None, None, None]
    now = 100.9
    assert allowance.take() is None
    now = 101.0
    assert [allowance.take() for _ in range(3)] == [4, 0, None]
    now = 150.0
    assert allowance.take() == 1
