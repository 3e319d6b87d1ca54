"""The names of workers: the machine's name, or QUARRY_WORKER_NAME, and a number, such as `anna-1`.

A name is a worker's own while it lives. The broker keeps the table of names, so workers that start at once, on one
machine or on machines of one name, have different names. When a worker ends, its name is free again; if it was killed,
once RQ has forgotten it.
"""

import platform
import re

from services.ports import Store
from services.store.broker import worker_name

# Seconds for which a name is kept without a heartbeat. RQ forgets a worker without heartbeats sooner.
_LEASE_SECONDS = 90
# Seconds without a heartbeat after which a worker counts as dead: three of those of an idle one are missing.
_DEAD_SECONDS = 15
_LONGEST_HOST = 32
_OTHER = re.compile(r"[^A-Za-z0-9_]+")


def host_label(host: str) -> str:
    """The first part of a machine's name as letters, digits, `_` and `-`, at most 32; `worker` if none is left."""
    return _OTHER.sub("-", host.partition(".")[0])[:_LONGEST_HOST].strip("-") or "worker"


class WorkerName:
    """The name of one worker process.

    Args:
        base: what a number is added to.
        token: tells this process from all others.
    """

    def __init__(self, broker: Store, base: str, token: str) -> None:
        self._broker = broker
        self._base = base
        self._token = token
        self._name = ""

    def take(self) -> str:
        """Take the free name with the lowest number. It replaces the one that this worker had."""
        self._name = worker_name(self._broker, self._token, _LEASE_SECONDS, "", self._base)
        return self._name

    def keep(self) -> bool:
        """Confirm the name. False: it is another worker's, since this one was away for longer than a lease."""
        return worker_name(self._broker, self._token, _LEASE_SECONDS, self._name, self._base) != ""

    def give_back(self) -> None:
        """Let another worker have the name."""
        worker_name(self._broker, self._token, 0, self._name, self._base)


def lives(entry: bytes, now: int) -> bool:
    """Whether a worker has given a sign of life lately.

    Args:
        entry: the worker's in the table of names, as lua/worker_name.lua writes it.
        now: Unix seconds of the broker, by whose clock the entry was written.
    """
    _, _, until = entry.partition(b" ")
    return until.isdigit() and int(until) - _LEASE_SECONDS > now - _DEAD_SECONDS


def own_base(queue: str, given: str = "") -> str:
    """What the names of this machine's workers on a queue begin with: miners have the machine's name alone.

    Args:
        given: QUARRY_WORKER_NAME, which is taken as it is; "": it is not set.
    """
    if given:
        return given
    host = host_label(platform.node())
    return host if queue == "mining" else f"{host}-{queue}"
