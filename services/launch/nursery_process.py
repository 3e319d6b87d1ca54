"""A nursery: one process that has imported everything, and forks a program's process when it is asked for one.

A nursery's program imports what it wants to share, and then calls `serve` with the number of a socket (SOCK_SEQPACKET)
that it was started with. It sends {} when it has imported them. A request is one message, a JSON object:

    {"start": MODULE, "command": [...], "directory": PATH, "environment": {...}}   with three descriptors
        → {"pid": N}, once the child is ready to run its first line, or {"errno": N}
    {"reap": PID}
        → {"code": N}, or {"code": null}: it still runs, or is no child of ours

Anything else is answered by {"refused": WHY}, and so is every request if the process cannot be forked.

The child has the command, environment, working directory and three files of its request, a session of its own, and no
other descriptor. It runs the module as `python -m` does. It is reaped when its owner says so: until then its pid names
it and nothing else.
"""

import contextlib
import ctypes
import errno
import gc
import io
import json
import os
import runpy
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from services.system.loading import keep
from services.system.processes import die_with_parent

LARGEST = 100_000  # bytes of a request, most of them its environment
# The nursery is started with an argument and a variable of these sizes. /proc shows what lies there, so a child writes
# its own command and environment over it.
ARGUMENT = "-" * 200
VARIABLE = "-" * 16_000


class _Refused(Exception):
    """A request that cannot be understood."""


def serve(number: int, load: Callable[[], None]) -> None:
    """Load, and serve until the owner closes its end. In a child, this runs the program that was asked for.

    Call it from the main program's last line: a child that returns from it ends as the program would.

    Args:
        number: of the socket.
        load: imports what the children will share. It must leave no thread and no descriptor behind.
    """
    channel = socket.socket(fileno=number)
    gc.disable()  # freed objects leave holes in the pages that are shared
    problem = ""
    try:
        load()
        problem = _obstacle(number)
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
    keep()
    with contextlib.suppress(OSError):  # the owner has gone
        channel.send(b"{}")
    asked = _answer_all(channel, problem)
    channel.close()
    gc.enable()
    if asked is not None:
        runpy.run_module(asked, run_name="__main__", alter_sys=True)


def _obstacle(number: int) -> str:
    """Why this process cannot be forked. "": it can."""
    if len(os.listdir("/proc/self/task")) > 1 or threading.active_count() > 1:
        return "something that was imported has started a thread"
    others = {int(name) for name in os.listdir("/proc/self/fd")} - {0, 1, 2, number}
    left = [name for name in others if os.path.exists(f"/proc/self/fd/{name}")]  # not the one that listed them
    return f"something that was imported has left descriptors open: {left}" if left else ""


def _answer_all(channel: socket.socket, problem: str) -> str | None:
    """Answer requests. Returns the module to run, in a child; None at the end."""
    children: set[int] = set()
    while True:
        try:
            data, files, _, _ = socket.recv_fds(channel, LARGEST, 16)
        except ConnectionResetError:  # the owner has gone, and has not read that we have loaded everything
            return None
        if not data:
            return None
        try:
            if problem:
                raise _Refused(problem)
            request = _read(data)
            if "reap" in request:
                answer: dict[str, Any] = {"code": _reap(request["reap"], children)}
            else:
                _check(request, files)
                try:
                    pid = _fork(request, files)
                except OSError as error:
                    answer = {"errno": error.errno}
                else:
                    if pid == 0:
                        return str(request["start"])
                    children.add(pid)
                    answer = {"pid": pid}
        except _Refused as refused:
            answer = {"refused": str(refused)}
        for file in files:
            os.close(file)
        with contextlib.suppress(OSError):  # the owner has gone: then there is no further request
            channel.send(json.dumps(answer).encode())


def _read(data: bytes) -> dict[str, Any]:
    try:
        request = json.loads(data)
    except ValueError:
        raise _Refused("the request is not JSON") from None
    if not isinstance(request, dict) or not ({"start", "reap"} & request.keys()):
        raise _Refused("the request is not understood")
    return request


def _check(request: Mapping[str, Any], files: Sequence[int]) -> None:
    command, environment = request.get("command"), request.get("environment")
    right = (
        isinstance(request["start"], str)
        and isinstance(request.get("directory"), str)
        and isinstance(command, list)
        and len(command) > 3
        and all(isinstance(each, str) for each in command)
        and isinstance(environment, dict)
        and all(isinstance(value, str) for value in environment.values())
    )
    if not right or len(files) != 3:
        raise _Refused("the request to start a program is incomplete")


def _reap(pid: object, children: set[int]) -> int | None:
    if not isinstance(pid, int) or pid not in children:
        return None
    found, status = os.waitpid(pid, os.WNOHANG)
    if found == 0:
        return None
    children.remove(pid)
    return os.waitstatus_to_exitcode(status)


def _fork(request: Mapping[str, Any], files: Sequence[int]) -> int:
    """Fork a child and have it become what is asked for. Returns its pid when it has, and 0 in the child.

    Raises:
        OSError: the system refuses the process or its working directory.
    """
    ours = os.getpid()
    told, tell = os.pipe()
    try:
        pid = os.fork()
    except OSError:
        os.close(told)
        os.close(tell)
        raise
    if pid == 0:
        try:
            os.close(told)
            _become(request, files, ours)
            os.close(tell)
        except (OSError, ValueError) as error:  # ValueError: a zero byte in a name
            os.write(tell, str(getattr(error, "errno", errno.EINVAL)).encode())
            os._exit(1)
        return 0
    os.close(tell)
    with open(told, "rb") as pipe:
        failed = pipe.read()
    if failed:
        os.waitpid(pid, 0)
        raise OSError(int(failed), os.strerror(int(failed)))
    return pid


def _become(request: Mapping[str, Any], files: Sequence[int], nursery: int) -> None:
    """Make this child the process that was asked for, up to its first line of Python."""
    os.setsid()
    die_with_parent(nursery, signal.SIGTERM)
    for number, file in enumerate(files):
        os.dup2(file, number)
    for file in files:
        if file > 2:
            os.close(file)
    os.chdir(request["directory"])
    os.environ.clear()
    os.environ.update(request["environment"])
    command = request["command"]
    sys.argv = ["-m", *command[4:]]  # as Python sets it; `runpy` puts the module's file in the first place
    sys.orig_argv = command
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=os.isatty(1))
    _show(command, request["environment"])


def _show(command: Sequence[str], environment: Mapping[str, str]) -> None:
    """Let /proc, and so `ps`, show this process's own command and environment, as far as they fit."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    argument_start, argument_end, environment_start, environment_end = map(int, fields[45:49])
    _write(argument_start, argument_end, command)
    # What finds a process by its environment (`services.system.processes.family`) looks for our own variables first.
    ordered = sorted(environment.items(), key=lambda item: not item[0].startswith("_QUARRY"))
    _write(environment_start, environment_end, [f"{name}={value}" for name, value in ordered])


def _write(start: int, end: int, texts: Sequence[str]) -> None:
    """Write texts, each with a zero byte at its end, and zeros after them. Nothing reads this memory but the kernel:
    Python and the C library have copies.
    """
    data = b"".join(os.fsencode(text) + b"\0" for text in texts)[: max(0, end - start - 1)]
    ctypes.memset(start, 0, end - start)
    ctypes.memmove(start, data, len(data))
