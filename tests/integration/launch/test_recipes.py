"""The programs on docs/testing-with-quarry.md do what the page says."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.system.programs import ROOT, module_path
from tests.support.commands import forked_quarry
from tests.support.processes import linux_only, processes_of
from tests.support.waiting import eventually

PAGE = (ROOT / "docs" / "testing-with-quarry.md").read_text("utf-8")
AS_USERS_DO = (sys.executable, "-P", "-m", "api.cli")
FAKE = (sys.executable, "-P", str(ROOT / "tests" / "support" / "fake_quarry.py"))


def block(language: str, mark: str) -> str:
    """The one program of the page that holds `mark`."""
    found = [text for text in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) if mark in text]
    assert len(found) == 1, (mark, len(found))
    return str(found[0])


NODE = block("python", "with QuarryNode() as node")
NETWORK = block("python", "while second.status()")
PARTED = block("python", "network.partition([1], [2])")
SESSION = block("python", "def test_a_block(quarry_node)")
ALONE = block("python", "def test_two_blocks(quarry)")
CONFTEST = block("python", "def quarry_node(quarry_command)")
HELPER = block("javascript", "export async function startQuarry")
NODE_TEST = block("javascript", "node:test")
VITEST = block("javascript", "provide('rpcUrl'")
JEST = block("javascript", "globalThis.quarry = await")
JEST_END = block("javascript", "await globalThis.quarry.stop()")


@pytest.fixture
def shell(tmp_path: Path) -> "Shell":
    return Shell(tmp_path)


class Shell:
    """A directory with the page's programs, and `quarry` on the path."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.bin = directory / "bin"
        self.bin.mkdir()
        self.have(forked_quarry())

    def have(self, command: tuple[str, ...]) -> None:
        """What `quarry` is."""
        script = self.bin / "quarry"
        script.write_text(f'#!/bin/sh\nQUARRY_KERNEL=plain exec {shlex.join(command)} "$@"\n')
        script.chmod(0o755)

    def run(self, *command: str, code: int = 0) -> str:
        """What a command prints that must end with the exit code `code`."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("QUARRY_")}
        path = {"PATH": f"{self.bin}:{os.environ['PATH']}", "TMPDIR": str(self.directory)}
        found = subprocess.run(
            command,
            cwd=self.directory,
            env={**inherited, **module_path(os.environ), **path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert found.returncode == code, found.stdout + found.stderr
        return found.stdout

    def pytest(self, text: str) -> None:
        (self.directory / "test_it.py").write_text(text)
        (self.directory / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
        plugins = ("-p", "quarrynode.plugin", "-p", "no:randomly", "-p", "no:cacheprovider")
        output = self.run(sys.executable, "-P", "-m", "pytest", *plugins, "-n", "0", "-q")
        assert f"{text.count('def test_')} passed" in output

    def node(self, *arguments: str, **files: str) -> str:
        if shutil.which("node") is None:
            pytest.skip("Node.js is not installed")
        for name, text in {"quarry": HELPER, **files}.items():
            (self.directory / f"{name.replace('_', '.')}.mjs").write_text(text)
        return self.run("node", *arguments)


@linux_only
def test_python_and_no_process_outlives_a_test_that_is_killed(shell: Shell) -> None:
    shell.have(AS_USERS_DO)
    killed = f"{NODE}\n    import os\n    print(node.logs)\n    os.kill(os.getpid(), 9)\n"
    assert shell.run(sys.executable, "-P", "-u", "-c", killed, code=-9).endswith("/dev/node1/logs\n")
    eventually(lambda: not processes_of(shell.directory), what="the end of every process")


@pytest.mark.parametrize("program", [pytest.param(NETWORK, marks=pytest.mark.slow), PARTED], ids=["whole", "parted"])
def test_a_network_in_python(shell: Shell, program: str) -> None:
    shell.run(sys.executable, "-P", "-c", program)
    assert processes_of(shell.directory) == {}


def test_pytest_with_one_node_for_all_tests_and_for_one_alone(shell: Shell) -> None:
    (shell.directory / "conftest.py").write_text(CONFTEST)
    shell.pytest(f"{ALONE}\n\n{SESSION}")
    assert processes_of(shell.directory) == {}


def test_the_runner_of_node(shell: Shell) -> None:
    output = shell.node("--test", "--test-reporter=tap", "chain.test.mjs", chain_test=NODE_TEST)
    assert "# pass 1\n" in output
    assert processes_of(shell.directory) == {}


USE_SETUPS = """
import vitest from './vitest.mjs'
import setup from './jest.mjs'
import teardown from './teardown.mjs'
import { startQuarry } from './quarry.mjs'

const provided = {}
const stop = await vitest({ provide: (name, value) => { provided[name] = value } })
await stop()
await setup()
const url = process.env.RPC_URL
await teardown()
const failures = []
for (const [options, settings] of [[['--fail'], {}], [[], { command: 'no-such-quarry' }], [[], { timeout: 1 }]]) {
  await startQuarry(options, settings).catch((error) => failures.push(error.message))
}
console.log(JSON.stringify({ provided: provided.rpcUrl, url, failures }))
"""


def test_the_setups_of_vitest_and_jest(shell: Shell) -> None:
    shell.have(
        ("sh", "-c", f'case "$*" in *--fail*) echo "No." >&2; exit 2;; esac; exec {shlex.join(FAKE)} "$@"', "sh")
    )
    found = json.loads(shell.node("use.mjs", use=USE_SETUPS, vitest=VITEST, jest=JEST, teardown=JEST_END))
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/rpc", found["provided"])
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/rpc", found["url"])
    assert found["failures"] == [
        "quarry ended with exit code 2\nNo.\n",
        "no-such-quarry cannot be started: spawn no-such-quarry ENOENT",
        "no node within 1 ms\n",
    ]
    assert [name for name in os.listdir(shell.directory) if name.startswith("quarry-")] == []
    assert processes_of(shell.directory) == {}


def test_the_workflows_are_workflows() -> None:
    workflows: list[Any] = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
    assert len(workflows) == 2
    for workflow in workflows:
        assert set(workflow) == {"name", True, "jobs"}, "YAML 1.1 reads `on` as a truth value; GitHub does not"
        for job in workflow["jobs"].values():
            assert job["timeout-minutes"] and job["runs-on"]
            assert all(("run" in step) != ("uses" in step) for step in job["steps"])
            for step in job["steps"]:
                if "run" in step:
                    subprocess.run(["bash", "-n", "-c", step["run"]], check=True)
