"""The project of docker-compose.yml: its containers, their health, and what runs in them."""

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.image.engine import Engine, Failed

PROJECT = "quarry"
NODES = ("node1", "node2", "node3")
# Seconds to wait at most, on a machine that does other things too. What was measured is compared with the budgets.
PATIENCE = 420.0


@dataclass(frozen=True)
class Container:
    """One container, as the engine sees it now."""

    id: str
    service: str
    pid: int  # on this machine; 0: it does not run
    health: str
    started: str
    exit_code: int
    killed: bool  # for want of memory
    memory: int  # limit in bytes; 0: none
    pids: int


class Cluster:
    """The containers of one project.

    Args:
        checkout: the directory of docker-compose.yml.
        variables: what .env would hold.
    """

    def __init__(self, engine: Engine, checkout: Path, variables: dict[str, str]) -> None:
        self.engine = engine
        self.checkout = checkout
        self.variables = variables

    def compose(self, *arguments: str, given: bytes | None = None, miners: str = "", profile: str = "") -> bytes:
        """The output of a command of docker compose; `miners`: the variable MINERS, for this call only."""
        place = ("--project-name", PROJECT, "--project-directory", str(self.checkout))
        file = ("--file", str(self.checkout / "docker-compose.yml"))
        profiles = ("--profile", profile) if profile else ()
        return self.engine.compose(
            *place, *file, *profiles, *arguments, variables=self.variables | {"MINERS": miners}, given=given
        )

    def up(self, *arguments: str, miners: str = "", profile: str = "") -> float:
        """Start services, and wait until all containers are healthy. Returns the seconds that it took."""
        began = time.monotonic()
        self.compose("up", "--detach", "--no-build", *arguments, miners=miners, profile=profile)
        self.wait_healthy()
        return time.monotonic() - began

    def quarry(self, service: str, *arguments: str, given: bytes | None = None) -> bytes:
        """The output of a `quarry` command in a service's container. The engine starts it: compose takes a second."""
        return self.engine.docker(
            "exec", "--interactive", self._id(service), "in-node", "quarry", *arguments, given=given
        )

    def containers(self) -> list[Container]:
        """All containers but the one that runs once."""
        labels = [f"com.docker.compose.project={PROJECT}", "com.docker.compose.oneoff=False"]
        listed = self.engine.ask(f"/containers/json?all=1&filters={quote(json.dumps({'label': labels}))}")
        every = [_container(self.engine.ask(f"/containers/{item['Id']}/json")) for item in listed]
        return sorted((item for item in every if item.service != "init"), key=lambda item: item.service)

    def wait_healthy(self, since: Iterable[Container] = ()) -> list[Container]:
        """Wait until every container is healthy, and has been started again since the given states.

        Raises:
            Failed: not in time; the message has the states and the ends of the logs.
        """
        before = {item.id: item.started for item in since}
        deadline = time.monotonic() + PATIENCE
        while True:
            found = self.containers()
            sick = [item for item in found if item.health != "healthy" or before.get(item.id) == item.started]
            if found and not sick:
                return found
            if time.monotonic() > deadline:
                said = [f"{item.service}: {item.health}\n{self.engine.logs(item.id, '--tail', '15')}" for item in sick]
                raise Failed(f"not healthy after {PATIENCE:g} s:\n" + "\n".join(said))
            time.sleep(0.5)

    def kill_programs(self, containers: list[Container]) -> None:
        """kill -9 of the program in every container: the child of its init."""
        for item in containers:
            children = Path(f"/proc/{item.pid}/task/{item.pid}/children").read_text().split()
            os.kill(int(children[0]) if children else item.pid, signal.SIGKILL)

    def stop(self) -> tuple[float, Counter[int]]:
        """Stop every container by SIGTERM. Returns the seconds that it took, and how often each exit code occurred.

        Raises:
            Failed: one had to be killed, or ended with an error.
        """
        began = time.monotonic()
        self.compose("stop")
        seconds = time.monotonic() - began
        ended = self.containers()
        bad = [f"{item.service}: {item.exit_code}" for item in ended if item.exit_code not in (0, 143) or item.killed]
        if bad:
            raise Failed(f"SIGTERM alone did not stop everything properly: {', '.join(bad)}")
        return seconds, Counter(item.exit_code for item in ended)

    def down(self, *options: str) -> None:
        """`docker compose down`. An old engine may keep the endpoint of a container that it has removed: it is told."""
        for last in (False, False, True):
            try:
                self.compose("down", *options)
                return
            except Failed as error:
                if last or "active endpoints" not in str(error):
                    raise
            for network in (f"{PROJECT}_private", f"{PROJECT}_edge"):
                with suppress(Failed):  # it is gone already
                    shape = "{{range .Containers}}{{.Name}} {{end}}"
                    left = self.engine.docker("network", "inspect", "--format", shape, network).decode().split()
                    for name in left:
                        self.engine.docker("network", "disconnect", "--force", network, name)

    # --- Addresses ---

    def address(self, service: str) -> str:
        """A service's address on the network of the proxy."""
        shape = f'{{{{(index .NetworkSettings.Networks "{PROJECT}_edge").IPAddress}}}}'
        return self.engine.docker("inspect", "--format", shape, self._id(service)).decode().strip()

    def move(self, service: str) -> None:
        """Stop and start a service whose address another container takes meanwhile, so that it gets another one."""
        network, other = f"{PROJECT}_edge", self._id("broker")
        self.compose("stop", service)
        self.engine.docker("network", "connect", network, other)
        self.compose("start", service)
        self.wait_healthy()
        self.engine.docker("network", "disconnect", network, other)

    def _id(self, service: str) -> str:
        return next(item.id for item in self.containers() if item.service == service)

    # --- What the nodes say ---

    def get(self, node: str, path: str) -> bytes:
        """What a node answers at its published port.

        Raises:
            OSError: it does not.
        """
        connection = HTTPConnection("127.0.0.1", int(self.variables[f"{node.upper()}_PORT"]), timeout=20)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        if response.status != 200:
            raise OSError(f"{node}: {path}: {response.status}")
        return body

    def status(self, node: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.get(node, "/status"))
        return found

    def agreed(self) -> tuple[int, str]:
        """Height and hash of the tip, once all nodes have the same."""
        found: list[tuple[int, str]] = []

        def same() -> bool:
            found[:] = [(status["height"], status["tip"]) for status in map(self.status, NODES)]
            return len(set(found)) == 1

        self.eventually(same, lambda: f"the tips stay different: {found}")
        return found[0]

    def eventually(self, holds: Any, otherwise: Any) -> None:
        """Wait until a condition holds; what the nodes do not answer does not hold yet."""
        deadline = time.monotonic() + PATIENCE / 3
        while True:
            try:
                if holds():
                    return
            except (OSError, KeyError):
                pass
            if time.monotonic() > deadline:
                raise Failed(otherwise())
            time.sleep(0.3)


def _container(found: dict[str, Any]) -> Container:
    state, host = found["State"], found["HostConfig"]
    return Container(
        id=found["Id"],
        service=found["Config"]["Labels"]["com.docker.compose.service"],
        pid=state["Pid"],
        health=state.get("Health", {}).get("Status", "none") if state["Running"] else state["Status"],
        started=state["StartedAt"],
        exit_code=state["ExitCode"],
        killed=state["OOMKilled"],
        memory=host["Memory"],
        pids=host["PidsLimit"] or 0,
    )
