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
from typing import Any

from click.testing import CliRunner

from api.cli import quarry as command
from services.system.programs import ROOT


def environment(home: Path, **more: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("QUARRY_")}
    # The plain kernel, since compiling the fast one in every process takes longer than it saves.
    return {**clean, "QUARRY_DATA_HOME": str(home), "QUARRY_KERNEL": "plain", **more}


def quarry(home: Path, *arguments: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
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


def done(home: Path, *arguments: str | Path, **more: str) -> Any:
    """What a command that must succeed printed as JSON.

    It runs in this process: a Python that starts and imports what a client needs takes longer than what is asked.
    """
    settings: dict[str, str | None] = {name: None for name in os.environ if name.startswith("QUARRY_")}
    settings |= {"QUARRY_DATA_HOME": str(home), "QUARRY_KERNEL": "plain", **more}
    result = CliRunner(env=settings).invoke(command, [*map(str, arguments), "--json"], prog_name="quarry")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@contextmanager
def launched(home: Path, *arguments: str, **more: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """`quarry up --json` and what it printed when it was ready. It is stopped at the end."""
    with starting(home, *arguments, **more) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"up ended: {process.stderr.read() if process.stderr else ''}"
        yield process, json.loads(line)


@contextmanager
def starting(home: Path, *arguments: str, **more: str) -> Iterator[subprocess.Popen[str]]:
    up = [sys.executable, "-m", "api.cli", "up", "--json", "--port", "0", "--workers", "1", *arguments]
    with subprocess.Popen(
        up,
        cwd=ROOT,
        env=environment(home, **more),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()


def get(url: str) -> Any:
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return json.load(response)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return None
