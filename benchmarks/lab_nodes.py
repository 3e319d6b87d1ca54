"""A lab of eight real nodes with its page open: when it is ready, its memory, and what it costs while nothing happens.

Memory is the proportional set size of all its processes: a page that several share counts once. It is measured beside
nodes whose processes are started one by one (`services.launch.children.start_process`).
"""

import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.node import descendants, memory
from benchmarks.report import Result
from services.system.programs import module_command, scrubbed

NODES = 8
READY_SECONDS = 20.0
MEMORY = 1000.0  # MB
CORES = 0.5
_SETTLE = 15.0  # seconds from ready until nothing of the start goes on any more
_TICKS = os.sysconf("SC_CLK_TCK")
_ORDINARILY = "ordinarily"


def run(say: Callable[[str], None], quick: bool = False) -> list[Result]:
    """Result "lab_nodes"."""
    result = Result("lab_nodes")
    seconds = 10.0 if quick else 60.0
    nodes = min(NODES, (os.cpu_count() or 1) * 8)
    say(f"{nodes} nodes, forked from one process")
    idle = _measure(nodes, seconds, "0")
    result.add("ready", idle.ready, "s", target=READY_SECONDS, better="lower", than=f"`quarry lab up --nodes {nodes}`")
    result.add("start", idle.start, "core s", than="processor time until it is ready")
    memory_of = f"{idle.processes} processes, page open"
    result.add("idle_memory", idle.megabytes, "MB", target=MEMORY, better="lower", than=memory_of)
    result.add("idle_cores", idle.cores, "cores", target=CORES, better="lower", than="no node mines, page open")
    result.notes += [f"{name:<24}{value:8.1f} MB" for name, value in idle.parts]
    say(f"{nodes} nodes that mine")
    mining = _measure(nodes, seconds, "500kH/s")
    memory_of = f"{mining.processes} processes, 500 kH/s each"
    result.add("mining_memory", mining.megabytes, "MB", target=MEMORY, better="lower", than=memory_of)
    result.add("mining_cores", mining.cores, "cores", than="500 kH/s each")
    say(f"{nodes} nodes, each process started by the system")
    ordinary = _measure(nodes, seconds, "0", _ORDINARILY)
    result.add("ordinary_ready", ordinary.ready, "s", than="each process started by the system")
    result.add("ordinary_start", ordinary.start, "core s", than="processor time until it is ready")
    result.add("ordinary_memory", ordinary.megabytes, "MB", than=f"{ordinary.processes} processes")
    result.add("ordinary_cores", ordinary.cores, "cores", than="no node mines")
    return [result]


@dataclass(frozen=True)
class _Measured:
    ready: float  # seconds
    start: float  # seconds of processor time until it was ready
    megabytes: float
    cores: float
    processes: int
    parts: list[tuple[str, float]]  # each kind of process, and the MB of all of that kind


def _measure(nodes: int, seconds: float, hash_rate: str, *how: str) -> _Measured:
    with TemporaryDirectory() as directory:
        began = time.monotonic()
        arguments = ["up", "--nodes", str(nodes), "--hash-rate", hash_rate, "--data-dir", directory]
        with _running([*how, *arguments]) as (pid, url):
            ready = time.monotonic() - began
            spent_on_start = sum(_cpu(each) for each in [pid, *descendants(pid)])
            threading.Thread(target=_look, args=(url,), daemon=True).start()
            time.sleep(_SETTLE)
            before = {each: _cpu(each) for each in [pid, *descendants(pid)]}
            start = time.monotonic()
            time.sleep(seconds)
            passed = time.monotonic() - start
            cores = sum(max(0.0, _cpu(each) - spent) for each, spent in before.items()) / passed
            weights = [(_kind(each), memory(each)[1]) for each in before if Path(f"/proc/{each}/smaps").exists()]
    kinds = sorted({kind for kind, _ in weights})
    parts = [(kind, sum(weight for name, weight in weights if name == kind)) for kind in kinds]
    return _Measured(ready, spent_on_start, sum(weight for _, weight in weights), cores, len(weights), parts)


@contextmanager
def _running(arguments: Sequence[str]) -> Iterator[tuple[int, str]]:
    """A lab's pid, and its page once it is ready."""
    process = subprocess.Popen(
        module_command("benchmarks.lab_nodes", *arguments),
        env=scrubbed(os.environ), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if (found := re.search(r"http://127\.0\.0\.1:\d+", line)) is not None:
                break
        else:
            raise RuntimeError(f"The lab did not start: {''.join(said)}")
        yield process.pid, found[0]
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
        assert process.stdout is not None
        process.stdout.close()


def _look(url: str) -> None:
    """Open the page as a browser does: its text, and its stream of events until the lab ends."""
    with suppress(OSError):
        urllib.request.urlopen(f"{url}/").read()
        with urllib.request.urlopen(f"{url}/events") as stream:
            while stream.read1(65_536):
                pass


def _cpu(pid: int) -> float:
    """Seconds of processor time; 0 if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(int(each) for each in fields[11:15]) / _TICKS  # with its children that have ended


def _kind(pid: int) -> str:
    command = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode()
    program = re.search(r"lab\.real\.\w+|worker --queue \w+|ticker|api\.cli \w+|valkey|redis|benchmarks", command)
    return "the lab" if program is None or program[0] == "benchmarks" else program[0]


if __name__ == "__main__":
    from lab.cli import main
    from services.launch import nursery

    if sys.argv[1] == _ORDINARILY:
        nursery.AVAILABLE = False
        del sys.argv[1]
    main(sys.argv[1:])
