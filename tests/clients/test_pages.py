"""The commands on the pages run as they stand, block by block, and print what the pages show."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped] # its stubs are a package of their own

from tests.clients.packages import HERE
from tests.support.pages import ROWS, SHELLS, Block, Reader, blocks, commands, matches, missing, rows
from tests.support.tutorial_node import TutorialNode, TutorialServer

# Of account0, which has coins on every development chain: what a reader finds with `quarry wallet accounts`.
PUBLIC_KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
# How a block of a language is run, and the name of its file.
PROGRAMS = {"js": ("node", "program.mjs"), "python": (sys.executable, "program.py")}
README = blocks("README.md")
PAGES = {
    page: blocks(page)
    for page in ("README.md", "docs/chain-spec.md", "docs/operations.md", "docs/tutorial.md", "docs/wallets.md")
}
# How many blocks of each page are not run. Each says why, in a comment above it.
NOT_RUN = {"README.md": 3, "docs/operations.md": 12, "docs/wallets.md": 2}
# From the first command to a coin that is mined, paid and shown.
FIRST_SECTIONS = ("Start",)
MOST_COMMANDS = 8


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    with Reader(tmp_path, variables={"KEY": PUBLIC_KEY}) as reader:
        yield reader


@pytest.fixture
def installed(reader: Reader) -> Reader:
    """One who has followed the README before: `quarry` is found."""
    reader.type(f'export PATH="{reader.checkout}/.venv/bin:$PATH"')
    return reader


def in_sections(page: Sequence[Block], *sections: str) -> list[Block]:
    found = [block for block in page if block.section in sections]
    assert {block.section for block in found} == set(sections)
    return found


def do(reader: Reader, page: Sequence[Block]) -> None:
    """Run the blocks in order: commands in one shell, and each program in a directory of its own."""
    for number, block in enumerate(page):
        if missing(block):
            continue
        with MEANWHILE[block.value](reader) if block.mark == "with" else nullcontext():
            if block.language in SHELLS:
                reader.do(block)
            elif block.language in PROGRAMS:
                run_program(reader, block, number)
            elif block.language == "yaml":
                assert yaml.safe_load(block.text), block.where


def run_program(reader: Reader, block: Block, number: int) -> None:
    command, name = PROGRAMS[block.language]
    if shutil.which(command) is None:
        return
    directory = reader.directory / f"program{number}"
    directory.mkdir()
    (directory / "node_modules").symlink_to(HERE / "node_modules")
    (directory / name).write_text(reader.own(block.text))
    found = subprocess.run(
        [command, name],
        cwd=directory,
        env=reader.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert found.returncode == 0, f"{block.where}: {found.stdout}{found.stderr}"


@contextmanager
def node_of_the_tutorial(reader: Reader) -> Iterator[None]:
    """A program that follows the tutorial, with seven blocks."""
    server = TutorialServer(TutorialNode(), int(reader.own("5001")))
    for _ in range(6):
        server.node.mine()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


MEANWHILE = {"a node of the tutorial": node_of_the_tutorial}


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_run_or_says_why_not(page: str) -> None:
    for block in PAGES[page]:
        assert block.language in (*SHELLS, "js", "python", "yaml", "toml", "ini"), f"{block.where}: which language?"
        assert block.mark != "not run" or len(block.value) > 10, f"{block.where} does not say why it is not run"
    assert sum(block.mark == "not run" for block in PAGES[page]) == NOT_RUN.get(page, 0)


def test_what_the_readme_shows_first(reader: Reader) -> None:
    """Mined, paid, shown; then over HTTP, and a file. The other blocks of the README are run by the slow test below."""
    do(reader, in_sections(README, *FIRST_SECTIONS, "Over HTTP", "Files on the chain"))


def test_the_first_coin_takes_few_commands() -> None:
    typed = [command for block in in_sections(README, *FIRST_SECTIONS) for command in commands(block)]
    paid = next(place for place, command in enumerate(typed) if command.text.startswith("quarry send"))
    assert paid + 2 <= MOST_COMMANDS, "with the look at the balance"
    assert all(rows(command.output) < ROWS for command in typed)


@pytest.mark.slow
def test_the_whole_readme(reader: Reader) -> None:
    do(reader, README)


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted(PAGES.keys() - {"README.md"}))
def test_a_whole_page(
    installed: Reader, page: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if any(block.value == "cast" for block in PAGES[page]) and os.environ.get("TEST_CAST"):
        monkeypatch.setenv("PATH", str(Path(request.getfixturevalue("cast")).parent), prepend=os.pathsep)
        installed.type(f'export PATH="$PATH:{Path(request.getfixturevalue("cast")).parent}"')
    if any(block.language == "js" for block in PAGES[page]) and shutil.which("node"):
        request.getfixturevalue("node_modules")
    do(installed, PAGES[page])


def test_what_differs_from_run_to_run_is_not_compared() -> None:
    shown = f"Block 2: {'ab' * 32}, proof 52620\nto 0x{'aB' * 20} at 2026-01-01T00:00:00+00:00, height 7\n"
    again = f"Block 2: {'cd' * 32}, proof 1\nto 0x{'0' * 40} at 2031-12-31T23:59:59+00:00, height 7\n"
    assert matches(shown, shown)
    assert matches(shown, again)
    assert matches(shown.replace(", proof", ",\n  proof"), again), "a page may break a line"
    assert not matches(shown, again.replace("height 7", "height 8"))
    assert not matches(shown, f"{again}and more")
    assert not matches(shown, "")
    assert matches('{"id":"…","hash":"00ab12…"}', '{"id":"x y","hash":"77fe"}')
    assert not matches('{"id":"…"}', '{"id":"x","hash":"77fe"')


def test_commands_are_read_as_a_shell_reads_them() -> None:
    text = "$ echo 'a\n$ b' # it's\nout\nput\n$ curl \\\n  -d x\n$ last\n"
    found = [(command.text, command.output) for command in commands(Block("p", 1, "", "console", text, "", ""))]
    assert found == [("echo 'a\n$ b' # it's", "out\nput\n"), ("curl \\\n  -d x", ""), ("last", "")]


def test_a_terminal_has_rows_of_eighty_columns() -> None:
    assert rows("") == 0
    assert rows(f"a\n\n{'b' * 80}\n{'c' * 81}\n") == 5
