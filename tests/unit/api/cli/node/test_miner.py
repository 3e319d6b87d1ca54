"""`quarry miner`: where the voucher comes from, and that no process shows it among its arguments."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.system.programs import ROOT
from tests.support.cli import refused, run

pytestmark = pytest.mark.usefixtures("own_environment")
SECRET = "qv_0123456789abcdef0123456789abcdef"


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], dict[str, str]]]:
    """Arguments and environment of the program that the command becomes."""
    found: list[tuple[list[str], dict[str, str]]] = []

    def execve(path: str, arguments: list[str], environment: dict[str, str]) -> None:
        found.append((arguments, environment))
        raise SystemExit(0)  # this process would be another program now

    monkeypatch.setattr("os.execve", execve)
    return found


def voucher_file(directory: Path, content: str = SECRET + "\n", mode: int = 0o600) -> Path:
    path = directory / "class.voucher"
    path.write_text(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("way", ["file", "variable", "argument", "code"])
def test_the_voucher_reaches_the_miner_by_its_environment_alone(
    way: str, became: list[tuple[list[str], dict[str, str]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[str | Path] = []
    secret = "ABCDE12345" if way == "code" else SECRET
    if way in ("file", "code"):
        monkeypatch.setenv("QUARRY_VOUCHER", "another")
        given = ["--voucher-file", voucher_file(tmp_path, secret)]
    elif way == "variable":
        monkeypatch.setenv("QUARRY_VOUCHER", f" {SECRET}\n")
    else:
        monkeypatch.setenv("QUARRY_VOUCHER", "another")
        given = ["--voucher", SECRET]
    assert run("miner", "--name", "rig", *given).exit_code == 0
    [(arguments, environment)] = became
    assert environment["QUARRY_VOUCHER"] == secret
    assert not any(secret in item for item in arguments) and "rig" in arguments


def test_bad_vouchers_are_one_sentence_without_the_secret(
    became: list[tuple[list[str], dict[str, str]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused(run("miner"), 2, "set QUARRY_VOUCHER", "--voucher-file")
    both = ("--voucher", SECRET, "--voucher-file", voucher_file(tmp_path))
    refused(run("miner", *both), 2, "give one of them")
    refused(run("miner", "--voucher-file", tmp_path / "none"), 2, "--voucher-file: ", "none")
    refused(run("miner", "--voucher-file", tmp_path), 2, "--voucher-file: ")
    refused(run("miner", "--voucher-file", voucher_file(tmp_path, mode=0o644)), 2, "--voucher-file: ", "others")
    for content in ("", "two words", "qv_\x1b[2J", "q\N{LATIN SMALL LETTER E WITH ACUTE}"):
        result = run("miner", "--voucher-file", voucher_file(tmp_path, content))
        refused(result, 2, "--voucher-file: ")
        result = run("miner", "--voucher", content)
        refused(result, 2, "--voucher: must be one word")
        assert not content or content not in result.stderr
        if content:
            monkeypatch.setenv("QUARRY_VOUCHER", content)
            refused(run("miner"), 2, "QUARRY_VOUCHER: must be one word")
            monkeypatch.delenv("QUARRY_VOUCHER")
    assert became == []


def test_the_program_behind_it_wants_the_variable() -> None:
    command = [
        sys.executable,
        "-m",
        "worker",
        "miner",
        "--url",
        "http://127.0.0.1:1",
        "--name",
        "a",
        "--kernel",
        "plain",
    ]
    done = subprocess.run(
        command, cwd=ROOT, env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 2 and "QUARRY_VOUCHER is not set" in done.stderr
