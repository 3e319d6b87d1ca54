"""Starting the processes of tests' nodes: each test process has a nursery, which has imported what nodes need.

A node of tests has five processes or more, and each takes 0.3 s of processor time to start as Python. TEST_NURSERY=0
has all of them start so. Tests that judge starts, ends and kills ask for that themselves (`as_users_do`).
"""

import atexit
import os
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from lab.real.nursery import start_nursery
from services.launch.children import Child, Start, Started
from services.system.programs import scrubbed


def start(
    command: Sequence[str], *, environment: Mapping[str, str], log: Path, directory: Path | None = None,
    as_users_do: bool = False,
) -> Child:  # fmt: skip
    """Start a program in a session of its own; what it prints is appended to `log`."""
    with log.open("ab") as output:
        if command[1:3] == ["-P", "-m"] and not as_users_do and os.environ.get("TEST_NURSERY") != "0":
            return _nursery()(command, environment=environment, output=output.fileno(), directory=directory)
        return Started(
            command, cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip


@cache
def _nursery() -> Start:
    nursery = start_nursery({**scrubbed(os.environ), "QUARRY_KERNEL": "plain"})
    atexit.register(nursery.close)
    return nursery
