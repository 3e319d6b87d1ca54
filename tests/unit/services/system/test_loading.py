"""Programs load their modules while the garbage collector is paused."""

import gc
import mmap
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from services.system.loading import _unchanged, uncollected, unmap_code
from services.system.programs import ROOT
from tests.support.listener import Listener

# Run a program that has to end at once, and say how often the collector looked through all objects meanwhile.
COUNTED = """
import gc, runpy, sys
module, *arguments = sys.argv[1:]
sys.argv[1:] = arguments
try:
    runpy.run_module(module, run_name="__main__", alter_sys=True)
except SystemExit as ended:
    print(ended.code, gc.get_stats()[2]["collections"], gc.isenabled(), gc.get_freeze_count() > 10_000)
"""


class Refusing(Listener):
    """A Redis that refuses every password."""

    def accepted(self, sock: socket.socket) -> None:
        with sock:
            sock.sendall(b"-WRONGPASS refused\r\n")
            while sock.recv(1000):
                pass


def test_the_collector_runs_again_afterwards_also_after_an_error() -> None:
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ImportError), uncollected():
        raise ImportError
    assert gc.isenabled()


def test_a_collector_that_is_off_stays_off() -> None:
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("worker worker --queue mining", "2"),
        ("api.cli api", "2"),
        ("api.cli status --url http://127.0.0.1:9", "3"),
    ],
)
def test_a_program_is_loaded_without_a_collection_of_all_objects(program: str, code: str) -> None:
    with Refusing() as server:
        ended = subprocess.run(
            [sys.executable, "-c", COUNTED, *program.split()],
            cwd=ROOT,
            env={"QUARRY_REDIS_URL": f"redis://:password@127.0.0.1:{server.port}", "QUARRY_KERNEL": "plain"},
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert ended.stdout.split() == [code, "0", "True", "True"], ended.stdout + ended.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere nothing is done")
def test_code_that_was_loaded_can_be_let_go_and_is_read_again(tmp_path: Path) -> None:
    size = 64 * mmap.PAGESIZE
    (tmp_path / "code").write_bytes(bytes(range(256)) * (size // 256))
    with (tmp_path / "code").open("rb") as file, mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ) as read:

        def resident() -> int:
            part = Path("/proc/self/smaps").read_text().partition(str(tmp_path / "code"))[2]
            return int(re.search(r"Rss: +(\d+) kB", part)[1]) * 1024  # type: ignore[index]

        before = read[:]
        assert resident() == size
        unmap_code()
        assert resident() == 0
        assert read[:] == before


def test_pages_of_our_own_are_kept() -> None:
    def mapping(rights: str, inode: int, anonymous: int, start: str = "7f00") -> str:
        lines = f"Rss: 8 kB\nPrivate_Dirty: 0 kB\nAnonymous: {anonymous:13} kB\nVmFlags: rd ex mr mw me"
        return f"{start}-8f00 {rights} 00001000 fe:01 {inode}    /lib/a b.so (deleted)\n{lines}\n"

    kept = [("rw-p", 5, 0), ("r--p", 5, 8), ("r-xp", 5, 4), ("r-xp", 0, 0), ("r--s", 5, 0), ("rwxp", 5, 0)]
    text = "".join(mapping(*each) for each in kept) + mapping("r-xp", 5, 0, "1000") + mapping("r--p", 5, 0, "2000")
    assert _unchanged(text) == [(0x1000, 0x8F00), (0x2000, 0x8F00)]
