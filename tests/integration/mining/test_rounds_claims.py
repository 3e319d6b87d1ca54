"""Claims and seals of rounds, and what is kept of a round: templates that age, openers that meet."""

import itertools
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from services.connections.servers import connect_for_requests
from services.errors import NotFound
from services.launch.embedded import EmbeddedValkey
from services.mining.searches import REFRESH_SECONDS
from services.node import Node
from services.store.rounds import MiningRequest, RequestStatus, RoundState
from services.store.searches import Claim, Searched
from shared.proof import MAX_PROOF
from tests.integration.mining.rounds import claim, open_round, renewals, request, state
from tests.support.clocks import START
from tests.support.keys import ALICE
from tests.support.nodes import TestNode
from tests.support.said import listen
from tests.support.searching import claim_of
from tests.support.stored import assert_store_equals_replay, texts

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
