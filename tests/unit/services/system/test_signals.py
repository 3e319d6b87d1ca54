"""Interrupts that are held back."""

import signal
import threading
from collections.abc import Iterator

import pytest

from services.system.signals import held_back


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """As `quarry up` has them: a signal raises KeyboardInterrupt."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt(number)

    before = [(number, signal.signal(number, interrupt)) for number in (signal.SIGTERM, signal.SIGINT)]
    yield
    for number, handler in before:
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupt_acts_at_the_end(number: signal.Signals) -> None:
    steps: list[str] = []
    with pytest.raises(KeyboardInterrupt) as caught:
        with held_back():
            signal.raise_signal(number)
            steps.append("done")
    assert steps == ["done"] and caught.value.args == (number,)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)  # the handlers are back


def test_without_an_interrupt_nothing_happens() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with held_back():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_an_error_inside_is_raised_and_the_handlers_are_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ValueError), held_back():
        raise ValueError
    assert signal.getsignal(signal.SIGTERM) is before


def test_another_thread_changes_no_handlers() -> None:
    before, found = signal.getsignal(signal.SIGTERM), []

    def work() -> None:
        with held_back():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [before]
