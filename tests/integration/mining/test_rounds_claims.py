"""Rounds as workers meet them: claims, seals, templates that age, and what is counted."""

import itertools
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from redis import Redis

from services.connections.servers import as_store, connect_for_requests
from services.errors import Busy, NotFound, PolicyError
from services.launch.embedded import EmbeddedValkey
from services.mining.rounds import LONGEST_REST, REST_PER_TRANSACTION
from services.mining.searches import HEARTBEAT_SECONDS, REFRESH_SECONDS
from services.node import Node, build_node
from services.store.mining import MiningStore
from services.store.rounds import MiningRequest, RequestStatus, Round, RoundState, RoundWorker
from services.store.searches import Claim, Searched
from shared.proof import MAX_PROOF
from tests.support.clocks import START
from tests.support.keys import ALICE, BOB
from tests.support.nodes import TestNode, make_settings, round_of
from tests.support.said import listen
from tests.support.searching import claim_of
from tests.support.stored import assert_store_equals_replay, texts
from tests.support.waiting import eventually


@pytest.fixture
def automining(redis: Redis) -> TestNode:
    return TestNode(redis, make_settings(automine=True))


def claim(
    here: TestNode, round_id: str, wanted: int = 10, worker: str = "w1", searched: Searched | None = None
) -> Claim:
    found = claim_of(here.node, round_id, worker, wanted, searched or Searched())
    assert found is not None
    return found


def open_round(here: TestNode) -> str:
    round_id = here.node.rounds.ensure_open()
    assert round_id
    return round_id


def state(here: TestNode, round_id: str) -> Round:
    return round_of(here.node.mining, round_id)


def request(here: TestNode, request_id: str) -> MiningRequest:
    return here.node.requests.wait(request_id, 0)


# --- claims ---


def test_claims_never_overlap_and_leave_nothing_out(valkey: EmbeddedValkey, here: TestNode) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    here.node.requests.ask()
    round_id = open_round(here)
    start = threading.Barrier(8)

    def work(number: int) -> list[Claim]:
        rng = random.Random(seed + number)
        with connect_for_requests(valkey.url) as redis:
            node: Node = here.build(redis)
            start.wait(10)
            found = [claim_of(node, round_id, f"w{number}", rng.randint(1, 10**9), Searched()) for _ in range(50)]
        return [item for item in found if item is not None]

    with ThreadPoolExecutor(8) as pool:
        claims = [item for found in pool.map(work, range(8)) for item in found]
    assert len(claims) == 400
    assert {(item.version, item.prefix, item.difficulty) for item in claims} == {("1", claims[0].prefix, 1)}
    ranges = sorted((item.proofs.start, item.proofs.stop) for item in claims)
    assert ranges[0][0] == 0
    assert all(before[1] == after[0] for before, after in itertools.pairwise(ranges))


def test_a_claim_of_a_moved_tip_renews_the_round_and_starts_from_nothing(here: TestNode) -> None:
    request_id = here.node.requests.ask()
    round_id = open_round(here)
    before = claim(here, round_id)
    assert (before.version, before.proofs) == ("1", range(10))
    assert claim(here, round_id).proofs == range(10, 20)

    here.mine()  # a peer's block
    after = claim(here, round_id, 5)
    assert (after.round_id, after.version, after.proofs) == (round_id, "2", range(5))
    assert after.prefix != before.prefix
    assert state(here, round_id).parent == here.node.chain.tip().hash
    assert request(here, request_id).status == "started"

    accepted = here.node.rounds.seal(after, 0, "w1")
    assert accepted is not None and accepted.request == request_id and accepted.block.index == 3
    assert request(here, request_id) == MiningRequest(
        RequestStatus.FINISHED, round_id, accepted.block.hash, created_at=START
    )


def test_an_old_template_is_renewed_with_what_has_arrived(here: TestNode) -> None:
    here.node.requests.ask()
    round_id = open_round(here)
    arrived = here.admit(ALICE, 0)
    here.clock.time += REFRESH_SECONDS
    assert claim(here, round_id).version == "1"
    here.clock.time += 0.5
    renewed = claim(here, round_id)
    assert (renewed.version, renewed.proofs.start) == ("2", 0)
    assert claim(here, round_id).version == "2"
    accepted = here.node.rounds.seal(renewed, 0, "w1")
    assert accepted is not None
    assert [item.id for item in accepted.block.transactions[1:]] == [arrived.id]
    assert accepted.block.header.timestamp == int(here.clock.now())


def test_a_round_whose_proofs_are_used_up_is_renewed(here: TestNode) -> None:
    here.node.requests.ask()
    round_id = open_round(here)
    here.redis.hset(here.node.mining.keys.round_search(round_id), "cursor", MAX_PROOF - 20)
    assert claim(here, round_id, 15).proofs == range(MAX_PROOF - 20, MAX_PROOF - 5)
    assert claim(here, round_id, 15).version == "2"


def test_an_unknown_round_has_ended(here: TestNode) -> None:
    assert claim_of(here.node, "0" * 32, "w1", 10, Searched("1", 7)) is None
    assert here.node.mining.counters()["wasted_hashes"] == 7
    assert here.node.rounds.seal(Claim("0" * 32, "1", b"", 1, range(1)), 0, "w1") is None
    assert here.node.mining.round("0" * 32) is None
    with pytest.raises(NotFound):
        here.node.requests.cancel("0" * 32)
    with pytest.raises(NotFound):
        here.node.requests.wait("0" * 32, 0)


# --- seals ---


def test_only_the_first_seal_counts(here: TestNode) -> None:
    requests = [here.node.requests.ask() for _ in range(2)]
    round_id = open_round(here)
    first, second = claim(here, round_id, worker="w1"), claim(here, round_id, worker="w2")
    accepted = here.node.rounds.seal(first, first.proofs[3], "w1")
    assert accepted is not None
    assert here.node.rounds.seal(second, second.proofs[4], "w2") is None
    assert here.node.rounds.seal(first, first.proofs[3], "w1") is None or here.node.chain.tip().height == 2
    assert [request(here, name).status for name in requests] == ["finished", "queued"]
    found = state(here, round_id)
    assert (found.state, found.block, found.sealed_by) == ("sealed", accepted.block.hash, "w1")
    assert claim_of(here.node, round_id, "w2", 10, Searched()) is None
    assert_store_equals_replay(here.node, here.redis)


def test_seals_at_the_same_moment_make_one_block(valkey: EmbeddedValkey, here: TestNode) -> None:
    here.node.requests.ask()
    start = threading.Barrier(8)

    def work(number: int) -> int:
        with connect_for_requests(valkey.url) as redis:
            node = here.build(redis)
            round_id = node.rounds.ensure_open()
            assert round_id is not None
            mine = claim_of(node, round_id, f"w{number}", 10, Searched())
            assert mine is not None
            start.wait(10)
            return int(node.rounds.seal(mine, mine.proofs[0], f"w{number}") is not None)

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(8))) == 1
    assert here.node.chain.tip().height == 2


def renewals(here: TestNode, round_id: str, count: int) -> list[Claim]:
    """Claims of `count` templates that follow one another on the same tip."""
    found = []
    for _ in range(count):
        found.append(claim(here, round_id))
        here.clock.time += REFRESH_SECONDS + 1
    return found


@pytest.mark.parametrize("age", [0, 1, 8])
def test_a_proof_for_a_template_of_before_makes_a_block(here: TestNode, age: int) -> None:
    request_id = here.node.requests.ask()
    round_id = open_round(here)
    made = renewals(here, round_id, 10)
    assert [item.version for item in made] == [str(number) for number in range(1, 11)]
    wanted = made[-1 - age]
    template = here.node.mining.template(round_id, wanted.version)
    assert template is not None and template[1].seal == wanted.prefix
    accepted = here.node.rounds.seal(wanted, 5, "w1")
    assert accepted is not None and accepted.request == request_id
    assert accepted.block.header.timestamp == int(START + 31 * (9 - age))
    assert_store_equals_replay(here.node, here.redis)
    assert here.redis.keys(here.node.mining.keys.round_templates("*")) == []


def test_only_the_last_templates_of_a_round_are_kept(here: TestNode) -> None:
    here.node.requests.ask()
    round_id = open_round(here)
    made = renewals(here, round_id, 12)
    assert here.redis.hlen(here.node.mining.keys.round_templates(round_id)) == 9  # the newest, and eight of before
    assert here.node.rounds.seal(made[2], 5, "w1") is None
    assert here.node.chain.tip().height == 1


def test_a_proof_for_a_template_on_another_tip_is_passed_over(here: TestNode) -> None:
    here.node.requests.ask()
    round_id = open_round(here)
    old = claim(here, round_id)
    here.mine()
    claim(here, round_id)
    assert here.node.rounds.seal(old, 0, "w1") is None
    assert here.node.chain.tip().height == 2


def test_an_opener_that_missed_a_renewal_does_not_set_it_back(here: TestNode) -> None:
    here.node.requests.ask()
    round_id = open_round(here)
    renewals(here, round_id, 2)
    template = here.template([])
    assert here.node.mining.open(round_id, "1", template, 0, START) == (round_id, "0")
    assert state(here, round_id).version == "2"


def test_many_who_open_a_round_open_one(valkey: EmbeddedValkey, here: TestNode) -> None:
    here.node.mining.add_request("a" * 32, START, 64)
    start = threading.Barrier(8)

    def work(_: int) -> str | None:
        with connect_for_requests(valkey.url) as redis:
            node = here.build(redis)
            start.wait(10)
            return node.rounds.ensure_open()

    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(work, range(8)))
    assert found == {here.node.mining.situation().open_round}
    assert here.node.mining.counters()["rounds_opened"] == 1


# --- requests ---


def test_requests_beyond_the_limit_are_refused(redis: Redis) -> None:
    here = TestNode(redis, make_settings(max_requests=3))
    for _ in range(3):
        here.node.requests.ask()
    with pytest.raises(Busy) as caught:
        here.node.requests.ask()
    assert caught.value.code == "too_many_requests"
    # One that waits already can be sent again.
    waiting = texts(here.redis.lrange(here.node.mining.keys.requests, 0, -1))
    assert here.node.mining.add_request(waiting[0], START, 3)
    assert here.node.mining.situation().requests == 3


def test_a_peers_block_answers_no_request(here: TestNode) -> None:
    request_id = here.node.requests.ask()
    here.mine()
    assert request(here, request_id).status == "started"
    assert here.node.mining.situation().requests == 1


def test_waiting_for_an_answer_asks_the_store_about_once_a_second(here: TestNode, redis: Redis) -> None:
    node = build_node(here.settings, store=as_store(redis), queue=here.queue)  # by the real clock
    request_id = node.requests.ask()
    before = redis.info("commandstats")["cmdstat_hgetall"]["calls"]
    started = time.monotonic()
    assert node.requests.wait(request_id, 0.6).status == "started"
    assert 0.55 < time.monotonic() - started < 5
    asked = redis.info("commandstats")["cmdstat_hgetall"]["calls"] - before
    assert 1 <= asked <= 4


def test_whoever_waits_for_an_answer_is_woken_by_it(
    here: TestNode, valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_id = here.node.requests.ask()
    found = claim(here, open_round(here))
    block = MiningStore.wait_for_answer
    # Without a look once a second, which would find the answer too.
    monkeypatch.setattr(MiningStore, "wait_for_answer", lambda self, request_id, _: block(self, request_id, 20))
    with Redis.from_url(valkey.url) as connection, ThreadPoolExecutor(2) as pool:
        node = build_node(here.settings, store=as_store(connection), queue=here.queue)
        waits = [pool.submit(node.requests.wait, request_id, 20) for _ in range(2)]
        eventually(lambda: here.redis.info("clients")["blocked_clients"] == 2)
        sealed = time.monotonic()
        assert here.node.rounds.seal(found, 0, "w1") is not None
        assert {wait.result(30).status for wait in waits} == {"finished"}
        assert time.monotonic() - sealed < 10, "by the answer, and not at the end of its wait"


# --- what is kept ---


def test_an_ended_round_keeps_what_can_be_asked_of_it_and_no_more(here: TestNode) -> None:
    here.admit(ALICE, 0)
    request_id = here.node.requests.ask()
    round_id, keys = open_round(here), here.node.mining.keys
    found = claim(here, round_id)
    here.node.searches.report(round_id, "w1", Searched(found.version, 3))
    before = state(here, round_id)
    here.clock.time += 2
    accepted = here.node.rounds.seal(found, found.proofs[0], "w1")
    assert accepted is not None
    assert state(here, round_id) == replace(
        before, state=RoundState.SEALED, ended_at=START + 2, block=accepted.block.hash, sealed_by="w1", version="",
        parent="",
    )  # fmt: skip
    assert here.node.mining.template(round_id) is None
    assert here.redis.memory_usage(keys.round(round_id)) < 500
    assert here.redis.ttl(keys.round(round_id)) == here.redis.ttl(keys.request(request_id)) == 86_400
    assert 0 < here.redis.ttl(keys.answer(request_id)) <= 10
    assert here.node.mining.round_of(accepted.block.hash) == state(here, round_id)
    assert here.redis.ttl(keys.round_of(accepted.block.hash)) == 86_400


def test_the_last_ten_thousand_are_kept(here: TestNode) -> None:
    keys, names = here.node.mining.keys, [f"{number:032}" for number in range(10_000)]
    for name in names[:3]:
        here.redis.hset(keys.round(name), mapping={"state": "sealed", "block": f"block-{name}"})
        here.redis.set(keys.round_of(f"block-{name}"), name)
        here.redis.hset(keys.round_workers(name), "w1", "1:1:1")
        here.redis.hset(keys.request(name), "status", "finished")
    here.redis.rpush(keys.rounds_ended, *names)
    here.redis.rpush(keys.requests_answered, *names[1:])
    first, second = here.node.requests.ask(), here.node.requests.ask()
    sealed = []
    for _ in range(2):
        sealed.append(open_round(here))
        assert here.node.rounds.seal(claim(here, sealed[-1]), 0, "w1") is not None
    kept = [bool(here.redis.exists(keys.round(name))) for name in names[:3]]
    assert kept == [bool(here.redis.exists(keys.round_workers(name))) for name in names[:3]] == [False, False, True]
    assert [bool(here.redis.exists(keys.round_of(f"block-{name}"))) for name in names[:3]] == kept
    assert [bool(here.redis.exists(keys.request(name))) for name in names[:3]] == [True, False, True]
    assert here.redis.llen(keys.rounds_ended) == here.redis.llen(keys.requests_answered) == 10_000
    assert texts(here.redis.lrange(keys.rounds_ended, -2, -1)) == sealed
    for name, round_id in zip((first, second), sealed, strict=True):
        assert request(here, name).round_id == round_id
        assert state(here, round_id).state == "sealed"


def test_many_blocks_a_second_are_a_line_in_ten_seconds(here: TestNode, monkeypatch: pytest.MonkeyPatch) -> None:
    said = listen(monkeypatch, "services.mining.seal_log._log")
    for _ in range(100):
        here.node.requests.ask()
        assert here.node.rounds.seal(claim(here, open_round(here)), 0, "w1") is not None
        here.clock.time += 0.25
    lines = [line for line in said if line["event"] == "block_sealed"]
    assert [(line["height"], line.get("since_last")) for line in lines] == [(2, None), (42, 40), (82, 40)]


# --- cancelling ---


def test_cancelling_ends_the_round_and_its_request_and_the_next_begins(here: TestNode) -> None:
    first, second = here.node.requests.ask(), here.node.requests.ask()
    round_id = open_round(here)
    late = claim(here, round_id)
    here.node.requests.cancel(round_id)
    assert request(here, first).status == "cancelled"
    assert state(here, round_id).state == "cancelled"
    assert claim_of(here.node, round_id, "w1", 10, Searched()) is None
    following = here.node.mining.situation().open_round
    assert following not in ("", round_id)
    # A proof that comes too late completes no block, and takes no answer from the next request.
    assert here.node.rounds.seal(late, 0, "w1") is None
    assert here.node.chain.tip().height == 1
    assert state(here, round_id).state == "cancelled"
    assert request(here, second).status == "started"
    here.node.requests.cancel(round_id)  # again: nothing happens
    assert here.node.mining.situation().open_round == following


def test_a_cancelled_round_is_not_opened_again_by_automining_on_that_tip(automining: TestNode) -> None:
    here = automining
    here.admit(ALICE, 0)
    round_id = open_round(here)
    here.node.requests.cancel(round_id)
    assert here.node.rounds.ensure_open() is None
    here.admit(ALICE, 1)
    assert here.node.rounds.ensure_open() is None
    here.mine()
    assert here.node.rounds.ensure_open() is not None


def test_a_request_overrules_a_held_tip(automining: TestNode) -> None:
    here = automining
    here.admit(ALICE, 0)
    here.node.requests.cancel(open_round(here))
    here.node.requests.ask()
    assert here.node.mining.situation().open_round


def test_a_withdrawn_request_wakes_who_waits_and_leaves_auto_mining_alone(automining: TestNode) -> None:
    here = automining
    job = here.node.requests.ask()
    here.admit(ALICE, 0)
    first = open_round(here)
    assert here.node.requests.withdraw(job).status == "cancelled"
    assert state(here, first).state == "cancelled"
    assert here.node.mining.situation().open_round not in ("", first)  # for the transaction that waits
    here.node.mining.wait_for_answer(job, 30.0)  # the answer is there


def test_withdrawing_everything_holds_the_tip_also_where_only_auto_mining_searches(automining: TestNode) -> None:
    here = automining
    here.admit(ALICE, 0)
    assert open_round(here)
    assert here.node.requests.withdraw_all() == 0
    assert here.node.mining.situation().open_round == "" and here.node.rounds.ensure_open() is None


def test_withdrawing_what_is_unknown_or_nothing_changes_nothing(here: TestNode) -> None:
    job = here.node.requests.ask()
    round_id = open_round(here)
    with pytest.raises(NotFound):
        here.node.requests.withdraw("0" * 32)
    assert here.node.mining.withdraw([], 0.0) == 0
    assert request(here, job).status == "started" and state(here, round_id).state == "open"


# --- auto-mining ---


def test_automining_wants_a_transaction_that_can_be_mined(automining: TestNode) -> None:
    here = automining
    assert here.node.rounds.ensure_open() is None
    here.admit(ALICE, 1)  # waits for a gap
    assert here.node.rounds.ensure_open() is None
    here.admit(ALICE, 0)
    mine = claim(here, open_round(here))
    accepted = here.node.rounds.seal(mine, 0, "w1")
    assert accepted is not None and len(accepted.block.transactions) == 3
    assert here.node.rounds.ensure_open() is None


def test_a_transaction_opens_no_round_while_the_desk_rests(automining: TestNode) -> None:
    here = automining
    here.node.submit([here.sign(ALICE, nonce) for nonce in range(20)])
    assert here.node.searches.hand_in(claim(here, open_round(here)), 0, "w1", Searched())
    before = here.clock.now()
    here.node.desk.work(0.0)
    assert here.node.chain.tip().height == 2 and here.node.rounds.rest() > 0
    here.node.submit([here.sign(ALICE, 20)])
    assert not here.node.mining.situation().open_round
    here.node.desk.work(1.0)
    assert here.node.mining.situation().open_round and here.clock.now() >= before + 20 * REST_PER_TRANSACTION
    assert not here.redis.exists(here.node.mining.keys.resting)


def test_where_the_desk_dies_in_its_rest_a_transaction_opens_a_round_after_a_second(automining: TestNode) -> None:
    here = automining
    here.admit(ALICE, 0)
    assert here.node.rounds.seal(claim(here, open_round(here)), 0, "w1")
    here.node.submit([here.sign(ALICE, 1)])
    assert not here.node.mining.situation().open_round
    here.clock.time += 1
    here.node.submit([here.sign(ALICE, 2)])
    assert here.node.mining.situation().open_round and here.queue.searches


def test_a_rest_by_a_clock_that_was_ahead_is_not_believed_in(automining: TestNode) -> None:
    here = automining
    here.redis.set(here.node.mining.keys.resting, str(here.clock.now() + 3600))
    here.node.mining.linger("w1", here.clock.now() + 3600)
    assert here.node.mining.searchers(here.clock.now()) == 0
    here.node.submit([here.sign(ALICE, 0)])
    assert here.node.mining.situation().open_round and here.queue.searches


def test_automining_rests_in_proportion_to_what_the_last_block_held(automining: TestNode) -> None:
    here = automining
    for nonce, transactions in (0, 1), (1, 20), (21, 60):
        here.node.mempool.admit_many([here.sign(ALICE, nonce + i) for i in range(transactions)])
        round_id = open_round(here)
        assert here.node.rounds.seal(claim(here, round_id), 0, "w1")
        rest = min(transactions * REST_PER_TRANSACTION, LONGEST_REST)
        assert here.node.rounds.rest() == pytest.approx(rest)
        here.clock.time += 0.001
        assert here.node.rounds.rest() == pytest.approx(rest - 0.001, abs=1e-6)
        here.clock.time -= 5  # the clock of the worker that sealed it is ahead
        assert here.node.rounds.rest() == pytest.approx(rest)
        here.clock.time += 10
        assert here.node.rounds.rest() == 0.0


def test_nobody_rests_while_a_request_waits(automining: TestNode) -> None:
    here = automining
    here.admit(ALICE, 0)
    for _ in range(2):
        here.node.requests.ask()
    assert here.node.rounds.seal(claim(here, open_round(here)), 0, "w1")
    assert here.node.rounds.rest() == 0.0  # the second still waits
    assert here.node.rounds.seal(claim(here, open_round(here)), 0, "w1")
    here.admit(ALICE, 1)
    assert here.node.rounds.seal(claim(here, open_round(here)), 0, "w1")
    assert here.node.rounds.rest() > 0.0


def test_nobody_rests_without_automining(here: TestNode) -> None:
    here.admit(ALICE, 0)
    here.node.requests.ask()
    round_id = open_round(here)
    assert here.node.rounds.seal(claim(here, round_id), 0, "w1")
    assert here.node.rounds.rest() == 0.0


def test_without_automining_only_requests_open_rounds(here: TestNode) -> None:
    here.admit(ALICE, 0)
    assert here.node.rounds.ensure_open() is None


# --- counting ---


def test_a_report_of_one_hash_counts(here: TestNode) -> None:
    """The first proof of a claim may be the one."""
    here.node.requests.ask()
    round_id = open_round(here)
    found = claim(here, round_id)
    here.node.searches.report(round_id, "w1", Searched(found.version, 1))
    assert state(here, round_id).hashes == 1
    assert here.node.mining.round_workers(round_id)["w1"].hashes == 1
    assert here.node.mining.counters()["hashes"] == 1
    assert here.node.rounds.seal(found, found.proofs[0], "w1") is not None
    here.node.searches.report(round_id, "w1", Searched(found.version, 1))
    assert (state(here, round_id).hashes, state(here, round_id).wasted) == (2, 1)


def test_hashes_add_up_and_vain_ones_are_known(here: TestNode) -> None:
    here.node.requests.ask()
    round_id = open_round(here)
    first = claim(here, round_id, worker="w1")
    here.clock.time += 1
    other = claim(here, round_id, worker="w2")
    second = claim(here, round_id, worker="w1", searched=Searched(first.version, 10))
    here.clock.time += 1
    here.node.searches.report(round_id, "w1", Searched(second.version, 3))
    assert here.node.rounds.seal(second, second.proofs[2], "w1") is not None
    # The other learns that it was too late: its hashes count, as wasted.
    assert claim_of(here.node, round_id, "w2", 10, Searched(other.version, 10)) is None
    found = state(here, round_id)
    assert (found.hashes, found.wasted) == (23, 10)
    workers = here.node.mining.round_workers(round_id)
    assert {name: worker.hashes for name, worker in workers.items()} == {"w1": 13, "w2": 10}
    assert sum(worker.hashes for worker in workers.values()) == found.hashes
    assert workers["w1"] == RoundWorker(13, since=START, last=START + 2)
    counters = here.node.mining.counters()
    assert (counters["hashes"], counters["wasted_hashes"]) == (23, 10)


def test_hashes_for_a_template_of_before_are_not_wasted_while_it_counts(here: TestNode) -> None:
    here.node.requests.ask()
    round_id = open_round(here)
    old = renewals(here, round_id, 2)[0]
    claim(here, round_id, searched=Searched(old.version, 10))
    assert (state(here, round_id).hashes, state(here, round_id).wasted) == (10, 0)
    here.node.rounds.renew()
    claim(here, round_id, searched=Searched(old.version, 10))
    assert (state(here, round_id).hashes, state(here, round_id).wasted) == (20, 10)


def test_hashes_for_a_template_of_old_are_wasted(here: TestNode) -> None:
    here.node.requests.ask()
    round_id = open_round(here)
    old = claim(here, round_id)
    here.mine()
    claim(here, round_id, worker="w2")  # renews
    claim(here, round_id, searched=Searched(old.version, 10))
    assert (state(here, round_id).hashes, state(here, round_id).wasted) == (10, 10)


# --- calling workers ---


def test_workers_are_called_for_as_many_as_do_not_search(here: TestNode) -> None:
    here.queue.workers = 3
    here.node.requests.ask()
    round_id = open_round(here)
    assert here.queue.searches == [(round_id, 3)]
    here.node.searches.linger("w1", 5)
    here.node.rounds.call_workers(round_id, 2)
    assert here.queue.searches[1:] == [(round_id, 2)]
    for name in ("w2", "w3"):
        here.node.searches.linger(name, 5)
    here.node.rounds.call_workers(round_id, 2)
    assert len(here.queue.searches) == 2
    here.clock.time += 6
    here.queue.workers = 0
    here.node.rounds.call_workers(round_id, 2)
    assert here.queue.searches[2:] == [(round_id, 1)]  # for the next worker


def test_the_reconciler_calls_only_when_nobody_searches(here: TestNode) -> None:
    here.node.rounds.reconcile()
    assert here.queue.searches == []
    here.node.mining.add_request("a" * 32, START, 64)
    here.node.rounds.reconcile()  # opens the round
    round_id = open_round(here)
    here.queue.searches.clear()
    claim(here, round_id)
    here.node.rounds.reconcile()
    assert here.queue.searches == []
    here.clock.time += HEARTBEAT_SECONDS + 0.1
    here.node.rounds.reconcile()
    assert here.queue.searches == [(round_id, 1)]


def test_the_reward_goes_where_the_settings_say(redis: Redis) -> None:
    here = TestNode(redis, make_settings(reward_address=BOB.address))
    here.node.requests.ask()
    accepted = here.node.rounds.seal(claim(here, open_round(here)), 0, "w1")
    assert accepted is not None and accepted.block.transactions[0].recipient == BOB.address


def test_a_round_whose_transactions_a_peer_has_mined_ends_instead_of_mining_nothing(automining: TestNode) -> None:
    automining.admit(ALICE, 0)
    round_id = open_round(automining)
    automining.mine_pool()  # as a peer's block would come: the round knows nothing of it
    assert claim_of(automining.node, round_id, "w1", 10, Searched()) is None
    assert state(automining, round_id).state == "cancelled"
    assert automining.node.rounds.ensure_open() is None


def test_a_round_that_somebody_asked_for_goes_on_after_a_peers_block(automining: TestNode) -> None:
    automining.admit(ALICE, 0)
    round_id = open_round(automining)
    automining.node.requests.ask()
    automining.mine_pool()
    assert claim(automining, round_id).round_id == round_id


def test_a_node_without_a_reward_address_says_so(redis: Redis) -> None:
    here = TestNode(redis, make_settings(reward_address=""))
    with pytest.raises(PolicyError, match="QUARRY_REWARD_ADDRESS"):
        here.node.requests.ask()
