"""Seeds of simulated runs, as people write them: `7`, or `1:7` with the version of the simulation it was seen under.

The same seed gives the same run while the simulation draws the same numbers in the same order. In the tree fidelity
that changes only with `VERSION`; in the full fidelity, which runs the nodes' own code, it may change with every commit.
"""

from __future__ import annotations

import re

import click

# Incremented by every change after which a seed gives another run in the tree fidelity. A test has some of the runs.
VERSION = 1
LARGEST = 2**53
_WRITTEN = re.compile(r"(?:([0-9]{1,9}):)?([0-9]{1,16})")


def written(seed: int) -> str:
    """A seed with the version of the simulation."""
    return f"{VERSION}:{seed}"


def read_seed(text: str | int) -> int:
    """A seed from the command line.

    Raises:
        BadParameter: it is none, or one of another version, which would give another run.
    """
    found = _WRITTEN.fullmatch(str(text))
    if found is None or int(found[2]) > LARGEST:
        raise click.BadParameter(f"{text!r} is no seed: a whole number from 0 to 2^53, such as 7, or {written(7)}.")
    if found[1] is not None and int(found[1]) != VERSION:
        raise click.BadParameter(
            f"{text} is a seed of version {int(found[1])} of the simulation. This release has version {VERSION}, which "
            "gives another run for it; replay the recording of that run instead."
        )
    return int(found[2])
