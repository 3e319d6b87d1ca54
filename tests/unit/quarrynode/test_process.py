"""The command that is started: what can go wrong at its start, and that it ends with the process that started it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from quarrynode import NodeFailed, process
from services.system.programs import module_path
from tests.support.processes import alive, linux_only
from tests.support.waiting import eventually, seconds_until
from tests.unit.quarrynode.conftest import FAKE, Fake


def test_a_command_that_is_missing_is_named(fake: Fake) -> None:
    from quarrynode import QuarryNode

    with pytest.raises(NodeFailed, match=r"^The command no-such-quarry was not found\. Install Quarry, or name"):
        QuarryNode(("no-such-quarry",)).start()


def test_a_command_that_is_no_program_is_named(tmp_path: Path) -> None:
    from quarrynode import QuarryNode

    script = tmp_path / "quarry"
    script.write_text("no program")
    script.chmod(0o755)
    with pytest.raises(NodeFailed, match=r"cannot be started: Exec format error\.$"):
        QuarryNode((str(script),)).start()


def test_a_start_that_fails_ends_with_the_last_lines(fake: Fake) -> None:
    with pytest.raises(NodeFailed) as found:
        fake.node("fails").start()
    assert str(found.value).splitlines()[1:] == ["  first line", "  quarry: The port is taken."]
    assert str(found.value).splitlines()[0].endswith("up did not start (exit code 2).")
    assert found.value.lines == ("first line", "quarry: The port is taken.")


@pytest.mark.parametrize(("mode", "words"), [("nonsense", "'Hello!"), ("silent", "was not ready within 1 s")])
def test_a_command_that_does_not_get_ready_is_ended(fake: Fake, mode: str, words: str) -> None:
    with pytest.raises(NodeFailed, match=words) as found:
        fake.node(mode, timeout=1.0).start()
    assert ("quarry: compiling" in str(found.value)) == (mode == "silent")
    assert not alive(fake.log()["pid"])


def test_an_interrupt_during_the_start_leaves_nothing(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        eventually(fake.has_started)
        raise KeyboardInterrupt

    monkeypatch.setattr(process.Command, "_read_record", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fake.node("silent").start()
    assert not alive(fake.log()["pid"])


def test_a_command_that_does_not_end_is_killed(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "STOP_TIMEOUT", 0.2)
    monkeypatch.setattr(process, "_KILL_TIMEOUT", 0.2)
    with fake.node("stubborn") as node:
        pid = node.pid
    assert pid is not None and not alive(pid)


def test_an_interrupt_while_it_ends_leaves_nothing(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    node = fake.node("stubborn").start()
    commands: list[list[str]] = []
    wait, interrupts = subprocess.Popen.wait, [KeyboardInterrupt()]

    def interrupted(self: "subprocess.Popen[str]", timeout: float | None = None) -> int:
        if interrupts:
            raise interrupts.pop()
        return wait(self, timeout)

    monkeypatch.setattr(subprocess.Popen, "wait", interrupted)
    monkeypatch.setattr(subprocess, "run", lambda command, **_: commands.append(command))
    with pytest.raises(KeyboardInterrupt):
        node.stop()
    assert [command[-4:-1] for command in commands] == [["reset", "--yes", "--data-dir"]]
    assert not alive(fake.log()["pid"])


def test_much_output_holds_nothing_up(fake: Fake) -> None:
    with fake.node("noisy") as node:
        eventually(lambda: node.status()["height"] == 99, what="the end of the output")


# --- The end of the process that holds the node ---------------------------------------------------------------------

HOLDER = """
import os, signal, sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # tests that were started with nohup ignore it
from quarrynode import QuarryNode
node = QuarryNode({command!r}).start()
{then}
"""
WAITS = "print('ready', flush=True)\nimport threading; threading.Event().wait()"


def holder(fake: Fake, then: str) -> subprocess.Popen[str]:
    code = HOLDER.format(command=FAKE, then=then)
    environment = {**os.environ, **module_path(os.environ), **fake.environment()}
    return subprocess.Popen([sys.executable, "-P", "-c", code], env=environment, stdout=subprocess.PIPE, text=True)


def test_a_node_ends_at_the_end_of_the_interpreter(fake: Fake) -> None:
    with holder(fake, "") as started:
        assert started.wait(20) == 0
    assert not alive(fake.log()["pid"]), "atexit waits until it has ended"


@linux_only
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_a_node_ends_when_the_process_is_killed(fake: Fake, signum: signal.Signals) -> None:
    with holder(fake, WAITS) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == "ready\n"
        pid = fake.log()["pid"]
        assert alive(pid)
        started.send_signal(signum)
        eventually(lambda: not alive(pid))


def test_a_forked_child_that_ends_leaves_the_node_alone(fake: Fake) -> None:
    forks = "pid = os.fork()\nif pid == 0: sys.exit()\nos.waitpid(pid, 0)\nprint(node.status()['height'])"
    with holder(fake, forks) as started:
        output, _ = started.communicate(timeout=20)
    assert (output, started.returncode) == ("1\n", 0)


def test_a_terminals_interrupt_does_not_reach_the_node(fake: Fake) -> None:
    with fake.node() as node:
        assert node.pid is not None
        assert os.getsid(node.pid) == node.pid


def test_it_ends_at_once(fake: Fake) -> None:
    node = fake.node().start()
    assert seconds_until(lambda: node.stop() or True) < process.STOP_TIMEOUT
