"""What the connections of one server process may hold together: threads, and bytes of answers that are being sent.

All connections take from one account, so no mixture of slow clients can use up the process. Some threads belong to no
kind: they are the reserve for quick answers. docs/operations.md has a table of the defaults.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from enum import StrEnum

from services.errors import Busy, PolicyCode


class Kind(StrEnum):
    """What a thread may be held for."""

    BODY = "body"  # a request's body arrives
    WAIT = "wait"  # a block, a job or a resolution is waited for
    STREAM = "stream"  # server-sent events
    ANSWER = "answer"  # a large answer is made and sent
    SEARCH = "search"  # the explorer's search field: more work than other quick answers, so only some at once


_PATIENT = (Kind.WAIT, Kind.STREAM)
_ANSWER = Kind.ANSWER  # in Python 3.11, looking up a member of an enum takes longer than using it

# Bytes. An answer that is larger takes a place, and its bytes are counted.
LARGE = 65_536
# Seconds for which a request stands in line for a place. While it does, slow clients lose their places a little sooner
# than that (api/serving/connections.py).
PATIENCE = 3.0
# Seconds after a refusal during which slow clients are ended early.
_TIGHT_SECONDS = 2.0

_REFUSALS: dict[Kind, tuple[PolicyCode, str]] = {
    Kind.BODY: ("too_many_bodies", "Too many requests are being received at once; try again."),
    Kind.WAIT: ("too_many_waiting", "Too many requests are waiting at once; ask with wait=0, or try again."),
    Kind.STREAM: ("too_many_streams", "Too many event streams are open; poll /status instead."),
    Kind.ANSWER: ("too_many_answers", "Too many large answers are being sent at once; try again."),
    Kind.SEARCH: ("too_many_searches", "Too many searches run at once; try again."),
}


@dataclass(frozen=True, slots=True)
class Shares:
    """How many of a process's threads each kind may hold, and how many requests may stand in line for each kind."""

    body: int
    answer: int
    stream: int
    patient: int  # waits and streams together
    search: int  # part of what is left over
    line: int

    @classmethod
    def of(cls, threads: int) -> "Shares":
        """The shares of `threads` threads. A fifth is left over for quick answers and for requests that stand in line.

        Of 160 threads: 32 bodies, 10 answers, 86 waits and streams (at most 64 streams), lines of 10; 32 are left.
        Searches are quick answers, so their places are among these 32: 4, and a line of 4.
        """
        body, answer, reserve = max(1, threads // 5), max(1, threads // 16), max(1, threads // 5)
        patient = max(1, threads - body - answer - reserve)
        search = max(1, threads // 40)
        return cls(body, answer, max(1, patient * 3 // 4), patient, search, max(1, threads // 16))

    def limit(self, kind: Kind) -> int:
        limits = {
            Kind.BODY: self.body,
            Kind.ANSWER: self.answer,
            Kind.STREAM: self.stream,
            Kind.WAIT: self.patient,
            Kind.SEARCH: self.search,
        }
        return limits[kind]

    def line_of(self, kind: Kind) -> int:
        """How many requests may stand in line for a place of this kind."""
        return self.search if kind is Kind.SEARCH else self.line


class Budget:
    """The account of one process. Every method may be called from any thread."""

    def __init__(self, threads: int, answer_bytes: int) -> None:
        """`answer_bytes`: bytes of memory that large answers may take together while they are made and sent."""
        self.shares = Shares.of(threads)
        self.answer_bytes = answer_bytes
        self._limits = {kind: self.shares.limit(kind) for kind in Kind}
        # Up to so many places nobody asks whose they are.
        self._fair = self._limits | {Kind.BODY: max(1, self.shares.body * 3 // 4)}
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._held = dict.fromkeys(Kind, 0)
        self._line = dict.fromkeys(Kind, 0)
        self._refused = dict.fromkeys(Kind, 0)
        self._refused_at = dict.fromkeys(Kind, -_TIGHT_SECONDS)
        self._bytes = 0
        self.answers = 0  # large answers that have ended since the process began

    def held(self, kind: Kind) -> int:
        """How many places are taken."""
        return self._held[kind]

    def refused(self, kind: Kind) -> int:
        """How many requests were refused since the process began."""
        return self._refused[kind]

    @property
    def bytes_held(self) -> int:
        """Bytes that large answers take now."""
        return self._bytes

    def is_tight(self, kind: Kind) -> bool:
        """Whether a request stands in line for a place or was just refused, so that slow clients are ended early."""
        return self._line[kind] > 0 or time.monotonic() - self._refused_at[kind] < _TIGHT_SECONDS

    def take(self, kind: Kind, patience: float = 0.0, size: int = 0, crowd: Callable[[], int] = lambda: 0) -> None:
        """Take a place and `size` bytes, waiting in line for at most `patience` seconds; `give_back` returns both.

        Args:
            crowd: for a body, how many of the places its client's address holds. Three quarters at most, so no one
                address can keep all others out.

        Raises:
            Busy: `too_many_bodies`, `too_many_waiting`, `too_many_streams`, `too_many_answers` or `too_many_searches`.
        """
        with self._lock:
            # Every request with a body passes here, so the usual case is decided by one comparison.
            if size or kind in _PATIENT or self._held[kind] >= self._fair[kind]:
                fair = self._fair[kind]
                self._await(
                    kind,
                    lambda: (
                        self._has_place(kind) and self._has_bytes(size) and (self._held[kind] < fair or crowd() < fair)
                    ),
                    patience,
                )
            self._held[kind] += 1
            self._bytes += size

    def give_back(self, kind: Kind, size: int = 0) -> None:
        with self._lock:
            self._held[kind] -= 1
            if kind is _ANSWER:
                self.answers += 1
            self._free(size)

    @contextmanager
    def hold(self, kind: Kind, patience: float = 0.0) -> Iterator[None]:
        """Hold a place. Raises: as `take`."""
        self.take(kind, patience)
        try:
            yield
        finally:
            self.give_back(kind)

    def take_bytes(self, size: int) -> None:
        """Take `size` more bytes for an answer that has a place already. Raises: Busy."""
        with self._lock:
            self._await(_ANSWER, lambda: self._has_bytes(size), PATIENCE)
            self._bytes += size

    def give_back_bytes(self, size: int) -> None:
        with self._lock:
            self._free(size)

    def _has_place(self, kind: Kind) -> bool:
        if self._held[kind] >= self._limits[kind]:
            return False
        if kind not in _PATIENT:
            return True
        return sum(self._held[each] for each in _PATIENT) < self.shares.patient

    def _has_bytes(self, size: int) -> bool:
        return self._bytes + size <= self.answer_bytes

    def _await(self, kind: Kind, has_room: Callable[[], bool], patience: float) -> None:
        """Wait for room. The caller holds the lock. Raises: Busy."""
        if has_room():
            return
        if patience > 0 and self._line[kind] < self.shares.line_of(kind):
            self._line[kind] += 1
            try:
                if self._changed.wait_for(has_room, patience):
                    return
            finally:
                self._line[kind] -= 1
        self._refused[kind] += 1
        self._refused_at[kind] = time.monotonic()
        raise Busy(*_REFUSALS[kind])

    def _free(self, size: int) -> None:
        """Free `size` bytes, and wake the requests in line. The caller holds the lock."""
        self._bytes -= size
        if any(self._line.values()):
            self._changed.notify_all()


class LargeAnswer:
    """The place and the bytes of one large answer."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._size: int | None = None  # None: no place is taken

    def grow(self, size: int) -> None:
        """Take `size` more bytes, but never more than the whole account, so any answer can be sent. Raises: Busy."""
        size = min(size, self._budget.answer_bytes - (self._size or 0))
        if self._size is None:
            self._budget.take(Kind.ANSWER, PATIENCE, size)
            self._size = size
        elif size > 0:
            self._budget.take_bytes(size)
            self._size += size

    def settle(self, size: int) -> None:
        """The answer is made and has `size` bytes: give back what it does not need, or take what is missing.

        Raises:
            Busy: `too_many_answers`.
        """
        if self._size is None or size > self._size:
            self.grow(size - (self._size or 0))
        else:
            self._budget.give_back_bytes(self._size - size)
            self._size = size

    def close(self) -> None:
        """Give everything back. Repeating it is harmless."""
        if self._size is not None:
            self._budget.give_back(Kind.ANSWER, self._size)
            self._size = None


# --- The answer that the calling thread is making ---


_thread = threading.local()


def begin(budget: Budget) -> None:
    """Begin a new answer: `reserve` and `settle` on this thread are about it, and take from `budget`."""
    _thread.budget, _thread.answer = budget, None


@contextmanager
def waiting() -> Iterator[None]:
    """Hold a place of this thread's budget for a request that waits for a block.

    Raises:
        Busy: `too_many_waiting`.
    """
    budget: Budget | None = getattr(_thread, "budget", None)
    with nullcontext() if budget is None else budget.hold(Kind.WAIT):
        yield


@contextmanager
def searching() -> Iterator[None]:
    """Hold a place of this thread's budget for a search, for which it stands in line.

    Raises:
        Busy: `too_many_searches`.
    """
    budget: Budget | None = getattr(_thread, "budget", None)
    with nullcontext() if budget is None else budget.hold(Kind.SEARCH, PATIENCE):
        yield


def reserve(size: int) -> None:
    """Reserve `size` more bytes for the answer that this thread is making, before it uses them.

    The memory that making the answer takes counts as well. The gate gives all of it back once the answer is sent. While
    the answer has no place yet, a reservation of at most LARGE bytes is not counted.

    Raises:
        Busy: `too_many_answers`.
    """
    budget: Budget | None = getattr(_thread, "budget", None)
    if budget is None or (_thread.answer is None and size <= LARGE):
        return
    answer = _thread.answer or LargeAnswer(budget)
    answer.grow(size)
    _thread.answer = answer  # only now: a refused answer holds nothing


def settle(size: int) -> None:
    """Keep `size` bytes for the answer so far, and give back what only making it took. Raises: Busy."""
    if getattr(_thread, "answer", None) is not None:
        _thread.answer.settle(size)
    else:
        reserve(size)


def take_answer() -> LargeAnswer | None:
    """What this thread has reserved, if anything. The caller has to give it back."""
    answer: LargeAnswer | None = getattr(_thread, "answer", None)
    if answer is not None:
        _thread.answer = None
    return answer
