"""The desk of a node: what mining workers hand in becomes blocks, whoever dies, and nothing false does."""

import os
import signal
from pathlib import Path

import pytest
from redis import Redis

from services.connections.servers import RedisError
from services.mining.searches import REFRESH_SECONDS
from services.mining.templates import MadeTemplate
from services.store.inbox import LOOK, FoundProof, read_entry
from services.store.searches import Claim, Searched
from shared.errors import RuleError
from tests.support.keys import ALICE
from tests.support.nodes import TestNode, make_settings, request_of, round_of
from tests.support.running import RunningNode
from tests.support.searching import claim_of
from tests.support.specs import make_spec
from tests.support.stored import assert_store_equals_replay
from worker.kernel.plain import PlainKernel


def claimed(here: TestNode) -> Claim:
    """A claim of the round that is open, or opens now because it is asked for."""
    if not here.node.searches.open_round():
        here.node.requests.ask()
    found = claim_of(here.node, here.node.searches.open_round(), "w1", 10, Searched())
    assert found is not None and found.proofs
    return found


def hand_in(here: TestNode, claim: Claim, proof: int = 0) -> bool:
    return here.node.searches.hand_in(claim, proof, "w1", Searched(claim.version, 1))


def refused(here: TestNode) -> int:
    return here.node.mining.counters().get("proofs_refused", 0)


def is_empty(here: TestNode) -> bool:
    return not here.redis.exists(here.node.mining.keys.inbox, here.node.mining.keys.inbox_taken)


def test_a_proof_that_is_handed_in_becomes_a_block_and_the_next_round_opens(here: TestNode) -> None:
    first, second = here.node.requests.ask(), here.node.requests.ask()
    claim = claimed(here)
    assert hand_in(here, claim) and here.node.chain.tip().height == 1, "a worker appends nothing"
    assert here.node.desk.work_off() and is_empty(here)
    assert here.node.chain.tip().height == 2
    assert request_of(here.node.mining, first).status == "finished"
    assert request_of(here.node.mining, second).status == "started"
    found = round_of(here.node.mining, claim.round_id)
    assert (found.state, found.sealed_by, found.hashes) == ("sealed", "w1", 1)
    assert here.node.searches.open_round() not in ("", claim.round_id)
    assert not here.node.desk.work_off()
    assert_store_equals_replay(here.node, here.redis)


def test_a_proof_that_is_handed_in_twice_makes_one_block(here: TestNode) -> None:
    claim = claimed(here)
    assert hand_in(here, claim) and hand_in(here, claim, 0), "a lost answer lets a worker send it again"
    assert here.redis.llen(here.node.mining.keys.inbox) == 1
    assert hand_in(here, claim, 1)
    here.node.desk.work_off()
    assert here.node.chain.tip().height == 2 and is_empty(here)
    assert not hand_in(here, claim, 2), "its round has ended"
    assert refused(here) == 0


def test_what_is_false_is_refused_and_counted(redis: Redis) -> None:
    here = TestNode(redis, make_settings(make_spec(difficulty=1000)))
    claim = claimed(here)
    good = PlainKernel().scan(claim.prefix, claim.difficulty, 0, 100_000)
    assert good is not None
    bad = next(number for number in range(100) if number != good)
    key, round_id = here.node.mining.keys.inbox, claim.round_id
    false = [
        "", "x", "proof", f"proof {round_id} 1 -1 w", f"proof {round_id} 1 9007199254740992 w", "proof " + "9" * 5000,
        f"proof {round_id} 1 {good} w w", f"template {round_id}", f"proof {round_id} 1 {bad} w1", "look look",
        "\x00\xff",
    ]  # fmt: skip
    here.redis.rpush(key, *false)
    late = [f"proof {'0' * 32} 1 {good} w1", f"proof {round_id} 7 {good} w1", f"template {'0' * 32} 1", LOOK]
    here.redis.rpush(key, *late)
    here.node.desk.work_off()
    assert here.node.chain.tip().height == 1 and is_empty(here)
    assert refused(here) == len(false)
    assert hand_in(here, claim, good)
    here.node.desk.work_off()
    assert here.node.chain.tip().height == 2


def test_an_inbox_that_is_full_takes_no_more_and_is_worked_off(here: TestNode) -> None:
    claim, key = claimed(here), here.node.mining.keys.inbox
    here.redis.rpush(key, *(f"junk {number}" for number in range(255)))
    assert hand_in(here, claim, 1)
    assert not hand_in(here, claim, 2)
    here.redis.rpush(key, *(f"junk {number}" for number in range(1000)))  # by somebody with the miners' password
    here.node.desk.work_off()
    assert is_empty(here) and here.node.chain.tip().height == 2 and refused(here) == 1255


def test_what_a_killed_process_was_dealing_with_is_taken_over(here: TestNode) -> None:
    claim = claimed(here)
    hand_in(here, claim)
    assert here.node.desk.inbox.take() is not None  # and dies
    other = here.build(here.redis)
    assert not other.desk.work_off() and other.desk.recover() == 0, "it may be at work"
    assert other.desk.recover() == 1
    assert here.node.chain.tip().height == 2 and is_empty(here)
    assert other.desk.recover() == 0


def test_a_process_that_dies_after_the_append_leaves_one_block(here: TestNode, monkeypatch: pytest.MonkeyPatch) -> None:
    claim = claimed(here)
    hand_in(here, claim)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(here.node.desk.inbox, "done", _die)
        here.node.desk.work_off()
    assert here.node.chain.tip().height == 2 and not is_empty(here)
    other = here.build(here.redis)
    other.desk.recover()
    assert other.desk.recover() == 1
    assert here.node.chain.tip().height == 2 and is_empty(here) and refused(here) == 0
    assert_store_equals_replay(here.node, here.redis)


def _die(_: bytes) -> None:
    raise KeyboardInterrupt


def test_a_store_that_does_not_answer_loses_no_proof_and_a_bug_stops_nothing(
    here: TestNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = claimed(here)
    hand_in(here, claim)
    with monkeypatch.context() as patch:
        patch.setattr(here.node.rounds, "seal", _fail(RedisError("away")))
        with pytest.raises(RedisError):
            here.node.desk.work_off()
    here.node.desk.recover()
    assert here.node.desk.recover() == 1 and here.node.chain.tip().height == 2
    claim = claimed(here)
    hand_in(here, claim)
    with monkeypatch.context() as patch:
        patch.setattr(here.node.rounds, "seal", _fail(ZeroDivisionError()))
        here.node.desk.work_off()
    assert is_empty(here), "it would fail for ever"
    hand_in(here, claim, 1)
    here.node.desk.work_off()
    assert here.node.chain.tip().height == 3


def _fail(error: Exception) -> object:
    def fail(*_: object) -> None:
        raise error

    return fail


def test_a_worker_calls_for_a_template_once_and_only_the_desk_makes_it(here: TestNode) -> None:
    claim = claimed(here)
    here.clock.time += REFRESH_SECONDS + 1
    for worker in ("w1", "w2"):
        old = here.node.searches.claim(claim.round_id, worker, 10, Searched())
        assert old is not None and old.is_old and not old.proofs
    assert round_of(here.node.mining, claim.round_id).version == "1"
    assert here.redis.llen(here.node.mining.keys.inbox) == 1
    here.node.desk.work_off()
    assert round_of(here.node.mining, claim.round_id).version == "2"
    here.redis.rpush(here.node.mining.keys.inbox, f"template {claim.round_id} 1")  # late
    here.node.desk.work_off()
    assert round_of(here.node.mining, claim.round_id).version == "2"


def test_a_round_of_an_earlier_release_gets_a_template_at_once(here: TestNode) -> None:
    claim, keys = claimed(here), here.node.mining.keys
    here.redis.delete(keys.round_search(claim.round_id), keys.round_templates(claim.round_id))
    here.redis.hset(keys.round(claim.round_id), mapping={"cursor": 7, "hashes": 5, "wasted": 0, "template": "{}"})
    assert round_of(here.node.mining, claim.round_id).hashes == 5
    again = claimed(here)
    assert (again.version, again.proofs.start) == ("2", 0)
    assert hand_in(here, again) and here.node.desk.work_off()
    assert here.node.chain.tip().height == 2


def test_a_lease_that_seals_leaves_the_rest_to_the_desk(redis: Redis) -> None:
    here = TestNode(redis, make_settings(automine=True))
    here.admit(ALICE, 0)
    assert here.node.rounds.ensure_open()
    assert here.node.rounds.seal(claimed(here), 0, "http:x") is not None
    here.node.submit([here.sign(ALICE, 1)])
    here.node.desk.sealed()
    assert (
        here.redis.lrange(here.node.mining.keys.inbox, 0, -1) == [LOOK.encode()] and not here.node.searches.open_round()
    )
    here.node.desk.work(1.0)
    assert here.node.searches.open_round()


def test_while_the_desk_makes_a_template_nobody_else_does(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    here = TestNode(redis, make_settings(automine=True))
    node, made = here.node, []
    make = node.rounds.templates.make
    for nonce in range(3):
        here.admit(ALICE, nonce)
    assert node.rounds.ensure_open() and node.searches.hand_in(claimed(here), 0, "w1", Searched())

    def make_meanwhile(recipient: str) -> MadeTemplate:
        made.append(recipient)
        if len(made) < 5:
            node.submit([here.sign(ALICE, 3 + len(made))])
        return make(recipient)

    here.admit(ALICE, 3)
    monkeypatch.setattr(node.rounds.templates, "make", make_meanwhile)
    node.desk.work(1.0)
    assert node.searches.open_round() and len(made) == 1
    assert not here.redis.exists(node.mining.keys.resting)


def test_a_transaction_that_comes_while_the_desk_finds_nothing_to_open_gets_a_round(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = TestNode(redis, make_settings(automine=True))
    node, looks = here.node, []
    here.admit(ALICE, 0)
    assert node.rounds.ensure_open() and node.searches.hand_in(claimed(here), 0, "w1", Searched())
    ensure_open = node.rounds.ensure_open

    def look() -> str | None:
        found = ensure_open()
        looks.append(found)
        if len(looks) == 1:
            assert found is None
            node.submit([here.sign(ALICE, 1)])
            assert len(looks) == 1, "it is left to the desk"
        return found

    monkeypatch.setattr(node.rounds, "ensure_open", look)
    node.desk.work(1.0)
    assert len(looks) == 2 and node.searches.open_round()


def test_a_template_of_this_process_counts_no_longer_than_any_other(here: TestNode) -> None:
    claim, other = claimed(here), here.build(here.redis)
    other.rounds.renew()
    assert here.node.mining.template(claim.round_id, claim.version) is None
    assert here.node.rounds.seal(claim, 0, "w1") is None and here.node.chain.tip().height == 1
    again = claimed(here)
    kept, read = other.mining.template(again.round_id), here.node.mining.template(again.round_id)
    assert kept is not None and read is not None
    assert (kept[1].fields, kept[1].seal, kept[1].difficulty) == (read[1].fields, read[1].seal, read[1].difficulty)
    assert kept[1].body is not None and read[1].body is None
    assert here.node.rounds.seal(again, 0, "w1") is not None
    assert other.mining.template(again.round_id, again.version) is None


def test_a_transaction_that_was_damaged_in_the_mempool_gets_into_no_block(redis: Redis) -> None:
    """One bit of a signature in the store: a digit in upper case is the same number, but no valid transaction."""
    here = TestNode(redis, make_settings(automine=True))
    found, keys = here.admit(ALICE, 0), here.node.pool.keys
    stored = here.redis.hget(keys.entries, found.id)
    signature = found.fields["signature"]
    assert isinstance(stored, bytes) and signature != signature.upper()
    here.redis.hset(keys.entries, found.id, stored.replace(signature.encode(), signature.upper().encode()))
    assert here.node.rounds.ensure_open()
    with pytest.raises(RuleError):
        here.node.rounds.seal(claimed(here), 0, "w1")
    assert here.node.chain.tip().height == 1


def test_entries_say_what_they_were_made_of() -> None:
    found = FoundProof("a" * 32, "3", 2**53 - 1, "anna 1")
    assert read_entry(found.text.encode()) == FoundProof("a" * 32, "3", 2**53 - 1, "anna_1")


def test_a_node_seals_without_its_ticker(tmp_path: Path) -> None:
    """Frozen while it waits for a proof, and killed: the API takes over what it had, and what comes."""
    with RunningNode(tmp_path, workers=1, variables={"AUTOMINE": "false"}) as node:
        node.client.post("/mine").ok()
        ticker = node.processes["ticker"].pid
        os.kill(ticker, signal.SIGSTOP)
        mined = node.client.post("/mine?wait=30").ok()
        os.kill(ticker, signal.SIGKILL)
        os.kill(ticker, signal.SIGCONT)
        assert node.client.post("/mine?wait=30").ok()["index"] == mined["index"] + 1
