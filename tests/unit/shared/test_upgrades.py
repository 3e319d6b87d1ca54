"""Upgrades: what a file may say, who must sign it, and what holds at which height."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.chain_spec import ChainSpec, spec_from_object
from shared.keys import KeyPair
from shared.upgrades import BadUpgrades, NotAgreed, packed, parting, read_upgrades, signed, to_object, unpacked
from tests.support import verifier
from tests.support.chains import Chain, Json, make_spec
from tests.support.keys import ALICE, BOB, CAROL, DAVE
from tests.vectors import freeze

VECTOR = json.loads((Path(freeze.__file__).parent / "upgrades.json").read_text())
KEYS = {key.address: key for key in (ALICE, BOB, CAROL)}


def with_upgrades(spec: ChainSpec, *upgrades: tuple[int, Json], by: tuple[KeyPair, ...] = ()) -> ChainSpec:
    """`spec` with upgrades that `by` have signed, as far as they may."""
    items = [{"height": height, "changes": changes} for height, changes in upgrades]
    drafted = read_upgrades({"spec": spec.hash, "upgrades": items}, spec, agreed=False)
    for key in by:
        drafted, _ = signed(drafted, key)
    return read_upgrades(to_object(drafted), spec)


def three(**changes: Any) -> ChainSpec:
    return make_spec(sealers=list(KEYS), **changes)


def test_the_frozen_upgrades() -> None:
    spec = spec_from_object(VECTOR["spec"])
    upgraded = read_upgrades(VECTOR["upgrades"], spec)
    assert [stage.digest for stage in upgraded.stages] == VECTOR["digests"]
    assert upgraded.upgrades_digest == VECTOR["digests"][-1]
    assert to_object(upgraded) == VECTOR["upgrades"]
    assert (upgraded.hash, upgraded.to_object()) == (spec.hash, VECTOR["spec"])
    verifier.Chain(VECTOR["spec"], upgrades=VECTOR["upgrades"])


def test_what_holds_at_which_height() -> None:
    spec = spec_from_object(VECTOR["spec"])
    upgraded = read_upgrades(VECTOR["upgrades"], spec)
    assert upgraded.at(2) is upgraded.at(99) is upgraded
    assert (upgraded.at(100).difficulty, upgraded.at(249).sealers) == (1024, spec.sealers[:1])
    assert (upgraded.at(250).block_interval, upgraded.at(10**9).sealers) == (30, ())
    assert (upgraded.at(99).difficulty_from, upgraded.at(250).difficulty_from) == (2, 100)
    assert upgraded.largest_block == 2**21 and spec.largest_block == 2**20
    assert spec.at(10**9) is spec and spec.upgrades_digest is None


def test_no_upgrades_are_no_upgrades() -> None:
    spec = three()
    assert read_upgrades({"spec": spec.hash, "upgrades": []}, spec) == spec


@pytest.mark.parametrize(("count", "enough"), [(0, False), (1, False), (2, True), (3, True)])
def test_more_than_half_of_the_sealers_must_agree(count: int, enough: bool) -> None:
    signers = tuple(KEYS.values())[:count]
    if enough:
        with_upgrades(three(), (10, {"difficulty": 512}), by=signers)
    else:
        with pytest.raises(NotAgreed, match=f"height 10 is signed by {count} of 3 sealers; it needs 2"):
            with_upgrades(three(), (10, {"difficulty": 512}), by=signers)


def test_half_is_not_enough() -> None:
    spec = make_spec(sealers=[key.address for key in (ALICE, BOB, CAROL, DAVE)])
    with pytest.raises(NotAgreed, match="by 2 of 4 sealers; it needs 3"):
        with_upgrades(spec, (10, {"difficulty": 512}), by=(ALICE, BOB))


def test_the_next_upgrade_needs_those_whom_the_one_before_made_sealers() -> None:
    rotate = (10, {"sealers": [DAVE.address]})
    both = (rotate, (20, {"difficulty": 512}))
    with pytest.raises(NotAgreed, match="height 20"):
        with_upgrades(three(), *both, by=(ALICE, BOB))
    spec = with_upgrades(three(), *both, by=(ALICE, BOB, DAVE))
    assert [len(stage.signatures) for stage in spec.stages] == [2, 1]


def test_different_majorities_have_the_same_digest_and_another_order_does_not_matter() -> None:
    plan = (10, {"sealers": [DAVE.address, BOB.address]})
    turned = (10, {"sealers": [BOB.address, DAVE.address]})
    one, two = with_upgrades(three(), plan, by=(ALICE, BOB)), with_upgrades(three(), turned, by=(BOB, CAROL))
    assert one.upgrades_digest == two.upgrades_digest


def test_a_signature_is_not_added_twice() -> None:
    spec = with_upgrades(three(), (10, {"difficulty": 512}), by=(ALICE, BOB))
    assert signed(spec, ALICE)[1] == signed(spec, DAVE)[1] == 0
    assert signed(spec, CAROL)[1] == 1


def test_without_sealers_nobody_signs() -> None:
    spec = with_upgrades(make_spec(), (10, {"sealers": [ALICE.address]}))
    assert spec.at(10).sealers == (ALICE.address,)
    file = to_object(with_upgrades(three(), (10, {"difficulty": 512}), by=(ALICE, BOB)))
    with pytest.raises(BadUpgrades, match="each of the 0 sealers"):
        read_upgrades({**file, "spec": make_spec().hash}, make_spec())


def _upgrade(**changes: Any) -> Callable[[Json], Json]:
    def change(file: Json) -> Json:
        file["upgrades"][0] |= changes
        return file

    return change


def _signature(position: int, **changes: Any) -> Callable[[Json], Json]:
    def change(file: Json) -> Json:
        file["upgrades"][0]["signatures"][position] |= changes
        return file

    return change


BAD: dict[str, tuple[Callable[[Json], Any], str]] = {
    "a list": (lambda file: [], "an object of spec and upgrades"),
    "more": (lambda file: {**file, "x": 1}, "an object of spec and upgrades"),
    "another chain": (lambda file: {**file, "spec": "00" * 32}, "for another chain spec"),
    "no hash": (lambda file: {**file, "spec": 5}, "for another chain spec"),
    "no list": (lambda file: {**file, "upgrades": {}}, "list of at most 64"),
    "too many": (lambda file: {**file, "upgrades": [5] * 65}, "list of at most 64"),
    "no upgrade": (lambda file: {**file, "upgrades": [5]}, "an object of height, changes and signatures"),
    "twice": (lambda file: {**file, "upgrades": file["upgrades"] * 2}, "heights rise"),
    "genesis": (_upgrade(height=1), "a whole number above 1"),
    "true": (_upgrade(height=True), "a whole number above 1"),
    "no end": (_upgrade(height=2**53), "a whole number above 1"),
    "nothing": (_upgrade(changes={}), "one or more of difficulty"),
    "supply": (_upgrade(changes={"reward": "2"}), "one or more of difficulty"),
    "chain id": (_upgrade(changes={"chain_id": 5}), "one or more of difficulty"),
    "difficulty": (_upgrade(changes={"difficulty": 0}), "height 10: difficulty must be a whole number"),
    "text": (_upgrade(changes={"difficulty": "5"}), "height 10: difficulty must be a whole number"),
    "pace": (_upgrade(changes={"block_interval": 10}), "cannot change from 0"),
    "twice named": (_upgrade(changes={"sealers": [ALICE.address] * 2}), "must not name an address twice"),
    "a name": (_upgrade(changes={"sealers": ["Alice"]}), "0x and 40 hexadecimal"),
    "token": (_upgrade(changes={"sealers": [make_spec().token.address]}), "nobody has its key"),
    "other height": (_upgrade(height=11), "the signature of 0x.* does not fit"),
    "other change": (_upgrade(changes={"difficulty": 513}), "the signature of 0x.* does not fit"),
    "no signatures": (_upgrade(signatures=None), "signatures must be a list"),
    "a stranger": (_signature(0, sealer=DAVE.public_key.hex()), "and is not a sealer before"),
    "one key twice": (lambda file: _twice(file), "has signed it twice"),
    "one for another": (_signature(0, sealer=CAROL.public_key.hex()), "does not fit"),
    "capitals": (_signature(0, signature="AB" * 64), "lower-case hexadecimal"),
    "short": (_signature(0, sealer="ab"), "lower-case hexadecimal"),
}


def _twice(file: Json) -> Json:
    file["upgrades"][0]["signatures"][1] = file["upgrades"][0]["signatures"][0]
    return file


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_cannot_be_used_says_so_in_one_sentence(name: str) -> None:
    spec = three()
    good = to_object(with_upgrades(spec, (10, {"difficulty": 512}), by=(ALICE, BOB)))
    change, message = BAD[name]
    with pytest.raises(BadUpgrades, match=message):
        read_upgrades(change(copy.deepcopy(good)), spec)


def test_the_tutorial_cannot_be_upgraded() -> None:
    spec = spec_from_object(
        {"name": "t", "chain_id": 5, "genesis_timestamp": 0, "rules": "tutorial", "development": True}
    )
    with pytest.raises(BadUpgrades, match="standard rules"):
        read_upgrades({"spec": spec.hash, "upgrades": [{"height": 5, "changes": {"difficulty": 5}}]}, spec)


def test_where_two_schedules_part() -> None:
    first, second, other = (10, {"difficulty": 512}), (20, {"difficulty": 600}), (20, {"difficulty": 700})
    one = with_upgrades(make_spec(), first, second)

    def steps(spec: ChainSpec) -> list[tuple[int, str]]:
        return [(stage.height, stage.digest) for stage in spec.stages]

    assert parting(one, steps(one)) is None
    assert parting(one, []) == 10
    assert parting(make_spec(), steps(one)) == 10
    assert parting(one, steps(with_upgrades(make_spec(), first))) == 20
    assert parting(one, steps(with_upgrades(make_spec(), first, other))) == 20
    assert parting(one, steps(with_upgrades(make_spec(), first, (15, {"difficulty": 700})))) == 15


# --- chains across an upgrade: what the rules take, the independent verifier takes ---


def test_a_difficulty_from_a_height_on() -> None:
    chain = Chain(with_upgrades(make_spec(), (4, {"difficulty": 1024})))
    while chain.height < 6:
        chain.mine()
    assert [block["difficulty"] for block in chain.blocks] == [256, 256, 256, 1024, 1024, 1024]
    chain.verified()


def test_the_average_begins_anew_where_the_difficulty_is_set() -> None:
    chain = Chain(with_upgrades(make_spec(block_interval=10), (12, {"difficulty": 1024})))
    while chain.height < 20:
        tip = chain.replay.tip
        assert tip is not None
        chain.mine(timestamp=int(tip.timestamp) + 2)
    found = [block["difficulty"] for block in chain.blocks]
    assert found[10] > 256 * 3 and found[11:15] == [1024] * 4  # as the first blocks after genesis
    assert found[15] == 1280  # five times too fast: the clamp applies
    chain.verified()


def test_an_interval_from_a_height_on_goes_on_from_the_average() -> None:
    chain = Chain(with_upgrades(make_spec(block_interval=10, difficulty=4096), (12, {"block_interval": 20})))
    while chain.height < 18:
        chain.mine()
    found = [block["difficulty"] for block in chain.blocks]
    assert found[10] == 4096 and found[11] == 5120
    chain.verified()


def test_limits_from_a_height_on() -> None:
    chain = Chain(with_upgrades(make_spec(), (3, {"max_block_transactions": 2})))

    def three_transfers() -> list[Json]:
        return [chain.transfer(ALICE, BOB, "1", nonce=chain.nonce(ALICE.address) + i) for i in range(3)]

    chain.mine(*three_transfers())
    assert chain.rejects(chain.draft(*three_transfers())) == "too_many_transactions"
    fat = Chain(with_upgrades(make_spec(), (3, {"max_block_bytes": 10_000})))
    memos = [fat.transfer(ALICE, BOB, "1", data="x" * 6000, nonce=nonce) for nonce in (0, 1)]
    fork = fat.fork()
    fork.mine(*memos)  # before the height
    fat.mine()
    assert fat.rejects(fat.draft(*memos)) == "block_too_large"
    chain.mine(chain.transfer(ALICE, BOB, "1"))
    chain.verified()


def test_sealers_change_at_a_height() -> None:
    rotate = (4, {"sealers": [BOB.address, DAVE.address]})
    chain = Chain(with_upgrades(three(), rotate, (6, {"sealers": []}), by=(ALICE, BOB, DAVE)), ALICE)
    chain.mine()
    chain.sealer = DAVE
    assert chain.rejects(chain.draft()) == "sealer_not_allowed"  # only from the next height on
    chain.sealer = CAROL
    chain.mine()
    assert chain.rejects(chain.draft()) == "sealer_not_allowed"  # no longer
    chain.sealer = DAVE
    chain.mine()
    chain.mine()
    chain.mine()
    assert "sealer" not in chain.blocks[-1]  # anybody again
    chain.verified()


@settings(max_examples=30, deadline=None)
@given(st.sets(st.integers(2, 60), min_size=1, max_size=5), st.integers(1, 70))
def test_the_last_upgrade_up_to_a_height_holds(heights: set[int], height: int) -> None:
    upgrades = [(at, {"max_block_transactions": at}) for at in sorted(heights)]
    spec = with_upgrades(make_spec(), *upgrades)
    wanted = max((at for at in heights if at <= height), default=4000)
    assert spec.at(height).max_block_transactions == wanted
    chain = verifier.Chain(spec.to_object(), upgrades=to_object(spec))
    chain.height = height
    assert chain.constants["max_block_transactions"] == wanted


def test_a_spec_and_its_upgrades_as_one_object_for_workers() -> None:
    spec = with_upgrades(three(), (10, {"difficulty": 512, "sealers": [DAVE.address]}), by=(ALICE, BOB))
    assert unpacked(json.loads(json.dumps(packed(spec)))) == spec
    assert packed(three()) == three().to_object() and unpacked(packed(three())) == three()
    with pytest.raises(NotAgreed):
        unpacked({**packed(spec), "upgrades": to_object(signed_by_nobody())})


def signed_by_nobody() -> ChainSpec:
    spec = three()
    items = [{"height": 10, "changes": {"difficulty": 512}}]
    return read_upgrades({"spec": spec.hash, "upgrades": items}, spec, agreed=False)
