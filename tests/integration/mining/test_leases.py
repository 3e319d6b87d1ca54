"""Leases and their shares: ranges that never overlap, credit, refusals, seals, and what lies cost."""

import math
import random
from collections.abc import Callable

import pytest
from redis import Redis

from services.connections.servers import RedisError
from services.errors import Busy, PolicyError
from services.mining.leases import (
    FEWEST_PROOFS,
    GRACE_SECONDS,
    LEASE_SECONDS,
    MOST_LEASES,
    MOST_PROOFS,
    Asked,
    Handed,
    Leases,
    Reported,
    UnknownLease,
    UnknownVoucher,
)
from services.mining.searches import REFRESH_SECONDS
from services.store.leases import Lease, Miner
from services.store.searches import Searched
from shared.proof import MAX_PROOF, accepts
from shared.shares import SHARES_PER_LEASE
from tests.support.keys import ALICE
from tests.support.nodes import TestNode, make_settings, round_of
from tests.support.searching import claim_of
from tests.support.specs import make_spec
from tests.support.stored import assert_store_equals_replay

DIFFICULTY = 1_000_000  # far more than the tests hash


@pytest.fixture
def here(redis: Redis) -> TestNode:
    node = TestNode(redis, make_settings(make_spec(difficulty=DIFFICULTY)))
    node.node.requests.ask()
    return node


@pytest.fixture
def easy(redis: Redis) -> TestNode:
    """A node whose blocks take 200 hashes."""
    node = TestNode(redis, make_settings(make_spec(difficulty=200)))
    node.node.requests.ask()
    return node


def secret_of(here: TestNode, name: str = "class") -> str:
    return here.node.leases.vouchers.new(name).secret


def take(here: TestNode, secret: str, miner: str = "anna", rate: int = 1000, address: str = "") -> Lease:
    found = here.node.leases.take(secret, miner, address, rate)
    assert found is not None
    return found


def shares_of(lease: Lease, most: int = 1000) -> list[int]:
    """Shares that are no proofs of the block."""
    found = [
        proof
        for proof in lease.proofs
        if accepts(lease.prefix, lease.share_difficulty, proof) and not accepts(lease.prefix, lease.difficulty, proof)
    ]
    return found[:most]


def proof_of(lease: Lease) -> int:
    return next(proof for proof in lease.proofs if accepts(lease.prefix, lease.difficulty, proof))


def miner_of(here: TestNode, name: str = "anna") -> Miner:
    return next(item for item in here.node.leases.miners(100) if item.name == name)


def refused(call: Callable[[], object], code: str) -> None:
    with pytest.raises(PolicyError) as error:
        call()
    assert error.value.code == code


# --- leases ---


def test_a_lease_is_a_claim(here: TestNode) -> None:
    secret = secret_of(here)
    round_id = here.node.rounds.ensure_open()
    assert round_id is not None
    before = claim_of(here.node, round_id, "w1", 10, Searched())
    lease = take(here, secret, rate=2000)
    after = claim_of(here.node, round_id, "w1", 10, Searched())
    assert before is not None and after is not None
    assert (before.proofs, lease.proofs, after.proofs) == (range(10), range(10, 3010), range(3010, 3020))
    assert (lease.prefix, lease.difficulty, lease.version) == (before.prefix, before.difficulty, before.version)
    assert (lease.round_id, lease.parent, lease.height) == (round_id, here.node.chain.tip().hash, 2)
    assert lease.share_difficulty == 3000 // SHARES_PER_LEASE
    assert lease.expires == int(here.clock.now()) + LEASE_SECONDS


@pytest.mark.parametrize("rate, proofs", [(1, FEWEST_PROOFS), (10**6, 1_500_000), (10**15, MOST_PROOFS)])
def test_a_lease_is_as_long_as_its_miner_is_fast(here: TestNode, rate: int, proofs: int) -> None:
    lease = take(here, secret_of(here), rate=rate)
    assert len(lease.proofs) == proofs
    assert lease.share_difficulty == min(DIFFICULTY, proofs // SHARES_PER_LEASE)


def test_no_lease_while_nothing_is_to_be_mined(redis: Redis) -> None:
    here = TestNode(redis)
    assert here.node.leases.take(secret_of(here), "anna", "", 1000) is None
    with pytest.raises(UnknownVoucher):
        here.node.leases.take("qv_" + "0" * 32, "anna", "", 1000)


def test_a_lease_opens_the_round_that_is_wanted(redis: Redis) -> None:
    here = TestNode(redis, make_settings(automine=True))
    here.admit(ALICE, 0)
    assert here.node.mining.situation().open_round == ""
    lease = take(here, secret_of(here))
    assert here.node.mining.situation().open_round == lease.round_id


def test_an_old_template_is_renewed_and_a_moved_tip_followed(here: TestNode) -> None:
    secret = secret_of(here)
    first = take(here, secret)
    here.clock.time += REFRESH_SECONDS + 1
    second = take(here, secret)
    here.mine()
    third = take(here, secret)
    assert [item.version for item in (first, second, third)] == ["1", "2", "3"]
    assert third.parent == here.node.chain.tip().hash and third.proofs.start == 0


def test_proofs_that_are_used_up_are_those_of_a_new_template(here: TestNode) -> None:
    secret = secret_of(here)
    lease = take(here, secret)
    here.redis.hset(here.node.mining.keys.round_search(lease.round_id), "cursor", MAX_PROOF - 100)
    assert take(here, secret).version == "2"


def test_a_lease_counts_for_no_worker(here: TestNode) -> None:
    """The workers of the node are called as if nobody leased, and none waits because a liar holds proofs."""
    lease = take(here, secret_of(here), rate=10**15)
    assert here.node.mining.searchers(here.clock.now()) == 0
    claim = claim_of(here.node, lease.round_id, "w1", 10, Searched(), if_needed=True)
    assert claim is not None and len(claim.proofs) == 10


def test_a_miner_holds_only_so_many_leases(here: TestNode) -> None:
    secret = secret_of(here)
    held = [take(here, secret) for _ in range(MOST_LEASES)]
    with pytest.raises(Busy) as error:
        take(here, secret)
    assert error.value.code == "too_many_leases"
    take(here, secret, "ben")  # another is not held up
    here.node.leases.report(secret, held[0].id, [], len(held[0].proofs))  # it is worked off
    take(here, secret)
    here.clock.time += LEASE_SECONDS
    take(here, secret)


def test_a_voucher_has_only_so_many_miners(here: TestNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.mining.leases.MOST_MINERS", 3)
    secret, other = secret_of(here), secret_of(here, "others")
    for name in "abc":
        take(here, secret, name)
    with pytest.raises(Busy):
        take(here, secret, "d")
    take(here, secret, "a")
    take(here, other, "d")


def test_leases_end_with_their_time(here: TestNode) -> None:
    secret = secret_of(here)
    lease = take(here, secret)
    assert 0 < here.redis.ttl(here.node.mining.keys.lease(lease.id)) <= LEASE_SECONDS + 1
    here.clock.time = lease.expires - 0.5
    here.node.leases.report(secret, lease.id, [], 10)
    here.clock.time = lease.expires
    with pytest.raises(UnknownLease):
        here.node.leases.report(secret, lease.id, [], 10)


# --- shares ---


def test_shares_are_credited(here: TestNode) -> None:
    secret = secret_of(here)
    lease = take(here, secret, address=ALICE.address)
    shares = shares_of(lease)
    assert shares
    half = len(shares) // 2
    for part in (shares[:half], shares[half:], []):
        found = here.node.leases.report(secret, lease.id, part, 700)
        assert (found.accepted, found.rejected) == (len(part), 0)
        assert found.credited == len(part) * lease.share_difficulty
        assert (found.sealed, found.is_stale) == (None, False)
    miner, credit = miner_of(here), len(shares) * lease.share_difficulty
    assert (miner.voucher, miner.address, miner.shares) == ("class", ALICE.address, len(shares))
    assert (miner.credited, miner.squares, miner.reported) == (credit, credit * lease.share_difficulty, 2100)
    assert math.isclose(miner.expected, credit / DIFFICULTY)
    assert round_of(here.node.mining, lease.round_id).hashes == credit
    worker = here.node.mining.round_workers(lease.round_id)["http:class"]
    assert worker.hashes == credit
    assert here.node.mining.counters()["hashes"] == credit


def test_a_report_with_a_wrong_share_is_refused_as_a_whole_and_counted(here: TestNode) -> None:
    secret = secret_of(here)
    lease, other = take(here, secret), take(here, secret)
    shares = shares_of(lease)
    no_share = next(p for p in lease.proofs if not accepts(lease.prefix, lease.share_difficulty, p))
    report = here.node.leases.report
    for wrong in (lease.proofs.stop, -1, 2**63, shares_of(other)[0]):
        refused(lambda wrong=wrong: report(secret, lease.id, [*shares, wrong], 5), "share_outside_lease")  # type: ignore[misc]
    refused(lambda: report(secret, lease.id, [*shares, no_share], 5), "share_too_easy")
    refused(lambda: report(secret, lease.id, [*shares, shares[0]], 5), "share_repeated")
    assert miner_of(here).refused == 6 and miner_of(here).reported == miner_of(here).credited == 0
    report(secret, lease.id, shares[:1], 5)
    refused(lambda: report(secret, lease.id, shares, 5), "share_repeated")
    assert report(secret, lease.id, shares[1:], 5).accepted == len(shares) - 1
    assert miner_of(here).refused == 7


def test_leases_are_of_their_voucher(here: TestNode) -> None:
    secret, other = secret_of(here), secret_of(here, "others")
    lease = take(here, secret)
    for leases in (here.node.leases, another(here)):
        with pytest.raises(UnknownLease):
            leases.report(other, lease.id, [], 1)
        with pytest.raises(UnknownLease):
            leases.report(secret, "0" * 32, [], 1)
        with pytest.raises(UnknownVoucher):
            leases.report("nobody", lease.id, [], 1)


def another(here: TestNode) -> Leases:
    """Those of another process, which remembers no lease."""
    return here.build(here.redis).leases


def test_another_process_takes_the_report_too(here: TestNode) -> None:
    secret = secret_of(here)
    lease = take(here, secret)
    shares = shares_of(lease)
    assert another(here).report(secret, lease.id, shares, 1).accepted == len(shares)
    with pytest.raises(PolicyError):
        here.node.leases.report(secret, lease.id, shares, 1)


def test_a_revoked_voucher_ends_its_leases_at_once(here: TestNode) -> None:
    secret = secret_of(here)
    lease = take(here, secret)
    assert here.node.leases.vouchers.revoke("Class")
    for leases in (here.node.leases, another(here)):
        with pytest.raises(UnknownVoucher):
            leases.report(secret, lease.id, shares_of(lease), 1)
        with pytest.raises(UnknownVoucher):
            leases.take(secret, "anna", "", 1000)
    assert here.node.leases.miners(10) == []


# --- many at once ---


def test_many_at_once_are_answered_as_one_by_one(here: TestNode) -> None:
    """One request that is wrong costs only its sender."""
    secret, other = secret_of(here), secret_of(here, "others")
    one, two = take(here, secret), take(here, secret, "ben")
    shares, theirs = shares_of(one), shares_of(two)
    no_share = next(p for p in two.proofs if not accepts(two.prefix, two.share_difficulty, p))
    handed = [
        Asked(secret, "anna", "", 2000),
        Handed(secret, one.id, shares, 700),
        Handed(secret, one.id, shares[:1], 700),  # once more
        Asked("nobody", "anna", "", 2000),
        Handed(secret, two.id, [no_share], 700),
        Handed(secret, two.id, [two.proofs.stop], 700),
        Handed(other, two.id, theirs, 700),
        Handed(secret, "0" * 32, [], 0),
        Handed(secret, two.id, theirs, 500),
        Asked(other, "carl", "", 2000),
    ]
    lease, done, again, nobody, easy, outside, foreign, unknown, last, next_lease = here.node.leases.each(handed)
    assert isinstance(lease, Lease) and isinstance(next_lease, Lease)
    assert lease.proofs == range(two.proofs.stop, two.proofs.stop + 3000)
    assert next_lease.proofs == range(lease.proofs.stop, lease.proofs.stop + 3000)  # in their order
    assert done == Reported(len(shares), 0, len(shares) * one.share_difficulty, None, False)
    assert last == Reported(len(theirs), 0, len(theirs) * two.share_difficulty, None, False)
    codes = [getattr(error, "code", "") for error in (again, easy, outside)]
    assert codes == ["share_repeated", "share_too_easy", "share_outside_lease"]
    assert isinstance(nobody, UnknownVoucher)
    assert foreign is None and unknown is None  # more has to be read to tell what is wrong
    anna, ben = miner_of(here), miner_of(here, "ben")
    assert (anna.shares, anna.reported, anna.refused) == (len(shares), 700, 1)
    assert (ben.shares, ben.reported, ben.refused) == (len(theirs), 500, 2)
    here.node.leases.report(secret, lease.id, shares_of(lease), 1)


def test_limits_hold_for_many_at_once(here: TestNode) -> None:
    secret = secret_of(here)
    found = here.node.leases.each([Asked(secret, "anna", "", 1000)] * (MOST_LEASES + 2))
    assert sum(isinstance(each, Lease) for each in found) == MOST_LEASES
    assert [each.code for each in found[-2:] if isinstance(each, Busy)] == ["too_many_leases"] * 2


def test_a_proof_and_a_round_that_is_not_open_are_for_the_long_way(easy: TestNode) -> None:
    """Nothing is done for them."""
    secret = secret_of(easy)
    lease = take(easy, secret)
    handed = Handed(secret, lease.id, [proof_of(lease)], 100)
    assert easy.node.leases.each([handed]) == [None] and miner_of(easy).reported == 0
    assert easy.node.leases.report(*handed).sealed == easy.node.chain.tip().hash
    assert easy.node.leases.each([Asked(secret, "anna", "", 1000)]) == [None]
    assert easy.node.leases.each([]) == []


def test_a_revoked_voucher_stops_among_many(here: TestNode) -> None:
    secret, other = secret_of(here), secret_of(here, "others")
    lease = take(here, secret)
    here.node.leases.vouchers.revoke("class")
    asked = [Handed(secret, lease.id, shares_of(lease), 1), Asked(secret, "a", "", 1), Asked(other, "a", "", 1)]
    found = here.node.leases.each(asked)
    assert [type(each) for each in found] == [UnknownVoucher, UnknownVoucher, Lease]


def test_another_process_takes_many_reports_too(here: TestNode) -> None:
    secret = secret_of(here)
    leases = [take(here, secret) for _ in range(3)]
    found = another(here).each([Handed(secret, each.id, shares_of(each), 1) for each in leases])
    assert [each.accepted for each in found if isinstance(each, Reported)] == [len(shares_of(each)) for each in leases]


def test_what_the_store_refuses_of_one_is_not_refused_of_the_others(here: TestNode) -> None:
    secret = secret_of(here)
    take(here, secret)
    [voucher] = here.node.leases.vouchers.all()
    here.redis.set(here.node.mining.keys.miner(f"{voucher.id}:bad"), "not a hash")
    here.redis.script_flush()  # as after a restart of the server
    found = here.node.leases.each([Asked(secret, name, "", 1) for name in ("ben", "bad", "carl")])
    assert [isinstance(each, Lease) for each in found] == [True, False, True]
    assert isinstance(found[1], RedisError)


# --- the tip moves ---


def test_shares_that_come_too_late_are_rejected_but_not_those_that_were_on_their_way(here: TestNode) -> None:
    secret = secret_of(here)
    lease = take(here, secret)
    shares = shares_of(lease)
    here.mine()
    on_their_way = here.node.leases.report(secret, lease.id, shares[:1], 10)
    assert (on_their_way.accepted, on_their_way.rejected, on_their_way.is_stale) == (1, 0, True)
    here.clock.time += GRACE_SECONDS + 0.1
    late = here.node.leases.report(secret, lease.id, shares[1:], 10)
    assert (late.accepted, late.rejected, late.credited, late.is_stale) == (0, len(shares) - 1, 0, True)
    miner = miner_of(here)
    assert (miner.shares, miner.late, miner.expected) == (1, len(shares) - 1, 0.0)
    counters = here.node.mining.counters()
    assert counters["hashes"] == counters["wasted_hashes"] == lease.share_difficulty


def test_a_proof_seals_the_block(easy: TestNode) -> None:
    secret = secret_of(easy)
    lease = take(easy, secret)
    found = easy.node.leases.report(secret, lease.id, [proof_of(lease)], 100)
    tip = easy.node.chain.tip()
    assert (found.sealed, found.accepted, found.is_stale, tip.height) == (tip.hash, 1, False, 2)
    assert found.credited == lease.share_difficulty
    ended = round_of(easy.node.mining, lease.round_id)
    assert (ended.sealed_by, ended.hashes) == ("http:class/anna", found.credited)
    miner = miner_of(easy)
    assert (miner.proofs, miner.blocks, miner.expected) == (1, 1, lease.share_difficulty / lease.difficulty)
    assert easy.redis.ttl(easy.node.mining.keys.round_workers(lease.round_id)) > 0
    assert_store_equals_replay(easy.node, easy.redis)


def test_a_proof_for_the_template_of_before_seals_too(easy: TestNode) -> None:
    secret = secret_of(easy)
    old = take(easy, secret)
    easy.clock.time += REFRESH_SECONDS - 2
    late = take(easy, secret)
    easy.clock.time += 3
    assert take(easy, secret).version == "2"
    with pytest.raises(UnknownLease):
        easy.node.leases.report(secret, old.id, [proof_of(old)], 1)
    found = easy.node.leases.report(secret, late.id, [proof_of(late)], 1)
    assert found.sealed == easy.node.chain.tip().hash


def test_the_next_round_opens_when_a_miner_seals(easy: TestNode) -> None:
    secret = secret_of(easy)
    easy.node.requests.ask()
    lease = take(easy, secret)
    easy.node.leases.report(secret, lease.id, [proof_of(lease)], 1)
    open_round = easy.node.mining.situation().open_round
    assert open_round and open_round != lease.round_id and len(easy.queue.searches) == 2


def test_only_the_first_of_two_proofs_counts(easy: TestNode) -> None:
    secret = secret_of(easy)
    one, two = take(easy, secret, "anna"), take(easy, secret, "ben")
    assert easy.node.leases.report(secret, one.id, [proof_of(one)], 1).sealed
    second = easy.node.leases.report(secret, two.id, [proof_of(two)], 1)
    assert (second.sealed, second.is_stale, second.accepted) == (None, True, 1)
    assert easy.node.chain.tip().height == 2 and miner_of(easy, "ben").blocks == 0


def test_a_report_that_was_cut_off_after_its_block_can_be_sent_again(
    easy: TestNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = secret_of(easy)
    lease = take(easy, secret)
    credit = type(easy.node.leases)._credit

    def dies(*args: object) -> object:
        if args[-1] == "check":
            return credit(*args)  # type: ignore[arg-type]
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(type(easy.node.leases), "_credit", dies)
        with pytest.raises(ConnectionError):
            easy.node.leases.report(secret, lease.id, [proof_of(lease)], 1)
    assert easy.node.chain.tip().height == 2
    again = easy.node.leases.report(secret, lease.id, [proof_of(lease)], 1)
    tip = easy.node.chain.tip()
    assert (again.accepted, again.is_stale, again.sealed, tip.height) == (1, False, tip.hash, 2)
    miner = miner_of(easy)
    assert (miner.proofs, miner.blocks, miner.expected) == (1, 1, lease.share_difficulty / lease.difficulty)
    refused(lambda: easy.node.leases.report(secret, lease.id, [proof_of(lease)], 1), "share_repeated")
    assert miner_of(easy).blocks == 1


def test_a_report_whose_process_ends_after_the_credit_has_counted_its_block(
    easy: TestNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = secret_of(easy)
    lease = take(easy, secret)

    def dies() -> None:
        raise ConnectionError

    monkeypatch.setattr(easy.node.leases._desk, "sealed", dies)
    with pytest.raises(ConnectionError):
        easy.node.leases.report(secret, lease.id, [proof_of(lease)], 1)
    miner = miner_of(easy)
    assert (miner.proofs, miner.blocks, easy.node.chain.tip().height) == (1, 1, 2)


def test_another_proof_of_a_round_that_the_same_miner_has_sealed_is_no_block(easy: TestNode) -> None:
    secret = secret_of(easy)
    one, two = take(easy, secret), take(easy, secret)
    assert easy.node.leases.report(secret, one.id, [proof_of(one)], 1).sealed
    second = easy.node.leases.report(secret, two.id, [proof_of(two)], 1)
    assert (second.sealed, second.is_stale, miner_of(easy).blocks) == (None, True, 1)


def test_a_refused_report_seals_nothing(easy: TestNode) -> None:
    secret = secret_of(easy)
    lease = take(easy, secret)
    shares = shares_of(lease, 1)
    easy.node.leases.report(secret, lease.id, shares, 1)
    refused(
        lambda: easy.node.leases.report(secret, lease.id, [proof_of(lease), *shares], 1),
        "share_repeated",
    ) if shares else None
    refused(lambda: easy.node.leases.report(secret, lease.id, [proof_of(lease), -5], 1), "share_outside_lease")
    assert easy.node.chain.tip().height == 1


# --- figures ---


def test_lies_about_hashes_are_only_shown(here: TestNode) -> None:
    secret = secret_of(here)
    lease = take(here, secret)
    for _ in range(3000):
        here.node.leases.report(secret, lease.id, [], 2**53 - 1)
    assert miner_of(here).reported == 2**62 and miner_of(here).credited == 0
    assert round_of(here.node.mining, lease.round_id).hashes == 0


def test_credit_is_within_three_deviations_of_the_hashes_that_were_done(here: TestNode) -> None:
    """Over 1,000 shares. The seed draws how far the miner comes in each lease."""
    draw, secret, done = random.Random(1000), secret_of(here), 0
    while miner_of(here).shares < 1000 if here.node.leases.miners(1) else True:
        lease = take(here, secret)
        hashes = draw.randint(len(lease.proofs) // 2, len(lease.proofs))
        found = [proof for proof in lease.proofs[:hashes] if accepts(lease.prefix, lease.share_difficulty, proof)]
        assert not any(accepts(lease.prefix, lease.difficulty, proof) for proof in found)
        here.node.leases.report(secret, lease.id, found, len(lease.proofs))
        done += hashes
    miner = miner_of(here)
    assert abs(miner.credited - done) <= 3 * math.sqrt(miner.squares)
