"""`ledger.js`, with which the course computes, against the frozen vectors and the product. It runs in Node.js."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from services.system.programs import ROOT
from shared import keys, merkle
from shared.addresses import address_of_public_key
from shared.canonical import canonical
from shared.forkchoice import TipClaim, is_better
from shared.proof import accepts
from shared.transaction import check_signature, read_transaction, sign
from shared.wire import MAX_INTEGER
from tests.support.keys import ALICE, BOB
from tests.support.nodes import transfer
from tests.support.specs import mined_spec

STATIC = ROOT / "api" / "explorer" / "static"
VECTORS = ROOT / "tests" / "vectors"
RUN = """
import * as ledger from "./ledger.js";
const calls = JSON.parse(await new Promise((done) => {
  let text = "";
  process.stdin.on("data", (part) => (text += part)).on("end", () => done(text));
}));
const keyed = (seed) => ledger.keyPair(ledger.unhex(seed));
const functions = {
  ...ledger,
  keyOf: (seed) => ({ address: keyed(seed).address, public_key: ledger.hex(keyed(seed).publicKey) }),
  signed: (unsigned, seed) => ledger.signTransaction(unsigned, keyed(seed)),
  canonicalHash: (value) => [ledger.canonical(value), ledger.hashText(ledger.canonical(value))],
  better: (a, b) => ledger.isBetter({ ...a, chainwork: BigInt(a.chainwork) }, { ...b, chainwork: BigInt(b.chainwork) }),
};
console.log(JSON.stringify(calls.map(([name, ...given]) => functions[name](...given) ?? null)));
"""


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts where Node.js takes them for modules."""
    if shutil.which("node") is None:
        pytest.skip("Node.js is not installed")
    directory = tmp_path_factory.mktemp("scripts") / "static"
    shutil.copytree(STATIC, directory)
    (directory / "package.json").write_text('{"type": "module"}')
    (directory / "run.mjs").write_text(RUN)
    return directory


def call(modules: Path, *calls: list[Any]) -> list[Any]:
    """The results of functions of the script: each call is a name and arguments."""
    text = json.dumps(calls)
    found = subprocess.run(
        ["node", "run.mjs"],
        cwd=modules,
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    results: list[Any] = json.loads(found.stdout)
    assert len(results) == len(calls)
    return results


def vectors(name: str) -> Any:
    return json.loads((VECTORS / name).read_text("utf-8"))


def is_exact(value: Any) -> bool:
    """Whether JavaScript reads the numbers in a value exactly."""
    if isinstance(value, dict):
        return all(map(is_exact, value.values()))
    return (
        all(map(is_exact, value))
        if isinstance(value, list)
        else not isinstance(value, int) or abs(value) <= MAX_INTEGER
    )


def test_canonical_texts_and_their_hashes(modules: Path) -> None:
    items = [item for item in vectors("canonical.json") if is_exact(item["value"])]
    assert len(items) > 4
    results = call(modules, *(["canonicalHash", item["value"]] for item in items))
    assert results == [[item["canonical"], item["sha256"]] for item in items]


def test_headers(modules: Path) -> None:
    items = [item for item in vectors("headers.json") if is_exact(item["header"])]
    assert {item["valid"] for item in items} == {True, False}
    for name, wanted in (("sealOf", "seal"), ("blockHash", "hash")):
        assert call(modules, *([name, item["header"]] for item in items)) == [item[wanted] for item in items]
    rare = call(modules, *(["isRare", item["hash"], item["header"]["difficulty"]] for item in items))
    assert rare == [item["valid"] for item in items]


def test_transactions_and_their_signatures(modules: Path) -> None:
    items = [item for item in vectors("transactions.json") if "seed" in item and is_exact(item["unsigned"])]
    assert len(items) > 2
    signed = call(modules, *(["signed", item["unsigned"], item["seed"]] for item in items))
    assert [item["signature"] for item in signed] == [item["signature"] for item in items]
    assert call(modules, *(["idOf", item] for item in signed)) == [item["id"] for item in items]
    assert call(modules, *(["merkleRoot", [item]] for item in signed)) == [item["leaf"] for item in items]
    assert set(call(modules, *(["refusal", item] for item in signed))) == {""}
    for item in signed:
        check_signature(read_transaction(item), mined_spec(chain_id=item["chain_id"]))


def test_what_is_not_signed_by_its_sender_is_refused(modules: Path) -> None:
    good = transfer(ALICE, 0)
    foreign = sign({**good, "recipient": BOB.address} | {"sender": ALICE.address}, BOB)
    bad = [{**good, "amount": "2"}, {**good, "nonce": 1}, {**good, "data": "x"}, foreign, {**good, "signature": "ab"}]
    assert call(modules, ["refusal", good], *(["refusal", item] for item in bad))[0] == ""
    assert all(call(modules, *(["refusal", item] for item in bad)))


def test_addresses(modules: Path) -> None:
    items = vectors("addresses.json")["keys"]
    found = call(modules, *(["keyOf", item["seed"]] for item in items))
    assert found == [{"address": item["address"], "public_key": item["public_key"]} for item in items]
    key = keys.KeyPair(bytes(range(32)))
    assert call(modules, ["keyOf", bytes(range(32)).hex()])[0]["address"] == address_of_public_key(key.public_key)


def test_roots_of_many_transactions(modules: Path) -> None:
    chain = json.loads((STATIC / "sample-chain.json").read_text())["chain"]
    lists = [[transfer(ALICE, nonce) for nonce in range(count)] for count in range(8)]
    roots = [merkle.root([merkle.leaf_hash(canonical(item)) for item in items]).hex() for items in lists]
    assert call(modules, *(["merkleRoot", items] for items in lists)) == roots
    found = call(modules, *(["merkleRoot", block["transactions"]] for block in chain))
    assert found == [block["transactions_root"] for block in chain]


def test_a_search_finds_the_first_valid_proof(modules: Path) -> None:
    seals = ["ab" * 32, "0" * 64, "2d8f780a1b31e11ef510e365bed074adbd2c85afcaba77ff376779b2f3510f79"]
    for difficulty in (1, 3, 64, 300):
        found = call(modules, *(["search", seal, difficulty, 5, 5000] for seal in seals))
        for seal, result in zip(seals, found, strict=True):
            first = next(proof for proof in range(5, 5005) if accepts(seal.encode(), difficulty, proof))
            assert (result["proof"], result["tried"]) == (first, first - 4)
    [nothing] = call(modules, ["search", seals[0], 2**50, 0, 100])
    assert (nothing["proof"], nothing["last"], nothing["tried"]) == (None, 99, 100)


def test_the_better_chain_is_the_same(modules: Path) -> None:
    claims = [(work, end * 64) for work in (0, 65536, 2**70, 2**70 + 1) for end in "0a"]
    pairs = [(a, b) for a in claims for b in claims]
    found = call(
        modules, *(["better", *({"chainwork": str(work), "hash": tip} for work, tip in pair)] for pair in pairs)
    )
    assert found == [is_better(TipClaim(*a), TipClaim(*b)) for a, b in pairs]
