"""Everything of a node on one machine: its embedded Valkey, API, workers and ticker, started and stopped in order.

Walk: `NodePlan` (what is wanted) → `RunningNode.allocate` (port, keys) → `start` (Valkey, API) → `begin`
(workers, ticker) → `wait` → `run` → `stop`. Of several nodes all are allocated first, so that each can be told where
the others are.
"""

import contextlib
import errno
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import structlog

from services.launch.embedded import EmbeddedValkey
from services.launch.node_files import NodeRecord
from services.launch.node_plan import NodePlan
from services.launch.processes import started_at
from services.launch.programs import module_command
from services.launch.supervisor import Program, ProgramStatus, Supervisor
from shared.errors import NodeError

log = structlog.get_logger(__name__)

START_TIMEOUT = 60.0  # seconds until the API answers and every worker has registered
STOP_TIMEOUT = 10.0  # seconds from SIGTERM to SIGKILL
_POLL = 0.05
# What listens on all addresses, and where this machine reaches it.
_ALL_ADDRESSES = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_TAIL_LINES = 12
_DIFFERS = "ledger_differs"
_REQUEST_TIMEOUT = 5.0
# RQ's registry of workers (rq.worker_registration), named here since importing RQ would cost this process 10 MB.
_WORKER_REGISTRY = ("rq:workers", "rq:workers:mining", "rq:workers:network")


class LaunchFailed(NodeError):
    """A node did not start.

    Args:
        tail: the last lines that the program at fault wrote, for people.
    """

    def __init__(self, message: str, tail: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.tail = tuple(tail)


class PortInUse(LaunchFailed):
    """Another program listens where the API should."""


class RunningNode:
    """One node while it runs."""

    def __init__(self, plan: NodePlan) -> None:
        self.plan = plan
        self.settings = plan.check()
        self.address = ""
        self.port = plan.port
        self.redis_url = plan.redis_url or ""
        self.fault = ""  # what is wrong with the stored state, if it is known to be wrong
        self._valkey: EmbeddedValkey | None = None
        self._environment: dict[str, str] = {}
        self._supervisors: list[tuple[Supervisor, list[Program]]] = []
        self._stack = contextlib.ExitStack()

    @property
    def url(self) -> str:
        """Where the API answers."""
        host = _ALL_ADDRESSES.get(self.plan.host, self.plan.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def allocate(self) -> None:
        """Take the port and make the keys: after this `url` and `address` are known. `stop` gives the port back.

        Raises:
            PortInUse: the port is taken.
            NodeError: the keys; the message is for people.
        """
        # On Linux the port stays ours until `stop`, even while the API restarts.
        self.port = self._stack.enter_context(_port(self.plan.host, self.plan.port))
        self.address = self.plan.files.prepare()

    def start(self, others: Sequence[str] = ()) -> None:
        """Start Valkey and the API. `stop` ends whatever has been started.

        Args:
            others: URLs of nodes that it shall have as peers.

        Raises:
            NodeError: Valkey or the API; the message is for people.
        """
        files, plan = self.plan.files, self.plan
        if plan.redis_url is None:
            self._valkey = EmbeddedValkey(files.valkey, durability=self.settings.durability)
            self._stack.callback(self._valkey.stop)
            self._valkey.start()
            self.redis_url = self._valkey.url
            _forget_workers(self.redis_url)
        # Of a node that listens on all addresses, nobody elsewhere can use the one that we know.
        public_url = self.url if others or plan.host not in _ALL_ADDRESSES else ""
        self._environment = plan.environment(self.address, self.port, self.redis_url, public_url, others)
        self._supervise(self._program("api", module_command("api.cli", "api")))

    def begin(self) -> None:
        """Start workers and ticker. From now on the node looks for its peers."""
        mining = module_command("worker", "worker", "--queue", "mining")
        self._supervise(
            *(self._program(f"mining{number}", mining) for number in range(1, self.plan.workers + 1)),
            self._program("network", module_command("worker", "worker", "--queue", "network")),
            self._program("ticker", module_command("worker", "ticker")),
        )

    def wait_for_api(self) -> None:
        """Wait until the API answers. Raises as `wait`."""
        self._wait_until(self._api_is_ready)

    def wait(self, launched_at: float) -> None:
        """Wait until the API answers and every worker has registered; then write the node's record.

        Args:
            launched_at: Unix seconds; the same for all nodes that are started together.

        Raises:
            LaunchFailed: a program ended, or the time is over.
        """
        self._wait_until(self._is_ready)
        self._stack.callback(self.plan.files.remove_record)
        self.plan.files.write_record(
            NodeRecord(
                name=self.plan.name,
                spec=self.settings.spec.name,
                url=self.url,
                address=self.address,
                redis_url=self.redis_url,
                admin_token_file=str(self.plan.files.admin_token),
                pid=os.getpid(),
                started=started_at(os.getpid()) or "",
                started_at=launched_at,
            )
        )

    def _wait_until(self, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not ready():
            self._require_alive()
            if time.monotonic() > deadline:
                logs = self.plan.files.logs
                raise LaunchFailed(
                    f"{self.plan.name} was not ready within {START_TIMEOUT:g} s; its logs are in {logs}.",
                    _tail(logs / "api.log"),
                )
            time.sleep(_POLL)

    def tick(self) -> None:
        """Restart what has died. Call it every tenth of a second or so, from the thread that called `start`."""
        if self._valkey is not None and not self._valkey.alive:
            log.warning("valkey_exited", node=self.plan.name)
            self._valkey.start()
        for supervisor, _ in self._supervisors:
            supervisor.tick()

    def stop(self) -> None:
        """End the programs, then Valkey. Safe to call twice."""
        self._stack.close()

    def _program(self, name: str, command: list[str]) -> Program:
        return Program(name, command, self._environment, self.plan.files.logs / f"{name}.log")

    def _supervise(self, *programs: Program) -> None:
        for program in programs:
            _rotate(program.log)
        supervisor = Supervisor(programs)
        self._supervisors.append((supervisor, list(programs)))
        self._stack.callback(supervisor.stop, STOP_TIMEOUT)
        supervisor.start()

    def _api_is_ready(self) -> bool:
        """Also where the stored state differs: then the API answers, and `quarry repair` can be run beside it."""
        found = _get(self.url, "/readyz", _DIFFERS)
        self.fault = str(found["detail"]) if found is not None and found.get("code") == _DIFFERS else ""
        return found is not None

    def _is_ready(self) -> bool:
        if not self._api_is_ready():
            return False
        if self.fault:
            return True
        status = _get(self.url, "/status") or {}
        workers = status.get("workers", {})
        return (
            status.get("node") == self.plan.name
            and workers.get("mining", 0) >= self.plan.workers
            and workers.get("network", 0) >= 1
        )

    def _statuses(self) -> Iterator[tuple[ProgramStatus, Program]]:
        for supervisor, programs in self._supervisors:
            yield from zip(supervisor.programs, programs, strict=True)

    def _require_alive(self) -> None:
        """While starting nothing is restarted: what fails at once would fail again."""
        for status, program in self._statuses():
            if status.alive or program.log is None:
                continue
            tail = _tail(program.log)
            reason = f": {tail[-1]}" if tail else ", and said nothing"
            raise LaunchFailed(f"{program.name} of {self.plan.name} ended while starting{reason}", tail)


class Launch:
    """Several nodes, started together and kept running."""

    def __init__(self, plans: Sequence[NodePlan]) -> None:
        self.nodes = [RunningNode(plan) for plan in plans]

    def start(self) -> None:
        """Start all nodes and wait until they are ready; if one fails, or we are interrupted, nothing is left.

        Of several, all answer before any looks for the others: who is not there yet is left alone for a while.
        """
        launched_at = time.time()
        try:
            for node in self.nodes:
                node.allocate()
            for node in self.nodes:
                node.start([other.url for other in self.nodes if other is not node])
            if len(self.nodes) > 1:
                for node in self.nodes:
                    node.wait_for_api()
            for node in self.nodes:
                node.begin()
            for node in self.nodes:
                node.wait(launched_at)
        except BaseException:
            self.stop()
            raise

    def run(self, stop: threading.Event) -> None:
        """Keep everything running until `stop` is set. Then call `stop()`."""
        while not stop.wait(0.1):
            for node in self.nodes:
                node.tick()

    def stop(self) -> None:
        """Stop every node, the last first; what goes wrong with one does not keep the others from being stopped."""
        with contextlib.ExitStack() as stack:
            for node in self.nodes:
                stack.callback(node.stop)

    def to_object(self, data_dir: Path) -> dict[str, Any]:
        """What `quarry up --json` prints (DESIGN §7). Holds the store's password."""
        from services.wallet.development import ACCOUNTS

        first = self.nodes[0]
        value: dict[str, Any] = {
            "nodes": [{"name": node.plan.name, "url": node.url, "address": node.address} for node in self.nodes],
            "data_dir": str(data_dir),
            "admin_token_file": str(first.plan.files.admin_token),
            "redis_url": first.redis_url,
        }
        if first.settings.spec.development:
            value["development_accounts"] = [
                {"address": account.address, "private_key": account.private_key} for account in ACCOUNTS
            ]
        return value


@contextlib.contextmanager
def _port(host: str, wanted: int) -> Iterator[int]:
    """A port that nobody listens on. Nodes that start together get different ones.

    Bound, but not listening: on Linux the server can still bind and listen, as both set SO_REUSEADDR, and nobody else
    is given the port. Elsewhere it cannot, so there the port is free until the server takes it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, wanted))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortInUse(f"Port {wanted} on {host} is in use: choose another with --port.") from None
            raise PortInUse(f"Port {wanted} on {host} cannot be used: {error.strerror}.") from None
        port = sock.getsockname()[1]
        if sys.platform != "linux":
            sock.close()
        yield port


def _get(url: str, path: str, code: str = "") -> dict[str, Any] | None:
    """The JSON object at a path of our own API; None while it does not answer 200, or a problem with this code.

    http.client, since this process lives as long as the node and urllib3 would cost it 7 MB.
    """
    host = url.removeprefix("http://")
    connection = HTTPConnection(host, timeout=_REQUEST_TIMEOUT)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
        value = json.loads(body)
        wanted = isinstance(value, dict) and (response.status == 200 or (code != "" and value.get("code") == code))
        return value if wanted else None
    except (OSError, HTTPException, ValueError):
        return None
    finally:
        connection.close()


def _forget_workers(redis_url: str) -> None:
    """Drop the registrations of workers that were killed with the last run; no worker lives while Valkey starts."""
    from services.connections import connect_for_requests

    with connect_for_requests(redis_url) as connection:
        connection.delete(*_WORKER_REGISTRY)


def _rotate(path: Path | None) -> None:
    """Keep the last run's log beside this one's, so that logs neither mix nor grow from run to run."""
    if path is not None and path.exists():
        path.replace(path.with_name(path.name + ".1"))


def _tail(path: Path) -> list[str]:
    try:
        lines = path.read_bytes()[-8192:].decode(errors="replace").splitlines()
    except OSError:
        return []
    return [line.rstrip() for line in lines if line.strip()][-_TAIL_LINES:]


def default_workers() -> int:
    """A mining worker for each core that we may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
