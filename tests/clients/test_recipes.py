"""The recipes of docs/develop.md run as they stand, each against a node of its own."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.system.programs import ROOT
from tests.clients.packages import HERE, npm
from tests.support.running import RunningNode

_RECIPE = re.compile(r"<!-- recipe: (?P<name>[^>]+) -->\n```[a-z]+\n(?P<text>.*?)\n```\n", re.DOTALL)
RECIPES = {
    found["name"]: found["text"] + "\n" for found in _RECIPE.finditer((ROOT / "docs" / "develop.md").read_text("utf-8"))
}
HARDHAT = ("hardhat@2", "@nomicfoundation/hardhat-network-helpers@1")


def test_every_recipe_is_run() -> None:
    assert set(RECIPES) == {"ethers", "viem", "web3.py", "Hardhat configuration", "Hardhat", "Foundry"}


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with RunningNode(tmp_path / "node", workers=1, variables={"SPEC": "dev", "AUTOMINE": "true"}) as node:
        yield f"http://127.0.0.1:{node.door.port}/rpc"


def run(directory: Path, url: str, *command: str, path: str = "") -> None:
    """Run a recipe; what it says if it fails."""
    environment = os.environ | {"RPC_URL": url, "PATH": os.pathsep.join(filter(None, (path, os.environ["PATH"])))}
    found = subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert found.returncode == 0, (found.stdout + found.stderr)[-6000:]


@pytest.mark.parametrize("name", ["ethers", "viem"])
def test_javascript(tmp_path: Path, url: str, node_modules: None, name: str) -> None:
    (tmp_path / "node_modules").symlink_to(HERE / "node_modules")
    (tmp_path / "recipe.mjs").write_text(RECIPES[name])
    run(tmp_path, url, "node", "--test", "recipe.mjs")


def test_web3_py(tmp_path: Path, url: str) -> None:
    (tmp_path / "recipe.py").write_text(RECIPES["web3.py"])
    run(
        tmp_path,
        url,
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:randomly",
        "-p",
        "no:xdist",
        "-W",
        "ignore",
        "recipe.py",
    )


def hardhat(directory: Path) -> None:
    """Hardhat in a directory. It has 300 MB: fetched only where that is asked for, as .ci/run does."""
    if not os.environ.get("TEST_HARDHAT") or shutil.which("npm") is None:
        pytest.skip("Hardhat is not asked for")
    npm(directory, "install", *HARDHAT)
    (directory / "hardhat.config.cjs").write_text(RECIPES["Hardhat configuration"])


def test_hardhat(tmp_path: Path, url: str) -> None:
    """The recipe; then every helper of hardhat-network-helpers."""
    hardhat(tmp_path)
    (tmp_path / "recipe.cjs").write_text(RECIPES["Hardhat"])
    run(tmp_path, url, "npx", "hardhat", "run", "--no-compile", "recipe.cjs", "--network", "quarry")
    shutil.copy(HERE / "hardhat_helpers.cjs", tmp_path)
    run(tmp_path, url, "npx", "hardhat", "run", "--no-compile", "hardhat_helpers.cjs", "--network", "quarry")


def test_foundry(tmp_path: Path, url: str, cast: str) -> None:
    if shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    (tmp_path / "recipe.sh").write_text(RECIPES["Foundry"])
    run(tmp_path, url, "sh", "recipe.sh", path=str(Path(cast).parent))
