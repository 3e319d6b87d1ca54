#!/usr/bin/env -S python -P
"""`in-node COMMAND …`: run COMMAND with secrets and addresses of this container added to its environment.

- VALKEY_PASSWORD_FILE: the file's content becomes the password in QUARRY_REDIS_URL and QUARRY_BROKER_URL.
- QUARRY_DATA_DIR: the directory of keys and admin token, which are made if missing. The key's address becomes
  QUARRY_REWARD_ADDRESS unless that is set. The API gets the token by its file; commands of the operator, such as
  `docker compose exec node1 in-node quarry mine`, get it as QUARRY_TOKEN.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from services.settings import redis_url
from services.settings.values import BadValue, named
from services.system.text_files import read_secret
from shared.errors import NodeError

_URLS = ("QUARRY_REDIS_URL", "QUARRY_BROKER_URL")
# The programs of the node; any other command is an operator's.
_WORKER = ["quarry", "worker"]
_SERVICES = (_WORKER, ["quarry", "api"], ["quarry", "rpc"], ["quarry", "ticker"])
# The fast kernel as it was compiled when the miners' image was built.
_COMPILED = Path("/opt/numba")
# Holds a worker's pid, by which `health` finds it at the broker.
PID_FILE = "in-node.pid"


def complete(environment: Mapping[str, str], *, service: bool) -> dict[str, str]:
    """The environment with passwords, address and token.

    Args:
        service: whether the command is a program of the node rather than an operator's.

    Raises:
        NodeError, OSError: a file is missing, can be read by others, or cannot be made.
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
        from services.wallet import keyring

        files = NodeFiles(Path(completed["QUARRY_DATA_DIR"]))
        address = files.prepare()
        if "QUARRY_PAYOUT_DEPTH" in completed:
            completed.setdefault("QUARRY_PAYOUT_KEY_FILE", str(files.directory / keyring.PRIVATE_KEY))
        completed.setdefault("QUARRY_REWARD_ADDRESS", address)
        if service:
            completed.setdefault("QUARRY_ADMIN_TOKEN_FILE", str(files.admin_token))
        else:
            completed.setdefault("QUARRY_TOKEN", named("The admin token", read_secret, files.admin_token))
    return completed


def bring_kernel(compiled: Path, cache: Path) -> None:
    """Copy the compiled kernel to where Numba looks for it and writes, unless something is there.

    Numba compiles again if it was compiled for another processor. So that is what happens if it cannot be copied.
    """
    if compiled.is_dir() and not cache.exists():
        with suppress(OSError):
            shutil.copytree(compiled, cache)


def _read_password(path: Path) -> str:
    """The password. Its length is not checked: `make-cluster` has done that."""
    return read_secret(path, least=1, private=False)


def _with_password(url: str, password: str) -> str:
    """The URL with the password, if it names a user and has none; else as it is.

    A URL that cannot be used is returned as it is: the program that reads it reports it, and names the variable.
    """
    try:
        parts = redis_url.parse(url)
    except BadValue:
        return url
    if not parts.user or parts.password:
        return url
    return redis_url.written(replace(parts, password=password))


def main(command: Sequence[str]) -> int:
    """Become the command. Exit code 1: the environment cannot be completed; 127: there is no such command."""
    if not command:
        print("usage: in-node COMMAND [ARGUMENT …]", file=sys.stderr)
        return 2
    program = list(command[:2])
    try:
        environment = complete(os.environ, service=program in _SERVICES)
        if program == _WORKER:  # exec keeps the pid
            Path(tempfile.gettempdir(), PID_FILE).write_text(str(os.getpid()))
            if "NUMBA_CACHE_DIR" in environment:
                bring_kernel(_COMPILED, Path(environment["NUMBA_CACHE_DIR"]))
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
