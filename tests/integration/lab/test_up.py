"""`quarry lab` as people start it: a process, its page, and its end."""

from __future__ import annotations

import contextlib
import html
import json
import os
import re
import resource
import signal
import subprocess
import urllib.request
from pathlib import Path

import pytest

from lab.recording import BadRecording, read_recording
from services.system.processes import processes, started_at
from services.system.programs import ROOT, module_command
from tests.support.lab_up import running
from tests.support.waiting import eventually


def control(url: str, **asked: object) -> None:
    request = urllib.request.Request(f"{url}/control", json.dumps(asked).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 200


def fetched(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return str(answer.read().decode())


def wait_for_blocks(url: str, number: int) -> None:
    """Read what the lab tells its page until it has told so many blocks."""
    with urllib.request.urlopen(f"{url}/events", timeout=30) as answer:
        blocks = (line for line in answer if b'"event":"block"' in line)
        for _ in range(number):
            next(blocks)


def recording_in(directory: Path) -> list[str]:
    (path,) = directory.glob("*.jsonl")
    return path.read_text().splitlines(keepends=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_simulated_lab_is_played_with_until_it_is_interrupted(tmp_path: Path, number: signal.Signals) -> None:
    with running(tmp_path, "--simulated", "--speed", "50", "--nodes", "3") as (process, url):
        control(url, call="strategy", node=1, name="selfish")
        control(url, call="partition", groups=[[1], [2, 3]])
        wait_for_blocks(url, 4)
        control(url, call="heal")
        process.send_signal(number)
        assert process.wait(20) == 0
    events = read_recording(recording_in(tmp_path))
    kinds = [event.kind for event in events]
    assert kinds.count("groups") == 2 and "strategy" in kinds and kinds.count("block") > 3


def test_real_nodes_end_with_the_lab_also_when_it_is_killed(tmp_path: Path) -> None:
    with running(tmp_path, "--nodes", "1", "--rpc") as (process, url):
        control(url, call="limit", node=1, rate=100_000)
        nodes = re.search(r'"1": "(http://[^"]+)"', html.unescape(fetched(url)))
        assert nodes is not None
        assert fetched(f"{json.loads(fetched(f'{nodes[1]}/status'))['rpc_url']}/readyz"), "its door for wallets"
        children = _descendants(process.pid)
        assert len(children) >= 5
        process.kill()
        process.wait(10)
        eventually(lambda: all(started_at(pid) is None for pid in children), what="the end of all processes")


LONG = '''"""It goes on for longer than anybody waits."""


def run(lab, *, nodes: int = 1):
    lab.say("in the middle")
    lab.run_for(600)
'''


# Somebody kills the process that cleans up after the lab, and the node's Valkey; both are started again.
KILLED = LONG.replace(
    '    lab.say("in the middle")',
    """\
    import os
    (node,) = lab.nodes
    warden, valkey = lab._warden._process.pid, node.running.pids()[0]
    os.kill(warden, 9)
    os.kill(valkey, 9)
    new = lambda: lab._warden._process.pid != warden and node.running._valkey.pid not in (None, valkey)
    lab.wait(new, within=60)
    lab._hands.do(lambda: lab._tick())
    lab.say("in the middle")""",
)


@pytest.mark.parametrize(
    ("scenario", "number"),
    [(LONG, signal.SIGKILL), (LONG, signal.SIGINT), (KILLED, signal.SIGKILL)],
    ids=["killed", "interrupted", "killed one after the other"],
)
def test_a_scenario_that_is_ended_in_its_middle_leaves_no_process_and_no_directory(
    tmp_path: Path, scenario: str, number: signal.Signals
) -> None:
    (tmp_path / "long.py").write_text(scenario)
    (tmp_path / "tmp").mkdir()
    process = subprocess.Popen(
        module_command("api.cli", "lab", "run", str(tmp_path / "long.py"), "--data-dir", str(tmp_path / "out")),
        cwd=ROOT, env=os.environ | {"TMPDIR": str(tmp_path / "tmp")}, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert any("in the middle" in line for line in process.stdout)
        children = _descendants(process.pid)
        assert len(children) >= 5 and list((tmp_path / "tmp").glob("quarry-lab-*"))
        process.send_signal(number)
        if number == signal.SIGINT:  # and again, while it cleans up
            eventually(lambda: any(started_at(pid) is None for pid in children), 30, "the first end of a process")
            for _ in range(5):
                process.send_signal(number)
        assert process.wait(60) == (-number if number == signal.SIGKILL else 130)
    finally:
        process.kill()
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()
    eventually(lambda: all(started_at(pid) is None for pid in children), 30, "the end of all processes")
    eventually(lambda: not list((tmp_path / "tmp").glob("quarry-lab-*")), what="the end of the directory")
    (recording,) = (tmp_path / "out").glob("*.jsonl")
    lines = recording.read_text("ascii").splitlines(keepends=True)
    if number == signal.SIGKILL:
        with pytest.raises(BadRecording):
            read_recording(lines)
    else:
        last = read_recording(lines)[-2]
        assert last.kind == "verdict" and "(interrupted)" in last.fields["claim"] and not last.fields["held"]


def test_a_lab_that_is_interrupted_several_times_while_it_starts_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "long.py").write_text(LONG)
    process = subprocess.Popen(
        module_command("api.cli", "lab", "run", str(tmp_path / "long.py"), "--data-dir", str(tmp_path / "out")),
        cwd=ROOT, env=os.environ | {"TMPDIR": str(tmp_path)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip
    try:
        eventually(lambda: list(tmp_path.glob("quarry-lab-*/lab/node1/*")), 60, "a node that is being started")
        for _ in range(5):
            process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=90)
    finally:
        process.kill()
        process.communicate()
    assert (said, process.returncode) == ("quarry: Interrupted.\n", 130)
    eventually(lambda: not list(tmp_path.glob("quarry-lab-*")), 30, "the end of the directory")
    assert not [pid for pid in processes() if str(tmp_path) in _directory(pid)]


def _directory(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return ""


@pytest.mark.skipif(os.cpu_count() == 1, reason="one core needs no further processes")
def test_a_simulation_that_is_killed_leaves_no_process(tmp_path: Path) -> None:
    process = subprocess.Popen(
        module_command("api.cli", "lab", "simulate", "crash", "--seeds", "1000", "--data-dir", str(tmp_path)),
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        eventually(lambda: len(_session(process.pid)) > 4, 60, "two that serve, and two for the cores")
    finally:
        process.kill()
        process.wait(10)
    eventually(lambda: not _session(process.pid), 30, "the end of all processes")


def _session(pid: int) -> list[int]:
    """What runs in the session that the process began."""
    return [other for other, process in processes().items() if process.session == pid and not process.zombie]


@pytest.mark.skipif(os.cpu_count() == 1, reason="one core needs no further processes")
def test_a_simulation_that_is_interrupted_says_so_in_one_line_and_leaves_no_process(tmp_path: Path) -> None:
    """Ctrl-C at a terminal reaches the processes for the seeds as well."""
    process = subprocess.Popen(
        module_command("api.cli", "lab", "simulate", "crash", "--seeds", "1000", "--data-dir", str(tmp_path)),
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    try:

        def interrupted() -> int:
            children = _descendants(process.pid)
            for child in children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGINT)
            return len(children)

        eventually(lambda: interrupted() > 2, 60, "two that serve, and the first for a core")
        children = _descendants(process.pid)
        os.killpg(process.pid, signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert (said, process.returncode) == ("quarry: Interrupted.\n", 130)
    eventually(lambda: all(started_at(pid) is None for pid in children), 30, "the end of all processes")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux limits another process")
@pytest.mark.parametrize("command", ["run", "up"])
def test_a_lab_whose_recording_cannot_be_written_ends_in_one_sentence(tmp_path: Path, command: str) -> None:
    (tmp_path / "long.py").write_text(LONG)
    arguments = [str(tmp_path / "long.py")] if command == "run" else ["--nodes", "1"]
    process = subprocess.Popen(
        module_command("api.cli", "lab", command, *arguments, "--data-dir", str(tmp_path / "out")),
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert any("in the middle" in line or "Ctrl-C" in line for line in process.stdout)
        children = _descendants(process.pid)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, 0))  # as if the disk were full; the nodes have theirs
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    (recording,) = (tmp_path / "out").glob("*.jsonl")
    assert " ".join(said.split()) == f"quarry: The recording {recording} cannot be written: File too large."
    assert process.returncode == 2
    eventually(lambda: all(started_at(pid) is None for pid in children), 30, "the end of all processes")


def _descendants(pid: int) -> list[int]:
    table = processes()
    found = [pid]
    for parent in found:
        found += [child for child, process in table.items() if process.parent == parent]
    return found[1:]
