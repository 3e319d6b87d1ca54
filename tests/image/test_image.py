"""The image test is skipped, with the reason as its last line, where the machine cannot run an engine."""

import contextlib
from pathlib import Path

import pytest

from tests.image import __main__ as image_test
from tests.image import engine, machine


def test_the_image_test_is_skipped_without_root(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert image_test.main(["--cache", str(tmp_path)]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "skipped: the cluster was not run on an engine, since an engine of one's own needs root"


def test_the_image_test_is_skipped_where_no_engine_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A machine that cannot run one fails nothing; the reason is the daemon's last line."""
    daemon = tmp_path / "dockerd"
    daemon.write_text("#!/bin/sh\necho starting; echo 'no such device: overlay'; exit 1\n")
    daemon.chmod(0o755)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr(machine, "require", lambda work: None)
    monkeypatch.setattr(machine, "find", lambda name: str(daemon))
    monkeypatch.setattr(machine, "docker", lambda: "no-docker")
    monkeypatch.setattr(machine, "network_restored", contextlib.nullcontext)
    monkeypatch.setattr(engine, "run", raise_failed)
    assert image_test.main(["--cache", str(tmp_path)]) == 0
    assert "dockerd does not start: no such device: overlay" in capsys.readouterr().out.splitlines()[-1]


def raise_failed(*_: object) -> bytes:
    raise engine.Failed("no daemon answers")
