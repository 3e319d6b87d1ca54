"""The router between the nodes of `quarry up --links`: a program of the lab, which parts the nodes when it is asked to.

It is started as the worker is, by its command. Its ports stay reserved, so that the nodes still reach it after it was
killed and started again; no link is cut then.
"""

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

from services.launch.failures import LaunchFailed, reserve
from services.launch.log_files import set_aside, tail
from services.launch.running import ask
from services.launch.supervisor import Program, Supervisor
from services.system.programs import module_command

_HOST = "127.0.0.1"
_START_SECONDS = 60.0
_STOP_SECONDS = 5.0
_POLL = 0.05


class PeerRouter:
    """The router while it runs.

    Args:
        log: the file for what it writes.
    """

    def __init__(self, log: Path) -> None:
        self.url = ""  # of its controls; known once it was started
        self._log = log
        self._supervisor = Supervisor([])
        self._stack = contextlib.ExitStack()

    def start(self, nodes: Sequence[str]) -> list[str]:
        """Start it and wait until it answers. After an error, `stop` ends what was started.

        Args:
            nodes: the URLs of the nodes' APIs.

        Returns:
            For each node the URL of the proxy that it is to use for its peers.

        Raises:
            LaunchFailed: it did not start.
        """
        control, *proxies = (
            self._stack.enter_context(reserve(_HOST, 0, _HOST, "--links")) for _ in range(len(nodes) + 1)
        )
        self.url = f"http://{_HOST}:{control}"
        own = (argument for proxy in proxies for argument in ("--proxy", str(proxy)))
        command = module_command("lab", "router", "--port", str(control), *own, *nodes)
        self._log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        set_aside(self._log)
        self._supervisor = Supervisor([Program("links", command, log=self._log)])
        self._stack.callback(self._supervisor.stop, _STOP_SECONDS)
        self._supervisor.start()
        self._wait()
        return [f"http://{_HOST}:{proxy}" for proxy in proxies]

    def tick(self) -> None:
        """Start it again if it has ended."""
        self._supervisor.tick()

    def stop(self) -> None:
        """End it. Safe to call twice."""
        self._stack.close()

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while ask(self.url, "/") is None:
            [program] = self._supervisor.programs
            if not program.alive or time.monotonic() > deadline:
                said = tail(self._log)
                reason = f": {said[-1]}" if said else " and wrote nothing to its log"
                raise LaunchFailed(f"The router between the nodes did not start{reason}", said)
            time.sleep(_POLL)
