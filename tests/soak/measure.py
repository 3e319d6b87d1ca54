"""What a soak measures all the time: answers of `/readyz`, each process's memory, files and threads, and the stores."""

import json
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from redis.exceptions import RedisError

from tests.soak.cluster import Cluster, Member
from tests.support.threads import Background

SAMPLE_SECONDS = 5.0
PROBE_SECONDS = 0.5
WARM_UP = 300.0  # seconds at the start of a process's life that are not judged: threads start, caches fill
# A role's slope is judged if its processes lived for so many seconds after that, all lives added up.
ENOUGH = 600.0


@dataclass(frozen=True)
class Sample:
    """One look at one process."""

    at: float  # seconds since the soak began
    member: Member
    pss: float  # MB
    descriptors: int
    threads: int


@dataclass(frozen=True)
class StoreSample:
    """One look at one node's store."""

    at: float
    node: str
    height: int
    transactions: int
    bytes: int  # used_memory_dataset


@dataclass(frozen=True)
class Probe:
    """One question to `/readyz`."""

    at: float
    node: str
    seconds: float
    ready: bool


class Watch(Background):
    """Samples everything, in threads, until it is stopped."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        super().__init__()
        self.began = time.monotonic()
        self.samples: list[Sample] = []
        self.stores: list[StoreSample] = []
        self.probes: list[Probe] = []
        self._threads = [threading.Thread(target=self._sample)]
        self._threads += [threading.Thread(target=self._probe, args=(node,)) for node in cluster.names]

    @property
    def now(self) -> float:
        """Seconds since the soak began."""
        return time.monotonic() - self.began

    def save(self, path: Path) -> None:
        """Write all samples, one line of JSON each, to see what grew when."""
        with path.open("w") as file:
            for item in (*self.samples, *self.stores, *self.probes):
                file.write(json.dumps({"kind": type(item).__name__, **asdict(item)}) + "\n")

    def _sample(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            at = self.now
            for member in self._cluster.members():
                with suppress(OSError, ValueError, IndexError):
                    self.samples.append(_look(at, member))
            for node in self._cluster.names:
                with suppress(OSError, ValueError, KeyError, RedisError):
                    with self._cluster.store(node) as redis:
                        used = int(redis.info("memory")["used_memory_dataset"])
                        height = redis.llen(f"quarry:{{{node}}}:heights")
                        count = redis.hlen(f"quarry:{{{node}}}:transactions")
                    self.stores.append(StoreSample(at, node, int(height), int(count), used))

    def _probe(self, node: str) -> None:
        while not self._stop.wait(PROBE_SECONDS):
            at = self.now
            with self._cluster.door(node, 10.0) as door:
                status, _ = door.ask("GET", "/readyz")
            self.probes.append(Probe(at, node, self.now - at, status == 200))


def _look(at: float, member: Member) -> Sample:
    directory = Path(f"/proc/{member.pid}")
    lines = (directory / "smaps_rollup").read_text().splitlines()
    pss = next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    status = (directory / "status").read_text()
    threads = int(status.partition("Threads:")[2].split()[0])
    return Sample(at, member, pss / 1024, len(os.listdir(directory / "fd")), threads)


@dataclass(frozen=True)
class Growth:
    """How the processes of one role changed while they lived. Restarts do not count."""

    lives: int
    seconds: float  # judged, all lives together
    most_mb: float
    mb_per_hour: float
    descriptors: tuple[int, int]  # in the middle and in the last third of the soak: median
    threads: tuple[int, int]

    @property
    def judged(self) -> bool:
        return self.seconds >= ENOUGH


def growth(samples: Iterable[Sample], seconds: float) -> dict[str, Growth]:
    """By role. The slope is by least squares within each process's life, without its warm-up."""
    roles: dict[str, dict[tuple[int, int], list[Sample]]] = defaultdict(lambda: defaultdict(list))
    for sample in samples:
        roles[sample.member.role][sample.member.pid, sample.member.started].append(sample)
    found = {}
    for role, lives in sorted(roles.items()):
        above = below = lived = 0.0
        for life in lives.values():
            warm = [item for item in life if item.at - life[0].at >= WARM_UP]
            if not warm or warm[-1].at - warm[0].at < WARM_UP:  # too short to tell growth from chance
                continue
            lived += warm[-1].at - warm[0].at
            middle = sum(item.at for item in warm) / len(warm)
            mean = sum(item.pss for item in warm) / len(warm)
            above += sum((item.at - middle) * (item.pss - mean) for item in warm)
            below += sum((item.at - middle) ** 2 for item in warm)
        every = [item for life in lives.values() for item in life]
        thirds = [
            [item for item in every if low * seconds <= item.at < high * seconds]
            for low, high in ((1 / 3, 2 / 3), (2 / 3, 1.01))
        ]
        found[role] = Growth(
            len(lives),
            lived,
            max(item.pss for item in every),
            3600 * above / below if below else 0.0,
            (_median(thirds[0], "descriptors"), _median(thirds[1], "descriptors")),
            (_median(thirds[0], "threads"), _median(thirds[1], "threads")),
        )
    return found


def _median(samples: list[Sample], name: str) -> int:
    values = sorted(int(getattr(item, name)) for item in samples)
    return values[len(values) // 2] if values else 0


def per_transaction(stores: Iterable[StoreSample], node: str, low: float, high: float) -> tuple[float, float]:
    """Bytes per block and per transaction (rewards included) by which a store grew between two moments; 0 if none."""
    span = [item for item in stores if item.node == node and low <= item.at <= high]
    if len(span) < 2:
        return 0.0, 0.0
    grown = span[-1].bytes - span[0].bytes
    blocks, transactions = span[-1].height - span[0].height, span[-1].transactions - span[0].transactions
    return (grown / blocks if blocks > 0 else 0.0), (grown / transactions if transactions > 0 else 0.0)
