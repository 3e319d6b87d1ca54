"""Whole nodes of real processes: API, workers and ticker on a Valkey of their own. Starting one takes seconds."""

import http.client
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from redis import Redis

from services.launch.children import Child
from services.launch.embedded import EmbeddedValkey
from services.settings.table import Settings, load
from services.system.programs import module_command, scrubbed
from tests.support import preloaded
from tests.support.http import Client, Json, SocketDoor
from tests.support.keys import MINER, TOKEN
from tests.support.processes import alive, in_sessions
from tests.support.specs import mined_spec, write_spec
from tests.support.stored import digest
from tests.support.waiting import eventually

# The program that serves a node's API, as the embedded launcher starts it.
SERVE = module_command("api.cli", "api")


@dataclass
class RunningNode:
    """A whole node of real processes on a Valkey of its own, with a client for its HTTP API.

    Stopping it is a test too: it fails if a program outlives SIGTERM by 10 seconds, or leaves a child behind. For
    single workers, and for processes that a test kills, there is `Crew` (crew.py).

    Args:
        directory: holds data, logs and spec.
        spec: arguments of `mined_spec`.
        variables: settings, without QUARRY_.
    """

    directory: Path
    workers: int = 2  # for mining
    upkeep: bool = True  # a network worker and the ticker, too
    spec: Json = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.valkey = EmbeddedValkey(self.directory / "valkey", durability="unsafe")
        self.processes: dict[str, Child] = {}
        self.name = f"test-{secrets.token_hex(6)}"
        self._reservation: socket.socket | None = None
        self._sessions: set[int] = set()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Start all of it and wait until the API is ready and the workers have reported."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.valkey.start()
        # Bound, but not listened on: the kernel gives the port to no other program, and the server can still bind it,
        # as both sockets set SO_REUSEPORT.
        self._reservation = socket.socket()
        self._reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._reservation.bind(("127.0.0.1", 0))
        self.door = SocketDoor(self._reservation.getsockname()[1])
        self.client = Client(self.door)
        token = self.directory / "token"
        token.touch(mode=0o600)
        token.write_text(TOKEN)
        self.environment = {
            "QUARRY_NODE": self.name,
            "QUARRY_SPEC": str(write_spec(self.directory / "spec.toml", mined_spec(**self.spec))),
            "QUARRY_REDIS_URL": self.valkey.url,
            "QUARRY_PORT": str(self.door.port),
            "QUARRY_REWARD_ADDRESS": MINER,
            "QUARRY_DATA_DIR": str(self.directory),
            "QUARRY_ADMIN_TOKEN_FILE": str(token),
            "QUARRY_KERNEL": "plain",
            "QUARRY_LOG_FORMAT": "json",
        } | {f"QUARRY_{name}": value for name, value in self.variables.items()}
        self._launch("api", SERVE)
        for number in range(self.workers):
            self._launch(f"mining{number}", module_command("worker", "worker", "--queue", "mining"))
        if self.upkeep:
            self._launch("network", module_command("worker", "worker", "--queue", "network"))
            self._launch("ticker", module_command("worker", "ticker"))
        eventually(self._is_ready, 60, "the start of a node", every=0.1)  # each look is two requests

    def _launch(self, name: str, command: list[str]) -> None:
        environment = scrubbed(os.environ) | self.environment
        log = self.directory / f"{name}.log"
        process = preloaded.start(command, environment=environment, log=log, directory=self.directory)
        self.processes[name] = process
        self._sessions.add(process.pid)

    def _is_ready(self) -> bool:
        for name, process in self.processes.items():
            log = self.directory / f"{name}.log"
            assert process.poll() is None, f"{name} ended with {process.returncode}: {log.read_text()[-2000:]}"
        with suppress(OSError, http.client.HTTPException):
            if self.client.get("/readyz").status == 200:
                expected = {"mining": self.workers, "network": int(self.upkeep)}
                return bool(self.client.get("/status").ok()["workers"] == expected)
        return False

    @contextmanager
    def redis(self) -> Iterator[Redis]:
        """The node's store."""
        with Redis.from_url(self.valkey.url) as redis:
            yield redis

    @property
    def settings(self) -> Settings:
        return load(self.environment)

    def digest(self) -> str:
        with self.redis() as redis:
            return digest(redis, self.name)

    def log(self, name: str) -> str:
        return (self.directory / f"{name}.log").read_text(errors="replace")

    def pids(self, name: str) -> list[int]:
        """The live processes of one program, with its children."""
        return _running({self.processes[name].pid})

    def stop(self) -> None:
        """End all processes, workers first; fail if one outlives its program."""
        for process in self.processes.values():
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGCONT)
                process.terminate()
        late = []
        for name, process in self.processes.items():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                late.append(name)
        # A forked search ends when it next looks at its parent. What is still there after that was left behind.
        deadline = time.monotonic() + 3
        while (left := _running(self._sessions)) and time.monotonic() < deadline:
            time.sleep(0.02)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for name in late:
            self.processes[name].wait()
        self.processes.clear()
        if self.valkey.pid is not None:
            os.kill(self.valkey.pid, signal.SIGCONT)
        self.valkey.stop()
        if self._reservation is not None:
            self._reservation.close()
        assert not late, f"these did not end when told to: {late}"
        assert not left, f"processes were left behind: {left}"


StartNode = Callable[..., RunningNode]  # the fixture `start_node`


def _running(sessions: set[int]) -> list[int]:
    return [pid for pid in in_sessions(sessions) if alive(pid)]
