"""The independent verifier: as a program against a server, and on chains that were changed."""

import copy
import hashlib
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from shared.erc20 import encode_approve, encode_transfer_from
from tests.support import verifier
from tests.support.chains import START, WALLET, Chain, Json, make_spec, root_of, sealed
from tests.support.keys import ALICE, BOB, CAROL


@pytest.fixture(scope="module")
def grown() -> Chain:
    """Sixty-five blocks of both schemes, long enough for a full difficulty window."""
    chain = Chain(make_spec(block_interval=10))
    token = chain.spec.token.address
    chain.mine(chain.transfer(ALICE, BOB, "5", fee="0.1"), chain.from_wallet(BOB.address, value=10**18, envelope=1))
    chain.mine(chain.approve(ALICE, BOB, "3"), chain.from_wallet(token, input=encode_approve(CAROL.address, 500)))
    chain.mine(chain.transfer_from(BOB, ALICE, CAROL, "2"), chain.transfer_from(CAROL, ALICE, BOB, "0"))
    pulled = chain.approve(BOB, ALICE, "1"), chain.transfer(CAROL, BOB, "0.5")
    chain.mine(*pulled, timestamp=START + 70)
    allowed = chain.approve(ALICE, ALICE, "1")
    chain.mine(allowed)
    call = encode_transfer_from(ALICE.address, CAROL.address, 0)
    chain.mine(chain.from_wallet(token, input=call, envelope=0), timestamp=START + 40)
    for i in range(58):
        chain.mine(timestamp=START + 60 + 7 * i + 15 * (i % 3))
    return chain


@contextmanager
def served(spec: Json, blocks: list[Any], length: int | None = None) -> Iterator[str]:
    """`GET /spec` and `GET /chain` on loopback; the URL."""
    chain = {"chain": blocks, "length": len(blocks) if length is None else length}
    upgrades = {"spec": hashlib.sha256(verifier.canonical(spec)).hexdigest(), "upgrades": []}
    answers = {"/spec": spec, "/chain": chain, "/upgrades": upgrades}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(answers[self.path]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Log nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_it_agrees_with_the_replay(grown: Chain) -> None:
    found = grown.verified()
    assert found.height == 65 and len({block["difficulty"] for block in grown.blocks}) > 20
    assert found.allowances[WALLET, CAROL.address] == 500
    assert len(found.transactions) == 64 + 10


def test_as_a_program(grown: Chain, capsys: pytest.CaptureFixture[str]) -> None:
    with served(grown.spec.to_object(), grown.blocks) as url:
        assert verifier.verify_url(url + "/") == grown.verify()
        assert verifier.main([url]) == 0
    assert f"valid: 65 blocks, tip {grown.replay.claim.hash}" in capsys.readouterr().out


def test_as_a_program_on_a_bad_chain(grown: Chain, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = copy.deepcopy(grown.blocks)
    blocks[40]["timestamp"] += 1
    with served(grown.spec.to_object(), blocks) as url:
        assert verifier.main([url]) == 1
    # the hash of block 41 changes, so either its own proof or the next link breaks
    assert capsys.readouterr().err.startswith("invalid: block 4")
    for block, length in ((grown.blocks[0], 7), ({**grown.blocks[0], "timestamp": 1.5}, None)):
        with served(grown.spec.to_object(), [block], length) as url:
            assert verifier.main([url]) == 1


# Each changes a block of the chain in place; later blocks are not mined again.
TAMPERINGS: dict[str, Callable[[Json], Any]] = {
    "index": lambda block: block.update(index=block["index"] + 1),
    "timestamp": lambda block: block.update(timestamp=block["timestamp"] + 1),
    "proof": lambda block: block.update(proof=block["proof"] + 1),
    "previous hash": lambda block: block.update(previous_hash="0" * 64),
    "difficulty": lambda block: block.update(difficulty=block["difficulty"] - 1),
    "root": lambda block: block.update(transactions_root=root_of([])),
    "reward": lambda block: block["transactions"][0].update(amount="2"),
    "no reward": lambda block: block["transactions"].pop(0),
    "no transactions": lambda block: block.update(transactions=[]),
    "extra field": lambda block: block.update(nonce=1),
    "boolean": lambda block: block.update(index=True),
    "recipient": lambda block: block["transactions"][1].update(recipient=WALLET),
}


@pytest.mark.parametrize("name", TAMPERINGS)
@pytest.mark.parametrize("height", [2, 4])
def test_any_tampering_is_found_at_its_height_or_the_next(grown: Chain, name: str, height: int) -> None:
    blocks = copy.deepcopy(grown.blocks)
    TAMPERINGS[name](blocks[height - 1])
    with pytest.raises(AssertionError, match=f"block ({height}|{height + 1}): "):
        verifier.verify(grown.spec.to_object(), blocks)


@pytest.mark.parametrize(
    "change",
    [{"proof": 101}, {"timestamp": START + 1}, {"difficulty": 257}, {"index": 2}, {"previous_hash": "0" * 64}],
    ids=str,
)
def test_genesis_is_checked_too(grown: Chain, change: Json) -> None:
    with pytest.raises(AssertionError, match="block 1: "):
        verifier.verify(grown.spec.to_object(), [{**grown.blocks[0], **change}])


def test_another_spec_is_another_chain(grown: Chain) -> None:
    changes: list[Json] = [{"reward": "2"}, {"name": "other"}, {"allocations": {}}]
    for change in changes:
        with pytest.raises(AssertionError, match="block 1: previous_hash"):
            verifier.verify({**grown.spec.to_object(), **change}, grown.blocks)


def test_it_does_not_pass_judgement_on_the_tutorials_rules(grown: Chain) -> None:
    with pytest.raises(AssertionError, match="standard rules"):
        verifier.verify({**grown.spec.to_object(), "rules": "tutorial"}, [])


def test_a_rewritten_branch_is_valid_only_when_it_is_mined_again(grown: Chain) -> None:
    # g - 2 - ... - 65
    #      \- 3'          : the block after the change must be mined again too
    blocks = copy.deepcopy(grown.blocks[:2])
    blocks[1] = sealed({**blocks[1], "timestamp": blocks[1]["timestamp"] + 1})
    assert verifier.verify(grown.spec.to_object(), blocks).height == 2
    with pytest.raises(AssertionError, match="block 3: previous_hash"):
        verifier.verify(grown.spec.to_object(), [*blocks, grown.blocks[2]])
