"""One clock for a node: all its processes go by the store's clock (`TIME`).

A block carries the time of the process that made its template, and blocks too far in the future stop all miners until
their time has come. A process whose own clock differs is corrected (`CommonClock`) and reported (`ClockBoard`), so that
the operator can set the clock right.
"""

import json
import math
import platform
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import structlog

from services.connections.servers import RedisError
from services.ports import Clock, Store
from services.store.broker import forget_clocks, note_clock, noted_clocks

_log = structlog.get_logger(__name__)

# Seconds. Clocks set by NTP agree within milliseconds; a busy store answers later than that.
TOLERANCE = 2.0
# How often a process compares.
COMPARE_SECONDS = 15.0
# Seconds after which a difference that was not confirmed again belongs to a process that has ended.
_CONFIRMED_SECONDS = 60.0
_LAST_MOMENT = 253_402_300_799  # the end of the year 9999, where Python's calendar ends


@dataclass(frozen=True, slots=True)
class WrongClock:
    """A process whose clock differs from the store's."""

    name: str  # of the worker, or the kind of process
    host: str
    ahead: float  # seconds; negative: behind


def store_time(store: Store) -> float:
    """What the store's clock says, Unix seconds."""
    seconds, microseconds = store.time()
    return seconds + microseconds / 1e6


class CommonClock:
    """The clock port for processes that share a store: this process's clock, corrected where it differs.

    Args:
        own: this machine's clock, which is the steadier one. It is corrected only if it differs by more than TOLERANCE.
        ask: reads the store's clock, in Unix seconds.
        beside: runs a comparison without making its caller wait, since the store may hang; by default on a thread.
    """

    def __init__(
        self, own: Clock, ask: Callable[[], float], beside: Callable[[Callable[[], None]], None] | None = None
    ) -> None:
        self._own = own
        self._ask = ask
        self._beside = beside or _on_a_thread
        self._lock = threading.Lock()
        self._compared_at: float | None = None  # by our own clock
        self._ahead = 0.0

    def now(self) -> float:
        ahead = self.ahead()  # first, since a comparison takes time
        return self._own.now() - ahead

    def sleep(self, seconds: float) -> None:
        self._own.sleep(seconds)

    def ahead(self) -> float:
        """Seconds by which this process's clock is ahead of the store's; 0 while they agree within TOLERANCE.

        The clocks are compared every COMPARE_SECONDS at most, and when ours is set back. If the store does not answer,
        the last result stays. Only the first comparison makes the caller wait.
        """
        if self._compared_at is None:
            with self._lock:
                if self._compared_at is None:
                    self._compare()
        elif self._due() and self._lock.acquire(blocking=False):
            self._beside(self._compare_and_release)
        return self._ahead

    def _compare_and_release(self) -> None:
        try:
            self._compare()
        except Exception as error:  # redis-py raises anything if another thread closes the client meanwhile
            self._compared_at = self._own.now()
            _log.warning("clock_not_compared", error=type(error).__name__, reason=str(error))
        finally:
            self._lock.release()

    def _due(self) -> bool:
        at = self._compared_at
        return at is None or not 0 <= self._own.now() - at < COMPARE_SECONDS

    def _compare(self) -> None:
        before, first = self._own.now(), self._compared_at is None
        try:
            theirs = self._ask()
        except RedisError:
            self._compared_at = self._own.now()
            return
        after = self._own.now()
        ahead = (before + after) / 2 - theirs
        # The result is no more exact than the answer was late.
        found = ahead if abs(ahead) > TOLERANCE + abs(after - before) / 2 else 0.0
        if bool(found) != bool(self._ahead) and not first:
            _log.warning("clock_corrected" if found else "clock_agrees", seconds_ahead=round(found, 1))
        self._ahead, self._compared_at = found, after


def _on_a_thread(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="clock", daemon=True).start()


class ClockBoard:
    """The list, in the broker, of processes whose clock is wrong."""

    def __init__(self, broker: Store, own: Clock) -> None:
        self._broker = broker
        self._own = own
        self._looked_at: float | None = None
        self._told = False

    def look(self, name: str) -> None:
        """Compare this process's clock with the broker's, every COMPARE_SECONDS at most; note and log a difference."""
        now = self._own.now()
        if self._looked_at is not None and 0 <= now - self._looked_at < COMPARE_SECONDS:
            return
        theirs = store_time(self._broker)
        after = self._own.now()
        self._looked_at = after
        ahead = (now + after) / 2 - theirs
        if abs(ahead) > TOLERANCE + abs(after - now) / 2:
            host = platform.node()
            if not self._told:
                _log.warning("clock_differs", worker=name, host=host, seconds_ahead=round(ahead, 1))
            self._told = True
            self._note(WrongClock(name, host, round(ahead, 1)), theirs)
        elif self._told:
            _log.info("clock_agrees", worker=name)
            self._told = False
            forget_clocks(self._broker, name)

    def _note(self, wrong: WrongClock, at: float) -> None:
        gone = [item.name for item, when in _entries(self._broker) if at - when > _CONFIRMED_SECONDS]
        if gone:
            forget_clocks(self._broker, *gone)
        note_clock(self._broker, wrong.name, json.dumps({**asdict(wrong), "at": at}))


def wrong_clocks(broker: Store, now: float) -> list[WrongClock]:
    """The processes of a broker whose clocks differ from `now`, the store's time; sorted by name.

    They are compared with the broker's clock. If that differs from the store's, the difference is added to theirs.
    """
    entries = _entries(broker)
    if not entries:
        return []
    theirs = store_time(broker)
    apart = theirs - now if abs(theirs - now) > TOLERANCE else 0.0
    return [
        WrongClock(item.name, item.host, round(item.ahead + apart, 1))
        for item, at in entries
        if theirs - at <= _CONFIRMED_SECONDS and abs(item.ahead + apart) > TOLERANCE
    ]


def _entries(broker: Store) -> list[tuple[WrongClock, float]]:
    """The noted differences, sorted by name, each with the time of its last confirmation."""
    found = []
    for text in noted_clocks(broker):
        value = json.loads(text)
        found.append((WrongClock(value["name"], value["host"], value["ahead"]), float(value["at"])))
    return found


def wrong_clock_words(name: str, ahead: float, host: str = "") -> str:
    """What is wrong with a clock, in a sentence without its full stop. `host`: the machine; "": unknown."""
    whose = "the node's API" if name == "api" else name if " " in name else f"worker {name}"
    if host:
        whose = f"{whose} on {host}"
    return f"The clock of {whose} is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the store's"


def waiting_words(until: float, now: float) -> str:
    """Why no block is made before `until`, in sentences for people. Unix seconds."""
    left = max(1, math.ceil(until - now))
    minutes, seconds = divmod(left, 60)
    hours, minutes = divmod(minutes, 60)
    span = f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
    moment = datetime.fromtimestamp(min(until, _LAST_MOMENT), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return (
        f"Mining waits until {moment}, {span} from now, and then continues: the last blocks carry times too far in the "
        "future, so a miner's clock was ahead, or ours is behind."
    )
