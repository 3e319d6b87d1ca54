#!/usr/bin/env -S python -P
"""`make-cluster RULES DIRECTORY`: make the files that the services of a cluster share, before any of them starts.

DIRECTORY/password           of the Valkey user `quarry`: VALKEY_PASSWORD if that is set, else the old one, or a new one
DIRECTORY/miner-password     the same of the user `miner`, and VALKEY_MINER_PASSWORD
DIRECTORY/operator-password  the same of the user `operator`, and VALKEY_OPERATOR_PASSWORD
DIRECTORY/users.acl          RULES as Valkey reads them, with the passwords' SHA-256 in place of {password} and so on

The limits of the Valkeys are checked first (VALKEY_MAXMEMORY and VALKEY_MEMORY_LIMIT, BROKER_MAXMEMORY and
BROKER_MEMORY_LIMIT): where the container's is not well above Valkey's own, the kernel would kill Valkey before it
refuses writes. Safe to repeat: `docker compose up` does it every time.
"""

import hashlib
import os
import re
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

from services.launch.node_files import write_private
from shared.errors import NodeError

# It becomes part of URLs, so none of its characters may need escaping.
_PASSWORD = re.compile(r"[A-Za-z0-9_-]{16,128}")
# Variables with passwords, and the files that keep them.
_PASSWORDS = {
    "VALKEY_PASSWORD": "password",
    "VALKEY_MINER_PASSWORD": "miner-password",
    "VALKEY_OPERATOR_PASSWORD": "operator-password",
}
# What Valkey needs besides its data: buffers of clients, and pages that change while a child rewrites the file.
_LEAST_ROOM = 1.25
_SIZE = re.compile(r"([0-9]{1,15})([a-z]{0,2})", re.IGNORECASE)
_BINARY = {"b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30}
# Valkey's `1g` is 10^9 bytes, Docker's is 2^30.
_VALKEY_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, **_BINARY}
_DOCKER_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, **_BINARY}


class BadCluster(NodeError):
    """The shared files cannot be made. The message never holds the password."""


def make_cluster(rules: Path, directory: Path, given: Mapping[str, str]) -> None:
    """Write the shared files, mode 0600.

    Args:
        given: the operator's passwords, by the names of their variables; "": none was given.

    Raises:
        BadCluster: a password cannot be used, or two users have the same.
        NodeError, OSError: a file cannot be read or written.
    """
    old = {name: _read(directory / file) for name, file in _PASSWORDS.items()}
    passwords = {name: given.get(name) or old[name] or secrets.token_urlsafe(32) for name in _PASSWORDS}
    for name, password in passwords.items():
        if not _PASSWORD.fullmatch(password):
            where = name if given.get(name) else str(directory / _PASSWORDS[name])
            raise BadCluster(f"{where} must be 16 to 128 letters, digits, - and _.")
    if len(set(passwords.values())) < len(passwords):
        raise BadCluster(f"{', '.join(passwords)} must differ.")
    text = _one_line_each(rules.read_text("utf-8"))
    for name, file in _PASSWORDS.items():
        if passwords[name] != old[name]:
            write_private(directory / file, passwords[name] + "\n")
        digest = hashlib.sha256(passwords[name].encode()).hexdigest()
        text = text.replace("{" + file.replace("-", "_") + "}", f"#{digest}")
    write_private(directory / "users.acl", text)


def _read(path: Path) -> str:
    return path.read_text("utf-8").strip() if path.exists() else ""


def _one_line_each(rules: str) -> str:
    """Rules without comments and empty lines, and with lines that begin with a blank added to those above them."""
    lines = [line.rstrip() for line in rules.splitlines() if line.strip() and not line.startswith("#")]
    return "\n".join(lines).replace("\n ", " ") + "\n"


def check_limits(environment: Mapping[str, str]) -> None:
    """Each container of a Valkey may have at least a quarter more memory than its Valkey.

    Raises:
        BadCluster: it may not, or a size cannot be read. Variables that are not set are not checked.
    """
    for server in ("VALKEY", "BROKER"):
        own, container = f"{server}_MAXMEMORY", f"{server}_MEMORY_LIMIT"
        if own in environment and container in environment:
            data = _bytes(own, environment[own], _VALKEY_UNITS)
            if _bytes(container, environment[container], _DOCKER_UNITS) < data * _LEAST_ROOM:
                raise BadCluster(f"{container} must be at least a quarter more than {own}.")


def _bytes(name: str, text: str, units: Mapping[str, int]) -> int:
    found = _SIZE.fullmatch(text)
    size = int(found[1]) * units.get(found[2].lower(), 0) if found is not None else 0
    if size == 0:  # 0 is no limit, for both
        raise BadCluster(f"{name} must be a size above 0, such as 512mb or 2gb.")
    return size


def main(arguments: list[str]) -> int:
    """Exit code 0, or 1 with one line that says why, or 2 for wrong usage."""
    if len(arguments) != 2:
        print("usage: make-cluster RULES DIRECTORY", file=sys.stderr)
        return 2
    try:
        check_limits(os.environ)
        make_cluster(Path(arguments[0]), Path(arguments[1]), os.environ)
    except (NodeError, OSError) as error:
        print(f"make-cluster: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
