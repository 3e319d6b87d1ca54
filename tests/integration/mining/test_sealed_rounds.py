"""Rounds where only sealers may seal: the node signs templates, and miners need no key."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from services.errors import NotASealer, WrongChain
from services.jobs.queues import TEMPLATE
from services.store.searches import Searched
from services.wallet import keyring
from shared.chain_spec import ChainSpec
from shared.keys import KeyPair
from shared.upgrades import read_upgrades, signed, to_object
from tests.support import verifier
from tests.support.keys import ALICE, BOB, CAROL
from tests.support.nodes import TestNode, make_settings, mine, round_of
from tests.support.specs import make_spec

SPEC = make_spec(sealers=[ALICE.address, BOB.address])


@pytest.fixture
def here(redis: Redis, tmp_path: Path) -> TestNode:
    return sealing(redis, tmp_path, ALICE)


def sealing(redis: Redis, directory: Path, key: KeyPair | None, spec: ChainSpec = SPEC, **settings: Any) -> TestNode:
    """A node with the key of a sealer, or of somebody else."""
    if key is not None:
        where = directory / key.address
        if not where.exists():
            keyring.store(where, key.seed)
        settings["sealer_key_file"] = where / "private.key"
    return TestNode(redis, make_settings(spec, **settings))


def upgraded(*upgrades: tuple[int, dict[str, Any]], by: tuple[KeyPair, ...] = (ALICE, BOB)) -> ChainSpec:
    items = [{"height": height, "changes": changes} for height, changes in upgrades]
    spec = read_upgrades({"spec": SPEC.hash, "upgrades": items}, SPEC, agreed=False)
    for key in by:
        spec, _ = signed(spec, key)
    return read_upgrades(to_object(spec), SPEC)


def test_blocks_are_signed_by_the_node_and_the_verifier_takes_the_chain(here: TestNode) -> None:
    for _ in range(3):
        here.admit(CAROL, here.node.chain.account(CAROL.address).nonce)
        assert mine(here.node).header.sealer == ALICE.public_key.hex()
    blocks = [here.node.chain.block_object(item.header.hash) for item in here.node.chain.headers(1, 9)]
    assert verifier.verify(SPEC.to_object(), blocks).height == 4
    # What is stored reads back as it was.
    assert here.node.chain.headers(4, 1)[0].header.to_object().keys() >= {"sealer", "sealer_signature"}


@pytest.mark.parametrize("key", [None, CAROL], ids=["no key", "another key"])
def test_a_node_that_is_no_sealer_mines_nothing_and_says_so(redis: Redis, tmp_path: Path, key: KeyPair | None) -> None:
    other = sealing(redis, tmp_path, key, automine=True)
    with pytest.raises(NotASealer):
        other.node.requests.ask()
    other.node.submit_one(other.sign(ALICE, 0))
    assert other.node.rounds.ensure_open() is None
    assert other.node.mining.situation().requests == 0
    assert other.queue.jobs.keys() == {name for name in other.queue.jobs if not name.startswith("template")}


def test_miners_need_no_key(here: TestNode, redis: Redis) -> None:
    """A worker claims and hands in, and calls for templates; the node's desk signs them, and seals."""
    worker = TestNode(redis, dataclasses.replace(here.settings, sealer_key_file=None))
    here.node.requests.ask()
    round_id = here.node.mining.situation().open_round
    claim = worker.node.searches.claim(round_id, "w", 100, Searched())
    assert claim is not None and claim.proofs
    here.mine_pool()  # another block comes first, so the template is out of date
    worker.clock.time = here.clock.time
    claim = worker.node.searches.claim(round_id, "w", 100, Searched())
    assert claim is not None and claim.is_old
    version = round_of(here.node.mining, round_id).version
    here.node.desk.work_off()
    assert round_of(here.node.mining, round_id).version != version
    claim = worker.node.searches.claim(round_id, "w", 100, Searched())
    assert claim is not None and len(claim.prefix) == 64
    assert worker.node.searches.hand_in(claim, claim.proofs.start, "w", Searched())
    here.node.desk.work_off()
    assert here.node.chain.headers_of([here.node.chain.tip().hash])[0].header.sealer == ALICE.public_key.hex()


def test_a_process_without_a_key_asks_for_a_round_that_is_wanted(here: TestNode, redis: Redis) -> None:
    worker = TestNode(
        redis, dataclasses.replace(here.settings, sealer_key_file=None, signs_elsewhere=True, automine=True)
    )
    worker.node.submit_one(worker.sign(CAROL, 0))
    assert TEMPLATE in worker.queue.jobs.values()
    assert here.node.mining.situation().open_round == ""
    owner = TestNode(redis, dataclasses.replace(here.settings, automine=True))
    owner.node.rounds.refresh("")
    assert owner.node.mining.situation().open_round


def test_an_upgrade_takes_the_right_to_seal_and_the_round_ends(redis: Redis, tmp_path: Path) -> None:
    # g - 2 | 3 : Alice may seal up to 2
    spec = upgraded((3, {"sealers": [BOB.address], "max_block_transactions": 2}))
    here = sealing(redis, tmp_path, ALICE, spec)
    here.node.requests.ask()
    mine(here.node)
    with pytest.raises(NotASealer, match="block 3"):
        here.node.requests.ask()
    next_one = sealing(redis, tmp_path, BOB, spec)
    for nonce in range(3):
        next_one.admit(CAROL, nonce)
    block = mine(next_one.node)
    assert (block.header.sealer, len(block.transactions)) == (BOB.public_key.hex(), 2)


def test_a_round_that_waits_ends_where_an_upgrade_takes_the_right(redis: Redis, tmp_path: Path) -> None:
    here = sealing(redis, tmp_path, ALICE, upgraded((3, {"sealers": [BOB.address]})))
    here.node.requests.ask()
    here.node.requests.ask()
    mine(here.node)
    assert here.node.rounds.ensure_open() is None
    assert here.node.mining.situation().requests == 1  # it waits for somebody who may


def test_other_upgrades_on_a_chain_that_is_there(redis: Redis, tmp_path: Path) -> None:
    here = sealing(redis, tmp_path, ALICE)
    here.node.begin()
    for _ in range(3):
        mine(here.node)
    # They begin above the tip, or its blocks keep them.
    for spec in (upgraded((9, {"sealers": [BOB.address]})), upgraded((3, {"max_block_bytes": 2**21}))):
        sealing(redis, tmp_path, ALICE, spec).node.begin()
    late = sealing(redis, tmp_path, BOB, upgraded((3, {"sealers": [BOB.address]})))
    with pytest.raises(WrongChain, match=r"Block 3 .* \(sealer_not_allowed\)"):
        late.node.begin()
    fat = sealing(redis, tmp_path, ALICE, upgraded((4, {"difficulty": 2})))
    with pytest.raises(WrongChain, match=r"Block 4 .* \(wrong_difficulty\)"):
        fat.node.begin()
    sealing(redis, tmp_path, ALICE, upgraded((3, {"max_block_bytes": 2**21}))).node.begin()
