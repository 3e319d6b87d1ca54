"""Peers with sealers, and with different schedules of upgrades."""

from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from services.wallet import keyring
from shared.keys import KeyPair
from shared.sealing import sign
from shared.upgrades import read_upgrades, signed, to_object
from tests.network.ports import Member, Network
from tests.support.keys import ALICE, BOB, CAROL
from tests.support.liars import ForgedChain, ScriptedPeer, hash_of
from tests.support.specs import make_spec

SPEC = make_spec(sealers=[ALICE.address, BOB.address])


@pytest.fixture
def network(redis: Redis) -> Network:
    return Network(redis, SPEC)


def member(network: Network, directory: Path, name: str, key: KeyPair, spec: Any = None) -> Member:
    where = directory / key.address
    if not where.exists():
        keyring.store(where, key.seed)
    return network.member(name, spec, sealer_key_file=where / "private.key")


def upgrades(*items: tuple[int, dict[str, Any]]) -> Any:
    spec = read_upgrades(
        {"spec": SPEC.hash, "upgrades": [{"height": at, "changes": changes} for at, changes in items]},
        SPEC,
        agreed=False,
    )
    for key in (ALICE, BOB):
        spec, _ = signed(spec, key)
    return read_upgrades(to_object(spec), SPEC)


def test_sealers_follow_each_other(network: Network, tmp_path: Path) -> None:
    a, b = member(network, tmp_path, "a", ALICE), member(network, tmp_path, "b", BOB)
    a.befriend(b)
    b.befriend(a)
    for turn in range(4):
        (a, b)[turn % 2].mine_pool()
        assert (b, a)[turn % 2].resolve().notes == ()
    assert a.tip == b.tip and a.height == 5
    # A node without a key follows too.
    reader = network.member("reader")
    reader.befriend(a)
    assert reader.resolve().replaced and reader.tip == a.tip
    assert a.get("/status")["sealing"] == {"address": ALICE.address, "allowed": True}
    assert reader.get("/status")["sealing"] == {"address": None, "allowed": False}
    assert a.get("/blocks/latest")["sealer_address"] == BOB.address
    assert a.get("/headers?limit=1")["headers"][0].keys() <= {
        "index",
        "timestamp",
        "previous_hash",
        "difficulty",
        "transactions_root",
        "proof",
        "sealer",
        "sealer_signature",
    }


class Usurper(ForgedChain):
    """A chain whose blocks are signed by `key`, in place of a sealer."""

    def __init__(self, spec: Any, key: KeyPair, **changes: Any) -> None:
        super().__init__(spec)
        self.key, self.changes = key, changes

    def forge(self, **fields: Any) -> Any:
        block = super().forge(**fields)
        header = {name: item for name, item in block.items() if name not in ("transactions", "proof")}
        named = {**header, **sign(header, self.key), **self.changes}
        self.blocks[-1] = {**named, "transactions": block["transactions"], "proof": block["proof"]}
        self.hashes[-1] = hash_of(self.blocks[-1])
        return self.blocks[-1]


@pytest.mark.parametrize(
    ("key", "changes", "code"),
    [
        (CAROL, {}, "sealer_not_allowed"),
        (ALICE, {"sealer_signature": "ab" * 64}, "sealer_signature_invalid"),
        (ALICE, {"sealer": BOB.public_key.hex()}, "sealer_signature_invalid"),
    ],
)
def test_work_without_a_sealer_is_not_believed(
    network: Network, tmp_path: Path, key: KeyPair, changes: Any, code: str
) -> None:
    """A graphics card in the wrong hands: the headers have work, and are refused before a body is asked for."""
    a = member(network, tmp_path, "a", ALICE)
    a.mine_pool()
    chain = Usurper(SPEC, key, **changes)
    for _ in range(5):
        chain.forge()
    network.http.serve("http://liar:5000", ScriptedPeer(chain))
    a.befriend("http://liar:5000")
    [note] = a.resolve().notes
    assert code in note
    assert a.peer("http://liar:5000").state == "lying" and a.height == 2
    assert network.http.paths("http://liar:5000") == ["/status", "/headers"]


def test_two_schedules_are_named_before_they_part_and_then_part(network: Network, tmp_path: Path) -> None:
    # g - 2 - 3 | 4a ... : from 4 on, a has another limit of transactions, and b another difficulty
    a = member(network, tmp_path, "a", ALICE, upgrades((4, {"difficulty": 2})))
    b = member(network, tmp_path, "b", BOB, upgrades((4, {"difficulty": 3})))
    a.befriend(b)
    b.befriend(a)
    b.mine_pool()
    [note] = a.resolve().notes
    assert "Its upgrades differ from ours" in note and "the chains part at height 4" in note
    assert a.tip == b.tip  # up to there they are one chain
    assert a.peer(b.url).state == "ok" and "part at height 4" in a.peer(b.url).reason
    assert "part at height 4" in a.get("/nodes")["nodes"][0]["reason"]
    a.mine_pool()
    b.resolve()
    assert a.tip == b.tip and a.height == 3
    common = a.tip
    for node in (a, b):
        for _ in range(3):
            node.mine_pool()
    a.mine_pool()
    assert a.tip != b.tip
    b.clock.time += 5
    notes = [*a.resolve().notes, *b.resolve().notes]
    assert any("wrong_difficulty" in note and "part at height 4" in note for note in notes)
    for node, other in ((a, b), (b, a)):
        assert node.peer(other.url).state in ("ok", "other_chain")  # nobody is called a liar
        assert node.node.chain.hash_at(3) == common
        node.mine_pool()  # both stay up
    page = a.app.test_client().get("/network").text
    assert "the chains part at height 4" in page and "2 of 2 sealers" in page and "difficulty" in page
    assert all(address in page for address in SPEC.sealers) and "(this node)" in page
    assert f'title="{ALICE.address}"' in a.app.test_client().get("/block/4").text or ALICE.address in page
    for path in ("/", "/learn", "/learn/anatomy?block=3", "/learn/hash", "/learn/parent", "/mining"):
        assert a.app.test_client().get(path).status_code in (200, 404)
    assert a.get("/status")["upgrades"]["digest"] != b.get("/status")["upgrades"]["digest"]
    assert b.get("/upgrades") == to_object(b.spec)


def test_a_peer_without_the_upgrade_is_left_behind_and_named(network: Network, tmp_path: Path) -> None:
    a = member(network, tmp_path, "a", ALICE, upgrades((3, {"sealers": [BOB.address, CAROL.address]})))
    old = member(network, tmp_path, "old", BOB)
    a.befriend(old)
    old.befriend(a)
    old.mine_pool()
    assert "part at height 3" in a.resolve().notes[0] and a.tip == old.tip
    carol = member(network, tmp_path, "carol", CAROL, a.spec)
    carol.befriend(a)
    carol.resolve()
    carol.mine_pool()
    carol.mine_pool()
    a.befriend(carol)
    a.resolve()
    assert a.tip == carol.tip and a.height == 4
    old.clock.time += 5
    assert any("sealer_not_allowed" in note and "part at height 3" in note for note in old.resolve().notes)
    assert old.height == 2


def test_an_upgrade_that_both_have_is_passed_together(network: Network, tmp_path: Path) -> None:
    spec = upgrades((3, {"difficulty": 2, "max_block_transactions": 2}), (5, {"sealers": []}))
    a, b = member(network, tmp_path, "a", ALICE, spec), member(network, tmp_path, "b", BOB, spec)
    b.befriend(a)
    for _ in range(6):
        a.mine_pool()
    assert b.resolve().notes == () and a.tip == b.tip
    assert [item.header.difficulty for item in b.node.chain.headers(1, 7)] == [1, 1, 2, 2, 2, 2, 2]
    assert b.node.chain.headers(5, 1)[0].header.sealer == ""


def test_a_status_with_strange_upgrades_is_a_failure_of_the_peer(network: Network, tmp_path: Path) -> None:
    a = member(network, tmp_path, "a", ALICE)
    step = {"height": 5, "digest": "00" * 32}
    odd = [5], [{**step, "height": "5"}], [{**step, "digest": 7}], [step] * 65
    for value in (5, {}, {"steps": 5}, *({"steps": steps} for steps in odd)):
        peer = ScriptedPeer(ForgedChain(SPEC))
        answered = peer.status
        peer.status = lambda answered=answered, value=value: {**answered(), "upgrades": value}  # type: ignore[method-assign]
        network.http.serve("http://odd:5000", peer)
        a.befriend("http://odd:5000")
        a.clock.time += 1000
        assert "not a list of heights and digests" in a.resolve().notes[0]
