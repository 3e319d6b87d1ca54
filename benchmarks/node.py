"""Nodes of real processes, to be measured: an embedded Valkey, the API, and any number of workers."""

import http.client
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

from redis import Redis

from services.launch.embedded import EmbeddedValkey
from services.settings.table import load_spec
from services.store.keys import Keys
from services.system.programs import module_command, scrubbed
from shared.keys import KeyPair

START_TIMEOUT = 120.0  # a kernel may have to be compiled first
_API = "import os; from services.settings.table import load; from api.server import serve; serve(load(os.environ))"


@dataclass
class BenchNode:
    """One node. As a context manager it starts the node, and at the end removes its files and processes."""

    workers: int = 1  # for mining
    upkeep: bool = True  # also run a network worker and a ticker
    ticker: bool = True  # if upkeep; without it, no housekeeping finds what a benchmark has written into the store
    difficulty: int | None = None  # None: that of the development chain
    settings: dict[str, str] = field(default_factory=dict)  # names without QUARRY_
    allocations: dict[str, str] = field(default_factory=dict)  # besides the development accounts; needs `difficulty`

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def _start(self) -> None:
        self.directory = Path(self._stack.enter_context(TemporaryDirectory(prefix="quarry-bench-")))
        self.valkey = self._stack.enter_context(EmbeddedValkey(self.directory / "valkey"))
        self.redis = self._stack.enter_context(Redis.from_url(self.valkey.url))
        self.keys = Keys("bench")
        self.key = KeyPair(secrets.token_bytes(32))
        self.port = free_port()
        self.token = secrets.token_hex(16)
        (self.directory / "token").write_text(self.token)
        (self.directory / "token").chmod(0o600)
        self.environment = {
            "QUARRY_NODE": "bench",
            "QUARRY_SPEC": self._spec(),
            "QUARRY_REDIS_URL": self.valkey.near_url,
            "QUARRY_PORT": str(self.port),
            "QUARRY_DATA_DIR": str(self.directory),
            "QUARRY_REWARD_ADDRESS": self.key.address,
            "QUARRY_ADMIN_TOKEN_FILE": str(self.directory / "token"),
            "QUARRY_LOG_LEVEL": "warning",
        } | {f"QUARRY_{name}": value for name, value in self.settings.items()}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._stack.callback(self._stop)
        self._launch("api", [sys.executable, "-P", "-c", _API])
        for number in range(self.workers):
            self._launch(f"mining{number}", module_command("worker", "worker", "--queue", "mining"))
        if self.upkeep:
            self._launch("network", module_command("worker", "worker", "--queue", "network"))
            if self.ticker:
                self._launch("ticker", module_command("worker", "ticker"))
        self._await_ready()

    def _spec(self) -> str:
        if self.difficulty is None:
            return "dev"
        fields = load_spec("dev").to_object()
        allocations = fields.pop("allocations") | self.allocations
        fields.update(name="bench", chain_id=990_001, difficulty=self.difficulty)
        token = fields.pop("token")
        lines = [f"{name} = {json.dumps(value)}" for name, value in fields.items()]
        for table, values in (("token", token), ("allocations", allocations)):
            lines += [f"[{table}]", *(f"{name} = {json.dumps(value)}" for name, value in values.items())]
        path = self.directory / "spec.toml"
        path.write_text("\n".join(lines))
        return str(path)

    def _launch(self, name: str, command: list[str]) -> None:
        with (self.directory / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command,
                env=scrubbed(os.environ) | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _await_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        expected = {"mining": self.workers, "network": int(self.upkeep)}
        while True:
            with suppress(OSError, http.client.HTTPException):
                if self.get("/status")["workers"] == expected:
                    return
            for name, process in self.processes.items():
                if process.poll() is not None:
                    said = (self.directory / f"{name}.log").read_text(errors="replace")[-2000:]
                    raise RuntimeError(f"{name} ended with {process.returncode}: {said}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"the node was not ready within {START_TIMEOUT:g} s")
            time.sleep(0.05)

    def _stop(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    # --- asking ---

    def get(self, path: str) -> Any:
        return self.call("GET", path)

    def post(self, path: str, value: Any = None) -> Any:
        return self.call("POST", path, value)

    def call(self, method: str, path: str, value: Any = None) -> Any:
        """Send one request with the admin token on a connection of its own; the JSON of its answer.

        Raises:
            RuntimeError: the answer was a refusal.
        """
        headers = {"Authorization": f"Bearer {self.token}"}
        body = None
        if value is not None:
            body, headers["Content-Type"] = json.dumps(value), "application/json"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=90)
        try:
            connection.request(method, path, body, headers)
            with connection.getresponse() as response:
                answer = json.loads(response.read())
        finally:
            connection.close()
        if response.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer}")
        return answer

    def mine(self) -> Any:
        """Mine one block, within 60 seconds."""
        return self.post("/mine?wait=60")

    # --- looking at its processes ---

    def pids(self) -> dict[int, str]:
        """The id of each process of the node, Valkey and forked jobs included → the program that it belongs to."""
        found = {process.pid: name for name, process in self.processes.items()}
        if self.valkey.pid is not None:
            found[self.valkey.pid] = "valkey"
        for pid in list(found):
            found.update({child: found[pid] for child in descendants(pid)})
        return found

    def horse(self, program: str) -> int:
        """The process id of the job that a worker has forked. The worker must be running one."""
        return children(self.processes[program].pid)[0]


def children(pid: int) -> list[int]:
    """The children of a process. Needs Linux."""
    with suppress(FileNotFoundError, ProcessLookupError):
        tasks = Path(f"/proc/{pid}/task").iterdir()
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    return []


def descendants(pid: int) -> list[int]:
    return [found for child in children(pid) for found in (child, *descendants(child))]


def memory(pid: int) -> tuple[float, float]:
    """Resident and proportional set size in MB (10^6 bytes). Needs Linux."""
    sizes = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value = line.split()[:2]
        sizes[name] = int(value) * 1024 / 1e6
    return sizes["Rss:"], sizes["Pss:"]


def processor_seconds(pids: Iterable[int]) -> float:
    """Processor time of processes, with their children that have ended. Needs Linux.

    Of the living ones to the nanosecond, and of those that have ended to the hundredth of a second.
    """
    total = 0.0
    for pid in pids:
        with suppress(OSError):
            total += time.clock_gettime(~pid << 3 | 2)  # as clock_getcpuclockid(3) names the clock of a process
            ended = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[13:15]
            total += sum(int(each) for each in ended) / os.sysconf("SC_CLK_TCK")
    return total


def waited(pid: int) -> float:
    """Seconds that a process's main thread has waited for a core. 0 if the system does not count them."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except FileNotFoundError:
        return 0.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def commands(redis: Redis) -> dict[str, int]:
    """How often the server has run each command, calls from scripts included."""
    stats: dict[str, Any] = redis.info("commandstats")
    return {name.removeprefix("cmdstat_"): int(values["calls"]) for name, values in stats.items()}


@contextmanager
def counted(redis: Redis) -> Iterator[dict[str, int]]:
    """Count the commands that the server runs meanwhile, calls from scripts included, without the count's own."""
    before = commands(redis)
    found: dict[str, int] = {}
    yield found
    after = commands(redis)
    found.update({name: calls - before.get(name, 0) for name, calls in after.items() if calls > before.get(name, 0)})
    found.pop("info", None)
