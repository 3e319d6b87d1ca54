"""Vouchers: what is stored of their secrets, names, codes, and how many there may be."""

from itertools import pairwise

import pytest

from services.errors import PolicyError
from services.mining.leases import LEASE_SECONDS, Asked, UnknownLease
from services.mining.vouchers import MOST_VOUCHERS, digest_of
from services.store.leases import Lease
from services.store.searches import Searched
from shared.errors import InputError
from tests.support.nodes import TestNode
from tests.support.searching import claim_of


def test_a_secret_is_shown_once(here: TestNode) -> None:
    vouchers = here.node.leases.vouchers
    made = vouchers.new("Class 7b", code=True)
    assert made.secret.startswith("qv_") and len(made.secret) == 35 and len(made.code) == 10
    [listed] = vouchers.all()
    assert (listed.name, listed.has_code, listed.miners) == ("Class 7b", True, 0)
    stored = repr([here.redis.hgetall(key) for key in here.redis.keys("*voucher*")])
    assert "Class 7b" in stored
    assert made.secret not in stored and made.secret[3:] not in stored and made.code not in stored


def test_a_code_may_be_typed_in_any_way(here: TestNode) -> None:
    code = here.node.leases.vouchers.new("class", code=True).code
    here.node.requests.ask()
    for typed in (code, code.lower(), f"{code[:5]}-{code[5:]}"):
        assert here.node.leases.take(typed, "anna", "", 1) is not None
    assert digest_of("qv_Ab") != digest_of("qv_ab")


def test_names_are_unique_until_they_are_revoked(here: TestNode) -> None:
    vouchers = here.node.leases.vouchers
    first = vouchers.new("Anna")
    with pytest.raises(PolicyError) as taken:
        vouchers.new("anna")
    assert taken.value.code == "name_taken"
    assert vouchers.revoke("ANNA") and not vouchers.revoke("anna")
    assert vouchers.new("anna").secret != first.secret
    assert [item.name for item in vouchers.all()] == ["anna"]


@pytest.mark.parametrize("name", ["", " a", "x" * 41, "0xabc", "12345", 7, None, "a\nb", "\x1b[31m"])
def test_bad_names_are_refused(here: TestNode, name: object) -> None:
    with pytest.raises(InputError) as error:
        here.node.leases.vouchers.new(name)
    assert error.value.code == "bad_name" and here.node.leases.vouchers.all() == []


def test_nothing_is_left_of_a_revoked_voucher(here: TestNode) -> None:
    vouchers = here.node.leases.vouchers
    secret = vouchers.new("anna", code=True).secret
    here.node.requests.ask()
    lease = here.node.leases.take(secret, "anna", "", 1)
    assert lease is not None and here.redis.keys("*:miner:*")
    here.node.leases.report(secret, lease.id, [], 5)
    vouchers.revoke("anna")
    assert here.redis.keys("*voucher*") == here.redis.keys("*miner*") == []


def test_there_may_be_very_many(here: TestNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the leases of all of them, whose holders do nothing, cost proofs and nothing else."""
    leases, vouchers, store = here.node.leases, here.node.leases.vouchers, here.node.leases._vouchers
    secrets = [f"qv_{number:032x}" for number in range(10_000)]
    for number, secret in enumerate(secrets):
        store.add(f"{number:016x}", f"v {number}", f"v {number}", digest_of(secret), "", 1.0, MOST_VOUCHERS)
    assert len(vouchers.all()) == 10_000
    here.node.requests.ask()
    first = leases.take(vouchers.new("one more").secret, "anna", "", 1)
    assert first is not None
    taken: list[Lease] = [first]
    for start in range(0, 10_000, 250):
        found = leases.each([Asked(secret, "idle", "", 1) for secret in secrets[start : start + 250]])
        taken += [each for each in found if isinstance(each, Lease)]
    assert len(taken) == 10_001 and all(one.proofs.stop == two.proofs.start for one, two in pairwise(taken))
    claim = claim_of(here.node, first.round_id, "w", 100, Searched(), if_needed=True)
    assert claim is not None and claim.proofs.start == taken[-1].proofs.stop  # the node's own worker is still needed
    here.clock.sleep(LEASE_SECONDS + 1)
    with pytest.raises(UnknownLease):
        leases.report(secrets[0], taken[1].id, [], 1)
    monkeypatch.setattr("services.mining.vouchers.MOST_VOUCHERS", 10_001)
    with pytest.raises(PolicyError) as full:
        vouchers.new("too many")
    assert full.value.code == "too_many_vouchers"
