"""What the connections of one process may hold together."""

import threading
import time
from contextlib import ExitStack

import pytest

from api.serving import budget as budgets
from api.serving.budget import LARGE, Budget, Kind, LargeAnswer, Shares
from services.errors import Busy

MIB = 2**20


@pytest.mark.parametrize("threads", [*range(4, 40), 96, 160, 300, 1024])
def test_the_shares_leave_threads_for_quick_answers(threads: int) -> None:
    shares = Shares.of(threads)
    assert min(shares.body, shares.answer, shares.stream, shares.patient, shares.search, shares.line) >= 1
    assert shares.stream <= shares.patient
    assert shares.body + shares.answer + shares.patient <= threads - max(1, threads // 5)


def test_the_shares_of_the_default() -> None:
    shares = Shares.of(160)
    assert shares == Shares(body=32, answer=10, stream=64, patient=86, search=4, line=10)
    lines = [shares.line_of(kind) for kind in (Kind.BODY, Kind.ANSWER, Kind.SEARCH)]
    reserve = 160 - shares.body - shares.answer - shares.patient
    assert reserve - sum(lines) - shares.search == 4, "as docs/operations.md says"


@pytest.mark.parametrize("kind", Kind)
def test_a_kind_has_its_places_and_no_more(kind: Kind) -> None:
    budget = Budget(40, MIB)
    with ExitStack() as stack:
        for _ in range(budget.shares.limit(kind)):
            stack.enter_context(budget.hold(kind))
        with pytest.raises(Busy) as refused:
            budget.take(kind)
        assert refused.value.code.startswith("too_many_")
        assert (budget.held(kind), budget.refused(kind)) == (budget.shares.limit(kind), 1)
        others = [other for other in Kind if other is not kind and {kind, other} != {Kind.WAIT, Kind.STREAM}]
        for other in others:  # the rest is as before
            stack.enter_context(budget.hold(other))
    assert all(budget.held(one) == 0 for one in Kind)


def test_streams_leave_places_for_waits_and_waits_take_all_that_is_left() -> None:
    budget = Budget(160, MIB)
    for _ in range(64):
        budget.take(Kind.STREAM)
    for _ in range(22):
        budget.take(Kind.WAIT)
    for kind in (Kind.STREAM, Kind.WAIT):
        with pytest.raises(Busy):
            budget.take(kind)


def test_a_place_that_is_given_back_goes_to_the_line() -> None:
    budget = Budget(8, MIB)  # one body at a time
    budget.take(Kind.BODY)
    got: list[float] = []

    def wait() -> None:
        with budget.hold(Kind.BODY, 5.0):
            got.append(time.monotonic())

    waiter = threading.Thread(target=wait)
    waiter.start()
    while not budget.is_tight(Kind.BODY):
        time.sleep(0.001)
    with pytest.raises(Busy):  # the line has room for one
        budget.take(Kind.BODY, 5.0)
    assert got == []
    budget.give_back(Kind.BODY)
    waiter.join(5)
    assert len(got) == 1 and budget.held(Kind.BODY) == 0


def test_one_address_leaves_a_quarter_of_the_bodies_to_others() -> None:
    budget = Budget(160, MIB)
    for _ in range(24):
        budget.take(Kind.BODY, crowd=lambda: budget.held(Kind.BODY))
    for _ in range(8):
        with pytest.raises(Busy, match="received at once"):
            budget.take(Kind.BODY, crowd=lambda: 24)
        budget.take(Kind.BODY, crowd=lambda: 0)
    with pytest.raises(Busy):
        budget.take(Kind.BODY, crowd=lambda: 0)
    budget.give_back(Kind.BODY)
    budget.take(Kind.BODY, crowd=lambda: 23)


def test_patience_ends() -> None:
    budget = Budget(8, MIB)
    budget.take(Kind.BODY)
    began = time.monotonic()
    with pytest.raises(Busy):
        budget.take(Kind.BODY, 0.2)
    assert time.monotonic() - began >= 0.2
    assert budget.is_tight(Kind.BODY), "it was refused just now"


def test_the_bytes_of_answers_are_bounded_together() -> None:
    budget = Budget(160, 10 * MIB)
    one, other = LargeAnswer(budget), LargeAnswer(budget)
    one.grow(8 * MIB)
    with pytest.raises(Busy):
        budget.take(Kind.ANSWER, 0.0, 3 * MIB)
    other.grow(2 * MIB)
    assert (budget.bytes_held, budget.held(Kind.ANSWER)) == (10 * MIB, 2)
    one.settle(MIB)  # it was made, and is smaller than what making it took
    assert budget.bytes_held == 3 * MIB
    other.settle(4 * MIB)
    assert budget.bytes_held == 5 * MIB
    one.close()
    one.close()
    other.close()
    assert (budget.bytes_held, budget.held(Kind.ANSWER)) == (0, 0)


def test_by_itself_every_answer_has_room() -> None:
    budget = Budget(160, MIB)
    answer = LargeAnswer(budget)
    answer.grow(100 * MIB)
    answer.grow(MIB)
    answer.settle(50 * MIB)
    assert budget.bytes_held == MIB
    answer.close()
    assert budget.bytes_held == 0


def test_only_large_answers_take_a_place() -> None:
    budget = Budget(160, MIB)
    budgets.begin(budget)
    budgets.reserve(LARGE)
    budgets.settle(LARGE)
    assert budgets.take_answer() is None
    budgets.reserve(LARGE + 1)
    budgets.reserve(10)
    assert (budget.held(Kind.ANSWER), budget.bytes_held) == (1, LARGE + 11)
    budgets.settle(5)
    answer = budgets.take_answer()
    assert answer is not None and budget.bytes_held == 5
    answer.close()
    assert budgets.take_answer() is None


def test_without_a_gate_nothing_is_counted() -> None:
    def work() -> None:
        budgets.reserve(100 * MIB)
        budgets.settle(100 * MIB)
        done.append(budgets.take_answer())

    done: list[object] = []
    thread = threading.Thread(target=work)  # one on which no request has begun
    thread.start()
    thread.join()
    assert done == [None]


def test_many_threads_never_hold_more_than_the_limits() -> None:
    budget = Budget(16, MIB)
    most = dict.fromkeys(Kind, 0)

    def work(kind: Kind) -> None:
        for _ in range(50):
            try:
                with budget.hold(kind, 0.01):
                    most[kind] = max(most[kind], budget.held(kind))
                    time.sleep(0.0005)
            except Busy:
                pass

    threads = [threading.Thread(target=work, args=(kind,)) for kind in Kind for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(0 < most[kind] <= budget.shares.limit(kind) for kind in Kind), most
    assert all(budget.held(kind) == 0 for kind in Kind)
