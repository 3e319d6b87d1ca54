"""The program `python -m tests.support.killed_command PLACE TURN ...`: `quarry ...`, killed at a call of a function.

It kills itself with SIGKILL at the TURN-th call of PLACE, a function's `module:name`. Keys of backups are cheap to
derive in it.
"""

import importlib
import os
import signal
import sys
from typing import Any

import services.backup.sealed
from api.cli import main


def kill_at(place: str, turn: int) -> None:
    module, _, name = place.rpartition(":")
    owner: Any = importlib.import_module(module)
    *path, last = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    real, calls = getattr(owner, last), []

    def killing(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == turn:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)

    setattr(owner, last, killing)


if __name__ == "__main__":
    kill_at(sys.argv[1], int(sys.argv[2]))
    services.backup.sealed.COST = 2
    sys.argv = ["quarry", *sys.argv[3:]]
    main()
