"""The `quarry` command as a user runs it, with a data home of its own: in a process of its own, but for `done`."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from click.testing import CliRunner

from api.cli import quarry as command
from services.system.programs import ROOT, module_command
from tests.support.preloaded import ForkedCommand, may_fork


def environment(home: Path, **more: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("QUARRY_")}
    # The plain kernel, since compiling the fast one in every process takes longer than it saves.
    return {**clean, "QUARRY_DATA_HOME": str(home), "QUARRY_KERNEL": "plain", **more}


def quarry(
    home: Path, *arguments: str | Path, as_users_do: bool = False, **more: str
) -> subprocess.CompletedProcess[str]:
    """What a command printed and its exit code. It is forked (preloaded.py), unless a test judges how it starts."""
    if not as_users_do and may_fork():
        with forked(home, *map(str, arguments), **more) as process:
            output, errors = process.communicate(timeout=90)
            return subprocess.CompletedProcess(arguments, process.returncode, output, errors)
    return subprocess.run(
        [sys.executable, "-m", "api.cli", *map(str, arguments)],
        cwd=ROOT,
        env=environment(home, **more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def forked_quarry() -> tuple[str, ...]:
    """The command `quarry` for a `QuarryNode`: the programs of its node are forked from one process (preloaded.py)."""
    if not may_fork():
        return tuple(module_command("api.cli"))
    return tuple(module_command("tests.support.forked_command", "-"))


def done(home: Path, *arguments: str | Path, **more: str) -> Any:
    """What a command that must succeed printed as JSON.

    It runs in this process: a Python that starts and imports what a client needs takes longer than what is asked.
    """
    settings: dict[str, str | None] = {name: None for name in os.environ if name.startswith("QUARRY_")}
    settings |= {"QUARRY_DATA_HOME": str(home), "QUARRY_KERNEL": "plain", **more}
    result = CliRunner(env=settings).invoke(command, [*map(str, arguments), "--json"], prog_name="quarry")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


Running = subprocess.Popen[str] | ForkedCommand


@contextmanager
def launched(
    home: Path, *arguments: str, as_users_do: bool = False, **more: str
) -> Iterator[tuple[Running, dict[str, Any]]]:
    """`quarry up --json` and what it printed when it was ready. It is stopped at the end.

    It and its nodes' programs are forked, unless a test judges how they start and end: `as_users_do`.
    """
    start = starting if as_users_do else forked
    with start(home, *UP, *arguments, **more) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"up ended: {process.stderr.read() if process.stderr else ''}"
        yield process, json.loads(line)


UP = ("up", "--json", "--port", "0", "--workers", "1")


@contextmanager
def starting(home: Path, *arguments: str, **more: str) -> Iterator[Running]:
    """A command while it runs. It is stopped at the end."""
    with subprocess.Popen(
        [sys.executable, "-m", "api.cli", *arguments],
        cwd=ROOT,
        env=environment(home, **more),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        with _stopped(process):
            yield process


@contextmanager
def forked(home: Path, *arguments: str, **more: str) -> Iterator[Running]:
    """The same, but it and the programs of the nodes that it starts are forked (preloaded.py)."""
    if not may_fork():
        with starting(home, *arguments, **more) as process:
            yield process
        return
    settings = {"QUARRY_DATA_HOME": str(home), "QUARRY_KERNEL": "plain", **more}
    with TemporaryDirectory() as directory:
        started = ForkedCommand(arguments, settings, Path(directory) / "stderr")
        with started.stdout, _stopped(started):
            yield started


@contextmanager
def _stopped(process: Running) -> Iterator[None]:
    try:
        yield
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def get(url: str) -> Any:
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return json.load(response)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return None
