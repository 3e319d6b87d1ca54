"""Docker's daemon of our own, in a temporary directory, and calls of its client."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.image import machine
from tests.image.machine import Skipped

_START_SECONDS = 60.0
_STOP_SECONDS = 60.0
# Addresses of the cluster's networks: not those that Docker takes by itself, which the machine may use.
_ADDRESSES = "base=10.213.0.0/16,size=24"


class Failed(Exception):
    """What went wrong, for a person."""


class Engine:
    """A running daemon.

    Args:
        host: its address, as DOCKER_HOST has it.
    """

    def __init__(self, host: str) -> None:
        self.host = host
        self._client = machine.docker() or "docker"
        self._compose = machine.compose() or ["docker-compose"]

    def environment(self) -> dict[str, str]:
        """What the client and compose are given: nothing of ours that would become a setting of the cluster."""
        kept = {name: value for name, value in os.environ.items() if name in ("HOME", "TMPDIR", "LANG")}
        path = os.pathsep.join(("/usr/bin", "/bin", "/usr/sbin", "/sbin", os.environ.get("PATH", "")))
        return kept | {"PATH": path, "DOCKER_HOST": self.host, "DOCKER_BUILDKIT": "1"}

    def ask(self, path: str) -> Any:
        """What the daemon answers to a GET of its API, without a client, whose start takes longer than the answer.

        Raises:
            Failed: it refuses.
        """
        address = urlsplit(self.host)
        connection = HTTPConnection(address.hostname or "localhost", address.port or 2375, timeout=60)
        with closing(connection):
            if address.scheme == "unix":
                connection.sock = socket.socket(socket.AF_UNIX)
                connection.sock.settimeout(60)
                connection.sock.connect(address.path)
            connection.request("GET", path)
            answer = connection.getresponse()
            said = answer.read()
        if answer.status != 200:
            raise Failed(f"the engine refuses {path}: {said.decode(errors='replace')[:300]}")
        return json.loads(said)

    def logs(self, container: str, *options: str) -> str:
        """What a container has printed."""
        done = subprocess.run(
            [self._client, "logs", *options, container], env=self.environment(), stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        return done.stdout.decode(errors="replace")

    def docker(self, *arguments: str, given: bytes | None = None, seconds: float = 600) -> bytes:
        """The output of a command of Docker's.

        Raises:
            Failed: it did not succeed.
        """
        return run([self._client, *arguments], self.environment(), given, seconds)

    def compose(
        self, *arguments: str, variables: dict[str, str], given: bytes | None = None, seconds: float = 600
    ) -> bytes:
        """The output of a command of docker compose, with the variables that .env would hold.

        Raises:
            Failed: it did not succeed.
        """
        return run([*self._compose, *arguments], self.environment() | variables, given, seconds)

    def import_directory(self, directory: Path, name: str, *changes: str) -> None:
        """Make an image of a directory: what is in it is the image's whole file system."""
        options = [word for change in changes for word in ("--change", change)]
        with subprocess.Popen(["tar", "-C", str(directory), "-c", "."], stdout=subprocess.PIPE) as tar:
            self.import_stream(tar, name, options)

    def import_file(self, file: Path, name: str, *changes: str) -> None:
        """Make an image of a tar file."""
        options = [word for change in changes for word in ("--change", change)]
        with subprocess.Popen(["cat", str(file)], stdout=subprocess.PIPE) as tar:
            self.import_stream(tar, name, options)

    def import_stream(self, tar: "subprocess.Popen[bytes]", name: str, options: Sequence[str]) -> None:
        done = subprocess.run(
            [self._client, "import", *options, "-", name], env=self.environment(), stdin=tar.stdout, capture_output=True
        )
        if done.returncode or tar.wait():
            raise Failed(f"docker import {name}: {done.stderr.decode(errors='replace')}")

    def build(self, context: Path, target: str, name: str, **arguments: str) -> None:
        """Build an image; target "": the Dockerfile's last stage."""
        options = [word for key, value in arguments.items() for word in ("--build-arg", f"{key}={value}")]
        options += ["--target", target] if target else []
        self.docker("build", "--network", "host", *options, "--tag", name, str(context), seconds=900)

    def require_containers(self, image: str) -> None:
        """Containers with the limits and networks that the cluster needs can be run.

        Raises:
            Skipped: they cannot.
        """
        try:
            driver = self.docker("info", "--format", "{{.Driver}}").decode().strip()
            if driver == "vfs":
                raise Skipped("the kernel has no overlay file system here, and without it each container is a copy")
            self.docker("network", "create", "--internal", "quarry-probe")
            self.docker(
                *("run", "--rm", "--init", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--user", "10001"),
                *("--memory", "64m", "--pids-limit", "64", "--network", "quarry-probe", image, "python", "-c", "pass"),
            )
            self.docker("network", "rm", "quarry-probe")
        except Failed as error:
            raise Skipped(f"the engine cannot run containers on this machine: {_last_line(str(error))}") from None


def run(command: Sequence[str], environment: dict[str, str], given: bytes | None, seconds: float) -> bytes:
    """The output of a command.

    Raises:
        Failed: it took too long, or did not succeed; the message ends with what it said.
    """
    shown = " ".join(command)[:300]
    try:
        done = subprocess.run(
            command,
            env=environment,
            input=given,
            stdin=subprocess.DEVNULL if given is None else None,
            capture_output=True,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"{shown}\ntook more than {seconds:g} s") from None
    if done.returncode:
        said = (done.stdout + done.stderr).decode(errors="replace")[-6000:]
        raise Failed(f"{shown}\nended with {done.returncode}:\n{said}")
    return done.stdout


@contextmanager
def own_engine(directory: Path) -> Iterator[Engine]:
    """A daemon of our own; afterwards it and all that it made are gone, and the machine's network is as before.

    Args:
        directory: new, for its data, its socket and its log.

    Raises:
        Skipped: it does not start.
    """
    engine = Engine(f"unix://{directory}/sock")
    command = [
        machine.find("dockerd") or "dockerd",
        *("--data-root", f"{directory}/data", "--exec-root", f"{directory}/exec", "--pidfile", f"{directory}/pid"),
        *("--host", engine.host, "--bridge", "none", "--default-address-pool", _ADDRESSES),
    ]
    try:
        with machine.network_restored(), (directory / "log").open("wb") as log:
            daemon = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env=engine.environment(),
            )  # fmt: skip
            try:
                _wait(engine, daemon, directory / "log")
                yield engine
            finally:
                _end(engine, daemon, directory)
    finally:
        machine.unmount_below(directory)


def _wait(engine: Engine, daemon: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        with suppress(Failed):
            engine.docker("version", seconds=10)
            return
        if daemon.poll() is not None or time.monotonic() > deadline:
            raise Skipped(f"dockerd does not start: {_last_line(log.read_text(errors='replace'))}")
        time.sleep(0.2)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it says nothing"


def _end(engine: Engine, daemon: "subprocess.Popen[bytes]", directory: Path) -> None:
    """End the containers that are left, then the daemon, by its process."""
    if daemon.poll() is None:
        with suppress(Failed):
            if left := engine.docker("ps", "--all", "--quiet", seconds=30).decode().split():
                engine.docker("rm", "--force", "--volumes", *left, seconds=120)
            engine.docker("network", "prune", "--force", seconds=30)
        daemon.terminate()
        with suppress(subprocess.TimeoutExpired):
            daemon.wait(_STOP_SECONDS)
    # What a daemon that was killed leaves behind names our directory in its command line.
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if int(entry.name) != os.getpid() and f"{directory}/".encode() in (entry / "cmdline").read_bytes():
                os.kill(int(entry.name), signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        daemon.wait(10)
