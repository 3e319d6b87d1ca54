"""`quarry anchor`: what can fail fails before it is paid, and a proof that was not written can be made later."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from api.cli.chain import anchor_proof
from services.system.programs import ROOT
from shared import merkle
from shared.replay import Replay
from shared.rules import rules_for
from tests.support.cli import run
from tests.support.fake_node import SPEC, FakeNode

pytestmark = pytest.mark.usefixtures("own_environment")


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.cli.wallet.transfers._PAUSE", 0.0)


def refused(result: Result, code: int, *words: str) -> None:
    assert result.exit_code == code, result.output
    assert result.stderr.startswith("quarry: ") and result.stderr.count("\n") == 1, result.stderr
    for word in words:
        assert word in result.stderr, result.stderr


class Chain:
    """A node that mines what it is sent: at once, or when it is told to."""

    def __init__(self, node: FakeNode, sender: str) -> None:
        self.node = node
        self.url = node.url
        self.mines = True
        self.taken: list[dict[str, Any]] = []
        node.answers["/spec"] = 200, SPEC.to_object()
        node.answers["/status"] = 200, {"min_fee": "0"}
        node.answers[f"/accounts/{sender}"] = 200, {"address": sender, "balance": "9", "nonce": 0, "pending_nonce": 0}
        node.answers["/transactions/new"] = 201, self._take

    @property
    def paid(self) -> int:
        return len(self.taken)

    @property
    def id(self) -> str:
        return rules_for(SPEC).read_request(self.taken[-1]).id

    def _take(self, _: str) -> dict[str, Any]:
        fields = json.loads(self.node.asked[-1][2])
        self.taken.append(fields)
        self.node.answers[f"/transactions/{self.id}"] = 200, {**fields, "id": self.id, "status": "pending"}
        if self.mines:
            self.mine()
        return {"message": "Transaction will be added to Block 2.", "id": self.id}

    def mine(self) -> None:
        rules = rules_for(SPEC)
        replay = Replay(rules)
        replay.add(json.loads(rules.genesis().canonical))
        sent = rules.read_request(self.taken[-1])
        template = rules.template(replay.window, [sent], sent.sender, SPEC.genesis_timestamp + 9)
        # As an inclusion proof only: the sender has nothing, so the ledger is left out.
        block = rules.read_block(template.with_proof(0))
        leaves = [merkle.leaf_hash(item.canonical) for item in block.transactions]
        self.node.answers[f"/transactions/{self.id}"] = 200, {
            **sent.fields, "id": self.id, "status": "confirmed", "block": block.hash, "index": 2,
        }  # fmt: skip
        self.node.answers[f"/transactions/{self.id}/proof"] = (
            200,
            {
                "id": self.id,
                "transaction": sent.fields,
                "position": 1,
                "branch": [{"side": step.side, "hash": step.hash.hex()} for step in merkle.branch(leaves, 1)],
                "header": block.header.to_object(),
                "block": block.hash,
            },
        )


@pytest.fixture
def chain() -> Iterator[Chain]:
    node = FakeNode()
    yield Chain(node, json.loads(run("wallet", "new", "alice", "--json").stdout)["address"])
    node.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "contract.txt"
    path.write_text("contract")
    return path


def anchor(chain: Chain, *arguments: str | Path) -> Result:
    return run("anchor", *arguments, "--from", "alice", "--url", chain.url)


def test_a_file_is_anchored_and_its_proof_verifies(chain: Chain, file: Path) -> None:
    result = anchor(chain, file)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == f"transaction {chain.id}"  # as soon as it is sent
    assert lines[1] == anchor_proof.digest_text(file)
    assert lines[3] == f"proof: {anchor_proof.proof_path(file)}"
    assert run("verify-anchor", file).exit_code == 0
    assert sorted(path.name for path in file.parent.iterdir() if path.is_file()) == [
        "contract.txt",
        "contract.txt.quarry-proof.json",
    ]


@pytest.mark.parametrize(
    ("place", "word"),
    [
        ("/nonexistent/p.json", "No such file"),
        ("{}/contract.txt/p.json", "Not a directory"),
        ("{}/there.json", "already"),
        ("{}/dangling.json", "already"),
        ("{}/home", "already"),
        ("/dev/null", "already"),
        ("/proc/p.json", "cannot be written"),
        ("{}/" + "x" * 300, "too long"),
    ],
)
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_place_that_cannot_be_written_costs_nothing(
    chain: Chain, file: Path, place: str, word: str, options: tuple[str, ...]
) -> None:
    (file.parent / "there.json").write_text("something else")
    (file.parent / "dangling.json").symlink_to("/nowhere/at/all")
    refused(anchor(chain, file, "--proof", place.format(file.parent), *options), 1, word)
    assert chain.paid == 0
    assert (file.parent / "there.json").read_text() == "something else"


def test_other_wrong_use_costs_nothing_either(chain: Chain, file: Path) -> None:
    refused(run("anchor", file, "--from", "nobody", "--url", chain.url), 1, "no wallet")
    refused(anchor(chain, file, "--fee", "1e5"), 2, "--fee")  # as `quarry send`
    refused(anchor(chain), 2, "--proof-of")
    refused(anchor(chain, "--proof-of", "12"), 2, "64 hexadecimal")
    refused(anchor(chain, "--proof-of", "ab" * 32, "--fee", "1"), 2, "--fee")
    refused(anchor(chain, "/dev/zero", "--proof", file.parent / "p"), 1, "is not a regular file")
    os.mkfifo(file.parent / "pipe")
    refused(anchor(chain, file.parent / "pipe"), 1, "is not a regular file")
    assert chain.paid == 0
    assert [path.name for path in file.parent.iterdir() if "proof" in path.name or "part" in path.name] == []


def test_a_full_disk_costs_nothing(chain: Chain, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    refused(anchor(chain, file), 1, "No space left")
    assert chain.paid == 0


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_proof_that_was_not_written_is_made_later(chain: Chain, file: Path, options: tuple[str, ...]) -> None:
    chain.mines = False
    result = anchor(chain, file, "--wait", "0", *options)
    refused(result, 1, "still waits", f"--proof-of {chain.id}")
    assert result.stdout == ("" if options else f"transaction {chain.id}\n")
    assert not anchor_proof.proof_path(file).exists()
    refused(anchor(chain, file, "--proof-of", chain.id, "--wait", "0", *options), 1, "still waits")
    chain.mine()
    assert anchor(chain, file, "--proof-of", "0x" + chain.id.upper(), *options).exit_code == 0
    assert chain.paid == 1
    assert run("verify-anchor", file).exit_code == 0
    refused(anchor(chain, file, "--proof-of", chain.id), 1, "already")


def test_a_proof_is_made_without_the_file(chain: Chain, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    anchor(chain, file, "--proof", file.parent / "first.json")
    made = json.loads(anchor(chain, "--proof-of", chain.id, "--json").stdout)
    assert made == {
        "digest": anchor_proof.digest_text(file),
        "proof": f"{chain.id}.quarry-proof.json",
        "transaction": chain.id,
        "block": made["block"],
        "index": 2,
    }
    assert run("verify-anchor", file, "--proof", made["proof"]).exit_code == 0


def test_a_proof_of_another_file_or_of_no_anchor_is_refused(chain: Chain, file: Path) -> None:
    anchor(chain, file, "--proof", file.parent / "first.json")
    other = file.with_name("other.txt")
    other.write_text("another")
    refused(anchor(chain, other, "--proof-of", chain.id), 1, "does not hold this file's digest")
    assert not anchor_proof.proof_path(other).exists()
    run("send", "--from", "alice", "--to", "alice", "0", "--data", "sha256:lunch", "--url", chain.url)
    refused(anchor(chain, "--proof-of", chain.id), 1, "holds no file's digest")
    refused(anchor(chain, file, "--proof-of", "ab" * 32), 1, "Nothing here")


def test_a_node_that_names_another_transaction_is_not_believed(chain: Chain, file: Path) -> None:
    chain.node.answers["/transactions/new"] = 201, lambda path: chain._take(path) | {"id": "../../evil"}
    result = anchor(chain, file)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"transaction {chain.id}\n")
    other = chain.node.answers[f"/transactions/{chain.id}/proof"]
    assert anchor(chain, file, "--fee", "1", "--proof", file.parent / "second.json").exit_code == 0
    chain.node.answers[f"/transactions/{chain.id}/proof"] = other  # of the same file, but of the first payment
    refused(
        anchor(chain, file, "--proof-of", chain.id, "--proof", file.parent / "third.json"), 1, "another transaction"
    )


def test_a_proof_that_appears_meanwhile_is_kept(chain: Chain, file: Path) -> None:
    take = chain.node.answers["/transactions/new"][1]

    def appear(path: str) -> Any:
        anchor_proof.proof_path(file).write_text("theirs")
        return take(path)

    chain.node.answers["/transactions/new"] = 201, appear
    refused(anchor(chain, file), 1, "already", f"--proof-of {chain.id}")
    assert anchor_proof.proof_path(file).read_text() == "theirs"


@pytest.mark.parametrize("command", ["anchor", "send", "faucet"])
def test_whoever_interrupts_the_wait_is_told_what_was_sent(
    chain: Chain, file: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain.mines = False

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("api.cli.client.time.sleep", interrupt)
    if command == "anchor":
        result = anchor(chain, file, "--json")
    elif command == "send":
        result = run("send", "--from", "alice", "--to", "alice", "0", "--wait", "--json", "--url", chain.url)
    else:
        chain.node.answers["/faucet"] = 201, {"id": "ab" * 32, "amount": "10"}
        chain.node.answers[f"/transactions/{'ab' * 32}"] = 200, {"id": "ab" * 32, "status": "pending"}
        result = run("faucet", "alice", "--wait", "--json", "--url", chain.url)
    refused(result, 130, "ab" * 32 if command == "faucet" else chain.id, "was sent")


@pytest.mark.parametrize("name", ["send", "anchor"])
def test_the_id_is_out_before_the_wait_begins(chain: Chain, file: Path, name: str) -> None:
    """In a process that is killed after its first line."""
    chain.mines = False
    arguments = ["send", "--from", "alice", "--to", "alice", "0", "--wait"] if name == "send" else ["anchor", str(file)]
    wallet = [] if name == "send" else ["--from", "alice"]
    with subprocess.Popen(
        [sys.executable, "-m", "api.cli", *arguments, *wallet, "--url", chain.url],
        cwd=ROOT,
        env=os.environ.copy(),
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        first = child.stdout.readline()
        child.kill()
    assert chain.id in first


@pytest.mark.parametrize("target", ["> /dev/full", ">&-", "| true"])
def test_what_is_paid_for_is_done_though_nobody_can_be_told(chain: Chain, file: Path, target: str) -> None:
    command = f"{sys.executable} -m api.cli anchor {file} --from alice --url {chain.url} {target}"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, env=os.environ.copy(), capture_output=True, check=False)
    assert b"Traceback" not in done.stderr and b"ignored" not in done.stderr
    assert run("verify-anchor", file).exit_code == 0
    if "full" in target:
        assert f"transaction {chain.id}".encode() in done.stderr


def test_a_proof_in_another_encoding_is_read_or_named(chain: Chain, file: Path) -> None:
    anchor(chain, file)
    proof = anchor_proof.proof_path(file)
    text = proof.read_text()
    proof.write_bytes(text.encode("utf-8-sig"))
    assert run("verify-anchor", file).exit_code == 0
    proof.write_bytes(text.encode("utf-16"))
    refused(run("verify-anchor", file), 1, "is in UTF-16: save it as UTF-8")
    proof.write_text('{"format": 1, "format": 2}')
    refused(run("verify-anchor", file), 1, "not JSON")
