#!/usr/bin/env -S python -P
"""`in-node COMMAND …`: become COMMAND, with what only the running container knows added to its environment.

- VALKEY_PASSWORD_FILE: its content is the password in QUARRY_REDIS_URL and QUARRY_BROKER_URL.
- QUARRY_DATA_DIR: keys and admin token are there, made if they are missing. The address becomes
  QUARRY_REWARD_ADDRESS where that is not set. The token goes, by its file, to the API, and by value (QUARRY_TOKEN)
  to commands of the operator, such as `docker compose exec node1 in-node quarry mine`.
"""

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from services.settings import redis_url
from services.settings.values import BadValue, named
from services.system.text_files import read_secret
from shared.errors import NodeError

_URLS = ("QUARRY_REDIS_URL", "QUARRY_BROKER_URL")
# The programs that the container exists for; all else is asked for by a person.
_WORKER = ["quarry", "worker"]
_SERVICES = (_WORKER, ["quarry", "api"], ["quarry", "ticker"])
# A worker's process id, by which `health` finds it at the broker.
PID_FILE = "in-node.pid"


def complete(environment: Mapping[str, str], *, service: bool) -> dict[str, str]:
    """The environment with passwords, address and token.

    Args:
        service: whether it is for a program of the node, and not for a person's command.

    Raises:
        NodeError, OSError: a file is missing, unsafe or cannot be made.
    """
    completed = {name: value for name, value in environment.items() if not (name.startswith("QUARRY_") and value == "")}
    password_file = completed.pop("VALKEY_PASSWORD_FILE", None)
    if password_file is not None:
        password = named("VALKEY_PASSWORD_FILE", _read_password, Path(password_file))
        for name in _URLS:
            if name in completed:
                completed[name] = _with_password(completed[name], password)
    if "QUARRY_DATA_DIR" in completed:
        from services.launch.node_files import NodeFiles  # not for workers, which have no keys

        files = NodeFiles(Path(completed["QUARRY_DATA_DIR"]))
        address = files.prepare()
        completed.setdefault("QUARRY_REWARD_ADDRESS", address)
        if service:
            completed.setdefault("QUARRY_ADMIN_TOKEN_FILE", str(files.admin_token))
        else:
            completed.setdefault("QUARRY_TOKEN", named("The admin token", read_secret, files.admin_token))
    return completed


def _read_password(path: Path) -> str:
    """`make-cluster` has seen to its length; here it must not be empty or spoilt."""
    return read_secret(path, least=1, private=False)


def _with_password(url: str, password: str) -> str:
    """`redis://USER@HOST` with the password; a URL that names no user, or has a password, stays as it is.

    A URL that cannot be used stays too: the program that reads it says what is wrong with it, by its name.
    """
    try:
        parts = redis_url.parse(url)
    except BadValue:
        return url
    if not parts.user or parts.password:
        return url
    return redis_url.written(replace(parts, password=password))


def main(command: Sequence[str]) -> int:
    """Does not return if all goes well. Exit code 1: not ready for the command; 127: there is no such command."""
    if not command:
        print("usage: in-node COMMAND [ARGUMENT …]", file=sys.stderr)
        return 2
    program = list(command[:2])
    try:
        environment = complete(os.environ, service=program in _SERVICES)
        if program == _WORKER:  # it stays this process, whatever it becomes
            Path(tempfile.gettempdir(), PID_FILE).write_text(str(os.getpid()))
    except (NodeError, OSError) as error:
        print(f"in-node: {error}", file=sys.stderr)
        return 1
    try:
        os.execvpe(command[0], list(command), environment)
    except OSError as error:
        print(f"in-node: {command[0]}: {error.strerror}", file=sys.stderr)
        return 127


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
