"""A backup of a node with a long chain, and the restore of it: processor time of the command and of the store.

A backup is read back before it counts, and a restore judges every block by all rules, so both grow with the chain. With
--quick a shorter chain is measured, and the figures are scaled to BLOCKS.
"""

import resource
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

from api.cli.node.backup import write_backup
from api.cli.node.backup_source import StoreSource
from api.cli.node.restore import restore_to
from benchmarks.catch_up import Source
from benchmarks.node import BenchNode
from benchmarks.report import Result

BLOCKS = 100_000
_QUICK = 5_000
_PASSPHRASE = "a passphrase of a benchmark"


def run(say: Callable[[str], None], quick: bool = False) -> list[Result]:
    """Measure."""
    result, blocks = Result("restore"), _QUICK if quick else BLOCKS
    with BenchNode(workers=0, upkeep=False, difficulty=1) as bench, TemporaryFile() as file:
        say(f"writing {blocks:,} blocks")
        node = Source(bench, ()).node
        Source(None, (), node).grow(blocks - 1, 0)
        source = StoreSource(bench.redis, bench.valkey.url, node.settings.node, node.settings.spec, None)
        say("backing up")
        used, took = _spent(lambda: write_backup(source, _PASSPHRASE, file, _silent))
        size = file.tell()
        say("restoring")
        file.seek(0)
        with TemporaryDirectory(prefix="quarry-bench-") as directory:
            place = Path(directory)
            restored, restoring = _spent(lambda: restore_to(place, file, _PASSPHRASE, None, _silent))
    scale = BLOCKS / blocks
    about = f"for {BLOCKS:,} blocks without transfers" + (f", measured with {blocks:,}" if blocks < BLOCKS else "")
    result.add("backup_cpu_s", used * scale, "s", better="lower", than=f"processor time {about}, without the store's")
    result.add("backup_s", took * scale, "s", better="lower", than="the same by the clock")
    result.add("bytes", size * scale, "bytes", than="of the file")
    result.add("cpu_s", restored * scale, "s", better="lower", than=f"processor time of a restore {about}")
    result.add("s", restoring * scale, "s", target=300, better="lower", than="the same by the clock")
    return [result]


def _spent(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of processors that this process and children that have ended take for something, and of the clock."""

    def used() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.process_time() + children.ru_utime + children.ru_stime

    cpu, clock = used(), time.perf_counter()
    work()
    return used() - cpu, time.perf_counter() - clock


def _silent(done: int, total: int) -> None:
    """No bar."""
