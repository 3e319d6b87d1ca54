"""What the tests of all clients need."""

import fcntl
import shutil

import pytest

from tests.clients.packages import HERE, npm


@pytest.fixture(scope="session")
def node_modules() -> None:
    """The packages of package-lock.json, exactly."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Node.js and npm are not installed")
    with (HERE / "package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another test process may be installing
        installed = HERE / "node_modules" / ".package-lock.json"
        if installed.exists() and installed.stat().st_mtime >= (HERE / "package-lock.json").stat().st_mtime:
            return
        npm(HERE, "ci")
