"""`quarry up` with state files: real processes, and what is refused before any is started."""

import dataclasses
import gzip
import json
import os
import signal
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from quarrynode import QuarryNode, wire
from services.development.state_file import decode, encode
from services.launch.node_files import NodeFilesError
from services.launch.state import keep_spec, to_toml
from services.system.programs import ROOT, module_command, module_path
from services.wallet.development import PHRASE
from shared.chain_spec import Token, read_spec
from tests.support.commands import forked_quarry, quarry
from tests.support.keys import ALICE, BOB
from tests.support.nodes import transfer
from tests.support.processes import linux_only, processes_of
from tests.support.specs import make_spec, mined_spec, write_spec

VECTOR = ROOT / "tests" / "vectors" / "state-1.jsonl"


def start(directory: Path | None, *arguments: str, **options: Any) -> QuarryNode:
    return QuarryNode(
        forked_quarry(),
        environment={"QUARRY_KERNEL": "plain", **module_path(os.environ)},
        arguments=("--workers", "1", *arguments),
        data_dir=directory,
        automine=False,
        **options,
    )


def look(node: QuarryNode) -> dict[str, Any]:
    """What a state file must bring back."""
    block = node.rpc("eth_getBlockByNumber", "0x2", False)
    return {
        "tip": node.status()["tip"],
        "balance": node.rpc("eth_getBalance", ALICE.address, "latest"),
        "receipts": [node.rpc("eth_getTransactionReceipt", item) for item in block["transactions"]],
        "mempool": wire.ask(f"{node.url}/mempool", timeout=10),
        "spec": wire.ask(f"{node.url}/spec", timeout=10),
    }


def test_a_node_is_saved_and_goes_on_elsewhere(tmp_path: Path) -> None:
    spec = write_spec(tmp_path / "spec.toml", mined_spec())
    file, again = tmp_path / "saved.state", tmp_path / "again.state"
    with start(tmp_path / "a", "--spec", str(spec), "--state", str(file)) as node:
        for item in (transfer(ALICE, 0), transfer(BOB, 4)):
            wire.ask(f"{node.url}/transactions/new", item, timeout=10)
        node.mine(2)
        before = look(node)
    saved = file.read_bytes()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (len(decode(saved).blocks), len(decode(saved).waiting)) == (2, 1)
    with start(tmp_path / "b", load_state=file, dump_state=again) as node:
        assert look(node) == before
    assert again.read_bytes() == saved
    refused(tmp_path / "b", "--load-state", str(file), words="The data directory holds a chain already")
    assert again.read_bytes() == saved


def refused(home: Path, *arguments: str, words: str) -> None:
    """`quarry up` with these options ends with a sentence, and nothing runs."""
    result = quarry(home, "up", "--port", "0", "--workers", "1", *arguments)
    assert result.returncode in (1, 2)
    assert words in result.stderr, result.stderr
    assert result.stderr.startswith("quarry: ") and result.stderr.count("\n") == 1
    assert processes_of(home) == {}


def altered(path: Path) -> Path:
    content = bytearray(VECTOR.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    return path


def test_a_damaged_file_starts_nothing_and_is_left_alone(tmp_path: Path) -> None:
    file = altered(tmp_path / "damaged")
    content = file.read_bytes()
    home = tmp_path / "home"
    words = f"quarry: {file}: The state file is damaged: its lines do not have the hash"
    refused(home, "--state", str(file), words=words)
    assert file.read_bytes() == content
    assert not home.exists()


def test_a_block_that_breaks_a_rule_is_found_before_the_node_starts(tmp_path: Path) -> None:
    state = decode(VECTOR.read_bytes())
    block = json.dumps({**json.loads(state.blocks[2]), "difficulty": 2}, sort_keys=True).encode()
    file = tmp_path / "forged"
    file.write_bytes(gzip.compress(encode(dataclasses.replace(state, blocks=[*state.blocks[:2], block]))))
    content = file.read_bytes()
    home = tmp_path / "home"
    refused(home, "--state", str(file), words="quarry: Block 4 of the state breaks a rule (wrong_difficulty)")
    assert file.read_bytes() == content, "a start that failed writes no state"
    assert not (home / "test" / "node1" / "logs" / "api.log").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--state", "a", "--load-state", "a"], "--state is --load-state and --dump-state with one file."),
        (["--state", "a", "--dump-state", "a"], "--state is --load-state and --dump-state with one file."),
        (["--load-state", "nowhere"], "--load-state: nowhere is not a file."),
        (["--load-state", "."], "--load-state: . is not a file."),
        (["--state", "/tmp"], "--state: /tmp is not a file."),
        (["--dump-state", "/tmp"], "--dump-state: /tmp is a directory."),
        (["--dump-state", "/nowhere/file"], "--dump-state: /nowhere/file cannot be written."),
        (["--nodes", "2", "--dump-state", "x"], "A state file is for one node: leave out --nodes."),
        (["--load-state", str(ROOT / "README.md")], "This is not a state file of Quarry."),
        (["--load-state", str(VECTOR), "--spec", "dev"], "is of the chain test, not of --spec dev: leave it out."),
    ],
)
def test_what_the_options_cannot_mean(tmp_path: Path, arguments: list[str], words: str) -> None:
    home = tmp_path / "home"
    refused(home, *arguments, words=words)
    assert not home.exists()


def test_the_program_says_what_is_wrong_with_the_store_or_the_file(tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {"QUARRY_REDIS_URL": "redis://127.0.0.1:1/0", "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            module_command("worker", "state", *arguments),
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    found = run("dump", str(tmp_path / "file"))
    assert (found.returncode, found.stderr.count("\n")) == (1, 1)
    assert found.stderr.startswith("quarry: The store does not answer: ")
    assert list(tmp_path.iterdir()) == []
    found = run("load", str(tmp_path / "file"))
    assert (found.returncode, found.stderr) == (1, f"quarry: {tmp_path / 'file'}: No such file or directory.\n")


@linux_only
def test_nothing_is_left_of_a_killed_node_in_a_directory_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with start(None) as node:
        assert node.pid is not None
        os.kill(node.pid, signal.SIGKILL)
    assert processes_of(tmp_path) == {}
    assert list(tmp_path.iterdir()) == []


# --- The chain spec of a file -----------------------------------------------------------------------------------------


def test_a_spec_is_kept_with_its_phrase(tmp_path: Path) -> None:
    spec = make_spec(
        token=dataclasses.asdict(Token(name='a "b" \\ \x7f \u00e9 \U0001f300', symbol="\t")), block_interval=7
    )
    name, settings = keep_spec(spec, PHRASE, tmp_path)
    assert read_spec(Path(name).read_text()) == spec
    assert settings == {"QUARRY_DEVELOPMENT_MNEMONIC_FILE": str(tmp_path / "test" / "mnemonic")}
    assert (tmp_path / "test" / "mnemonic").read_text() == PHRASE + "\n"
    for file in (tmp_path / "test").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert keep_spec(spec, "", tmp_path) == (name, {})
    with pytest.raises(NodeFilesError, match="is another chain's"):
        keep_spec(make_spec(), "", tmp_path)
    assert read_spec(Path(name).read_text()) == spec


@pytest.mark.parametrize("name", ["dev", "network", "tutorial"])
def test_a_built_in_spec_needs_no_file(tmp_path: Path, name: str) -> None:
    spec = read_spec((ROOT / "shared" / "chain_specs" / f"{name}.toml").read_text())
    assert keep_spec(spec, "", tmp_path) == (name, {})
    assert list(tmp_path.iterdir()) == []
    assert read_spec(to_toml(spec)) == spec
