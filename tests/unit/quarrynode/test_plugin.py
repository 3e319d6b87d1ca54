"""The fixtures for pytest, in a pytest of their own."""

import os
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from services.system.programs import ROOT, module_path
from tests.unit.quarrynode.conftest import FAKE, Fake

PLUGINS = ("-p", "quarrynode.plugin", "-p", "no:randomly", "-p", "no:cacheprovider")
COMMAND = shlex.join(FAKE)
TWO_TESTS = """
def test_first(quarry):
    assert quarry.status()["height"] == 1
    quarry.mine(2)

def test_second(quarry, quarry_node):
    assert quarry is quarry_node
    assert quarry.status()["height"] == 1
"""


def pytest_in(
    directory: Path, fake: Fake, text: str, *arguments: str, mode: str = "", others: bool = False
) -> tuple[int, str]:
    """Exit code and output of pytest on one test file.

    Args:
        others: with the plugins of everyone else that are installed here, too. Loading them takes half a second.
    """
    (directory / "test_it.py").write_text(text)
    ini = directory / "pytest.ini"
    if not ini.exists():
        ini.write_text("[pytest]\nfilterwarnings = error\n")
    beside = ("-n", "0") if others else ()
    loaded = {} if others else {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    found = subprocess.run(
        [sys.executable, "-P", "-m", "pytest", *PLUGINS, *beside, "-q", *arguments],
        cwd=directory,
        env={**os.environ, **module_path(os.environ), **fake.environment(mode), **loaded},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return found.returncode, found.stdout + found.stderr


def test_a_test_leaves_nothing_to_the_next(tmp_path: Path, fake: Fake) -> None:
    code, output = pytest_in(tmp_path, fake, TWO_TESTS, "--quarry-command", COMMAND, others=True)
    assert (code, "2 passed" in output) == (0, True), output


def test_the_command_may_be_in_the_configuration(tmp_path: Path, fake: Fake) -> None:
    (tmp_path / "pytest.ini").write_text(f"[pytest]\nquarry_command = {COMMAND}\n")
    code, output = pytest_in(tmp_path, fake, TWO_TESTS)
    assert (code, "2 passed" in output) == (0, True), output


def test_a_project_may_start_its_own_node(tmp_path: Path, fake: Fake) -> None:
    (tmp_path / "conftest.py").write_text(
        "import pytest\nfrom quarrynode import QuarryNode\n\n"
        "@pytest.fixture(scope='session')\ndef quarry_node(quarry_command):\n"
        "    with QuarryNode(quarry_command, accounts=3) as node:\n        yield node\n"
    )
    code, output = pytest_in(tmp_path, fake, TWO_TESTS, "--quarry-command", COMMAND)
    assert (code, "2 passed" in output) == (0, True), output
    assert fake.log()["arguments"][-2:] == ["--accounts", "3"]


def test_a_node_without_snapshots_isolates_nothing_and_says_so(tmp_path: Path, fake: Fake) -> None:
    code, output = pytest_in(tmp_path, fake, TWO_TESTS, "--quarry-command", COMMAND, mode="no snapshots")
    assert code == 1
    assert "This node has no snapshots: use the fixture quarry_node." in output
    assert "2 errors" in output


def test_a_command_that_is_missing_is_an_error_of_the_fixture(tmp_path: Path, fake: Fake) -> None:
    code, output = pytest_in(tmp_path, fake, TWO_TESTS, "--quarry-command", "no-such-quarry")
    assert code == 1
    assert "The command no-such-quarry was not found" in output


def test_it_is_installed_by_the_name_of_its_module() -> None:
    """pytest refuses a plugin that it has under two names, as with `-p quarrynode.plugin` in an installed Quarry."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["pytest11"] == {"quarrynode.plugin": "quarrynode.plugin"}


@pytest.mark.parametrize("name", ["quarrynode", "quarrynode.plugin"])
def test_loading_it_loads_nothing_that_takes_time(name: str) -> None:
    """It is loaded in every pytest of an environment that Quarry is installed in."""
    code = f"import sys, pytest; before = set(sys.modules)\nimport {name}; print(*sorted(set(sys.modules) - before))"
    found = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={**os.environ, **module_path(os.environ)},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    modules = found.stdout.split()
    assert "quarrynode" in modules
    assert not {"flask", "redis", "click", "shared", "services", "api"} & set(modules)
