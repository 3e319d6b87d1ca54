"""What the tests of all clients need."""

import fcntl
import os
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


def _foundry(name: str, directories: pytest.TempPathFactory) -> str:
    """A program of Foundry, of 60 MB: fetched only where that is asked for, as .ci/run does."""
    found = shutil.which(name)
    if found is not None:
        return found
    if not os.environ.get("TEST_CAST") or shutil.which("npm") is None:
        pytest.skip(f"{name} is not installed")
    directory = directories.mktemp(name)
    npm(directory, "install", f"@foundry-rs/{name}@1.7.1")
    return str(directory / "node_modules" / ".bin" / name)


@pytest.fixture(scope="session")
def cast(tmp_path_factory: pytest.TempPathFactory) -> str:
    return _foundry("cast", tmp_path_factory)


@pytest.fixture(scope="session")
def anvil(tmp_path_factory: pytest.TempPathFactory) -> str:
    return _foundry("anvil", tmp_path_factory)
