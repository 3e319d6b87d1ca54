#!/usr/bin/env python3
"""`move_base.py [IMAGE:TAG]`: pin the Dockerfile's base to the digest that the tag has today.

Pulls the tag with docker, or with the program that DOCKER names, and asks which digest it has: that of the whole index,
so the Dockerfile builds on every processor. Another tag moves the base to that tag. Only the standard library, and
nothing of Quarry, since it is run without an installation.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

_DOCKERFILE = Path(__file__).resolve().parent.parent / "Dockerfile"
_LINE = re.compile(r"^ARG BASE=([a-z0-9./_-]+:[A-Za-z0-9._-]+)@(sha256:[0-9a-f]{64})$", re.MULTILINE)
_TAG = re.compile(r"[a-z0-9./_-]+:[A-Za-z0-9._-]+")


class CannotMove(Exception):
    """Why the base stays where it is, in one sentence."""


def todays_digest(tag: str, docker: str) -> str:
    """The digest of a tag in its registry.

    Raises:
        CannotMove: there is no docker, or the registry does not give it.
    """
    _run(docker, "pull", "--quiet", tag)
    known = _run(docker, "image", "inspect", "--format", '{{join .RepoDigests "\\n"}}', tag).split()
    name = tag.rpartition(":")[0]
    for one in known:
        place, _, digest = one.partition("@")
        if place.endswith(name.rpartition("/")[2]) and re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
            return digest
    raise CannotMove(f"{docker} knows no digest of {tag}: it was not pulled from a registry.")


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        raise CannotMove(f"{command[0]} cannot be run: {error.strerror}.") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise CannotMove(f"{' '.join(command[:2])} failed: {lines[-1]}")
    return done.stdout


def move(file: Path, tag: str, docker: str) -> str:
    """Write the digest of today into a Dockerfile; "" for the tag that it has. Returns what was done, in one line.

    Raises:
        CannotMove: nothing was written.
    """
    text = file.read_text("utf-8")
    found = _LINE.findall(text)
    if len(found) != 1:
        raise CannotMove(f"{file} must have one line ARG BASE=IMAGE:TAG@sha256:…")
    [(old_tag, old)] = found
    tag = tag or old_tag
    if not _TAG.fullmatch(tag):
        raise CannotMove("The base must be IMAGE:TAG.")
    digest = todays_digest(tag, docker)
    if (tag, digest) == (old_tag, old):
        return f"{tag} is still {digest}."
    file.write_text(_LINE.sub(f"ARG BASE={tag}@{digest}", text), "utf-8")
    return f"{old_tag}@{old} -> {tag}@{digest}; try it with: make image-test"


def main(arguments: list[str]) -> int:
    """Exit code 0; 1 with one line that says why not; 2 for wrong usage."""
    if len(arguments) > 1:
        print("usage: move_base.py [IMAGE:TAG]", file=sys.stderr)
        return 2
    try:
        print(move(_DOCKERFILE, "".join(arguments), os.environ.get("DOCKER", "docker")))
    except (CannotMove, OSError) as error:
        print(f"move_base: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
