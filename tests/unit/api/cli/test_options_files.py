"""Files that options and arguments name: one that cannot be used ends a command in one line that names it."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.cli import refused, run
from tests.support.fake_node import FakeNode

FAULTS: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: None,
    "empty": lambda path: path.write_bytes(b""),
    "blank": lambda path: path.write_bytes(b" \n\t\n"),
    "binary": lambda path: path.write_bytes(bytes(range(128, 256))),
    "nul": lambda path: path.write_bytes(b"\0\1\2"),
    "directory": Path.mkdir,
    "in a file": lambda path: None,  # its directory is none
    "unreadable": lambda path: path.symlink_to("/proc/self/mem"),  # for root, too
}


@dataclass(frozen=True)
class Named:
    """A command that is given a file: `FILE` stands for it."""

    arguments: str
    code: int
    option: str = ""  # the line begins with it
    words: str = ""  # where such a file comes from
    by_click: tuple[str, ...] = ()  # the faults that click refuses, as wrong usage
    quiet: tuple[str, ...] = ()  # faults that are none here


CLICK = ("missing", "directory", "in a file")
NAMED = {
    "voucher": Named("miner --voucher-file FILE", 2, "--voucher-file: ", "`quarry voucher new NAME > FILE`"),
    "token": Named("peers list --url URL --token FILE", 2, "--token: ", "token"),
    "spec of upgrades": Named("upgrade show given --spec FILE", 2, "--spec: "),
    "spec to verify by": Named("chain verify --url URL --spec FILE", 2, "--spec: "),
    "spec to sign for": Named("wallet sign given --from alice --spec FILE", 2, "--spec: "),
    "spec of a backup": Named("backup out --spec FILE", 2, "--spec: "),
    "spec to repair by": Named("repair --redis-url redis://127.0.0.1:1/0 --spec FILE", 2, "--spec: "),
    "spec to begin": Named("up --spec FILE", 2, "--spec (QUARRY_SPEC): "),
    "upgrades": Named("upgrade show FILE --spec dev", 1),
    "upgrades to check": Named("upgrade check FILE --spec dev", 1),
    "transaction": Named("wallet sign --from alice FILE", 1),
    "key": Named("wallet import FILE --name new", 1),
    "Ethereum key": Named("wallet import FILE --name new --scheme ethereum", 1),
    "chain": Named("chain import FILE", 1, by_click=("directory",)),
    "backup": Named("restore FILE --data-dir new", 1, by_click=("directory",)),
    "proof": Named("verify-anchor given --proof FILE", 1, by_click=CLICK),
    "what is anchored": Named("anchor FILE --url URL", 1, by_click=CLICK, quiet=("empty", "blank", "binary", "nul")),
    "state to load": Named("up --load-state FILE", 1, by_click=CLICK),
    "state": Named("up --state FILE", 1, by_click=("directory", "in a file"), quiet=("missing",)),
}


@pytest.mark.parametrize(
    ("name", "fault"), [(name, fault) for name in NAMED for fault in FAULTS if fault not in NAMED[name].quiet]
)
def test_a_file_that_cannot_be_used_is_named_with_what_is_wrong(
    node: FakeNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, fault: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QUARRY_PASSPHRASE", "a passphrase")
    monkeypatch.setattr("os.execve", lambda *_: pytest.fail("the file was accepted"))
    Path("given").write_text("{}")
    command = NAMED[name]
    path = tmp_path / ("given/the-file" if fault == "in a file" else "the-file")
    FAULTS[fault](path)
    if path.is_file() and not path.is_symlink():
        os.chmod(path, 0o600)
    arguments = [{"FILE": str(path), "URL": node.url}.get(word, word) for word in command.arguments.split()]
    result = run(*arguments)
    refused(result, 2 if fault in command.by_click else command.code, str(path), command.words)
    assert result.stderr.startswith(f"quarry: {command.option}")
    for other in ("openssl", "Traceback", "A bug in Quarry"):
        assert other not in result.stderr


def test_a_secret_that_others_can_read_is_not_asked_for_again(node: FakeNode, tmp_path: Path) -> None:
    """The remedy is chmod: the file is the right one."""
    path = tmp_path / "secret"
    path.write_text("qv_0123456789abcdef0123456789abcdef")
    path.chmod(0o644)
    for arguments, option in (
        (("miner", "--voucher-file"), "--voucher-file"),
        (("peers", "list", "--token"), "--token"),
    ):
        result = run(*arguments, path)
        refused(result, 2)
        assert result.stderr == f"quarry: {option}: {path} can be read by others: chmod 600 it.\n"


def test_what_is_wrong_with_standard_input_names_it(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARRY_PASSPHRASE", "a passphrase")
    for arguments in (("chain", "import", "-"), ("restore", "-", "--data-dir", "new")):
        refused(run(*arguments, stdin=b""), 1, "standard input: ")
    refused(run("wallet", "sign", "--from", "alice", "-", stdin=b""), 1, "Standard input holds no transaction: ")
