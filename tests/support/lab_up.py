"""`quarry lab up` as a process."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.system.programs import ROOT, module_command


@contextmanager
def running(directory: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`quarry lab up` in a process group of its own, and the address of its page."""
    process = subprocess.Popen(
        module_command("api.cli", "lab", "up", "--data-dir", str(directory), *arguments),
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if (found := re.search(r"http://127\.0\.0\.1:\d+", line)) is not None:
                break
        else:
            pytest.fail("it ended before it told its address")
        yield process, found[0]
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
