"""What `quarry doctor` checks of this machine, whatever runs on it."""

import sys
from importlib import metadata
from pathlib import Path
from typing import Literal

from api.cli.options import place
from services.system.about import VERSION
from services.system.files import disk_room

_LOW_DISK, _NO_DISK = 2**30, 2**27  # bytes
_MODULES = (
    "nacl",
    "coincurve",
    "cryptography",
    "flask",
    "granian",
    "hiredis",
    "httptools",
    "redis",
    "rich",
    "rq",
    "urllib3",
    "websockets",
)

Verdict = Literal["ok", "warn", "fail"]


class Trouble(Exception):
    """A check found something wrong: `fail` if the node cannot work that way, `warn` if the user should know of it."""

    def __init__(self, text: str, verdict: Verdict = "fail") -> None:
        super().__init__(text)
        self.verdict: Verdict = verdict


def python() -> str:
    """The version of Python, and where it is."""
    return f"{'.'.join(map(str, sys.version_info[:3]))}, {sys.executable}"


def packages() -> str:
    """Whether the packages that a node needs can be imported. Raises: Trouble."""
    from importlib import import_module

    for name in _MODULES:
        try:
            import_module(name)
        except ImportError as error:
            raise Trouble(f"{name} cannot be imported ({error}); install Quarry again") from None
    try:
        metadata.version("numba")
    except metadata.PackageNotFoundError:
        raise Trouble(f"quarry {VERSION} lacks the extra `fast`: mining is 30 times slower", "warn") from None
    return f"quarry {VERSION}, with the fast kernel"


def disk() -> str:
    """Whether there is room where nodes are kept. Raises: Trouble."""
    directory = place() or Path.cwd()
    free, _ = disk_room(directory)
    text = f"{free / 2**30:.1f} GiB free at {directory}"
    if free < _NO_DISK:
        raise Trouble(text)
    if free < _LOW_DISK:
        raise Trouble(text, "warn")
    return text
