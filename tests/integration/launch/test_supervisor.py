"""The supervisor: it restarts what has ended, and what it stops leaves nothing, grandchildren included."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from services.launch import children
from services.launch.supervisor import Program, ProgramNotFound, Supervisor
from services.system import processes
from services.system.processes import die_with_parent, started_at
from services.system.programs import ROOT
from tests.support.stopwatch import Stopwatch
from tests.support.waiting import eventually

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="a parent's death is announced by Linux alone")


def processes_of(directory: Path) -> list[int]:
    """Pids of live processes that name `directory` in their command or environment."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            if os.fsencode(directory) in text and int(entry.name) != os.getpid():
                found.append(int(entry.name))
    return found


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path) -> Iterator[None]:
    yield
    left = processes_of(tmp_path)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == []


def sh(name: str, script: str, directory: Path, log: Path | None = None) -> Program:
    return Program(name, ["sh", "-c", script, str(directory)], {"D": str(directory)}, log)


def python(name: str, script: str, directory: Path) -> Program:
    return Program(name, [sys.executable, "-c", script, str(directory)])


def sleeper(name: str, directory: Path) -> Program:
    return sh(name, "sleep 60 & wait", directory)


def written(path: Path) -> int:
    """The pid that a program writes to a file, as soon as it is there."""
    eventually(lambda: path.exists() and path.read_text().endswith("\n"))
    return int(path.read_text())


@contextmanager
def running(programs: Supervisor) -> Iterator[threading.Event]:
    """`start` and `run` in one thread, as a command does."""
    stop = threading.Event()
    started = threading.Event()

    def main() -> None:
        programs.start()
        started.set()
        programs.run(stop)
        programs.stop()

    thread = threading.Thread(target=main)
    thread.start()
    try:
        assert started.wait(10)
        yield stop
    finally:
        stop.set()
        thread.join(20)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


# --- Restarts --------------------------------------------------------------------------------------------------------


def test_the_delay_before_a_restart_doubles_and_a_long_life_resets_it(tmp_path: Path) -> None:
    clock = Clock()
    programs = Supervisor([sh("short", "exit 3", tmp_path)], clock=clock)

    def delay_after(lived: float) -> float:
        eventually(lambda: not programs.programs[0].alive)
        restarts = programs.programs[0].restarts
        clock.now += lived
        programs.tick()  # sees the end
        waited = 0.0
        while programs.programs[0].restarts == restarts:
            assert programs.programs[0].pid is None
            clock.now += 0.1
            waited += 0.1
            programs.tick()
        return round(waited, 1)

    with programs:
        assert [delay_after(lived=0.0) for _ in range(7)] == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 5, 5], abs=0.11)
        assert delay_after(lived=9.0) == pytest.approx(5, abs=0.11)
        assert delay_after(lived=10.0) == pytest.approx(0.2, abs=0.11)
        assert delay_after(lived=0.0) == pytest.approx(0.4, abs=0.11)


def test_a_killed_program_is_started_again_and_the_others_are_left_alone(tmp_path: Path) -> None:
    programs = Supervisor([sleeper("a", tmp_path), sleeper("b", tmp_path)])
    with running(programs):
        a, b = programs.programs
        assert (a.name, a.alive, a.restarts) == ("a", True, 0)
        assert a.pid is not None
        os.kill(a.pid, signal.SIGKILL)
        eventually(lambda: programs.programs[0].restarts == 1)
        again = programs.programs[0]
        assert again.alive
        assert again.pid != a.pid
        assert programs.programs[1] == b
    assert [(status.pid, status.alive) for status in programs.programs] == [(None, False)] * 2


def test_what_a_killed_program_left_is_ended_before_its_restart(tmp_path: Path) -> None:
    # As an RQ worker's horse: a fork in a process group of its own.
    script = (
        "import os, sys, time\n"
        "if os.fork() == 0:\n"
        "    os.setpgrp(); print(os.getpid(), file=open(f'{sys.argv[1]}/{os.getppid()}', 'w'), flush=True)\n"
        "time.sleep(60)\n"
    )
    programs = Supervisor([python("worker", script, tmp_path)])
    with running(programs):
        worker = programs.programs[0].pid
        assert worker is not None
        horse = written(tmp_path / str(worker))
        os.kill(worker, signal.SIGKILL)
        eventually(lambda: programs.programs[0].restarts == 1)
        assert started_at(horse) is None


# --- Stop ------------------------------------------------------------------------------------------------------------


def test_stop_sends_one_sigterm_in_reverse_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = Supervisor([sleeper(name, tmp_path) for name in "abc"])
    programs.start()
    pids = {status.pid: status.name for status in programs.programs}
    sent = []
    kill = os.kill

    def spy(pid: int, signum: int) -> None:
        if signum == signal.SIGTERM:
            sent.append(pids[pid])
        kill(pid, signum)

    monkeypatch.setattr(os, "kill", spy)
    programs.stop()
    assert sent == ["c", "b", "a"]
    programs.stop()
    assert sent == ["c", "b", "a"]


def test_a_program_may_end_in_its_own_time(tmp_path: Path) -> None:
    script = "trap 'sleep 0.3; echo 1 > $D/clean; exit' TERM; echo $$ > $D/ready; while :; do sleep 0.05; done"
    with Supervisor([sh("worker", script, tmp_path)]):
        written(tmp_path / "ready")
    assert (tmp_path / "clean").exists()


def test_a_program_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    programs = Supervisor([sh("deaf", "trap '' TERM; echo $$ > $D/ready; while :; do sleep 0.05; done", tmp_path)])
    programs.start()
    pid = written(tmp_path / "ready")
    watch = Stopwatch(pid)
    programs.stop(timeout=0.3)
    assert watch.passed() >= 0.3 and watch.seconds() < 3
    assert started_at(pid) is None


# A grandchild that ignores SIGTERM, in a session of its own; its parent is still there, or already gone.
DAEMON = """
import os, signal, sys, time
def grandchild():
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print(os.getpid(), file=open(sys.argv[1] + "/grandchild", "w"), flush=True)
    time.sleep(60)
if os.fork() == 0:
    if {orphan} and os.fork() != 0:
        os._exit(0)
    grandchild()
if {orphan}:
    os.wait()
time.sleep(60)
"""


@pytest.mark.parametrize("orphan", [False, pytest.param(True, marks=linux_only)])
def test_stop_ends_a_grandchild_that_left_the_session(tmp_path: Path, orphan: bool) -> None:
    programs = Supervisor([python("parent", DAEMON.format(orphan=orphan), tmp_path)])
    programs.start()
    grandchild = written(tmp_path / "grandchild")
    parent = programs.programs[0].pid
    assert os.getsid(grandchild) == grandchild
    programs.stop()
    assert parent is not None
    assert (started_at(parent), started_at(grandchild)) == (None, None)


def test_stop_ends_a_grandchild_without_parent_and_environment(tmp_path: Path) -> None:
    # setproctitle, which RQ uses where it is installed, overwrites the environment that others can read.
    deaf = "trap '' TERM; echo $$ > $1/grandchild; while :; do sleep 0.05; done"
    script = f'(env -i sh -c "{deaf}" - "$D" &); exec sleep 60'.replace("$$", r"\$\$").replace("$1", r"\$1")
    programs = Supervisor([sh("parent", script, tmp_path)])
    programs.start()
    grandchild = written(tmp_path / "grandchild")
    programs.stop()
    assert started_at(grandchild) is None


@pytest.mark.skipif(shutil.which("ps") is None, reason="the portable process table comes from ps")
def test_stop_ends_a_grandchild_where_there_is_no_proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_has_proc", lambda: False)
    monkeypatch.setattr(processes, "_carries", lambda pid, marks: False)
    programs = Supervisor([python("parent", DAEMON.format(orphan=False), tmp_path)])
    programs.start()
    grandchild = written(tmp_path / "grandchild")
    programs.stop()
    assert started_at(grandchild) is None


def test_stop_spares_our_other_children(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        with Supervisor([sleeper("a", tmp_path)]):
            pass
        assert other.poll() is None
        other.kill()


def test_an_interrupted_stop_still_kills(tmp_path: Path) -> None:
    interruptions = [KeyboardInterrupt]

    def sleep(seconds: float) -> None:
        if interruptions:
            raise interruptions.pop()
        time.sleep(seconds)

    programs = Supervisor(
        [sh("deaf", "trap '' TERM; echo $$ > $D/ready; while :; do sleep 0.05; done", tmp_path)], sleep=sleep
    )
    programs.start()
    pid = written(tmp_path / "ready")
    with pytest.raises(KeyboardInterrupt):
        programs.stop(timeout=30)
    assert started_at(pid) is None


# --- The supervisor's own death --------------------------------------------------------------------------------------


@linux_only
def test_programs_die_with_a_supervisor_that_was_killed(tmp_path: Path) -> None:
    code = (
        "import sys; from services.launch.supervisor import Program, Supervisor; from threading import Event\n"
        "s = Supervisor([Program(n, ['sleep', '60'], {'D': sys.argv[1]}) for n in 'abc'])\n"
        "s.start(); print(*[p.pid for p in s.programs], file=sys.stderr, flush=True); s.run(Event())"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as parent:
        assert parent.stderr is not None
        pids = [int(pid) for pid in parent.stderr.readline().split()]
        # Only once they are `sleep` and no longer the shim: the request must survive the exec.
        eventually(lambda: all(Path(f"/proc/{pid}/comm").read_text() == "sleep\n" for pid in pids))
        parent.kill()
        parent.wait()
    assert len(pids) == 3
    eventually(lambda: [started_at(pid) for pid in pids] == [None] * 3)


@linux_only
@pytest.mark.parametrize("early", [False, True], ids=["before its parent's death", "after it"])
def test_a_fork_can_die_with_its_parent(tmp_path: Path, early: bool) -> None:
    # The fork ignores SIGTERM; `early`: it asks only when its parent is gone already.
    code = (
        "import os, signal, sys, time; from services.system.processes import die_with_parent\n"
        "directory, early = sys.argv[1], sys.argv[2] == 'True'\n"
        "parent = os.getpid()\n"
        "if os.fork() == 0:\n"
        "    while early and os.getppid() == parent: time.sleep(0.01)\n"
        "    print(os.getpid(), file=open(directory + '/early', 'w'), flush=True)\n"
        "    assert die_with_parent(parent)\n"
        "    print(os.getpid(), file=open(directory + '/fork', 'w'), flush=True)\n"
        "elif early: os._exit(0)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(early)], cwd=ROOT) as parent:
        if not early:
            fork = written(tmp_path / "fork")
            assert started_at(fork) is not None
            parent.kill()
        parent.wait()
        fork = written(tmp_path / "early")
        eventually(lambda: started_at(fork) is None)
    assert (tmp_path / "fork").exists() is not early


def test_elsewhere_nothing_is_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "ON_LINUX", False)
    assert die_with_parent(os.getppid()) is False


@linux_only
def test_a_program_whose_supervisor_died_first_does_not_start(tmp_path: Path) -> None:
    command = [sys.executable, "-I", "-S", "-c", children._SHIM, "1", str(int(signal.SIGTERM)), "touch", "started"]
    assert subprocess.run(command, cwd=tmp_path, check=False).returncode == 125
    assert not (tmp_path / "started").exists()


# --- Start -----------------------------------------------------------------------------------------------------------


def test_a_program_gets_its_environment_its_log_and_a_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INHERITED", "yes")
    log = tmp_path / "log"
    log.touch(mode=0o600)
    log.write_text("earlier\n")
    script = 'echo "$INHERITED $D"; echo error >&2; cat; echo $$ > $D/ready; exec sleep 60'
    programs = Supervisor([sh("a", script, tmp_path, log), sh("b", "exec sleep 60", tmp_path, tmp_path / "new")])
    with programs:
        pid = written(tmp_path / "ready")
        assert pid == programs.programs[0].pid
        assert os.getsid(pid) == pid  # Ctrl-C in the terminal is not for it
        assert log.read_text() == f"earlier\nyes {tmp_path}\nerror\n"
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o600


def test_a_missing_program_is_named_before_anything_starts(tmp_path: Path) -> None:
    programs = Supervisor([sleeper("a", tmp_path), Program("b", ["no-such-program"])])
    with pytest.raises(ProgramNotFound, match="program b cannot be started: no-such-program was not found"):
        programs.start()
    assert processes_of(tmp_path) == []


def test_a_start_that_is_interrupted_leaves_no_process() -> None:
    """A signal between the fork and the moment in which the child's pid is noted."""
    begun = []

    def interrupted(*args: Any, **options: Any) -> Any:
        begun.append(children.start_process(*args, **options))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Supervisor([Program("sleeper", ["sleep", "60"])], start=interrupted).start()
    assert started_at(begun[0].pid) is None
    begun[0].wait(5)


def test_if_one_program_cannot_start_none_is_left(tmp_path: Path) -> None:
    programs = Supervisor([sleeper("a", tmp_path), sh("b", "exit", tmp_path, tmp_path / "no-such-directory" / "log")])
    with pytest.raises(FileNotFoundError):
        programs.start()
    assert processes_of(tmp_path) == []
    assert [status.alive for status in programs.programs] == [False, False]


def test_a_restart_that_fails_is_tried_again(tmp_path: Path) -> None:
    clock = Clock()
    (tmp_path / "logs").mkdir()
    programs = Supervisor([sh("a", "exit", tmp_path, tmp_path / "logs" / "log")], clock=clock)
    with programs:
        eventually(lambda: not programs.programs[0].alive)
        shutil.rmtree(tmp_path / "logs")
        for _ in range(3):
            programs.tick()
            clock.now += 1
        assert not programs.programs[0].alive
        (tmp_path / "logs").mkdir()
        clock.now += 5
        programs.tick()
        assert programs.programs[0].restarts == 1
        eventually(lambda: (tmp_path / "logs" / "log").exists())


def test_a_process_is_known_by_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def look() -> None:
        me = started_at(os.getpid())
        assert me is not None
        assert me == started_at(os.getpid())
        with subprocess.Popen(["sleep", "60"]) as process:
            assert started_at(process.pid) is not None
            process.kill()
            eventually(lambda: started_at(process.pid) is None)  # a zombie, not yet reaped
        assert started_at(process.pid) is None

    look()
    if shutil.which("ps") is not None:
        monkeypatch.setattr(processes, "_has_proc", lambda: False)
        look()
