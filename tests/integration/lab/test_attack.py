"""The shop of docs/lab.md is attacked: in a lab of its own, and in one that runs already."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from services.system.programs import ROOT, module_command
from tests.support.lab_up import running

ADDRESS = "0x00000000000000000000000000000000DeaDBeef"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The shop, as the page has it."""
    page = (ROOT / "docs" / "lab.md").read_text()
    path = tmp_path / "shop.py"
    path.write_text(page.partition("```python\n")[2].partition("```")[0])
    return path


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def attack(directory: Path, port: int, depth: int, *command: str) -> tuple[int, dict[str, tuple[bool, float | None]]]:
    done = subprocess.run(
        module_command(
            "api.cli", "attack", "double-spend", "--against", f"http://127.0.0.1:{port}/payments/{{id}}",
            "--depth", str(depth), "--pay-to", ADDRESS, "--wait", "2", "--json", "--data-dir", str(directory), *command,
        ),
        cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=500,
    )  # fmt: skip
    found = json.loads(done.stdout.splitlines()[-1])
    return done.returncode, {each["claim"]: (each["held"], each["value"]) for each in found["verdicts"]}


def test_the_shop_is_started_attacked_and_ended(tmp_path: Path, shop: Path) -> None:
    port = free_port()
    code, verdicts = attack(tmp_path, port, 3, "--", sys.executable, str(shop), str(port))
    assert code == 1
    assert verdicts == {
        "the application does not believe a payment with up to 3 confirmations": (False, 2),
        "the payment was undone": (True, None),
        "the application notices within 2 s that the payment has gone": (True, None),
        "the application answered every question as agreed": (True, 0),
    }
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 1).close()


def test_a_lab_that_runs_is_joined_again_and_again(tmp_path: Path, shop: Path) -> None:
    with running(tmp_path, "--nodes", "3", "--hash-rate", "8M"):
        recording = next(tmp_path.glob("*.jsonl"))
        found = json.loads((tmp_path / "up.json").read_text())
        node = found["nodes"]["2"]
        for trusted in (0, 1, 3):
            port = free_port()
            program = subprocess.Popen(
                [sys.executable, str(shop), str(port), str(trusted)],
                env={**os.environ, "QUARRY_URL": node}, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            try:
                code, verdicts = attack(tmp_path, port, 2)
            finally:
                program.kill()
                program.wait()
            believed = None if trusted > 2 else trusted
            assert verdicts["the application does not believe a payment with up to 2 confirmations"] == (
                believed is None, believed
            )  # fmt: skip
            assert code == (0 if believed is None else 1)
            assert believed is None or verdicts["the payment was undone"][0]
        assert '"groups":[[1],[2,3]]' in recording.read_text()
