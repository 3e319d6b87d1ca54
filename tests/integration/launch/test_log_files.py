"""Logs of programs that run for long: they stay small, and lose no more lines than necessary, also on a full disk."""

import os
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from services.launch import log_files
from services.launch.log_files import set_aside, tail, trim, trim_all
from services.system.files import make_private_directory

WRITER = """
import os, sys, time
out = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
for number in range(int(sys.argv[2])):
    os.write(out, f"line {number:06}.\\n".encode())
    while number % 1000 == 0 and os.fstat(out).st_size > 400_000:  # the one who cuts has had no time
        time.sleep(0.001)
print("written", flush=True)
sys.stdin.read()
os.write(out, b"line 999999.\\n")
"""


def numbers(*paths: Path) -> list[int]:
    """The numbers of whole lines. A line that is written while the log is cut may lose its end."""
    text = "".join(path.read_text() for path in paths if path.exists())
    return [int(number) for number in re.findall(r"^line (\d+)\.$", text, re.MULTILINE)]


def test_a_small_log_is_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    log.write_text("line 1\n")
    assert not trim(log, 100)
    assert not (tmp_path / "api.log.1").exists()
    assert not trim(tmp_path / "missing.log", 100)


def test_a_log_is_set_aside_while_its_program_writes_to_it(tmp_path: Path) -> None:
    log, count = tmp_path / "api.log", 160_000
    command = [sys.executable, "-c", WRITER, str(log), str(count)]
    writer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    biggest = trims = 0
    kept: list[int] = []
    while not select.select([writer.stdout], [], [], 0)[0]:
        if log.exists():
            biggest = max(biggest, log.stat().st_size)
        if trim(log, 200_000):
            trims += 1
            kept += numbers(tmp_path / "api.log.1")
    writer.communicate(timeout=20)
    kept += numbers(log)
    assert writer.returncode == 0
    assert trims > 2
    assert kept == sorted(kept) and len(set(kept)) == len(kept), "in order, nothing twice"
    assert kept[-1] == 999_999, "the last line came after the last cut"
    # A few lines that come between the last look and the cut are lost.
    assert len(kept) > 0.9 * count
    assert sorted(path.name for path in tmp_path.iterdir()) == ["api.log", "api.log.1"]
    assert (tmp_path / "api.log.1").stat().st_mode & 0o777 == 0o600
    assert biggest < 2_000_000


def test_death_between_copy_and_cut_loses_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "api.log"
    log.write_text("".join(f"line {number}.\n" for number in range(100)))

    class Killed(BaseException):
        pass

    def replaced(self: Path, target: Path) -> None:
        os.replace(self, target)
        raise Killed

    monkeypatch.setattr(log_files.Path, "replace", replaced)
    with pytest.raises(Killed):
        trim(log, 10)
    assert numbers(log) == numbers(tmp_path / "api.log.1") == list(range(100))
    monkeypatch.undo()
    assert trim(log, 10)
    assert numbers(log) == []


def test_a_disk_without_room_keeps_the_log_and_gives_up_its_predecessor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "api.log"
    log.write_text("line 1.\n" * 100)
    (tmp_path / "api.log.1").write_text("line 0\n")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(log_files, "_copy_and_cut", full)
        assert not trim(log, 10)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["api.log"]
    assert len(numbers(log)) == 100
    assert trim(log, 10)


def test_all_logs_of_a_directory_are_trimmed_and_the_last_run_is_kept(tmp_path: Path) -> None:
    big = "x" * log_files.MOST_BYTES
    for name in ("api.log", "ticker.log", "note.txt"):
        (tmp_path / name).write_text(big)
    trim_all(tmp_path)
    assert [(tmp_path / name).stat().st_size for name in ("api.log", "ticker.log")] == [0, 0]
    assert (tmp_path / "note.txt").stat().st_size == len(big)
    (tmp_path / "api.log").write_text("this run\n")
    set_aside(tmp_path / "api.log")
    assert (tmp_path / "api.log.1").read_text() == "this run\n" and not (tmp_path / "api.log").exists()
    trim_all(tmp_path / "missing")


def test_the_tail_of_a_long_log_is_read_without_the_rest(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    with log.open("w") as file:
        file.truncate(2**32)  # sparse
        file.seek(0, os.SEEK_END)
        file.write("\nthe last but one\n\n  the last  \n")
    started = time.process_time()
    assert tail(log)[-2:] == ["the last but one", "  the last"]
    assert time.process_time() - started < 0.5, "four gigabytes take longer to read"
    assert tail(tmp_path / "missing") == []


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_directories_are_private_up_to_the_one_that_was_there(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        make_private_directory(tmp_path / "data" / "dev" / "node1")
    finally:
        os.umask(before)
    for name in ("data", "data/dev", "data/dev/node1"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o700
    make_private_directory(tmp_path / "data" / "dev" / "node1")
    (tmp_path / "file").touch()
    with pytest.raises(OSError):
        make_private_directory(tmp_path / "file" / "node1")
