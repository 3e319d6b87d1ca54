"""The order in which tests begin: what takes long first, divided among the test processes.

Each process gets one stretch of the list. One that has finished takes over half of what another has not begun, from the
end of its stretch. So the long tests stand at the beginnings of the stretches, and many short ones at their ends.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

# Folders whose tests start nodes of real processes, each with those that it shares a beginning with.
LONG = (("integration/launch",), ("network",), ("clients", "integration/worker"))
SHORT = ("unit", "consensus")


def kind(path: str, fixtures: Sequence[str]) -> int | None:
    """Which of the groups of long tests a test belongs to: 0 has the browser, 1 the shared node, then those of LONG.

    None: a test of a room, which takes some time. -1: a short one.

    Args:
        path: of its file, below tests/.
        fixtures: the names of all that it uses.
    """
    if "browser" in fixtures:
        return 0
    if "shared_node" in fixtures:
        return 1
    for number, folders in enumerate(LONG, start=2):
        if path.startswith(tuple(f"{folder}/" for folder in folders)):
            return number
    return -1 if path.startswith(tuple(f"{folder}/" for folder in SHORT)) else None


def arranged(items: Sequence[T], kind_of: Callable[[T], int | None], processes: int) -> list[T]:
    """The same items. Within a kind, and so within a file, they keep their order."""
    kinds = [(item, kind_of(item)) for item in items]
    stretches: list[list[T]] = [[] for _ in range(processes)]
    for number in range(2 + len(LONG)):
        stretches[number % processes] += [item for item, kind in kinds if kind == number]
    rooms = [item for item, kind in kinds if kind is None]
    short = [item for item, kind in kinds if kind == -1]
    found: list[T] = []
    for number, stretch in enumerate(stretches):
        stretch += rooms[len(rooms) * number // processes : len(rooms) * (number + 1) // processes]
        # As pytest-xdist divides the list.
        missing = max(0, (len(items) - len(found)) // (processes - number) - len(stretch))
        found += stretch + short[:missing]
        del short[:missing]
    return found + short
