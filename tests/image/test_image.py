"""The image test is skipped, with the reason as its last line, where the machine cannot run an engine."""

import contextlib
import os
import sys
from pathlib import Path

import pytest

from tests.image import __main__ as image_test
from tests.image import base, engine, machine


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


@pytest.mark.skipif(sys.platform != "linux", reason="the test needs Linux")
def test_ports_that_are_taken_later_are_not_given_to_others_meanwhile() -> None:
    names = ["NODE1_PORT", "NODE2_PORT", "NODE3_PORT"]
    given = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = [int(port) for port in machine.free_ports(names).values()]
    assert len(set(ports)) == len(names) and all(10_000 <= port < given for port in ports)


@pytest.mark.parametrize("text", ["1024 65535", None])
def test_where_the_system_gives_all_ports_any_is_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None
) -> None:
    monkeypatch.setattr(machine, "_GIVEN", tmp_path / "range")
    if text is not None:
        (tmp_path / "range").write_text(text)
    assert len(set(machine.free_ports(["A", "B"]).values())) == 2


def test_pip_looks_through_the_wheels_again_once_anything_has_changed(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    lock, wheel, file = tmp_path / "a.lock", tmp_path / "wheels" / "a.whl", tmp_path / "base.tar"
    for each in (lock, wheel, file):
        each.write_text("1")

    def now() -> str:
        return base.looked_through([lock], wheel.parent, file)

    seen = [now()]
    assert now() == seen[0]
    lock.write_text("2")
    seen.append(now())
    wheel.write_text("22")
    seen.append(now())
    wheel.rename(wheel.with_name("b.whl"))
    seen.append(now())
    os.utime(file, (1, 1))
    seen.append(now())
    assert len(set(seen)) == 5


def raise_failed(*_: object) -> bytes:
    raise engine.Failed("no daemon answers")
