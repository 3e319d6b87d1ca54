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

import click
import pytest

from api.cli.group import COMMANDS, INTERRUPTED, USAGE, quarry
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


# What the units may say: each directive in its section, and what a value of it looks like (systemd.exec(5)).
YES, NAME, PATH = r"yes|no", r"[a-z][a-z-]*", r"/[A-Za-z0-9@%i/._-]+"
DIRECTIVES = {
    "Unit": {"Description": r".+", "Wants": r"[a-z-]+\.target", "After": r"([a-z-]+\.target ?)+"},
    "Service": {
        "Type": r"exec|notify|simple", "User": NAME, "Group": NAME, "DynamicUser": YES, "EnvironmentFile": rf"-?{PATH}",
        "Environment": rf"([A-Z_]+={PATH} ?)+", "StateDirectory": NAME, "StateDirectoryMode": r"0[0-7]{3}",
        "CacheDirectory": NAME, "WorkingDirectory": PATH, "ExecStart": rf"{PATH}( [a-z-]+)+", "UMask": r"0[0-7]{3}",
        "KillMode": r"mixed|control-group", "TimeoutStopSec": r"[0-9]+", "SuccessExitStatus": r"[0-9]+",
        "Restart": r"on-failure|always", "RestartSec": r"[0-9]+", "RestartPreventExitStatus": r"[0-9]+",
        "LimitNOFILE": r"[0-9]+", "NoNewPrivileges": YES, "ProtectSystem": r"strict", "ProtectHome": YES,
        "PrivateTmp": YES, "PrivateDevices": YES, "ProtectKernelTunables": YES, "ProtectKernelModules": YES,
        "ProtectControlGroups": YES, "RestrictNamespaces": YES, "LockPersonality": YES,
        "RestrictAddressFamilies": r"(AF_[A-Z0-9]+ ?)+",
    },
    "Install": {"WantedBy": r"[a-z-]+\.target"},
}  # fmt: skip


@pytest.mark.parametrize("name", SERVICES)
def test_each_line_is_one_that_systemd_knows(name: str) -> None:
    """On a machine without systemd too, where the test below is skipped."""
    section, seen = "", set()
    for line in (UNITS / name).read_text("utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            section = line.strip("[]")
            assert line == f"[{section}]" and section in DIRECTIVES
            continue
        key, equals, value = line.partition("=")
        assert equals and re.fullmatch(DIRECTIVES[section][key], value), line
        assert (section, key) not in seen, f"{key} is there twice"
        seen.add((section, key))
    assert {"ExecStart", "NoNewPrivileges", "ProtectSystem"} <= {key for _, key in seen}


@pytest.mark.parametrize("name", SERVICES)
def test_the_command_takes_the_options_that_a_unit_gives_it(name: str) -> None:
    _, command, *arguments = shlex.split(unit(name)["ExecStart"][0])
    found = quarry.get_command(click.Context(quarry), command)
    assert found is not None
    found.make_context(command, arguments)  # refuses unknown options and values


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_unit_writes_is_in_the_directories_that_systemd_makes(name: str) -> None:
    """The rest of the disk can only be read (ProtectSystem), and the page installs what is read."""
    found = unit(name)
    made = {f"/var/lib/{item}" for item in found["StateDirectory"]}
    made |= {f"/var/cache/{item}" for item in found["CacheDirectory"]}
    own = dict(part.split("=", 1) for value in found["Environment"] for part in shlex.split(value))
    assert {*own.values(), *found["WorkingDirectory"]} <= made
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    for file in found["EnvironmentFile"]:
        assert file.removeprefix("-") in page
    for user in found["User"]:
        assert f"--home-dir {own['HOME']} --shell /usr/sbin/nologin {user}\n" in page
    assert int(found["RestartPreventExitStatus"][0]) == USAGE
    assert found["SuccessExitStatus"] in ([], [str(INTERRUPTED)])
    assert "/usr/bin/python3 -m venv" in page, "ProtectHome hides a Python in a home directory"


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
