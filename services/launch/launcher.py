"""A whole node on one machine: its embedded Valkey, API, door, workers and ticker, started and stopped in order.

`NodePlan` → `RunningNode.allocate` (ports, keys) → `start` (Valkey, API) → `begin` (door, workers, ticker) → `wait` →
`tick` → `stop`. Of several nodes (`launch`), all are allocated first, so that each gets the URLs of the others.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import structlog

from services.connections.servers import require_mendable
from services.launch import node_register, state
from services.launch.addresses import ALL_ADDRESSES, url_of
from services.launch.children import Start, start_process
from services.launch.embedded import EmbeddedValkey
from services.launch.failures import LaunchFailed, reserve
from services.launch.keeper import Keeper
from services.launch.log_files import set_aside, tail, trim, trim_all
from services.launch.node_files import NodeRecord
from services.launch.node_plan import NodePlan
from services.launch.running import ask, forget_workers
from services.launch.supervisor import Program, ProgramStatus, Supervisor
from services.settings.hosts import bind_address
from services.settings.values import named
from services.system.processes import started_at
from services.system.programs import module_command
from services.wallet.development import funded
from shared.errors import NodeError

log = structlog.get_logger(__name__)

START_TIMEOUT = 60.0  # seconds until API and door answer and every worker has registered
STOP_TIMEOUT = 10.0  # seconds from SIGTERM to SIGKILL
_POLL = 0.05
_DIFFERS = "ledger_differs"
# After so many seconds of silence, a start says what it waits for; the first time, also why it may take longer.
_SILENT = 1.8
WHY_SLOW = "the first start on a machine compiles the code and the hash kernel"
_TRIM_SECONDS = 5.0  # between two looks at the sizes of the logs


class RunningNode:
    """One node while it runs."""

    def __init__(
        self, plan: NodePlan, report: Callable[[str], None] = lambda step: None, start_program: Start = start_process
    ) -> None:
        self.plan = plan
        self._report = report
        self.start_program = start_program  # how its programs are started
        self.settings = plan.check()
        self._bound = named("--host", bind_address, self.settings.host)
        self.address = ""
        self.port = plan.port
        self.rpc_port = plan.rpc_port
        self.redis_url = plan.redis_url or ""
        self.fault = ""  # how the stored state differs from the blocks; "": it is not known to differ
        self.lost: NodeError | None = None  # why the node was given up
        self._valkey: EmbeddedValkey | None = None
        self._keeper: Keeper | None = None
        self._trimmed = 0.0
        self._was_ready = False
        self._environment: dict[str, str] = {}
        self._supervisors: list[tuple[Supervisor, list[Program]]] = []
        self._stack = contextlib.ExitStack()

    @property
    def admin_token_file(self) -> Path:
        """The file with the admin token."""
        return self.settings.admin_token_file or self.plan.files.admin_token

    @property
    def url(self) -> str:
        """The API's URL on this machine."""
        return url_of(self._bound, self.port)

    @property
    def rpc_url(self) -> str:
        """The URL of JSON-RPC on this machine: at the door for wallets and tools, or at the API."""
        return url_of(self._bound, self.rpc_port) if self.plan.door else f"{self.url}/rpc"

    @property
    def ws_url(self) -> str:
        """The same for WebSockets; "": they are not served."""
        return url_of(self._bound, self.rpc_port, "ws") if self.plan.door else ""

    def allocate(self) -> None:
        """Reserve the ports and make the keys; URLs and `address` are known then. `stop` releases the ports.

        Raises:
            BadSettings: a Redis that the settings name cannot be used, and waiting does not help.
            PortInUse: a port is taken.
            NodeError: the keys cannot be made or used.
        """
        for url, name in self.plan.named_servers(self.settings):
            require_mendable(url, name)
        # On Linux the ports stay reserved until `stop`, even while a server restarts.
        self.port = self._stack.enter_context(reserve(self._bound, self.plan.port, self.plan.host, "--port"))
        if self.plan.door:
            exact = self.plan.rpc_port_is_asked or not self.plan.rpc_port
            door = reserve(self._bound, self.plan.rpc_port, self.plan.host, "--rpc-port", exact=exact)
            self.rpc_port = self._stack.enter_context(door)
        self.address = self.plan.files.prepare()

    def use_proxy(self, url: str) -> None:
        """Have the node reach its peers through a proxy, from its next start on."""
        self.plan = replace(self.plan, settings={**self.plan.settings, "QUARRY_PEER_PROXY": url})

    def start(self, others: Sequence[str] = ()) -> None:
        """Start Valkey and the API. After an error, `stop` ends what was started.

        Args:
            others: URLs of the nodes that become its peers.

        Raises:
            NodeError: Valkey or the API did not start, or the state file cannot be loaded.
        """
        files, plan, near = self.plan.files, self.plan, self.redis_url
        self._report(f"{plan.name}: starting {'Valkey and ' if plan.redis_url is None else ''}the API")
        if plan.redis_url is None:
            valkey = self._valkey = EmbeddedValkey(files.valkey, durability=self.settings.durability)
            self._stack.callback(valkey.stop)
            valkey.start()
            self._keeper = Keeper(valkey, plan.name)
            self._stack.callback(self._keeper.stop)
            self.redis_url = valkey.url
            forget_workers(self.redis_url)
            near = valkey.near_url
        # If a node binds all addresses, only its loopback address is known, which is of no use elsewhere.
        public_url = self.url if others or self._bound not in ALL_ADDRESSES else ""
        self._environment = plan.environment(self.address, self.port, near, public_url, others, self.rpc_port)
        state.load(plan, self._environment)
        # After the programs have ended, and before Valkey does.
        self._stack.callback(lambda: state.dump(plan, self._environment, wanted=self._was_ready and self.lost is None))
        self._supervise(self._program("api", module_command("api.cli", "api")))

    def begin(self) -> None:
        """Start the door, workers and ticker. The node then looks for its peers."""
        self._report(f"{self.plan.name}: starting {self.plan.workers} mining worker(s), network worker and ticker")
        mining = module_command("worker", "worker", "--queue", "mining")
        self._supervise(
            *([self._program("rpc", module_command("api.cli", "rpc"))] if self.plan.door else []),
            *(self._program(f"mining{number}", mining) for number in range(1, self.plan.workers + 1)),
            self._program("network", module_command("worker", "worker", "--queue", "network")),
            self._program("ticker", module_command("worker", "ticker")),
        )

    def wait_for_api(self) -> None:
        """Wait until the API answers. Raises as `wait` does."""
        self._wait_for(lambda: "" if self._api_is_ready() else "the API")

    def wait(self, launched_at: float) -> None:
        """Wait until API and door answer and every worker has registered; then write the node's record.

        Args:
            launched_at: Unix seconds, the same for all nodes that are started together.

        Raises:
            LaunchFailed: a program ended, or START_TIMEOUT has passed.
        """
        self._wait_for(self._awaited)
        self._was_ready = True
        self._stack.callback(self.plan.files.remove_record)
        self.plan.files.write_record(
            NodeRecord(
                name=self.plan.name,
                spec=self.settings.spec.name,
                url=self.url,
                address=self.address,
                redis_url=self.redis_url,
                admin_token_file=str(self.admin_token_file),
                pid=os.getpid(),
                started=started_at(os.getpid()) or "",
                started_at=launched_at,
                development_accounts=len(funded(self.settings)),
                mnemonic_file=str(self.settings.development_mnemonic_file or ""),
                rpc_url=self.rpc_url,
                ws_url=self.ws_url,
            )
        )
        self._stack.callback(node_register.leave, self.plan.files.record)
        node_register.enter(self.plan.files.record)

    def _wait_for(self, awaited: Callable[[], str]) -> None:
        """Wait until nothing is awaited, and report every few seconds what is."""
        began = said = time.monotonic()
        while missing := awaited():
            self._require_alive()
            now = time.monotonic()
            if now - said > _SILENT:
                why = f"; {WHY_SLOW}" if said == began else ""
                self._report(f"{self.plan.name}: waiting for {missing} ({now - began:.0f} s){why}")
                said = now
            if now - began > START_TIMEOUT:
                logs = self.plan.files.logs
                raise LaunchFailed(
                    f"{self.plan.name} was not ready within {START_TIMEOUT:g} s; its logs are in {logs}.",
                    tail(logs / "api.log"),
                )
            time.sleep(_POLL)

    def tick(self) -> None:
        """Restart what has died, and keep the logs small. Does not wait.

        Call it about every tenth of a second, from the thread that called `start`. A node whose data are damaged is
        given up: its programs are stopped, and `lost` says why.
        """
        if self.lost is not None:
            return
        if self._keeper is not None:
            self._keeper.tick()
            if self._keeper.lost is not None:
                self.lost = self._keeper.lost
                log.error("node_given_up", node=self.plan.name, reason=str(self.lost))
                self.stop()
                return
        for supervisor, _ in self._supervisors:
            supervisor.tick()
        if time.monotonic() - self._trimmed > _TRIM_SECONDS:
            self._trimmed = time.monotonic()
            trim_all(self.plan.files.logs)
            trim(self.plan.files.valkey / "valkey.log")

    def tell(self) -> None:
        """Tell all programs to end, without waiting; `stop` waits."""
        for supervisor, _ in reversed(self._supervisors):
            supervisor.tell()

    def stop(self) -> None:
        """End the programs, then Valkey. Safe to call twice."""
        self.tell()
        self._stack.close()

    def kill(self) -> None:
        """End Valkey and all programs at once, as a power cut does; then clean up as `stop`."""
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.stop()

    def pids(self) -> list[int]:
        """The process ids of Valkey and of the programs that run."""
        pids = [None if self._valkey is None else self._valkey.pid, *(status.pid for status, _ in self._statuses())]
        return [pid for pid in pids if pid is not None]

    def _program(self, name: str, command: list[str]) -> Program:
        return Program(name, command, self._environment, self.plan.files.logs / f"{name}.log")

    def _supervise(self, *programs: Program) -> None:
        for program in programs:
            if program.log is not None:
                set_aside(program.log)
        supervisor = Supervisor(programs, start=self.start_program)
        self._supervisors.append((supervisor, list(programs)))
        self._stack.callback(supervisor.stop, STOP_TIMEOUT)
        supervisor.start()

    def _api_is_ready(self) -> bool:
        """Whether the API answers. It also does if the stored state differs, so that `quarry repair` can run."""
        found = ask(self.url, "/readyz", _DIFFERS)
        self.fault = str(found["detail"]) if found is not None and found.get("code") == _DIFFERS else ""
        return found is not None

    def _awaited(self) -> str:
        """What the node still waits for before it is ready; "" if it is ready."""
        if not self._api_is_ready():
            return "the API"
        if self.fault:
            return ""
        status = ask(self.url, "/status") or {}
        if status.get("node") != self.plan.name:
            return "the API"
        workers = status.get("workers", {})
        if (mining := workers.get("mining", 0)) < self.plan.workers:
            return f"mining workers ({mining} of {self.plan.workers})"
        if workers.get("network", 0) < 1:
            return "the network worker"
        return "" if not self.plan.door or ask(self.rpc_url, "/readyz") is not None else "JSON-RPC"

    def _statuses(self) -> Iterator[tuple[ProgramStatus, Program]]:
        for supervisor, programs in self._supervisors:
            yield from zip(supervisor.programs, programs, strict=True)

    def _require_alive(self) -> None:
        """Nothing is restarted while a node starts: what fails at once would fail again."""
        for status, program in self._statuses():
            if status.alive or program.log is None:
                continue
            if program.name == "rpc" and not self._api_is_ready():
                continue  # what stops both is said by the API, which looks at more
            said = tail(program.log)
            reason = f": {said[-1]}" if said else " and wrote nothing to its log"
            raise LaunchFailed(f"{program.name} of {self.plan.name} ended while starting{reason}", said)
