"""Quarry without a checkout: its wheel, installed into an empty virtual environment, is a whole node.

Building and installing need the package index, as `make` does. Not part of `make test`: it takes about a minute.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.system.about import VERSION
from services.system.programs import ROOT
from tests.support.commands import environment
from tests.support.http import Client, SocketDoor

ROOMS = ("shared", "services", "worker", "api", "lab", "quarrynode")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def test_the_wheel_has_every_room_and_a_name_that_is_free() -> None:
    assert tuple(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) == ROOMS
    assert PROJECT["project"]["name"] == "quarry-ledger", "`quarry` is another project's name on PyPI"
    assert PROJECT["project"]["scripts"] == {"quarry": "api.cli:main"}
    found = re.findall(r"pipx install|uv tool install|pip install", (ROOT / "README.md").read_text("utf-8"))
    assert {"pipx install", "uv tool install"} <= set(found), "the README says how to install without a checkout"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the repository's address, as `pipx install git+…` does, so only what is committed is in it."""
    directory = tmp_path_factory.mktemp("wheel")
    said = run("-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", directory, f"git+file://{ROOT}")
    [found] = directory.glob("*.whl")
    assert found.name == f"quarry_ledger-{VERSION}-py3-none-any.whl", said
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the programs of an empty environment with the wheel and what it needs."""
    directory = tmp_path_factory.mktemp("empty")
    run("-m", "venv", directory / "venv")
    run("-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel, python=directory / "venv/bin/python")
    return directory / "venv/bin"


def run(*arguments: str | Path, python: str | Path = sys.executable) -> str:
    found = subprocess.run(
        [python, *arguments], cwd="/", env=clean(), capture_output=True, text=True, timeout=600, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


def clean() -> dict[str, str]:
    """This process's environment without ways to our checkout."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}


@pytest.mark.slow
def test_every_file_of_the_product_is_in_the_wheel(wheel: Path) -> None:
    listed = subprocess.run(["git", "ls-files", *ROOMS], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == set(listed.splitlines())


@pytest.fixture(scope="module")
def node(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """`quarry up` of the empty environment, outside of any checkout."""
    home = tmp_path_factory.mktemp("home")
    own = environment(home)
    del own["QUARRY_KERNEL"]  # as installed: the fast kernel is an extra
    own.pop("PYTHONPATH", None)
    command = [installed / "quarry", "up", "--json", "--port", "0", "--workers", "1"]
    with subprocess.Popen(
        command, cwd=home, env=own, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, "`quarry up` ended"
            yield {**json.loads(line), "environment": own, "home": home}
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) in (0, 143)


@pytest.mark.slow
def test_it_mines_and_pays_and_shows_its_pages(node: dict[str, Any], installed: Path) -> None:
    def quarry(*arguments: str) -> str:
        found = subprocess.run(
            [installed / "quarry", *arguments],
            cwd=node["home"],
            env=node["environment"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert found.returncode == 0, found.stdout + found.stderr
        return found.stdout

    [running] = node["nodes"]
    url = running["url"]
    assert VERSION in quarry("--version")
    quarry("wallet", "new", "alice")
    quarry("mine", "--url", url)
    quarry("send", "--from", "node", "--to", "alice", "0.5", "--wait", "--url", url)
    assert "The chain is valid" in quarry("chain", "verify", "--url", url)
    client = Client(SocketDoor(int(url.rpartition(":")[2])))
    page = client.get("/").body.decode()
    links = re.findall(r'(?:src|href)="(/[^"]*\.(?:css|js|svg))(?=["?])', page + client.get("/docs").body.decode())
    assert len(links) >= 4
    for path in {"/mining", "/network", "/learn", "/metrics", "/openapi.json", *links}:
        assert client.get(path).status == 200, path
