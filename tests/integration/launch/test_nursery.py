"""The nursery: its children are as processes that the system started, and it does not outlive its owner."""

import json
import os
import random
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from services.launch.children import Child, Start, start_process
from services.launch.nursery import AVAILABLE, Nursery
from services.launch.supervisor import Program, Supervisor
from services.system.processes import processes, started_at
from services.system.programs import ROOT, module_command, scrubbed
from tests.support.commands import launched
from tests.support.processes import alive, children, linux_only, processes_of
from tests.support.said import listen
from tests.support.waiting import eventually

pytestmark = [linux_only, pytest.mark.skipif(not AVAILABLE, reason="this Python has no os.pidfd_open")]

SMALL = "tests.support.small_nursery"
# A module of the standard library that runs a line of Python.
RUN = ("timeit", "-n", "1", "-r", "1")
FOREVER = "import time; print('up', flush=True); time.sleep(60)"


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    nursery = Nursery(SMALL, environment=scrubbed(os.environ))
    yield nursery
    pid = nursery.pid
    nursery.close()
    assert pid is None or not alive(pid)


@pytest.fixture
def lost_nursery() -> Iterator[Nursery]:
    """One that the test may lose."""
    nursery = Nursery(SMALL, environment=scrubbed(os.environ))
    yield nursery
    nursery.close()


def start(how: Start, log: Path, *command: str, directory: Path | None = None, **variables: str) -> Child:
    with log.open("ab") as output:
        environment = {**scrubbed(os.environ), **variables}
        return how(
            module_command(*command), environment=environment, output=output.fileno(), directory=directory or ROOT
        )


def running(how: Start, log: Path, code: str = FOREVER) -> Child:
    """A program that has begun to run."""
    child = start(how, log, *RUN, code)
    eventually(lambda: "up" in log.read_text(), 20)
    return child


def test_a_child_finds_what_an_ordinary_process_finds(nursery: Nursery, tmp_path: Path) -> None:
    found: list[dict[str, Any]] = []
    for how in (nursery, start_process):
        log = tmp_path / "log"
        child = start(how, log, "tests.support.looking", "a", "b c", directory=tmp_path, MINE="1", _QUARRY_CHILD="x")
        assert child.wait(20) == child.returncode == child.poll() == 3
        first, second = log.read_text().splitlines()
        assert second == "an error"
        found.append(json.loads(first))
        log.unlink()
    ours, theirs = found
    assert isinstance(nursery, Nursery) and nursery.pid is not None, "it was forked"
    assert ours == theirs
    assert list(ours["files"]) == ["0", "1", "2"] and ours["leads"] and ours["environment"]["MINE"] == "1"


def test_two_children_share_neither_variables_nor_random_numbers(nursery: Nursery, tmp_path: Path) -> None:
    code = "import os, random, secrets; print(os.environ.get('ONE'), random.random(), secrets.token_hex(8))"
    logs = [tmp_path / "one", tmp_path / "two"]
    for log, variables in zip(logs, ({"ONE": "1"}, {}), strict=True):
        assert start(nursery, log, *RUN, code, **variables).wait(20) == 0
    one, two = (log.read_text().splitlines()[0].split() for log in logs)
    assert [one[0], two[0]] == ["1", "None"]
    assert len({one[1], two[1], str(random.random())}) == 3 and one[2] != two[2]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_signals_end_it_as_they_end_an_ordinary_process(
    nursery: Nursery, tmp_path: Path, number: signal.Signals
) -> None:
    ends = []
    for name, how in (("forked", nursery), ("ordinary", start_process)):
        child = running(how, tmp_path / name)
        assert not child.has_exited() and child.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(0)
        child.send_signal(number)
        code = child.wait(20)
        ends.append((code, "KeyboardInterrupt" in (tmp_path / name).read_text()))
        child.send_signal(number)  # to nobody
    assert ends[0] == ends[1]


def test_its_pid_stays_its_own_until_it_is_reaped(nursery: Nursery, tmp_path: Path) -> None:
    child = start(nursery, tmp_path / "log", *RUN, "pass")
    eventually(child.has_exited, 20)
    assert child.has_exited() and Path(f"/proc/{child.pid}").exists() and child.returncode is None
    assert child.poll() == 0
    assert not Path(f"/proc/{child.pid}").exists()


def test_thirty_starts_at_once_and_no_descriptor_is_left(nursery: Nursery, tmp_path: Path) -> None:
    def one(number: int) -> tuple[int, int]:
        child = start(nursery, tmp_path / f"{number}", *RUN, f"print({number})")
        return child.pid, child.wait(60)

    def descriptors() -> tuple[int, list[str]]:
        """How many the nursery has, and ours that are of processes and logs. Others come and go by other tests."""
        ours = []
        for number in os.listdir("/proc/self/fd"):
            with suppress(FileNotFoundError):
                ours.append(os.readlink(f"/proc/self/fd/{number}"))
        return (
            len(os.listdir(f"/proc/{nursery.pid}/fd")),
            sorted(link for link in ours if "pidfd" in link or link == os.devnull or link.startswith(str(tmp_path))),
        )

    one(0)
    before = descriptors()
    with ThreadPoolExecutor(30) as pool:
        ends = list(pool.map(one, range(30)))
    assert len({pid for pid, _ in ends}) == 30 and {code for _, code in ends} == {0}
    assert all((tmp_path / f"{number}").read_text().startswith(f"{number}\n") for number in range(30))
    assert descriptors() == before
    assert nursery.pid is not None and children(nursery.pid) == []


def test_what_the_system_refuses_is_an_error_as_ever(nursery: Nursery, tmp_path: Path) -> None:
    for how in (nursery, start_process):
        with pytest.raises(FileNotFoundError):
            start(how, tmp_path / "log", *RUN, "pass", directory=tmp_path / "missing")
    assert nursery.pid is not None, "it goes on"


def test_other_commands_and_other_pythons_are_started_ordinarily(nursery: Nursery, tmp_path: Path) -> None:
    parent = "import os; print(os.getppid())"
    for command, variables in (
        ([sys.executable, "-c", parent], {}),
        (module_command(*RUN, parent), {"PYTHONHASHSEED": "1"}),
        (module_command(*RUN, parent), {"LARGE": "x" * 110_000}),
    ):
        log = tmp_path / "log"
        with log.open("wb") as output:
            child = nursery(
                command, environment={**scrubbed(os.environ), **variables}, output=output.fileno(), directory=ROOT
            )
        assert child.wait(20) == 0
        assert int(log.read_text().split()[0]) == os.getpid()


def test_a_nursery_that_is_killed_takes_its_children_along_and_starts_are_ordinary(
    lost_nursery: Nursery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = running(lost_nursery, tmp_path / "log")
    assert lost_nursery.pid is not None
    os.kill(lost_nursery.pid, signal.SIGKILL)
    logs = listen(monkeypatch, "services.launch.nursery.log")
    assert child.wait(20) == -signal.SIGTERM
    second = start(lost_nursery, tmp_path / "second", *RUN, "import os; print(os.getppid())")
    assert second.wait(20) == 0
    assert int((tmp_path / "second").read_text().split()[0]) == os.getpid() and lost_nursery.pid is None
    assert [entry["event"] for entry in logs] == ["nursery_lost"]


def test_a_nursery_ends_with_its_owner_however_that_ends_and_so_do_its_children(tmp_path: Path) -> None:
    code = (
        "import os, sys, time\nfrom services.launch.nursery import Nursery\n"
        "from services.system.programs import module_command\n"
        f"nursery = Nursery({SMALL!r})\n"
        "command = module_command('timeit', 'import time; time.sleep(60)')\n"
        "child = nursery(command, environment=os.environ, output=None, directory=None)\n"
        "print(nursery.pid, child.pid, flush=True)\ntime.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env=scrubbed(os.environ), stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        pids = [int(pid) for pid in owner.stdout.readline().split()]
        assert len(pids) == 2 and all(started_at(pid) is not None for pid in pids)
        owner.kill()
        eventually(lambda: all(started_at(pid) is None for pid in pids), 20)


@pytest.mark.parametrize(
    ("leaves", "reason"),
    [
        ("a thread", "something that was imported has started a thread"),
        ("a file", "something that was imported has left descriptors open"),
        ("an error", "ImportError: no such package"),
    ],
)
def test_what_cannot_be_forked_is_said_once_and_starts_are_ordinary(
    tmp_path: Path, leaves: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    nursery = Nursery(SMALL, environment={**scrubbed(os.environ), "TEST_NURSERY_LEAVES": leaves})
    logs = listen(monkeypatch, "services.launch.nursery.log")
    assert [start(nursery, tmp_path / "log", *RUN, "pass").wait(20) for _ in range(2)] == [0, 0]
    assert [entry["event"] for entry in logs] == ["nursery_lost"] and reason in logs[0]["reason"]
    nursery.close()


def test_without_room_for_a_nursery_starts_are_ordinary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logs = listen(monkeypatch, "services.launch.nursery.log")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", str(tmp_path / "missing"))
        nursery = Nursery(SMALL)
    assert [entry["event"] for entry in logs] == ["nursery_lost"]
    assert start(nursery, tmp_path / "log", *RUN, "pass").wait(20) == 0
    nursery.close()


def test_a_start_says_that_it_waits_for_the_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.launch.nursery._SILENT", 0.02)
    wanted, waited = tmp_path / "wanted", list[float]()

    def waits(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            wanted.touch()

    settings = {**scrubbed(os.environ), "TEST_NURSERY_LEAVES": "not before", "TEST_NURSERY_WANTS": str(wanted)}
    nursery = Nursery(SMALL, environment=settings, waits=waits)
    child = start(nursery, tmp_path / "log", *RUN, "import os; print(os.getppid())")
    assert child.wait(20) == 0 and int((tmp_path / "log").read_text().split()[0]) == nursery.pid
    assert len(waited) >= 3 and waited == sorted(waited)
    nursery.close()


def started_by_hand(**settings: str) -> tuple[socket.socket, "subprocess.Popen[bytes]"]:
    """Our end of a nursery's socket, and the nursery."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(20)
    with theirs:
        command = module_command(SMALL, str(theirs.fileno()))
        return ours, subprocess.Popen(command, env={**scrubbed(os.environ), **settings}, pass_fds=[theirs.fileno()])


@pytest.mark.parametrize("loaded", [False, True])
def test_an_owner_that_ends_at_once_is_no_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], loaded: bool
) -> None:
    wanted = tmp_path / "wanted"
    ours, process = started_by_hand(TEST_NURSERY_LEAVES="not before", TEST_NURSERY_WANTS=str(wanted))
    with ours:
        if loaded:
            wanted.touch()
            assert select.select([ours], [], [], 20)[0], "it has said so, and nobody reads it"
    wanted.touch()
    assert process.wait(20) == 0
    assert capfd.readouterr().err == ""


def test_garbage_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    ours, process = started_by_hand()
    with ours, open(os.devnull, "r+b") as nothing:
        good: dict[str, Any] = {
            "start": "timeit", "command": module_command(*RUN, "pass"), "directory": str(tmp_path),
            "environment": dict(os.environ),
        }  # fmt: skip

        def ask(data: object, files: int = 3) -> dict[str, Any]:
            raw = data if isinstance(data, bytes) else json.dumps(data).encode()
            socket.send_fds(ours, [raw], [nothing.fileno()] * files)
            answer: dict[str, Any] = json.loads(ours.recv(10_000))
            return answer

        assert ours.recv(10_000) == b"{}", "it has loaded its modules"
        for data in (b"\xff\x00", b"[]", b"{", b'"start"', {}, {"start": 1}, {"start": "timeit"}):
            assert list(ask(data, files=0)) == ["refused"]
        assert list(ask(good, files=2)) == list(ask(good, files=5)) == ["refused"]
        for name, value in (("environment", {"A": 1}), ("command", "timeit"), ("command", [1, 2, 3, 4]), ("start", 5)):
            assert list(ask({**good, name: value})) == ["refused"]
        assert ask({**good, "environment": {"A": "\0"}}) == {"errno": 22}
        for pid in (1, os.getpid(), -1, "1", None):
            assert ask({"reap": pid}, files=0) == {"code": None}
        assert len(os.listdir(f"/proc/{process.pid}/fd")) == 4

        pid = ask(good)["pid"]
        eventually(lambda: not alive(pid), 20)
        assert ask({"reap": pid}, files=0) == {"code": 0}
        assert ask({"reap": pid}, files=0) == {"code": None}
    assert process.wait(20) == 0


def test_a_start_that_is_interrupted_leaves_no_process(nursery: Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", scrubbed(os.environ)["PYTHONPATH"])
    begun = []

    def interrupted(*args: Any, **options: Any) -> Any:
        begun.append(nursery(*args, **options))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Supervisor([Program("sleeper", module_command(*RUN, FOREVER))], start=interrupted).start()
    assert begun[0].wait(20) == -signal.SIGKILL


def test_a_supervisor_restarts_what_was_killed_and_leaves_nothing(
    nursery: Nursery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", scrubbed(os.environ)["PYTHONPATH"])
    code = (  # it leaves a child that has left the session: only its mark is known
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid(); print('up', os.getpid(), flush=True); time.sleep(60)\n"
        "time.sleep(60)"
    )
    log = tmp_path / "log"
    with Supervisor([Program("a", module_command(*RUN, code), log=log)], start=nursery) as programs:
        eventually(lambda: "up" in log.read_text(), 20)
        first = programs.programs[0].pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        eventually(lambda: (programs.tick(), log.read_text().count("up") == 2)[1], 20)
        status = programs.programs[0]
        assert status.restarts == 1 and status.pid not in (None, first)
    orphans = [int(line.split()[1]) for line in log.read_text().splitlines() if line.startswith("up")]
    with suppress(ProcessLookupError):
        assert [pid for pid in orphans if alive(pid)] == []


def test_a_forked_command_and_its_nodes_programs_end_with_it(tmp_path: Path) -> None:
    """What most tests of `quarry up` rest on: its programs are not started in the ordinary way, and none is left."""
    with launched(tmp_path, "--no-automine") as (process, _):
        found = processes()
        forks = [pid for pid, item in found.items() if item.parent == process.pid]
        programs = [pid for pid, item in found.items() if item.parent in forks and pid in processes_of(tmp_path)]
        assert len(programs) >= 5
        process.terminate()
        assert process.wait(20) == 0
        assert not any(started_at(pid) for pid in forks + programs)
