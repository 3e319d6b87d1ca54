"""The numbers on docs/tutorial.md, each compared with what the code does."""

import itertools
import json
import re
from collections.abc import Iterator
from hashlib import sha256

from services.peers.client import CHAIN_DEADLINE, MAX_CHAIN_BLOCK, MAX_CHAIN_BYTES
from services.settings.table import load, load_spec
from services.system.programs import ROOT
from shared.proof import accepts
from shared.rules import rules_for

PAGE = (ROOT / "docs" / "tutorial.md").read_text("utf-8")
FLOWING = " ".join(PAGE.split())
SPEC = load_spec("tutorial")


def said(pattern: str) -> tuple[str, ...]:
    """The groups of the one place on the page that matches, line breaks aside."""
    found = re.findall(pattern, FLOWING)
    assert len(found) == 1, (pattern, found)
    return found[0] if isinstance(found[0], tuple) else (found[0],)


def proofs_after(last: int) -> Iterator[int]:
    """Every number that the tutorial's own condition accepts after `last`, in ascending order."""

    def valid(proof: int) -> bool:
        by_text = sha256(f"{last}{proof}".encode()).hexdigest()[:4] == "0000"
        assert accepts(str(last).encode(), SPEC.difficulty, proof) == by_text
        return by_text

    return filter(valid, itertools.count())


def test_the_proofs() -> None:
    first, second = itertools.islice(proofs_after(100), 2)
    third = next(proofs_after(first))
    numbers = said(
        r"After (\d+) the least proof is (\d+), then come (\d+) and others; after (\d+) the least is (\d+), and"
    )
    assert tuple(map(int, numbers)) == (100, first, second, first, third)
    assert said(r"and after that (\d+)\.") == (str(next(proofs_after(third))),)
    # The answer of /mine that the page shows, and nothing else that looks like a proof.
    assert said(r'"proof":(\d{2,})') == (str(first),)
    known = {"35293", "88145", "35089", "119678"}
    assert {number for number in re.findall(r"\b\d{5,6}\b", FLOWING)} == known


def test_the_genesis_block() -> None:
    (text,) = said(r'\{"chain": \[(\{"index": 1.*?\[\]\}), …\]')
    assert json.loads(text) == json.loads(rules_for(SPEC).genesis().canonical)


def test_limits_and_times() -> None:
    assert said(r"up to (\d+) MiB and (\d+) seconds; a block may have (\d+) MiB") == (
        str(MAX_CHAIN_BYTES // 2**20), f"{CHAIN_DEADLINE:g}", str(MAX_CHAIN_BLOCK // 2**20),
    )  # fmt: skip
    settings = load({"QUARRY_SPEC": "tutorial"})
    said(r"Quarry also asks its peers every ten seconds")
    said(r"`/mine` waits ten seconds for them")
    assert (settings.resolve_seconds, settings.mine_wait) == (10, 10)
    said(r"a proof that begins with four hex zeros")
    assert SPEC.difficulty == 16**4 and SPEC.development
