"""Ctrl-C while a program still loads its code: it ends with 130, silently or in one line, wherever that comes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from services.system.programs import ROOT
from tests.support.commands import environment

# Imported by Python before the program. It has the import of one module wait for the signal.
WAITING = """
import os, sys, time

class Wait:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == os.environ["WAIT_AT"]:
            os.write(2, b"waits\\n")
            while True:
                time.sleep(0.01)

sys.meta_path.insert(0, Wait)
"""
SCRIPT = ["-c", "import re, sys; from api.cli import main; sys.exit(main())"]  # as pip and pipx write `quarry`
PROGRAMS: dict[str, tuple[list[str], list[str]]] = {
    "quarry": (
        [*SCRIPT, "status", "--url", "http://127.0.0.1:1"],
        ["api.cli.terminal", "click", "api.cli.group", "services.system.loading", "api.cli.node.status", "urllib3"],
    ),
    "quarry up": ([*SCRIPT, "up", "--json"], ["api.cli.group", "services.launch", "structlog"]),
    "module": (["-m", "api.cli", "--help"], ["api.cli.terminal", "click"]),
    "lab": (["-m", "lab", "list"], ["api.cli.group", "click", "lab.cli", "lab.runner"]),
    "attack": (["-m", "lab.attack", "--help"], ["lab.attack.cli"]),
    "benchmarks": (["-m", "benchmarks", "none"], ["argparse", "api.cli.terminal", "benchmarks.report"]),
    "worker": (["-m", "worker", "ticker"], ["services.system.loading", "worker.programs", "redis"]),
    "miner": (
        ["-m", "worker", "miner", "--url", "http://127.0.0.1:1", "--name", "rig", "--kernel", "plain"],
        ["worker.programs", "worker.miner.program"],
    ),
}


@pytest.mark.parametrize(
    ("name", "module"), [(name, module) for name, (_, modules) in PROGRAMS.items() for module in modules]
)
def test_ctrl_c_while_a_program_loads_its_code_prints_no_traceback(tmp_path: Path, name: str, module: str) -> None:
    (tmp_path / "sitecustomize.py").write_text(WAITING)
    variables = environment(tmp_path, PYTHONPATH=os.pathsep.join([str(tmp_path), str(ROOT)]), WAIT_AT=module)
    with subprocess.Popen(
        [sys.executable, "-P", *PROGRAMS[name][0]],
        cwd=tmp_path,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=20)
    assert said == "waits\n"
    assert process.returncode == 130 and output == ""
    assert errors in ("", "quarry: Interrupted.\n")
