"""docker-compose.yml without docker: its commands, environments and health checks as processes of this machine.

What a container brings is replaced in one place, `Container.local`: names of services become addresses of 127.0.0.0/8,
paths of volumes become directories. Everything else is taken from docker-compose.yml and Dockerfile as it is. What a
kernel does for containers is not here: users, capabilities, read-only file systems, separate networks. Needs Linux,
where all of 127.0.0.0/8 can be bound.
"""

import json
import math
import os
import re
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from services.launch.embedded import find_server
from services.system.programs import ROOT, module_path

START_SECONDS = 60.0
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


def load_compose(variables: Mapping[str, str]) -> dict[str, Any]:
    """docker-compose.yml as a plain `up` takes it: its merges done, its variables replaced, without what has a profile.

    Args:
        variables: what .env would hold.
    """

    def replaced(value: Any) -> Any:
        match value:
            case str():
                return _VARIABLE.sub(lambda found: variables.get(found[1]) or found[2] or "", value)
            case list():
                return [replaced(item) for item in value]
            case dict():
                return {name: replaced(item) for name, item in value.items()}
        return value

    found: dict[str, Any] = replaced(yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8")))
    found["services"] = {name: item for name, item in found["services"].items() if "profiles" not in item}
    return found


@dataclass(frozen=True)
class Image:
    """What the Dockerfile says of the images: the stage `node`, and `miner`, which only adds the fast kernel."""

    entrypoint: tuple[str, ...]
    environment: Mapping[str, str]
    programs: Mapping[str, Path]  # name -> what was copied to /opt/quarry/bin
    configuration: Path  # what was copied to /etc/quarry

    @classmethod
    def read(cls) -> Self:
        """The image of our Dockerfile.

        Raises:
            ValueError: the Dockerfile has a form that is not understood here.
        """
        text = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
        last = text[text.index("\nFROM ${BASE} AS node\n") :]
        entrypoint = re.findall(r"^ENTRYPOINT (\[.*\])$", last, re.MULTILINE)
        settings = re.findall(r"^ENV (.*)$", last, re.MULTILINE)
        configured = re.findall(r"^COPY (deploy/.*) /etc/quarry/$", text, re.MULTILINE)
        if len(entrypoint) != 1 or len(configured) != 1:
            raise ValueError("the Dockerfile must have one ENTRYPOINT and one COPY to /etc/quarry/")
        environment = dict(item.split("=", 1) for line in settings for item in shlex.split(line))
        del environment["PATH"], environment["PYTHONPATH"]  # here the fast kernel is where everything is
        programs = re.findall(r"^COPY (\S+) /opt/quarry/bin/(\S+)$", text, re.MULTILINE)
        directories = {(ROOT / name).parent for name in configured[0].split()}
        return cls(
            tuple(json.loads(entrypoint[0])),
            environment,
            {name: ROOT / source for source, name in programs},
            directories.pop(),
        )


@dataclass
class Container:
    """One container of a service: a process in a session of its own."""

    cluster: "Cluster"
    service: str
    number: int
    address: str  # of 127.0.0.0/8
    process: subprocess.Popen[bytes] | None = None
    healthy: bool = False
    _said: str = field(default="not checked yet", init=False)
    _asked: float = field(default=-math.inf, init=False)  # when its health was checked last

    @property
    def definition(self) -> dict[str, Any]:
        found: dict[str, Any] = self.cluster.services[self.service]
        return found

    @cached_property
    def directory(self) -> Path:
        """Holds its temporary files and its log."""
        path = self.cluster.directory / "containers" / f"{self.service}-{self.number}"
        (path / "tmp").mkdir(parents=True)
        return path

    @cached_property
    def _mounts(self) -> dict[str, Path]:
        """Paths in the container -> directories here."""
        mounts = {"/tmp": self.directory / "tmp", "/etc/quarry": self.cluster.image.configuration}
        for volume in self.definition.get("volumes", ()):
            name, target = volume.split(":")[:2]
            mounts[target] = self.cluster.directory / "volumes" / name
            mounts[target].mkdir(mode=0o700, parents=True, exist_ok=True)
        return mounts

    def local(self, text: str) -> str:
        """The one mapping from a container to this machine.

        - `//SERVICE` or `@SERVICE` before a port: the service's address;
        - 127.0.0.1, a container's own loopback, and 0.0.0.0, where others reach a container: its own address;
        - the path of a volume, of /tmp or of /etc/quarry: the directory that stands for it.
        """
        names = self.cluster.addresses
        text = re.sub(r"(//|@)([\w-]+)(?=:\d)", lambda found: found[1] + names.get(found[2], found[2]), text)
        text = re.sub(r"(?<![\w.])(127\.0\.0\.1|0\.0\.0\.0)(?![\w.])", self.address, text)
        for target, path in self._mounts.items():
            text = re.sub(rf"\A{re.escape(target)}(?=/|\Z)", lambda _, found=path: str(found), text)  # type: ignore[misc] # bound per turn
        return text

    @cached_property
    def environment(self) -> dict[str, str]:
        """The image's and the service's environment, and what the machine needs to find its programs."""
        given = {**self.cluster.image.environment, **self.definition.get("environment", {})}
        if given.get("QUARRY_HOST") == "0.0.0.0":
            # Reached from this machine only, and still not what a node takes for a loopback bind: /mine asks for the
            # token, as in a container.
            given["QUARRY_HOST"] = f"::ffff:{self.address}"
        return {name: self.local(str(value)) for name, value in given.items()} | {
            "PATH": os.pathsep.join([str(self.cluster.programs), str(Path(sys.executable).parent), os.defpath]),
            "TMPDIR": str(self.directory / "tmp"),
            "HOME": str(self.directory),
            **module_path({}),
        }

    def _popen(self, command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [self.local(word) for word in command],
            env=self.environment,
            cwd=self._mounts.get("/data", self.directory),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            **options,
        )
        self.cluster.sessions.add(process.pid)
        return process

    def start(self) -> None:
        """Start the image's entry point with the service's command."""
        with (self.directory / "log").open("ab") as log:
            command = [*self.cluster.image.entrypoint, *self.definition["command"]]
            self.process = self._popen(command, stdout=log, stderr=log)

    def log(self) -> str:
        return (self.directory / "log").read_text(errors="replace")

    def execute(self, *command: str, timeout: float = 30.0) -> tuple[int, str]:
        """As `docker compose exec`: exit code and output of a command beside the container's program."""
        process = self._popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
        return process.returncode, output.decode(errors="replace")

    def check_health(self) -> str:
        """Run the service's health check; "" if it passes, else what it said.

        A check is a process, which takes the time that the others need to start. So there is a second between two,
        since several services may wait for this one, and none while nothing listens where the check asks.
        """
        if time.monotonic() < self._asked + 1:
            return self._said
        check = self.definition.get("healthcheck")
        if check is None:
            self.healthy = True
            return ""
        kind, *command = check["test"]
        assert kind == "CMD", "a shell is not needed"
        if not self._listens(command[-1]):
            self._said = f"nothing listens at {command[-1]}"
            return self._said
        code, output = self.execute(*command, timeout=float(check["timeout"].removesuffix("s")))
        self.healthy = code == 0
        self._said = "" if self.healthy else output or f"exit code {code}"
        self._asked = time.monotonic()
        return self._said

    def _listens(self, asked: str) -> bool:
        """Whether a program listens at `HOST:PORT` or in a URL; True for what is neither."""
        place = re.search(r"([\d.]+):(\d+)(?=/|\Z)", self.local(asked))
        if place is None:
            return True
        try:
            socket.create_connection((place[1], int(place[2])), 5).close()
        except OSError:
            return False
        return True


@dataclass
class Cluster:
    """The services of docker-compose.yml while they run. Leaving it stops them and asserts that nothing is left."""

    directory: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.image = Image.read()
        self.services: dict[str, Any] = load_compose(self.variables)["services"]
        self.containers: list[Container] = []
        self.sessions: set[int] = set()
        self._reservation, self._network = _network()
        # Containers of one service that listen are never several here, so a service has the address of its first.
        self.addresses = {name: f"{self._network}.{number}" for number, name in enumerate(self.services, start=1)}
        self.programs = self._make_programs()

    def _make_programs(self) -> Path:
        """A directory with what the image has in /opt/quarry/bin besides Python's own programs."""
        path = self.directory / "bin"
        path.mkdir(parents=True)
        for name, source in self.image.programs.items():
            (path / name).symlink_to(source)
        (path / "valkey-server").symlink_to(find_server())
        # Not links: a Python that is called by another name does not find its virtual environment. `quarry` is as pip
        # makes it, for where the project is not installed. Both stay one process, as the entry point is.
        for name, module in (("python", ""), ("quarry", " -P -m api.cli")):
            (path / name).write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)}{module} "$@"\n')
            (path / name).chmod(0o755)
        return path

    def __enter__(self) -> Self:
        try:
            self.up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.down()

    def __getitem__(self, service: str) -> Container:
        """The first container of a service."""
        return next(container for container in self.containers if container.service == service)

    def url(self, service: str) -> str:
        """Where a node's API answers."""
        return f"http://{self.addresses[service]}:5000"

    def up(self) -> None:
        """Start every service once what it depends on is done or healthy, then wait until all are healthy."""
        waiting = list(self.services)
        deadline = time.monotonic() + START_SECONDS
        while waiting:
            ready = [name for name in waiting if self._may_start(self.services[name])]
            for name in ready:
                self.scale(name, int(self.services[name].get("scale", 1)))
                waiting.remove(name)
            self._require_time(deadline, f"still waiting: {waiting}")
        self.wait_until_healthy()

    def scale(self, service: str, count: int) -> list[Container]:
        """As `--scale`, upwards: start containers until there are `count` of a service; those that are new."""
        running = sum(container.service == service for container in self.containers)
        added = []
        for number in range(running + 1, count + 1):
            added.append(Container(self, service, number, self.addresses[service]))
            self.containers.append(added[-1])
            added[-1].start()
        return added

    def remove(self, container: Container) -> None:
        """Stop one container, as a smaller `--scale` does."""
        assert container.process is not None
        container.process.terminate()
        assert container.process.wait(20.0) == 0, container.log()[-2000:]
        self.containers.remove(container)

    def wait_until_healthy(self) -> None:
        """Run the health checks until every container has passed its own."""
        deadline = time.monotonic() + START_SECONDS
        while sick := [container for container in self.containers if not container.healthy]:
            for container in sick:
                said = container.check_health()
                self._require_alive(container)
            self._require_time(deadline, f"unhealthy: {[item.service for item in sick]}, the last one said: {said}")
            time.sleep(0.1)

    def _may_start(self, definition: dict[str, Any]) -> bool:
        return all(self._is(wanted["condition"], name) for name, wanted in definition.get("depends_on", {}).items())

    def _is(self, condition: str, service: str) -> bool:
        found = [container for container in self.containers if container.service == service]
        for container in found:
            self._require_alive(container)
        if condition == "service_completed_successfully":
            return bool(found) and all(item.process is not None and item.process.poll() == 0 for item in found)
        assert condition == "service_healthy", condition
        return bool(found) and all(item.healthy or item.check_health() == "" for item in found)

    def _require_alive(self, container: Container) -> None:
        assert container.process is not None
        code = container.process.poll()
        ended = code is not None and not (code == 0 and "healthcheck" not in container.definition)
        assert not ended, f"{container.service} ended with {code}: {container.log()[-2000:]}"

    def _require_time(self, deadline: float, situation: str) -> None:
        assert time.monotonic() < deadline, f"not within {START_SECONDS:g} s; {situation}"
        time.sleep(0.02)

    def down(self) -> None:
        """As `docker compose down`: SIGTERM, dependents first, and a kill after the service's grace period.

        Asserts that nothing needed to be killed and nothing was left.
        """
        late = []
        for layer in self._layers():
            for container in layer:
                if container.process is not None and container.process.poll() is None:
                    container.process.terminate()
            deadline = time.monotonic() + 20.0
            for container in layer:
                if container.process is not None:
                    try:
                        container.process.wait(max(0.1, deadline - time.monotonic()))
                    except subprocess.TimeoutExpired:
                        late.append(f"{container.service}: {container.log()[-500:]}")
                        container.process.kill()
                        container.process.wait()
        # A container's end takes its other processes along; here a forked search needs an instant to notice.
        deadline = time.monotonic() + 3.0
        while (left := self._left()) and time.monotonic() < deadline:
            time.sleep(0.02)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._reservation.close()
        assert not late, f"these did not end when told to: {late}"
        assert not left, f"processes were left behind: {left}"

    def _layers(self) -> list[list[Container]]:
        """Containers in the order of stopping: what others depend on comes after them."""
        rest, layers = list(self.containers), []
        while rest:
            needed = {name for container in rest for name in container.definition.get("depends_on", {})}
            layers.append([container for container in rest if container.service not in needed])
            rest = [container for container in rest if container.service in needed]
        return layers

    def _left(self) -> list[int]:
        """Live processes of the sessions that were begun here."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError, ValueError):
                state, _, _, session = (entry / "stat").read_text().rpartition(") ")[2].split()[:4]
                if int(session) in self.sessions and state != "Z":
                    found.append(int(entry.name))
        return found


def _network() -> tuple[socket.socket, str]:
    """Three bytes of addresses that no other test uses, and the socket that reserves them while it is open."""
    while True:
        network = f"127.{1 + secrets.randbelow(254)}.{secrets.randbelow(256)}"
        reservation = socket.socket()
        try:
            reservation.bind((f"{network}.254", 6379))
            return reservation, network
        except OSError:
            reservation.close()
