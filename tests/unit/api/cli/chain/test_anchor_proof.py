"""Anchors, offline: a proof made from a block verifies, and fails at the step that was tampered with."""

import copy
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from api.cli import quarry
from api.cli.chain import anchor_proof
from api.cli.chain.anchor_proof import BadAnchor
from shared import merkle, transaction
from shared.chain_spec import ChainSpec
from shared.keys import KeyPair
from shared.replay import Replay
from shared.rules import rules_for

SPEC = ChainSpec(name="anchors", chain_id=4711, genesis_timestamp=1_700_000_000, difficulty=4)
KEY = KeyPair(b"\x01" * 32)


@pytest.fixture(scope="module")
def inclusion() -> dict[str, Any]:
    """A block of five transactions, the third of which holds the digest of b"contract"; as a node proves it."""
    rules = rules_for(SPEC)
    replay = Replay(rules)
    replay.add(json.loads(rules.genesis().canonical))
    datas = ["a", "sha256:" + hashlib.sha256(b"contract").hexdigest(), "c", "d"]
    signed = [
        transaction.sign(
            {
                "type": "transfer",
                "chain_id": SPEC.chain_id,
                "nonce": nonce,
                "sender": KEY.address,
                "recipient": KEY.address,
                "amount": "0",
                "fee": "0",
                "data": data,
            },
            KEY,
        )
        for nonce, data in enumerate(datas)
    ]
    template = rules.template(replay.window, [rules.read_request(item) for item in signed], KEY.address, 1_700_000_100)
    proof = 0
    while not template.accepts(proof):
        proof += 1
    block = replay.add(template.with_proof(proof))
    leaves = [merkle.leaf_hash(item.canonical) for item in block.transactions]
    return {
        "id": block.transactions[2].id,
        "transaction": block.transactions[2].fields,
        "position": 2,
        "branch": [{"side": step.side, "hash": step.hash.hex()} for step in merkle.branch(leaves, 2)],
        "header": block.header.to_object(),
        "block": block.hash,
    }


@pytest.fixture
def anchored(tmp_path: Path, inclusion: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    file = tmp_path / "contract.pdf"
    file.write_bytes(b"contract")
    proof = anchor_proof.make_proof(file, SPEC.to_object(), copy.deepcopy(inclusion))
    anchor_proof.proof_path(file).write_text(json.dumps(proof))
    return file, proof


def test_a_proof_leads_from_the_file_to_the_block_hash(anchored: tuple[Path, dict[str, Any]]) -> None:
    file, proof = anchored
    found = anchor_proof.verify(anchor_proof.digest_text(file), proof)
    assert (found.block, found.height, found.sender) == (proof["block"], 2, KEY.address)
    assert (found.transaction, found.chain_id) == (proof["id"], 4711)


def test_large_files_are_read_as_a_stream(tmp_path: Path) -> None:
    file = tmp_path / "large"
    with file.open("wb") as output:
        output.truncate(50_000_000)
    assert anchor_proof.digest_text(file) == "sha256:" + hashlib.sha256(bytes(50_000_000)).hexdigest()


def tampered(name: str, change: Callable[[dict[str, Any]], None], message: str) -> Any:
    return pytest.param(change, message, id=name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        tampered("format", lambda p: p.update(format="other"), "does not have the format"),
        tampered("no header", lambda p: p.pop("header"), "lacks the field header"),
        tampered("other data", lambda p: p["transaction"].update(data="sha256:00"), "does not hold this file's digest"),
        tampered("no data", lambda p: p["transaction"].pop("data"), "does not hold this file's digest"),
        tampered("amount", lambda p: p["transaction"].update(amount="1"), "signature is not its sender's"),
        tampered("key", lambda p: p["transaction"].update(public_key="aa" * 32), "signature is not its sender's"),
        tampered("side", lambda p: p["branch"][0].update(side="left"), "does not lead"),
        tampered("sibling", lambda p: p["branch"][1].update(hash="00" * 32), "does not lead"),
        tampered("short branch", lambda p: p["branch"].pop(), "does not lead"),
        tampered("time", lambda p: p["header"].update(timestamp=1), "is not the block hash"),
        tampered("root", lambda p: p["header"].update(transactions_root="00" * 32), "does not lead"),
        tampered("block", lambda p: p.update(block="00" * 32), "is not the block hash"),
        tampered("bad side", lambda p: p["branch"][0].update(side="up"), "damaged"),
        tampered("long branch", lambda p: p.update(branch=p["branch"] * 20), "damaged"),
        tampered("branch no list", lambda p: p.update(branch={}), "damaged"),
        tampered("header field", lambda p: p["header"].update(proof="1"), "damaged"),
        tampered("spec", lambda p: p["spec"].update(chain_id=1), "another chain"),
        tampered("spec no table", lambda p: p.update(spec=[]), "damaged"),
        tampered("transaction no object", lambda p: p.update(transaction=7), "damaged"),
    ],
)
def test_whatever_is_changed_is_found(
    anchored: tuple[Path, dict[str, Any]], change: Callable[[dict[str, Any]], None], message: str
) -> None:
    file, proof = anchored
    anchor_proof.verify(anchor_proof.digest_text(file), proof)
    change(proof)
    with pytest.raises(BadAnchor, match=message):
        anchor_proof.verify(anchor_proof.digest_text(file), proof)


def test_a_header_without_work_is_found(anchored: tuple[Path, dict[str, Any]]) -> None:
    """A proof made without work: a header of a difficulty that its hash does not meet."""
    file, proof = anchored
    proof["header"]["difficulty"] = 2**200
    proof["block"] = rules_for(SPEC).read_header(proof["header"]).hash
    with pytest.raises(BadAnchor, match="does not meet its difficulty"):
        anchor_proof.verify(anchor_proof.digest_text(file), proof)


def test_the_command_verifies_without_a_node(anchored: tuple[Path, dict[str, Any]]) -> None:
    file, proof = anchored
    run = CliRunner().invoke(quarry, ["verify-anchor", str(file)])
    assert run.exit_code == 0, run.output
    assert proof["block"] in run.stdout
    assert "Compare this block hash" in run.stdout
    run = CliRunner().invoke(quarry, ["verify-anchor", str(file), "--json", "--block", proof["block"]])
    assert run.exit_code == 0
    found = json.loads(run.stdout)
    assert (found["valid"], found["compared"], found["height"]) == (True, True, 2)


def test_the_command_fails_in_one_sentence(anchored: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    file, _ = anchored
    run = CliRunner().invoke(quarry, ["verify-anchor", str(file), "--block", "00" * 32])
    assert (run.exit_code, run.stderr.count("\n")) == (1, 1)
    file.write_bytes(b"contract, changed")
    run = CliRunner().invoke(quarry, ["verify-anchor", str(file)])
    assert run.exit_code == 1
    assert run.stderr == (
        "quarry: The transaction does not hold this file's digest: "
        "the file was changed, or the proof is another file's.\n"
    )
    anchor_proof.proof_path(file).write_bytes(b"\xff\xfe")
    run = CliRunner().invoke(quarry, ["verify-anchor", str(file)])
    assert (run.exit_code, run.stderr.count("\n")) == (1, 1)
    run = CliRunner().invoke(quarry, ["verify-anchor", str(file), "--proof", str(tmp_path / "none")])
    assert run.exit_code == 2
