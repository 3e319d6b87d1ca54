"""Programs load their modules while the garbage collector is paused."""

import gc
import socket
import subprocess
import sys

import pytest

from services.system.loading import uncollected
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
