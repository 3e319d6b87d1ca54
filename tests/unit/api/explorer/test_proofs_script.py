"""`sha256-proofs.js`, with which the page /join mines, against hashlib. It runs in Node.js."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from services.system.programs import ROOT
from shared.proof import accepts
from tests.support.pages import blocks

SCRIPT = ROOT / "api" / "explorer" / "static" / "sha256-proofs.js"
RUN = """
import { search } from "./script.mjs";
const calls = JSON.parse(process.argv[2]);
console.log(JSON.stringify(calls.map((given) => search(...given))));
"""
SEALS = [hashlib.sha256(bytes([number])).hexdigest() for number in range(3)]
# Where the number of digits changes, where many nines end, and the last proofs that there are.
STARTS = [0, 5, 95, 995, 99_990, 10**9 - 40, 899_999_980, 10**14 - 30, 10**15 - 60, 2**53 - 130]


def search(directory: Path, calls: list[list[Any]]) -> list[dict[str, Any]]:
    if shutil.which("node") is None:
        pytest.skip("Node.js is not installed")
    (directory / "script.mjs").write_bytes(SCRIPT.read_bytes())
    (directory / "run.mjs").write_text(RUN)
    found = subprocess.run(
        ["node", "run.mjs", json.dumps(calls)], cwd=directory, capture_output=True, text=True, timeout=60
    )
    assert found.returncode == 0, found.stderr
    answers: list[dict[str, Any]] = json.loads(found.stdout)
    return answers


def test_it_finds_the_shares_that_hashlib_finds(tmp_path: Path) -> None:
    calls = [[seal, start, start + 128, 7, 2**60] for seal in SEALS for start in STARTS]
    for (seal, start, stop, difficulty, _), found in zip(calls, search(tmp_path, calls), strict=True):
        expected = [proof for proof in range(start, stop) if accepts(seal.encode(), difficulty, proof)]
        assert found == {"shares": expected, "done": stop, "found": False}, (seal, start)


def test_it_ends_at_the_first_proof_of_a_block(tmp_path: Path) -> None:
    calls = [[seal, start, start + 5_000, 16, 300] for seal in SEALS for start in (0, 10**9 - 100)]
    for (seal, start, stop, easy, hard), found in zip(calls, search(tmp_path, calls), strict=True):
        first = next((proof for proof in range(start, stop) if accepts(seal.encode(), hard, proof)), None)
        end = stop if first is None else first + 1
        shares = [proof for proof in range(start, end) if accepts(seal.encode(), easy, proof)]
        assert found == {"shares": shares, "done": end, "found": first is not None}


def test_the_vectors_of_the_page_about_mining(tmp_path: Path) -> None:
    vectors = next(json.loads(block.text) for block in blocks("docs/mining.md") if block.value == "shares")
    calls = [
        [vector["seal"], vector["start"], min(vector["stop"], 2**53), vector["share_difficulty"], 2**60]
        for vector in vectors
    ]
    for vector, found in zip(vectors, search(tmp_path, calls), strict=True):
        assert found["shares"] == [proof for proof in vector["shares"] if proof < 2**53]
