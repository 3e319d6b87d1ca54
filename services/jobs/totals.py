"""How many jobs ran, how long they waited and how long they took.

Counted in the broker, since workers come and go on any machine.
"""

from bisect import bisect_left
from collections.abc import Mapping
from typing import Any, Literal

# Broker-wide HASH: "function:outcome" -> jobs, "function:seconds" -> their total time, "function:PART:BUCKET" -> jobs
# whose wait or run was that long, "function:PART" -> the seconds of all of them.
JOBS = "quarry:jobs"
# From its entry in the queue to its start, and from there to its end.
Part = Literal["wait", "run"]
# Upper bounds of the buckets, in seconds; one bucket more has what is above.
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


def count(connection: Any, function: str, waited: float | None, seconds: float, *, failed: bool) -> None:
    """Count one job that ended after `seconds`, having waited for `waited` seconds; None: nobody knows how long."""
    name = function.rpartition(".")[2]
    pipeline = connection.pipeline(transaction=False)
    pipeline.hincrby(JOBS, f"{name}:{'failed' if failed else 'finished'}", 1)
    pipeline.hincrbyfloat(JOBS, f"{name}:seconds", seconds)
    for part, length in (("wait", waited), ("run", seconds)):
        if length is not None:
            pipeline.hincrby(JOBS, f"{name}:{part}:{bisect_left(BOUNDS, length)}", 1)
            pipeline.hincrbyfloat(JOBS, f"{name}:{part}", length)
    pipeline.execute()


def read(connection: Any) -> dict[tuple[str, str], float]:
    """(function, finished | failed | seconds | part | part:bucket) -> total."""
    found = connection.hgetall(JOBS)
    totals: dict[tuple[str, str], float] = {}
    for field, value in found.items():
        name, _, kind = field.decode().partition(":")
        totals[name, kind] = float(value)
    return totals


def histogram(totals: Mapping[tuple[str, str], float], function: str, part: Part) -> tuple[list[float], float]:
    """How many jobs took at most as long as each of BOUNDS, then all of them; and the seconds of all of them."""
    reached, cumulative = 0.0, []
    for bucket in range(len(BOUNDS) + 1):
        reached += totals.get((function, f"{part}:{bucket}"), 0)
        cumulative.append(reached)
    return cumulative, totals.get((function, part), 0.0)
