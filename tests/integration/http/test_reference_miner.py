"""The miner of docs/mining.md runs as it stands, and its vectors hold for everything that judges shares."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from api.app import create_app
from services.node import Node
from services.store.leases import Lease
from shared.proof import accepts
from tests.support.keys import ALICE, TOKEN
from tests.support.nodes import MakeNode
from tests.support.pages import blocks
from tests.support.serving import serving
from tests.support.waiting import eventually
from worker.kernel import Kernel, choose

RECIPES = {block.value: block.text for block in blocks("docs/mining.md") if block.mark == "recipe"}
VECTORS: list[dict[str, Any]] = json.loads(RECIPES["shares"])
MOST_LINES = 60


def test_it_is_short() -> None:
    lines = [line for line in RECIPES["miner"].splitlines() if line.strip()]
    assert len(lines) <= MOST_LINES


def test_it_mines(make_node: MakeNode, tmp_path: Path) -> None:
    node: Node = make_node(spec={"difficulty": 20_000})
    program = tmp_path / "miner.py"
    program.write_text(RECIPES["miner"])
    secret = node.leases.vouchers.new("class").secret
    node.requests.ask()
    with serving(create_app(node, TOKEN)) as url:
        process = subprocess.Popen(
            [sys.executable, str(program), url, secret, ALICE.address],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            eventually(lambda: node.chain.tip().height == 2, 60, "a block of the reference miner")
            node.leases.vouchers.revoke("class")
            node.requests.ask()
            output, _ = process.communicate(timeout=60)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 1 and "'sealed': '" in output and "Traceback" not in output, output
    assert "401" in output


@pytest.mark.parametrize("vector", VECTORS)
def test_vectors(vector: dict[str, Any]) -> None:
    proofs = range(vector["start"], vector["stop"])
    seal, difficulty = vector["seal"].encode(), vector["share_difficulty"]
    assert [proof for proof in proofs if accepts(seal, difficulty, proof)] == vector["shares"]
    names: dict[str, Any] = {"__name__": "miner"}
    given, sys.argv = sys.argv, ["miner.py", "", ""]
    try:
        exec(RECIPES["miner"], names)
    finally:
        sys.argv = given
    assert list(names["shares"](vector["seal"], proofs.start, proofs.stop, difficulty)) == vector["shares"]
    assert scanned(choose("plain"), seal, difficulty, proofs) == vector["shares"]


@pytest.mark.parametrize("vector", VECTORS)
def test_the_node_judges_by_them(vector: dict[str, Any]) -> None:
    from services.mining.leases import _verified

    lease = Lease(
        "", "", "", "", "", "", 1, "", vector["seal"].encode(), 2**60, vector["share_difficulty"],
        range(vector["start"], vector["stop"]), 0,
    )  # fmt: skip
    assert _verified(lease, vector["shares"]) == []


def scanned(kernel: Kernel, seal: bytes, difficulty: int, proofs: range) -> list[int]:
    found, start = [], proofs.start
    while (proof := kernel.scan(seal, difficulty, start, proofs.stop)) is not None:
        found.append(proof)
        start = proof + 1
    return found
