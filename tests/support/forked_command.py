"""The program `python -m tests.support.forked_command FILE ...`: `quarry ...`, with its nodes' programs forked from it.

The nursery of a test process (`preloaded.py`) forks it, or it is started as Python, where a test needs the program of a
node and not an object. Before it becomes the command, it forks a nursery of its own.
The supervisors of its nodes start their programs through that one: they end when it ends, as programs do that were
started in the ordinary way. What it says on stderr goes to FILE, if that is not -.
"""

import os
import signal
import socket
import sys

from api.cli import main
from services.launch import launch
from services.launch.nursery import LOADED, Nursery
from services.launch.nursery_process import serve
from services.launch.nursery_program import load
from services.system.processes import die_with_parent
from services.system.programs import scrubbed


class ForkedNursery(Nursery):
    """A nursery that was forked from this process, and so has imported all that this process has."""

    def __init__(self, channel: socket.socket, process: int) -> None:
        self._given = channel
        self._forked: int | None = process
        super().__init__("", environment=scrubbed(os.environ))  # as commands that start nodes reduce it

    def _open(self, *_: object) -> socket.socket:
        self._given.settimeout(60)
        return self._given

    def close(self) -> None:
        super().close()
        if self._forked is not None:
            os.waitpid(self._forked, 0)
            self._forked = None


def fork_nursery() -> Nursery | None:
    """The nursery; None in one of its programs, after that has ended."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    parent = os.getpid()
    if process := os.fork():
        theirs.close()
        return ForkedNursery(ours, process)
    ours.close()
    os.setsid()
    die_with_parent(parent, signal.SIGTERM)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1):  # the output's reader waits for its end
        os.dup2(nothing, number)
    os.close(nothing)
    serve(theirs.detach(), lambda: load(LOADED))
    return None


def run() -> None:
    if sys.argv[1] != "-":
        errors = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(errors, 2)
        os.close(errors)
    nursery = fork_nursery()
    if nursery is None:
        return
    sys.modules.pop("rich", None)  # which the nursery does without, and commands such as `quarry doctor` do not
    launch.nursery_of_nodes = lambda *_: nursery  # type: ignore[assignment]
    sys.argv = ["quarry", *sys.argv[2:]]
    try:
        main()
    finally:
        nursery.close()


if __name__ == "__main__":
    run()
