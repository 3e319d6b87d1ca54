"""Starting the processes of tests' nodes: each test process has a nursery, which has imported what nodes need.

A node of tests has five processes or more, and each takes 0.3 s of processor time to start as Python. TEST_NURSERY=0
has all of them start so. Tests that judge starts, ends and kills ask for that themselves (`as_users_do`).
"""

import atexit
import io
import os
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TextIO

from services.launch.children import Child, Start, Started
from services.launch.nursery import AVAILABLE, nursery_of_nodes
from services.system.programs import ROOT, module_command, scrubbed


def start(
    command: Sequence[str], *, environment: Mapping[str, str], log: Path, directory: Path | None = None,
    as_users_do: bool = False,
) -> Child:  # fmt: skip
    """Start a program in a session of its own; what it prints is appended to `log`."""
    with log.open("ab") as output:
        if command[1:3] == ["-P", "-m"] and not as_users_do and may_fork():
            return _nursery()(command, environment=environment, output=output.fileno(), directory=directory)
        return Started(
            command, cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip


def may_fork() -> bool:
    """Whether processes are forked from the nursery, unless a test wants them as users start them."""
    return AVAILABLE and os.environ.get("TEST_NURSERY") != "0"


class ForkedCommand:
    """A `quarry` command that starts nodes: it and their programs are forked (forked_command.py). It has the methods of
    `subprocess.Popen` that tests use.

    Args:
        arguments: those of `quarry`.
        settings: variables, besides those that programs inherit.
        errors: what it says on stderr.
    """

    def __init__(self, arguments: Sequence[str], settings: Mapping[str, str], errors: Path) -> None:
        said, output = os.pipe()
        self.stdout: TextIO = open(said, encoding="utf-8")
        self._errors = errors
        try:
            self._child = _nursery()(
                module_command("tests.support.forked_command", str(errors), *arguments),
                environment=scrubbed(os.environ) | settings, output=output, directory=ROOT,
            )  # fmt: skip
        except BaseException:
            self.stdout.close()
            raise
        finally:
            os.close(output)
        self.pid = self._child.pid
        self.poll, self.wait = self._child.poll, self._child.wait
        self.send_signal, self.terminate, self.kill = (
            self._child.send_signal, self._child.terminate, self._child.kill
        )  # fmt: skip

    @property
    def returncode(self) -> int | None:
        return self._child.returncode

    @property
    def stderr(self) -> TextIO:
        return io.StringIO(self._errors.read_text() if self._errors.exists() else "")

    def communicate(self, timeout: float) -> tuple[str, str]:
        """What it has printed and not been read, which is not much, and what it has said on stderr, once it ended."""
        self.wait(timeout)
        return self.stdout.read(), self.stderr.read()


@cache
def _nursery() -> Start:
    nursery = nursery_of_nodes("plain", environment=scrubbed(os.environ))
    atexit.register(nursery.close)
    return nursery
