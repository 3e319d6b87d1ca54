"""The tutorial's rules, one by one: what they read, what they refuse and how they name it."""

import hashlib
import json
from typing import Any

import pytest

from shared.block import Block
from shared.chain_spec import spec_from_object
from shared.errors import InputError, Refusal, RuleError
from shared.ledger import Account, Entries
from shared.rules import Rules, rules_for
from shared.rules.tutorial import TutorialRules

Json = dict[str, Any]

SPEC = spec_from_object(
    {"name": "test", "rules": "tutorial", "chain_id": 4242, "genesis_timestamp": 1767225600, "development": True}
)
RULES: Rules = TutorialRules(SPEC)
POST = {"sender": "me", "recipient": "you", "amount": 5}
# The proof after the first block's 100, on every chain.
FIRST_PROOF = 35293
NOW = 1525160706.82745


def digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def written(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def second_block(*transactions: Any, **changes: Any) -> Json:
    """The block after our genesis block, with one thing wrong perhaps; None takes a field away."""
    block = {
        "index": 2,
        "timestamp": NOW,
        "transactions": list(transactions),
        "proof": FIRST_PROOF,
        "previous_hash": RULES.genesis().hash,
        **changes,
    }
    return {name: value for name, value in block.items() if value is not None}


def broken_rule(value: Any) -> str:
    """The rule that the block after genesis breaks."""
    with pytest.raises(RuleError) as caught:
        block = RULES.read_block(value)
        RULES.check_header(block.header, [RULES.genesis().header], NOW)
    return caught.value.code


def ids(block: Block) -> list[str]:
    return [transaction.id for transaction in block.transactions]


def test_a_spec_names_these_rules() -> None:
    assert isinstance(rules_for(SPEC), TutorialRules)


# --- the first block --------------------------------------------------------------------------------------------------


def test_our_first_block_has_the_specs_time() -> None:
    genesis = RULES.genesis()
    fields = {"index": 1, "timestamp": 1767225600, "transactions": [], "proof": 100, "previous_hash": 1}
    assert genesis.canonical == written(fields) and genesis.hash == digest(written(fields))
    assert RULES.initial() == Entries() and RULES.work(genesis.header) == 0


@pytest.mark.parametrize("timestamp", [1506280650.770839, 0, 1506092455, 1e-05])
def test_any_first_block_is_adopted_whatever_its_time(timestamp: float) -> None:
    value = {"index": 1, "timestamp": timestamp, "transactions": [], "proof": 100, "previous_hash": 1}
    adopted = RULES.adopt_genesis(json.loads(written(value)))
    assert adopted.hash == digest(written(value))
    assert RULES.may_begin_with(adopted.hash) and RULES.may_share_genesis(RULES.genesis().hash, adopted.hash)
    assert not RULES.may_begin_with("1")


@pytest.mark.parametrize(
    "changes", [{"index": 2}, {"proof": 101}, {"previous_hash": "1"}, {"previous_hash": True}, {"transactions": [POST]}]
)
def test_a_first_block_has_what_all_first_blocks_have(changes: Json) -> None:
    value = {"index": 1, "timestamp": 1, "transactions": [], "proof": 100, "previous_hash": 1, **changes}
    with pytest.raises(RuleError) as caught:
        RULES.adopt_genesis(value)
    assert caught.value.code == "wrong_genesis"


# --- blocks -----------------------------------------------------------------------------------------------------------


def test_the_hash_covers_every_field_also_unknown_ones() -> None:
    value = second_block(POST, description="an example")
    block = RULES.read_block(value)
    assert block.canonical == written(value) and block.hash == digest(written(value))
    assert block.hash != RULES.read_block(second_block(POST)).hash
    assert RULES.read_header(value) == block.header
    RULES.check_header(block.header, [RULES.genesis().header], None)
    RULES.check_body(block)
    assert RULES.work(block.header) == 1


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"index": 3}, "wrong_index"),
        ({"index": "2"}, "bad_block_field"),
        ({"index": True}, "bad_block_field"),
        ({"index": None}, "bad_block_fields"),
        ({"proof": FIRST_PROOF + 1}, "wrong_proof"),
        ({"proof": -1}, "bad_block_field"),
        ({"proof": float(FIRST_PROOF)}, "bad_block_field"),
        ({"proof": 2**53}, "bad_block_field"),
        ({"previous_hash": "0" * 64}, "wrong_previous_hash"),
        ({"previous_hash": 1}, "bad_block_field"),
        ({"previous_hash": "A" * 64}, "bad_block_field"),
        ({"previous_hash": ["0"]}, "bad_block_field"),
        ({"timestamp": "now"}, "bad_block_field"),
        ({"timestamp": float("nan")}, "bad_block_field"),
        ({"timestamp": float("inf")}, "bad_block_field"),
        ({"timestamp": -1.0}, "bad_block_field"),
        ({"timestamp": None}, "bad_block_fields"),
        ({"transactions": {}}, "bad_block_fields"),
        ({"transactions": ["text"]}, "bad_block_fields"),
        ({"transactions": [{"amount": float("inf")}]}, "not_finite"),
        ({"transactions": [{}] * 50_001}, "too_many_transactions"),
    ],
)
def test_what_is_wrong_with_a_block(changes: Json, rule: str) -> None:
    assert broken_rule(second_block(**changes)) == rule


def test_a_block_is_an_object() -> None:
    assert broken_rule([]) == "bad_block_fields"


def test_the_time_of_a_block_is_nobodys_business() -> None:
    for timestamp in (0, 2**53 - 1):
        header = RULES.read_block(second_block(timestamp=timestamp)).header
        RULES.check_header(header, [RULES.genesis().header], NOW)


@pytest.mark.parametrize(
    "reward",
    [
        {"sender": "0", "recipient": "me", "amount": 1},
        {"sender": 0, "recipient": "me", "data": 1},
        {"sender": 0, "recient": "me", "data": 1},
        {"sender": "0", "amount": 1.5},
    ],
)
def test_rewards_of_every_wording(reward: Json) -> None:
    block = RULES.read_block(second_block(reward, POST, reward))
    first, _, last = block.transactions
    assert (first.type, last.type) == ("transfer", "reward")  # only the last can be it
    assert len(set(ids(block))) == 3


@pytest.mark.parametrize("sender", [False, 0.0, "", None, "00"])
def test_nobody_else_is_the_sender_of_a_reward(sender: Any) -> None:
    (only,) = RULES.read_block(second_block({"sender": sender, "recipient": "me", "amount": 1})).transactions
    assert only.type == "transfer"


def test_a_block_needs_no_reward_and_no_transactions() -> None:
    RULES.check_body(RULES.read_block(second_block()))


# --- transactions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        b'{"sender": "a", "recipient": "b", "amount": 5}',
        b'{"amount": 0.1, "recipient": "b", "sender": "a"}',
        b'{"sender": 1, "recipient": null, "amount": 1e5, "note": [true, {"x": -0.0}]}',
        b'{"sender": "\\u00e9\\ud83d\\ude00 \\n", "recipient": "", "amount": 123456789012345678901234567890}',
    ],
)
def test_a_transaction_is_kept_as_parsed(text: bytes) -> None:
    value = json.loads(text)
    transaction = RULES.read_request(value)
    assert transaction.fields == value == json.loads(text) and transaction.canonical == written(value)
    assert (transaction.fee, transaction.amount, transaction.owner) == (0, 0, None)
    assert RULES.recall(transaction.canonical, "", 3) == RULES.numbered(transaction, 3)


@pytest.mark.parametrize("name", ["sender", "recipient", "amount"])
def test_a_submission_needs_three_fields(name: str) -> None:
    with pytest.raises(InputError) as caught:
        RULES.read_request({field: item for field, item in POST.items() if field != name})
    assert (caught.value.code, caught.value.field) == ("missing_field", name)


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("text", "not_an_object"),
        ({**POST, "amount": float("nan")}, "not_finite"),
        ({**POST, "note": [float("-inf")]}, "not_finite"),
        ({**POST, "note": "x" * 8192}, "transaction_too_large"),
    ],
)
def test_what_is_refused_at_the_door(value: Any, rule: str) -> None:
    with pytest.raises(Refusal) as caught:
        RULES.read_request(value)
    assert caught.value.code == rule


def test_a_wallet_has_nothing_to_send() -> None:
    assert not RULES.has_accounts
    with pytest.raises(RuleError) as caught:
        RULES.read_raw(b"")
    assert caught.value.code == "no_accounts"


def test_two_equal_posts_are_two_transactions_of_one_queue() -> None:
    one, two = (RULES.numbered(RULES.read_request(dict(POST)), nonce) for nonce in (0, 1))
    assert one.sender == two.sender == digest(written(POST)) and one.id != two.id
    assert one.id == digest(b"0:" + written(POST))
    other = RULES.read_request({**POST, "amount": 5.0})  # not the same text
    assert other.sender != one.sender


def test_an_id_stays_the_same_from_the_mempool_into_the_chain() -> None:
    posted = [RULES.numbered(RULES.read_request(POST), nonce) for nonce in (3, 4)]
    block = RULES.read_block(second_block(POST, {"sender": "0"}, POST))
    text = posted[0].sender
    placed = RULES.placed(block, Entries({text: Account(0, 3)}))
    assert (ids(placed)[0], ids(placed)[2]) == (posted[0].id, posted[1].id)
    assert placed.canonical == block.canonical and placed.header == block.header
    assert len(set(ids(block))) == 3


def test_rewards_of_one_miner_differ_by_their_height() -> None:
    reward = {"sender": "0", "recipient": "me", "amount": 1}
    second = RULES.read_block(second_block(reward))
    third = RULES.read_block({**second_block(reward), "index": 3})
    assert set(ids(second)).isdisjoint(ids(third))
    assert ids(second) == [digest(b"2:0:" + written(reward))]


# --- the ledger that only counts --------------------------------------------------------------------------------------


def test_the_ledger_counts_what_was_mined_of_each_text() -> None:
    reward = {"sender": "0", "recipient": "me", "amount": 1}
    block = RULES.read_block(second_block(POST, reward, POST, reward))
    post, early_reward = block.transactions[0].sender, block.transactions[1].sender
    assert RULES.touched(block.transactions).accounts == {post, early_reward}
    assert not RULES.touched(block.transactions).allowances
    change = RULES.apply(block, Entries({post: Account(0, 7)}))
    assert change.before.accounts == {post: Account(0, 7), early_reward: Account()}
    assert change.after.accounts == {post: Account(0, 9), early_reward: Account(0, 1)}
    assert change.after.supply == change.before.supply == 0


def test_a_trial_takes_equal_transactions_in_their_order() -> None:
    first, second, third = (RULES.numbered(RULES.read_request(POST), nonce) for nonce in (4, 5, 6))
    trial = RULES.trial()
    trial.learn(Entries({first.sender: Account(0, 4)}))
    for transaction, rule in ((second, "nonce_gap"), (first, None), (first, "nonce_too_low"), (second, None)):
        if rule is None:
            trial.apply(transaction)
            continue
        with pytest.raises(RuleError) as caught:
            trial.apply(transaction)
        assert caught.value.code == rule
    trial.learn(Entries({first.sender: Account(0, 4)}))  # read again with a later page
    assert trial.next_nonce(first.sender) == third.nonce
    assert trial.next_nonce("another") == 0


# --- templates --------------------------------------------------------------------------------------------------------


def test_a_template_is_what_the_tutorial_would_forge() -> None:
    genesis = RULES.genesis().header
    posted = [RULES.read_request(item) for item in (POST, {**POST, "amount": 0.5}, POST)]
    template = RULES.template([genesis], posted, "0xMiner", NOW)
    reward = {"sender": "0", "recipient": "0xMiner", "amount": 1}
    assert template.fields == {
        "index": 2,
        "timestamp": NOW,
        "transactions": [POST, {**POST, "amount": 0.5}, POST, reward],
        "previous_hash": genesis.hash,
    }
    assert RULES.complete(template, FIRST_PROOF) == RULES.read_block(template.with_proof(FIRST_PROOF))
    assert type(RULES.template([genesis], [], "", 1525160706).fields["timestamp"]) is float
    assert (template.seal, template.difficulty) == (b"100", 65536)
    assert next(proof for proof in range(10**6) if template.accepts(proof)) == FIRST_PROOF


def test_a_full_template_stays_below_the_specs_limit() -> None:
    text = {**POST, "amount": 0, "note": "x" * 1000}
    posted, room = [], SPEC.room
    while room > 2000:
        posted.append(RULES.read_request(text))
        room -= posted[-1].size + 2
    posted.append(RULES.read_request({**text, "note": "x" * (1000 + room - posted[-1].size - 2)}))
    parent = RULES.genesis().header
    template = RULES.template([parent], posted, "0x" + "f" * 40, 4503599627370495.5)
    assert SPEC.max_block_bytes - 1024 < template.size() <= SPEC.max_block_bytes
