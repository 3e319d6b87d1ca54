"""Doing something in a process that ends at once, so that the memory that it takes does not stay in this one."""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence

from services.system.processes import die_with_parent
from shared.errors import NodeError


def in_brief_process(work: Callable[[], None], refusals: Sequence[type[NodeError]]) -> None:
    """Do something whose effects are all outside of this process.

    Code that runs writes to the memory of the objects that it uses, to count references. After a fork, what is written
    to is no longer shared. A process that forks others, or was forked, keeps more of its memory shared if others do
    what is done only once.

    Where a process must not fork, such as on macOS or beside threads, the work is done in this one. So it is, a second
    time, if the other process fails in another way than by a refusal.

    Args:
        refusals: errors that are made of one sentence. They are raised here as they were there; nothing is done twice.
    """
    if not sys.platform.startswith("linux") or threading.active_count() > 1:
        work()
        return
    told, tell = os.pipe()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    ours = os.getpid()
    child = os.fork()
    if child == 0:
        _do(work, refusals, tell, ours)
    os.close(tell)
    with open(told, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    if status == 0:
        return
    if said:
        name, sentence = json.loads(said)
        raise {kind.__name__: kind for kind in refusals}[name](sentence)
    work()


def _do(work: Callable[[], None], refusals: Sequence[type[NodeError]], tell: int, parent: int) -> None:
    """Do the work in the child, and end it."""
    code = 1
    try:
        die_with_parent(parent, signal.SIGKILL)
        work()
        code = 0
    except BaseException as error:  # the parent meets the same error, and reports it
        if type(error) in refusals:
            os.write(tell, json.dumps([type(error).__name__, str(error)]).encode())
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)
