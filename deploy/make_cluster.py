#!/usr/bin/env -S python -P
"""`make-cluster RULES DIRECTORY`: make the files that the services of a cluster share, before any of them starts.

DIRECTORY/password    of the Valkey user `quarry`: VALKEY_PASSWORD if that is set, else the old one, else a new one
DIRECTORY/users.acl   RULES with the password's SHA-256 in place of {password}, as Valkey reads it

Safe to repeat: `docker compose up` does it every time.
"""

import hashlib
import os
import re
import secrets
import sys
from pathlib import Path

from services.launch.node_files import write_private
from shared.errors import NodeError

# It becomes part of URLs, so none of its characters may need escaping.
_PASSWORD = re.compile(r"[A-Za-z0-9_-]{16,128}")


class BadCluster(NodeError):
    """The shared files cannot be made. The message never holds the password."""


def make_cluster(rules: Path, directory: Path, given: str) -> None:
    """Write the shared files, mode 0600.

    Args:
        given: the operator's password; "": none was given.

    Raises:
        BadCluster: the password cannot be used.
        NodeError, OSError: a file cannot be read or written.
    """
    path = directory / "password"
    old = path.read_text("utf-8").strip() if path.exists() else ""
    password = given or old or secrets.token_urlsafe(32)
    if not _PASSWORD.fullmatch(password):
        where = "VALKEY_PASSWORD" if given else str(path)
        raise BadCluster(f"{where} must be 16 to 128 letters, digits, - and _.")
    if password != old:
        write_private(path, password + "\n")
    digest = hashlib.sha256(password.encode()).hexdigest()
    write_private(directory / "users.acl", rules.read_text("utf-8").replace("{password}", f"#{digest}"))


def main(arguments: list[str]) -> int:
    """Exit code 0, or 1 with one line that says why, or 2 for wrong usage."""
    if len(arguments) != 2:
        print("usage: make-cluster RULES DIRECTORY", file=sys.stderr)
        return 2
    try:
        make_cluster(Path(arguments[0]), Path(arguments[1]), os.environ.get("VALKEY_PASSWORD", ""))
    except (NodeError, OSError) as error:
        print(f"make-cluster: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
