"""The packages of Node.js that the clients need."""

import os
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def npm(directory: Path, *command: str) -> None:
    """Run npm; where it cannot do it, the test is skipped, except in CI."""
    options = ["--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    found = subprocess.run(
        ["npm", *command, *options], cwd=directory, capture_output=True, text=True, timeout=100, check=False
    )
    if found.returncode:
        message = f"npm cannot install what is needed: {found.stderr[-500:]}"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
