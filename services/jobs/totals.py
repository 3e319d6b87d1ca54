"""How many jobs ran and how long they took. Counted in the broker, since workers come and go on any machine."""

from typing import Any

# Broker-wide HASH: "function:outcome" -> jobs, "function:seconds" -> their total time.
JOBS = "quarry:jobs"


def count(connection: Any, function: str, seconds: float, *, failed: bool) -> None:
    """Count one job that ended after `seconds`."""
    name = function.rpartition(".")[2]
    pipeline = connection.pipeline(transaction=False)
    pipeline.hincrby(JOBS, f"{name}:{'failed' if failed else 'finished'}", 1)
    pipeline.hincrbyfloat(JOBS, f"{name}:seconds", seconds)
    pipeline.execute()


def read(connection: Any) -> dict[tuple[str, str], float]:
    """(function, finished | failed | seconds) -> total."""
    found = connection.hgetall(JOBS)
    totals: dict[tuple[str, str], float] = {}
    for field, value in found.items():
        name, _, kind = field.decode().partition(":")
        totals[name, kind] = float(value)
    return totals
