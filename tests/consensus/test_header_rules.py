"""Blocks whose header breaks one rule. In every story the rest of the block fits, the proof included."""

import pytest

from shared.errors import TooEarly
from tests.support.chains import START, Chain, Json, make_spec, sealed
from tests.support.keys import ALICE, BOB, MINER


def test_a_draft_is_valid_unless_something_is_broken(chain: Chain) -> None:
    # g - ... - tip - draft
    chain.mine(chain.transfer(ALICE, BOB, "2", fee="0.5"))
    chain.mine()
    assert chain.verified().height == chain.height


@pytest.mark.parametrize("step", [-1, 1, 1000])
def test_wrong_index(chain: Chain, step: int) -> None:
    assert chain.rejects(chain.draft(index=chain.height + 1 + step)) == "wrong_index"


def test_wrong_previous_hash_of_the_grandparent() -> None:
    # g - 2 - 3
    #      \---- 4, which says it is the fourth but hangs on the second
    chain = Chain()
    second = chain.mine()
    chain.mine()
    assert chain.rejects(chain.draft(previous_hash=second.hash)) == "wrong_previous_hash"


def test_wrong_previous_hash_of_nobody(chain: Chain) -> None:
    assert chain.rejects(chain.draft(previous_hash="0" * 64)) == "wrong_previous_hash"


def test_a_block_that_was_changed_no_longer_carries_its_successors() -> None:
    # g - 2 - 3 - 4
    #  \- 2'- 3   : 2' is 2 with another time, mined anew; 3 still names 2
    chain = Chain()
    fork = chain.fork()
    chain.mine()
    third = chain.draft()
    fork.mine(timestamp=START + 11)
    assert fork.rejects(third) == "wrong_previous_hash"


@pytest.mark.parametrize("factor", [1, 2])
def test_wrong_difficulty(chain: Chain, factor: int) -> None:
    claimed = 255 if factor == 1 else 512
    assert chain.rejects(chain.draft(difficulty=claimed)) == "wrong_difficulty"


def test_wrong_difficulty_where_the_average_sets_it() -> None:
    # g - 2 - 3 - 4 - 5 - 6 : from 6 on the weighted average speaks
    chain = Chain(make_spec(block_interval=10, difficulty=1024))
    for _ in range(4):
        tip = chain.replay.tip
        assert tip is not None
        chain.mine(timestamp=int(tip.timestamp) + 2)
    right = chain.draft()
    assert right["difficulty"] == 1280  # five times too fast: up to the clamp
    assert chain.rejects(chain.draft(difficulty=1024)) == "wrong_difficulty"
    assert chain.rejects(chain.draft(difficulty=1281)) == "wrong_difficulty"
    chain.accept(right)
    chain.verified()


def test_wrong_proof(chain: Chain) -> None:
    assert chain.rejects(chain.draft(proof_valid=False)) == "wrong_proof"


def test_wrong_proof_for_this_body(chain: Chain) -> None:
    # The proof of an empty block, put under a block with a transaction: the seal commits to the body.
    proof = chain.draft()["proof"]
    block = {**chain.draft(chain.transfer(ALICE, BOB, "1")), "proof": proof}
    assert chain.rejects(block) == "wrong_proof"


def test_timestamp_too_low() -> None:
    # times   0  10  20 ... 110 : the median of the last eleven is that of the sixth from the end
    chain = Chain()
    for _ in range(11):
        chain.mine()
    assert chain.rejects(chain.draft(timestamp=START + 59)) == "timestamp_too_low"
    chain.mine(timestamp=START + 60)
    chain.verified()


def test_timestamp_too_low_near_genesis(chain: Chain) -> None:
    assert chain.rejects(chain.draft(timestamp=START - 1)) == "timestamp_too_low"


def test_a_timestamp_too_far_ahead_waits_and_is_then_accepted(chain: Chain) -> None:
    now = START + 100_000
    block = chain.draft(timestamp=now + 121)
    assert chain.too_early(block, now)
    assert not chain.too_early(block, now + 1)  # 120 s ahead
    chain.verified()


@pytest.mark.parametrize(("interval", "ahead"), [(1, 3), (10, 30), (39, 117), (40, 120), (600, 120)])
def test_with_an_interval_three_of_them_are_too_far_ahead(interval: int, ahead: int) -> None:
    chain, now = Chain(make_spec(block_interval=interval)), START + 100_000
    block = chain.draft(timestamp=now + ahead + 1)
    assert chain.too_early(block, now)
    assert chain.too_early(block, now)  # nothing is remembered against it
    assert not chain.too_early(block, now + 1)
    chain.verified()


@pytest.mark.parametrize(("interval", "ahead"), [(0, 120), (10, 30), (600, 120)])
def test_a_template_is_too_early_until_the_chain_opens(interval: int, ahead: int) -> None:
    # g - 2 : both times stand at START, the higher of two is the median
    chain = Chain(make_spec(block_interval=interval))
    chain.mine(timestamp=START)
    rules, window = chain.rules, chain.replay.window
    assert rules.opens_at(window) == START - ahead
    for now in (START - ahead - 1, START - ahead, START + 5):
        header = rules.read_header(_header(sealed(rules.template(window, [], MINER, now).fields)))
        if now < START - ahead:
            with pytest.raises(TooEarly):
                rules.check_header(header, window, now)
        else:
            rules.check_header(header, window, now)


def _header(block: Json) -> Json:
    return {name: value for name, value in block.items() if name != "transactions"}


def test_a_block_that_is_invalid_as_well_as_too_early_is_invalid(chain: Chain) -> None:
    # Otherwise a bad block would be kept and tried again.
    block = chain.draft(timestamp=START + 10**6, proof_valid=False)
    assert chain.rejects(block, now=START) == "wrong_proof"


def test_old_news_is_never_too_early(chain: Chain) -> None:
    chain.accept(chain.draft(timestamp=START + 10**9), now=None)


@pytest.mark.parametrize("field", ["index", "timestamp", "difficulty", "proof"])
@pytest.mark.parametrize("value", [True, 2.0, "2", None, -1, 2**256, [2]], ids=repr)
def test_bad_block_field_number(field: str, value: object) -> None:
    chain = Chain()
    block = chain.draft()
    assert chain.rejects({**block, field: value}) == "bad_block_field"


@pytest.mark.parametrize("field", ["index", "timestamp", "proof"])
def test_bad_block_field_above_what_javascript_holds(field: str) -> None:
    chain = Chain()
    assert chain.rejects({**chain.draft(), field: 2**53}) == "bad_block_field"


@pytest.mark.parametrize("field", ["index", "difficulty"])
def test_bad_block_field_zero(field: str) -> None:
    # Heights begin at 1, and a difficulty of 0 would divide nothing.
    chain = Chain()
    assert chain.rejects({**chain.draft(), field: 0}) == "bad_block_field"


@pytest.mark.parametrize("field", ["previous_hash", "transactions_root"])
@pytest.mark.parametrize("change", [str.upper, lambda text: "0x" + text, lambda text: text[:-1], lambda text: 1])
def test_bad_block_field_hash(field: str, change: object) -> None:
    assert callable(change)
    chain = Chain()
    block = chain.draft()
    assert chain.rejects({**block, field: change("ab" * 32)}) == "bad_block_field"


@pytest.mark.parametrize(
    "field", ["index", "timestamp", "transactions", "proof", "previous_hash", "difficulty", "transactions_root"]
)
def test_bad_block_fields_missing(field: str) -> None:
    chain = Chain()
    block = chain.draft()
    del block[field]
    assert chain.rejects(block) == "bad_block_fields"


def test_bad_block_fields_unknown(chain: Chain) -> None:
    assert chain.rejects(sealed({**chain.draft(), "hash": "0" * 64})) == "bad_block_fields"


@pytest.mark.parametrize("block", [None, [], 7, "block", {}], ids=repr)
def test_bad_block_fields_no_block_at_all(block: object) -> None:
    chain = Chain()
    assert chain.rejects(block) == "bad_block_fields"


def test_wrong_genesis() -> None:
    # Two specs, two chains: neither may begin with the other's first block.
    ours, theirs = Chain(), Chain(make_spec(reward="2"))
    genesis = theirs.blocks[0]
    ours.replay = type(ours.replay)(ours.rules)
    ours.blocks = []
    assert ours.rejects(genesis) == "wrong_genesis"
