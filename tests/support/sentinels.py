"""Two Valkey servers, of which one replicates the other, and three Sentinels that watch them."""

import subprocess
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from redis import Redis
from redis.exceptions import RedisError

from services.launch.embedded import find_server
from tests.support.servers import free_ports
from tests.support.waiting import eventually

PASSWORD = "the-servers-own-password"
SENTINEL_PASSWORD = "the-sentinels-own-password"
SERVICE = "jobs"


@dataclass
class Watched:
    """Servers and Sentinels on this machine; `with` starts them, and kills them at the end."""

    directory: Path
    processes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)  # by port

    def __enter__(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.ports = list(free_ports(5))
        self.servers, self.sentinels = self.ports[:2], self.ports[2:]
        self._stack = ExitStack()
        try:
            self._begin()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait(10)
        self._stack.close()

    def _begin(self) -> None:
        first, second = self.servers
        for port in self.servers:
            lines = [
                f"requirepass {PASSWORD}",
                f"masterauth {PASSWORD}",
                "appendonly no",
                'save ""',
                "repl-diskless-sync-delay 0",
            ]
            self._write(port, lines + ([f"replicaof 127.0.0.1 {first}"] if port == second else []))
            self.start(port)
        eventually(lambda: self.info(second)["master_link_status"] == "up", 20, "a replica in sync")
        for port in self.sentinels:
            self._write(
                port,
                [
                    f"requirepass {SENTINEL_PASSWORD}",
                    f"sentinel monitor {SERVICE} 127.0.0.1 {first} 2",
                    f"sentinel auth-pass {SERVICE} {PASSWORD}",
                    f"sentinel down-after-milliseconds {SERVICE} 1000",
                    f"sentinel failover-timeout {SERVICE} 4000",
                ],
            )
            self.start(port, "--sentinel")
            # They look at the servers every 10 s else, and at each other every 2 s.
            self.ask(port).execute_command("SENTINEL", "DEBUG", "INFO-PERIOD", "300", "PUBLISH-PERIOD", "300")
        for port in self.sentinels:
            eventually(lambda port=port: self._sees_all(port), 20, "Sentinels that know each other")  # type: ignore[misc]

    def _write(self, port: int, lines: list[str]) -> None:
        home = self.directory / str(port)
        home.mkdir()
        (home / "server.conf").write_text("\n".join([f"port {port}", "bind 127.0.0.1", f"dir {home}", *lines, ""]))

    def start(self, port: int, *options: str) -> None:
        """Start a server or, with --sentinel, a Sentinel, and wait until it answers."""
        home = self.directory / str(port)
        with (home / "log").open("ab") as log:
            command = [str(find_server()), str(home / "server.conf"), *options]
            self.processes[port] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        eventually(lambda: self._answers(port), 20, f"the server at {port}")

    def kill(self, port: int) -> None:
        """SIGKILL."""
        self.processes[port].kill()
        self.processes[port].wait(10)

    def start_as_replica(self, port: int) -> None:
        """Start a server that was killed; the other one leads now."""
        [other] = set(self.servers) - {port}
        self.start(port, "--replicaof", f"127.0.0.1 {other}")
        eventually(lambda: self.info(port).get("master_link_status") == "up", 30, "a replica in sync", every=0.1)

    def ask(self, port: int) -> Any:
        """A client of a server or Sentinel; its replies are untyped."""
        password = PASSWORD if port in self.servers else SENTINEL_PASSWORD
        return self._stack.enter_context(Redis(port=port, password=password, socket_timeout=5))

    def info(self, port: int) -> dict[str, object]:
        """INFO replication of a server."""
        with Redis(port=port, password=PASSWORD, socket_timeout=5) as redis:
            return dict(redis.info("replication"))

    def leader(self) -> int:
        """The port of the server that leads, as the first Sentinel says."""
        return int(self.ask(self.sentinels[0]).sentinel_master(SERVICE)["port"])

    def url(self, *, sentinels: list[int] | None = None, name: str = SERVICE, login: str = SENTINEL_PASSWORD) -> str:
        """The URL of the server behind the Sentinels."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in sentinels or self.sentinels)
        return f"redis+sentinel://:{PASSWORD}@{hosts}/{name}/0?sentinel_password={login}"

    def _answers(self, port: int) -> bool:
        try:
            return bool(self.ask(port).ping())
        except RedisError:
            return False

    def _sees_all(self, port: int) -> bool:
        state = self.ask(port).sentinel_master(SERVICE)
        return (state["num-other-sentinels"], state["num-slaves"]) == (2, 1)
