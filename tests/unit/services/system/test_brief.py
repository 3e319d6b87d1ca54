"""Work in a process that ends at once."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from services.errors import BadSettings, StoreUnavailable
from services.system.brief import in_brief_process

REFUSALS = (BadSettings, StoreUnavailable)
forks = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only there another process is used")


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The threads of the tests do nothing here."""
    monkeypatch.setattr(threading, "active_count", lambda: 1)


def note_pid(path: Path) -> None:
    with path.open("a") as file:
        file.write(f"{os.getpid()}\n")


@forks
def test_the_work_is_done_once_and_by_another_process(tmp_path: Path) -> None:
    in_brief_process(lambda: note_pid(tmp_path / "pids"), REFUSALS)
    [pid] = map(int, (tmp_path / "pids").read_text().split())
    assert pid != os.getpid()
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # it has ended, and was waited for


@forks
def test_a_refusal_is_raised_here_and_nothing_is_done_twice(tmp_path: Path) -> None:
    def work() -> None:
        note_pid(tmp_path / "pids")
        raise StoreUnavailable("No Redis answers: “x”.")

    with pytest.raises(StoreUnavailable, match=r"No Redis answers: “x”\."):
        in_brief_process(work, REFUSALS)
    assert len((tmp_path / "pids").read_text().split()) == 1


@forks
@pytest.mark.parametrize("how", ["raises", "dies"])
def test_another_failure_is_met_here(tmp_path: Path, how: str) -> None:
    ours = os.getpid()

    def work() -> None:
        note_pid(tmp_path / "pids")
        if how == "dies" and os.getpid() != ours:
            os._exit(3)
        if how == "raises":
            raise KeyError("x")

    if how == "raises":
        with pytest.raises(KeyError):
            in_brief_process(work, REFUSALS)
    else:
        in_brief_process(work, REFUSALS)
    theirs, here = map(int, (tmp_path / "pids").read_text().split())
    assert theirs != ours == here


def test_beside_threads_it_is_done_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "active_count", lambda: 2)
    in_brief_process(lambda: note_pid(tmp_path / "pids"), REFUSALS)
    assert (tmp_path / "pids").read_text().split() == [str(os.getpid())]
