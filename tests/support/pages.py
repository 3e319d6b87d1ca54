"""The fenced blocks of a page of the documentation, and a shell that runs them as a reader would.

A comment directly above a block says what is special about it; readers do not see it:

    <!-- not run: WHY -->     the block is left out; tests count these
    <!-- terminal -->         each of its commands goes on, in a terminal of its own, until the next one of these
    <!-- stop -->             Ctrl-C in that terminal first, as the page says
    <!-- needs: PROGRAM -->   the block is left out where there is no such program
    <!-- with: NAME -->       something that the page talks of runs meanwhile; the test knows how to start it
    <!-- recipe: NAME -->     a whole program, which a test of its own runs

In `console` blocks, lines that begin with `$ ` are commands, and what follows is what they print: compared apart from
line breaks, hashes, addresses, proofs and times; `…` stands for anything. `sh` blocks are commands without output.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from services.system.programs import ROOT, module_path
from tests.support.servers import free_ports
from tests.support.waiting import eventually

_BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>[a-z ]+)(?:: (?P<value>[^>]*))? -->\n)?```(?P<language>[a-z]*)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
MARKS = ("not run", "terminal", "stop", "needs", "with", "recipe")
SHELLS = ("console", "sh")
# What the pages write for the ports of up to three nodes, and of their JSON-RPC.
PORTS = (5000, 5001, 5002, 8545, 8546, 8547)
COLUMNS, ROWS = 80, 24
# What `make test ARGS=…` gives the tests: `make up` on a page would take the same arguments.
OF_MAKE = ("ARGS", "MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS", "MAKELEVEL")
_READY = "Ctrl-C"
_END = "--the command has ended--"
_SECONDS = 60.0


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    section: str  # the title above it
    language: str
    text: str
    mark: str  # one of MARKS, or ""
    value: str  # what the mark says

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Command:
    """A command of a `console` block, and what the page says that it prints; "" if the page does not show it."""

    text: str
    output: str


def blocks(page: str) -> list[Block]:
    """All fenced blocks of a page, given by its path in the repository."""
    return list(_blocks(page, (ROOT / page).read_text("utf-8")))


def _blocks(page: str, text: str) -> Iterator[Block]:
    for found in _BLOCK.finditer(text):
        mark, value = found["mark"] or "", (found["value"] or "").strip()
        if mark and mark not in MARKS:
            mark = value = ""  # a comment of another kind
        before = text[: found.start("language")]
        sections = re.findall(r"^#+ (.*)", re.sub(r"```.*?```", "", before, flags=re.DOTALL), re.MULTILINE)
        yield Block(
            page,
            before.count("\n") + 1,
            sections[-1] if sections else "",
            found["language"],
            found["text"],
            mark,
            value,
        )


def commands(block: Block) -> list[Command]:
    """The commands of a shell's block, in order. A command goes on over line breaks inside quotes, and after a \\."""
    if block.language == "sh":
        return [Command(block.text, "")]
    found: list[Command] = []
    for line in block.text.splitlines():
        if found and not found[-1].output and _goes_on(found[-1].text):
            found[-1] = Command(f"{found[-1].text}\n{line}", "")
        elif line.startswith("$ "):
            found.append(Command(line[2:], ""))
        else:
            assert found, f"{block.where}: a console block begins with a command"
            found[-1] = Command(found[-1].text, f"{found[-1].output}{line}\n")
    return found


def _goes_on(text: str) -> bool:
    if text.endswith("\\"):
        return True
    try:
        shlex.split(text, comments=True)
    except ValueError:
        return True
    return False


# What differs from run to run, in this order: the page's text, and what may be in its place.
_VARIABLE = [
    (r"…", r".*?"),
    (r"0x[0-9a-fA-F]{40}", r"0x[0-9a-fA-F]{40}"),
    (r"(?<![0-9a-zA-Z])[0-9a-f]{64}", r"[0-9a-f]{64}"),
    (r"(?<![0-9a-zA-Z])[0-9a-f]{6,63}(?=…)", r"[0-9a-f]+?"),
    (r"(?<=proof )\d+|(?<=\"proof\":)\d+", r"\d+"),
    (r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d", r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d"),
]
_SPLIT = re.compile("|".join(f"({pattern})" for pattern, _ in _VARIABLE))


def matches(shown: str, said: str) -> bool:
    """Whether a command said what the page shows, apart from white space and what differs from run to run."""
    text = " ".join(shown.split())
    pattern, at = "", 0
    for found in _SPLIT.finditer(text):
        pattern += re.escape(text[at : found.start()]) + _VARIABLE[(found.lastindex or 1) - 1][1]
        at = found.end()
    pattern += re.escape(text[at:])
    # A line may be broken on the page where the command does not break it.
    return re.fullmatch(pattern.replace("\\ ", r"\s*"), said.strip(), re.DOTALL) is not None


def rows(text: str) -> int:
    """Rows of a terminal of COLUMNS that a text takes."""
    return sum(max(1, -(-len(line) // COLUMNS)) for line in text.splitlines())


class Reader:
    """Someone who types the blocks of a page into a shell, in a checkout of this repository, on a fresh machine.

    The checkout has an environment already, so `make` installs nothing. The home directory is empty, and the ports of
    the pages are replaced by free ones.

    Args:
        directory: an empty one.
        path: directories of further programs.
        variables: further environment variables.
    """

    def __init__(self, directory: Path, path: str = "", variables: Mapping[str, str] | None = None) -> None:
        self.directory = directory
        self.checkout = make_checkout(directory / "quarry")
        (directory / "home").mkdir()
        (directory / "home/.curlrc").write_text("silent\nshow-error\n")  # as curl behaves in a terminal
        self._ports = {str(shown): str(own) for shown, own in zip(PORTS, (*free_ports(3), *free_ports(3)), strict=True)}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("QUARRY_")}
        self.environment = {
            **{name: value for name, value in inherited.items() if name not in OF_MAKE},
            **module_path(os.environ),
            "PATH": os.pathsep.join(filter(None, (path, os.environ["PATH"]))),
            "HOME": str(directory / "home"),
            "COLUMNS": str(COLUMNS),
            "LINES": str(ROWS),
            "QUARRY_KERNEL": "plain",
            "QUARRY_PORT": self._ports["5000"],
            "QUARRY_RPC_PORT": self._ports["8545"],
            **(variables or {}),
        }
        self._terminal: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._shell = subprocess.Popen(
            ["bash", "--norc"],
            cwd=self.checkout,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self.stop()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self._shell.pid, signal.SIGKILL)
            self._shell.communicate()

    def do(self, block: Block) -> None:
        """What the page says to do with a block of commands. AssertionError: it does not do what the page shows."""
        if block.mark == "stop":
            self.stop()
        for command in commands(block):
            if block.mark == "terminal":
                self._start(block, command)
            else:
                self._type(block, command)

    def own(self, text: str) -> str:
        """A page's text with the ports of this reader."""
        return re.sub(r"\b(?:5000|5001|5002|8545|8546|8547)\b", lambda found: self._ports[found[0]], text)

    def _as_shown(self, text: str) -> str:
        for shown, own in self._ports.items():
            text = re.sub(rf"\b{own}\b", shown, text)
        return text

    def type(self, command: str) -> tuple[str, int]:
        """Type a command into the shell; what it printed, and its exit code."""
        assert self._shell.stdin is not None and self._shell.stdout is not None
        self._shell.stdin.write(f"{{ {command}\n}} </dev/null; printf '\\n%s %s\\n' '{_END}' $?\n".encode())
        self._shell.stdin.flush()
        said = b""
        while not (ended := re.search(rf"\n{_END} (\d+)\n$".encode(), said)):
            line = self._shell.stdout.readline()
            assert line, f"the shell has ended after\n{command}\n{said.decode(errors='replace')}"
            said += line
        return said[: ended.start()].decode(), int(ended[1])

    def _type(self, block: Block, command: Command) -> None:
        text = self.own(command.text)
        # A `sh` block is typed at once, into a shell of its own, so that its first failure ends it.
        self._compare(block, command, *self.type(f"( set -e; {text}\n)" if block.language == "sh" else text))

    def _compare(self, block: Block, command: Command, said: str, code: int = 0) -> None:
        said = self._as_shown(said)
        assert code == 0, f"{block.where}: exit code {code} of\n{command.text}\n{said}"
        if command.output:
            assert matches(command.output, said), f"{block.where}: the page shows\n{command.output}\nand it is\n{said}"
        if block.language == "console":
            assert rows(said) < ROWS or "…" in command.output, f"{block.where}: more than a terminal shows\n{said}"

    def _start(self, block: Block, command: Command) -> None:
        self.stop()
        log = self.directory / "terminal.log"
        with log.open("wb") as output:
            self._terminal = subprocess.Popen(
                ["bash", "-c", f"PATH=$PWD/.venv/bin:$PATH; {self.own(command.text)}"],
                cwd=self.checkout,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

        def ready() -> bool:
            said = log.read_text(errors="replace")
            assert self._terminal is not None and self._terminal.poll() is None, f"{block.where}: it ended\n{said}"
            return self._answers() and (_READY in said or "--quiet" in command.text)

        eventually(ready, _SECONDS)
        if command.output:
            self._compare(block, command, log.read_text(errors="replace"))

    def _answers(self) -> bool:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self._ports['5000']}/readyz", timeout=5):
            return True
        return False

    def stop(self) -> None:
        """Ctrl-C in the terminal of a command that goes on, if there is one."""
        if self._terminal is None:
            return
        terminal, self._terminal = self._terminal, None
        with suppress(ProcessLookupError):
            os.killpg(terminal.pid, signal.SIGINT)
        try:
            code = terminal.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(terminal.pid, signal.SIGKILL)
            raise
        assert code in (0, 130, -signal.SIGINT), f"it ended with {code}"  # the last: make


def make_checkout(directory: Path) -> Path:
    """A directory that looks like a checkout in which `make up` was run before: links into ours, and an environment."""
    directory.mkdir(parents=True)
    for item in ROOT.iterdir():
        if item.name not in (".venv", ".git"):
            (directory / item.name).symlink_to(item)
    programs = directory / ".venv/bin"
    programs.mkdir(parents=True)
    for name, command in {"quarry": f"{sys.executable} -P -m api.cli", "python": sys.executable}.items():
        (programs / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (programs / name).chmod(0o755)
    for name in (".installed-run", ".installed-dev"):  # newer than pyproject.toml: nothing is to be installed
        (directory / ".venv" / name).touch()
    return directory


def missing(block: Block) -> str:
    """Why a block cannot be run on this machine, or ""."""
    if block.mark == "not run":
        return block.value
    if block.mark == "needs" and shutil.which(block.value) is None:
        return f"there is no {block.value}"
    return ""
