"""Clocks that tests move."""

START = 1_750_000_000  # Unix seconds; long past, so that a real clock can mine on the same chain


class FakeClock:
    """A clock that stands still until it is moved. Sleeping moves it."""

    def __init__(self, now: float = START) -> None:
        self.time = now

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds
