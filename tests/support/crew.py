"""Single processes of a node: workers, tickers, and programs that a test has changed."""

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from services.launch.children import Child
from services.system.programs import module_command, scrubbed
from shared.chain_spec import ChainSpec
from tests.support import preloaded
from tests.support.keys import MINER
from tests.support.processes import in_sessions
from tests.support.specs import write_spec


class Crew:
    """Single processes of a node, on a Valkey that the test has. Each has a log in `directory`.

    For tests that kill, freeze or replace a process. At the end all are killed, whatever state they are in. A whole
    node that is stopped as a user stops it is a `RunningNode` (running.py).
    """

    def __init__(
        self, directory: Path, url: str, spec: ChainSpec, *, as_users_do: bool = False, **settings: str
    ) -> None:
        """`as_users_do`: each process is started as Python, and not forked, which is quicker."""
        self.directory = directory
        self._as_users_do = as_users_do
        self.environment = {
            **scrubbed(os.environ),
            "QUARRY_REDIS_URL": url,
            "QUARRY_SPEC": str(write_spec(directory / "spec.toml", spec)),
            "QUARRY_REWARD_ADDRESS": MINER,
            "QUARRY_KERNEL": "plain",
            "QUARRY_LINGER": "0",
            **{f"QUARRY_{name.upper()}": value for name, value in settings.items()},
        }
        self.started: list[Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for process in self.started:
            process.kill()
            process.wait(10)
        for pid in self.left():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if error is not None:
            for log in sorted(self.directory.glob("*.log")):
                print(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}")

    def left(self) -> list[int]:
        """Pids of our programs and of all processes that they started: each program has a session of its own."""
        return in_sessions({process.pid for process in self.started})

    def run(self, name: str, command: list[str], **environment: str) -> Child:
        """Start a program; its standard error goes to NAME.log."""
        process = preloaded.start(
            command,
            environment={**self.environment, **environment},
            log=self.directory / f"{name}.log",
            as_users_do=self._as_users_do,
        )
        self.started.append(process)
        return process

    def worker(self, queue: str = "mining", name: str = "") -> Child:
        return self.run(name or queue, module_command("worker", "worker", "--queue", queue))

    def ticker(self) -> Child:
        return self.run("ticker", module_command("worker", "ticker"))

    def script(self, name: str, text: str, **environment: str) -> Child:
        """A worker that a test has changed: `text` is Python."""
        return self.run(name, [sys.executable, "-c", text], **environment)
