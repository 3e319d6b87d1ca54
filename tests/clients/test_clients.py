"""What wallets are made of, against a node of real processes: web3.py, and ethers and viem where Node.js is."""

import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.development import ACCOUNTS
from tests.integration.node_fixture import RunningNode

HERE = Path(__file__).parent
KEYS = [account.private_key for account in ACCOUNTS]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """JSON-RPC of a development node that mines whatever is sent."""
    variables = {"SPEC": "dev", "AUTOMINE": "true"}
    with RunningNode(tmp_path_factory.mktemp("clients") / "node", workers=1, variables=variables) as node:
        yield f"http://127.0.0.1:{node.door.port}/rpc"


@pytest.fixture(scope="module")
def node_modules() -> None:
    """The packages of package-lock.json, exactly."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Node.js and npm are not installed")
    with (HERE / "package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another test process may be installing
        installed = HERE / "node_modules" / ".package-lock.json"
        if installed.exists() and installed.stat().st_mtime >= (HERE / "package-lock.json").stat().st_mtime:
            return
        command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
        found = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=100, check=False)
    if found.returncode:
        message = f"npm cannot install ethers and viem: {found.stderr[-500:]}"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)


def run(*command: str) -> None:
    """Run a client's script; what it says if it fails."""
    found = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=90, check=False)
    assert found.returncode == 0, (found.stdout + found.stderr)[-6000:]


@pytest.mark.parametrize(("script", "owner", "spender"), [("ethers.mjs", 0, 1), ("viem.mjs", 2, 3)])
def test_javascript_libraries(url: str, node_modules: None, script: str, owner: int, spender: int) -> None:
    run("node", script, url, KEYS[owner], KEYS[spender])


def test_web3_py(url: str) -> None:
    if importlib.util.find_spec("web3") is None:
        pytest.skip("web3 is not installed (the extra `test`)")
    # A process of its own: its import takes a second, and warns.
    run(sys.executable, "-P", str(HERE / "web3py.py"), url, KEYS[4], KEYS[5])
