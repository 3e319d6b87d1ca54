"""The nodes of a soak: `quarry up --nodes N` as a process, and its children as the process table shows them."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import Redis

from services.system.programs import module_command, scrubbed
from services.wallet.development import ACCOUNTS
from shared.keys import KeyPair
from tests.soak.door import Door

CHAIN_ID = 4244
DIFFICULTY = 400_000  # the plain kernel needs a second or two of one core for a block
SENDERS = tuple(KeyPair(bytes([7, number]) * 16) for number in range(1, 5))
TMPFS_MB = 768
ROLES = ("up", "api", "api-worker", "rpc", "mining", "horse", "network", "ticker", "valkey")


@dataclass(frozen=True)
class Member:
    """One process of the cluster."""

    pid: int
    started: int  # clock ticks since boot: with the pid it names one process
    parent: int
    role: str  # of ROLES
    node: str  # "" for `up`


class Cluster:
    """Several nodes under one `quarry up`. `tend` starts it again when it has ended.

    Args:
        directory: holds everything: data, logs, spec.
        nodes: how many.
    """

    def __init__(self, directory: Path, nodes: int) -> None:
        self.directory = directory
        self.names = [f"node{number}" for number in range(1, nodes + 1)]
        self.ports = _free_ports(nodes)
        self.deaths_of_up: list[str] = []  # ends of `up` that no fault caused
        self.small_disk: Path | None = None  # where the last node's Valkey keeps its data, if that is a tmpfs
        self._process: subprocess.Popen[bytes] | None = None
        self._killed = False

    @property
    def urls(self) -> list[str]:
        return [f"http://127.0.0.1:{port}" for port in self.ports]

    @property
    def up(self) -> int:
        """The pid of `quarry up`."""
        assert self._process is not None
        return self._process.pid

    def url(self, node: str) -> str:
        return self.urls[self.names.index(node)]

    def home(self, node: str) -> Path:
        return self.directory / "home" / "soak" / node

    @contextlib.contextmanager
    def running(self) -> Iterator["Cluster"]:
        """Start the nodes; at the end stop them. A process that is left behind is a finding."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._write_spec()
        self._mount()
        try:
            self.start()
            yield self
        finally:
            try:
                self.stop()
            finally:
                self._unmount()

    def start(self, seconds: float = 90.0) -> None:
        """Start `up` and wait until it says that all nodes are ready."""
        command = module_command(
            "api.cli", "up", "--json", "--spec", str(self.directory / "spec.toml"), "--port", str(self.ports[0]),
            "--data-dir", str(self.directory / "home"), "--nodes", str(len(self.names)), "--workers", "1",
        )  # fmt: skip
        output = self.directory / "up.out"
        output.write_bytes(b"")
        with output.open("ab") as out, (self.directory / "up.err").open("ab") as err:
            self._process = subprocess.Popen(
                command,
                env=scrubbed(os.environ) | {"QUARRY_KERNEL": "plain"},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        deadline = time.monotonic() + seconds
        while not output.read_bytes().endswith(b"\n"):
            if self._process.poll() is not None:
                raise RuntimeError(f"quarry up ended: {self.words_of_up()}")
            if time.monotonic() > deadline:
                raise RuntimeError("quarry up was not ready in time")
            time.sleep(0.1)

    def words_of_up(self) -> str:
        return " ".join((self.directory / "up.err").read_text(errors="replace").splitlines()[-3:])

    def kill_up(self) -> None:
        """SIGKILL to `up` alone; `tend` starts it again."""
        self._killed = True
        os.kill(self.up, signal.SIGKILL)

    def tend(self) -> None:
        """Start `up` again if it has ended. An end that no fault caused is a finding."""
        if self._process is None or self._process.poll() is None:
            return
        if not self._killed:
            self.deaths_of_up.append(f"exit {self._process.returncode}: {self.words_of_up()[-300:]}")
        self._killed = False
        for attempt in range(5):
            try:
                self.start()
                return
            except RuntimeError as error:
                self.deaths_of_up.append(f"start {attempt + 1} of it failed: {error}"[:300])
                time.sleep(3)
        raise RuntimeError("quarry up does not start any more")

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            for member in self.members():
                with suppress(ProcessLookupError):
                    os.kill(member.pid, signal.SIGCONT)
            self._process.terminate()
            try:
                self._process.wait(40)
            except subprocess.TimeoutExpired:
                self.deaths_of_up.append("it did not end within 40 s of SIGTERM")
        left = self.members()
        for member in left:
            with suppress(ProcessLookupError):
                os.kill(member.pid, signal.SIGKILL)
        if left:
            self.deaths_of_up.append(f"left behind: {[member.role for member in left]}")
        if self._process is not None:
            self._process.wait(10)

    # --- processes ---

    def members(self) -> list[Member]:
        """All live processes of the cluster, orphans of a killed `up` included."""
        mark = os.fsencode(self.directory / "home")
        rows: dict[int, tuple[int, int, str, str]] = {}
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError, ValueError):
                command = (entry / "cmdline").read_bytes().split(b"\0")
                environment = (entry / "environ").read_bytes()
                # Valkey overwrites its command line and environment: only its directory tells.
                place = Path(os.readlink(entry / "cwd"))
                if mark not in b" ".join(command) + environment + os.fsencode(place):
                    continue
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
                if stat[0] == "Z":
                    continue
                role, node = _role(command, environment, place)
                if role:
                    rows[int(entry.name)] = (int(stat[19]), int(stat[1]), role, node)
        members = []
        for pid, (started, parent, role, node) in rows.items():
            if parent in rows and rows[parent][2] == role == "api":
                role = "api-worker"
            elif parent in rows and rows[parent][2] == role and role in ("mining", "network"):
                role = "horse"
            members.append(Member(pid, started, parent, role, node))
        return members

    def of(self, role: str, node: str = "") -> list[Member]:
        return [item for item in self.members() if item.role == role and node in ("", item.node)]

    # --- doors ---

    def door(self, node: str, timeout: float = 6.0) -> Door:
        """A connection to a node, to be closed."""
        return Door(self.ports[self.names.index(node)], timeout)

    def get(self, node: str, path: str, timeout: float = 5.0) -> Any:
        """The JSON at a path; None if there was no answer of 200."""
        with self.door(node, timeout) as door:
            status, answer = door.ask("GET", path)
        return answer if status == 200 else None

    def ask(self, node: str, method: str, path: str, body: Any, timeout: float = 20.0) -> int:
        """The status of a request with the admin token; 0 if there was no answer."""
        token = (self.home(node) / "admin-token").read_text().strip()
        with self.door(node, timeout) as door:
            status, _ = door.ask(method, path, body, {"Authorization": f"Bearer {token}"})
        return status

    @contextlib.contextmanager
    def store(self, node: str) -> Iterator["Redis"]:
        record = json.loads((self.home(node) / "node.json").read_text())
        with Redis.from_url(record["redis_url"], socket_timeout=5, socket_connect_timeout=2) as redis:
            yield redis

    # --- preparations ---

    def _write_spec(self) -> None:
        rich = [key.address for key in SENDERS] + [account.address for account in ACCOUNTS]
        lines = [
            'name = "soak"', "development = true", f"chain_id = {CHAIN_ID}", "genesis_timestamp = 1767225600",
            f"difficulty = {DIFFICULTY}", "[allocations]", *(f'{address} = "1000000"' for address in rich),
        ]  # fmt: skip
        (self.directory / "spec.toml").write_text("\n".join(lines))

    def _mount(self) -> None:
        """Give the last node's Valkey a small disk, if we have the right to mount one."""
        if sys.platform != "linux" or os.geteuid() != 0:
            return
        target = self.home(self.names[-1]) / "valkey"
        target.mkdir(parents=True, exist_ok=True, mode=0o700)
        options = f"size={TMPFS_MB}m,mode=0700"
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", target], capture_output=True, check=False
        )
        if done.returncode == 0:
            self.small_disk = target

    def _unmount(self) -> None:
        if self.small_disk is not None:
            subprocess.run(["umount", "-l", self.small_disk], capture_output=True, check=False)


def _role(command: Sequence[bytes], environment: bytes, place: Path) -> tuple[str, str]:
    """The role of a process and the name of its node; ("", "") for a foreign process."""
    if place.name == "valkey":
        return "valkey", place.parent.name
    variables = dict(item.partition(b"=")[::2] for item in environment.split(b"\0"))
    node = variables.get(b"QUARRY_NODE", b"").decode()
    words = b" ".join(command)
    for part, role in ((b"--queue mining", "mining"), (b"--queue network", "network"), (b"worker ticker", "ticker")):
        if part in words:
            return role, node
    if b"api.cli rpc" in words:
        return "rpc", node
    if b"api.cli up" in words:
        return "up", ""
    return ("api", node) if node else ("", "")


def _free_ports(count: int) -> list[int]:
    """Consecutive ports that are free."""
    for _ in range(50):
        with contextlib.ExitStack() as stack:
            first = stack.enter_context(socket.socket())
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                for number in range(1, count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port + number))
            except (OSError, OverflowError):
                continue
            return list(range(port, port + count))
    raise RuntimeError("no free ports in a row")
