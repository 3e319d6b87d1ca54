"""The units of deploy/systemd: what they start exists, systemd reads them, and their command runs a node."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from api.cli.group import COMMANDS
from services.settings.table import VARIABLES, load
from services.system.programs import ROOT
from tests.support.commands import environment, get
from tests.support.servers import free_ports
from tests.support.waiting import eventually

UNITS = ROOT / "deploy" / "systemd"
SERVICES = ("quarry.service", "quarry-miner@.service")
PROGRAM = "/opt/quarry/bin/quarry"


def unit(name: str) -> dict[str, list[str]]:
    """The settings of a unit's sections; each may be there several times."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in (UNITS / name).read_text("utf-8").splitlines():
        if line and not line.startswith(("#", "[")):
            key, _, value = line.partition("=")
            found[key].append(value)
    return found


def settings_of(name: str) -> dict[str, str]:
    """The lines of an environment file, those that are comments by default too."""
    lines = (UNITS / name).read_text("utf-8").splitlines()
    return dict(line.lstrip("#").split("=", 1) for line in lines if re.match(r"#?QUARRY_", line))


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_unit_starts_exists(name: str) -> None:
    found = unit(name)
    [command] = found["ExecStart"]
    program, *arguments = shlex.split(command)
    assert program == PROGRAM and arguments[0] in COMMANDS
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    assert f"{Path(PROGRAM).parent}/pip install" in page, "the page installs what the unit starts"
    for setting in (part for value in found["Environment"] for part in shlex.split(value)):
        variable = setting.partition("=")[0]
        assert variable in VARIABLES or variable in ("HOME", "NUMBA_CACHE_DIR")
    assert found["RestartPreventExitStatus"] == ["2"], "a wrong setting stays wrong"
    assert {path.name for path in UNITS.glob("*.service")} == set(SERVICES)


def test_the_settings_of_the_node_can_be_used() -> None:
    settings = settings_of("node.env")
    assert set(settings) <= set(VARIABLES) and len(settings) >= 5
    loaded = load(settings)
    assert loaded.spec.name == "network" and loaded.public_url == settings["QUARRY_PUBLIC_URL"]


ANALYZE = shutil.which("systemd-analyze")


@pytest.mark.skipif(ANALYZE is None, reason="there is no systemd on this machine")
def test_systemd_reads_the_units(tmp_path: Path) -> None:
    """With a program that exists, since systemd asks for one."""
    assert ANALYZE is not None
    for name in SERVICES:
        text = (UNITS / name).read_text("utf-8")
        (tmp_path / name).write_text(text.replace(PROGRAM, sys.executable))
    found = subprocess.run(
        [ANALYZE, "verify", "--man=no", *(str(tmp_path / name) for name in SERVICES)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (found.returncode, found.stdout + found.stderr) == (0, "")


@pytest.mark.slow
def test_the_command_of_the_unit_runs_a_node_and_ends_at_sigterm(tmp_path: Path) -> None:
    found = unit("quarry.service")
    api, rpc = free_ports(2)
    own = dict(part.split("=", 1) for value in found["Environment"] for part in shlex.split(value))
    assert own.pop("HOME") == own["QUARRY_DATA_DIR"] == "/var/lib/quarry"
    variables = {
        **environment(tmp_path / "unused"),
        "HOME": str(tmp_path),
        "QUARRY_DATA_DIR": str(tmp_path / "data"),
        "QUARRY_SPEC": settings_of("node.env")["QUARRY_SPEC"],
        "QUARRY_PORT": str(api),
        "QUARRY_RPC_PORT": str(rpc),
    }
    del variables["QUARRY_DATA_HOME"]  # would take precedence
    command = [sys.executable, "-P", "-m", "api.cli", *shlex.split(found["ExecStart"][0])[1:]]
    variables["PYTHONPATH"] = os.pathsep.join([str(ROOT), variables.get("PYTHONPATH", "")])
    with subprocess.Popen(command, cwd=tmp_path, env=variables, stdin=subprocess.DEVNULL) as process:
        try:
            status = eventually(lambda: get(f"http://127.0.0.1:{api}/status"), 60)
            assert status["spec"] == "network"
            assert (tmp_path / "data/network/node1/logs").is_dir(), "where the page says that the logs are"
        finally:
            process.send_signal(signal.SIGTERM)  # as KillMode=mixed does
            code = process.wait(float(found["TimeoutStopSec"][0]))
    assert str(code) in ("0", *found["SuccessExitStatus"]), "else systemd would call the unit failed"
