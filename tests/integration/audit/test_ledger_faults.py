"""One record of the store altered at a time: start and verify name it, the node refuses, the repair makes it right."""

import json
from collections.abc import Callable
from typing import Any, cast

import pytest
from redis import Redis

from services.audit.full import FullAudit
from services.audit.quick import QuickAudit
from services.errors import LedgerDiffers, TipMoved
from services.store.digest import read_digest
from services.store.faults import Finding
from shared.chain_spec import spec_from_object
from tests.support.clocks import START
from tests.support.keys import ALICE, BOB, CAROL, KEYS, MINER
from tests.support.nodes import TestNode, admit_one, make_settings, request_of
from tests.support.specs import COIN
from tests.support.stored import assert_store_equals_replay

Alter = Callable[[Redis, "Scene"], None]


class Scene:
    """A chain that has every kind of record."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.here = TestNode(redis)
        here = self.here
        here.mine(here.sign(ALICE, 0, amount="3"))
        here.mine(here.sign(BOB, 0, type="approve", recipient=CAROL.address, amount="7"))
        here.mine(here.sign(CAROL, 0, type="transfer_from", owner=BOB.address, recipient=ALICE.address, amount="2"))
        for _ in range(4):
            here.mine()
        here.mine(here.sign(ALICE, 1, amount="1"), here.sign(BOB, 1, amount="1", recipient=CAROL.address))
        here.admit(ALICE, 2)
        self.keys = here.node.chain.keys
        self.hashes = [item.decode() for item in cast(Any, redis.lrange(self.keys.heights, 0, -1))]
        self.ids = here.node.chain.transaction_ids(self.hashes[-1])

    def quick(self) -> list[Finding]:
        node = self.here.node
        return list(QuickAudit(node.chain, node.rules, node.randomness).run().findings)

    def full(self) -> list[Finding]:
        node = self.here.node
        return FullAudit(node.chain, node.rules, node.clock).certain().findings


@pytest.fixture(name="scene")
def scene_fixture(redis: Redis) -> Scene:
    return Scene(redis)


def content(redis: Redis) -> dict[bytes, Any]:
    """Every key and what it holds, whatever the order in which the server keeps it."""
    found: dict[bytes, Any] = {}
    for name in redis.scan_iter(count=1000):
        match redis.type(name):
            case b"hash":
                found[name] = redis.hgetall(name)
            case b"list":
                found[name] = redis.lrange(name, 0, -1)
            case b"string":
                found[name] = redis.get(name)
            case b"zset":
                found[name] = redis.zrange(name, 0, -1, withscores=True)
            case b"stream":
                found[name] = redis.xrange(name)
    return found


def flip(text: bytes, at: int) -> bytes:
    """`text` with its lowest bit flipped at one place."""
    return text[:at] + bytes([text[at] ^ 1]) + text[at + 1 :]


def field(key: str, name: Callable[[Scene], str | bytes], change: Callable[[bytes], bytes]) -> Alter:
    """One field of a hash, changed."""

    def alter(redis: Redis, scene: Scene) -> None:
        where, which = getattr(scene.keys, key), name(scene)
        before = cast(bytes, redis.hget(where, cast(str, which)))
        after = change(before)
        assert after != before
        redis.hset(where, cast(str, which), cast(str, after))

    return alter


def removed(key: str, name: Callable[[Scene], str | bytes]) -> Alter:
    def alter(redis: Redis, scene: Scene) -> None:
        assert redis.hdel(getattr(scene.keys, key), cast(str, name(scene))) == 1

    return alter


def height(at: int, change: Callable[[bytes], bytes]) -> Alter:
    def alter(redis: Redis, scene: Scene) -> None:
        redis.lset(scene.keys.heights, at - 1, cast(str, change(scene.hashes[at - 1].encode())))

    return alter


def plus_one(text: bytes) -> bytes:
    balance, _, nonce = text.partition(b":")
    return b"%d:%s" % (int(balance) + 1, nonce)


def at(number: int) -> Callable[[Scene], str]:
    return lambda scene: scene.hashes[number - 1]


def inside(word: bytes) -> Callable[[bytes], bytes]:
    """Flip a bit right behind a word."""
    return lambda text: flip(text, text.index(word) + len(word))


PAIR = f"{BOB.address}:{CAROL.address}"
# what is altered -> (how, kind and a word of the finding's name, whether the start sees it)
FAULTS: dict[str, tuple[Alter, str, str, bool]] = {
    "a balance": (field("accounts", lambda _: ALICE.address, plus_one), "account", ALICE.address, True),
    "a balance that no block has touched": (
        field("accounts", lambda _: KEYS[40].address, plus_one), "account", KEYS[40].address, True,
    ),
    "a nonce": (field("accounts", lambda _: BOB.address, lambda t: flip(t, len(t) - 1)), "account", BOB.address, True),
    "an account that is no number": (
        field("accounts", lambda _: BOB.address, lambda t: b"\x1b" + t), "account", BOB.address, True,
    ),
    "an account's address": (
        lambda redis, scene: cast(None, (redis.hset(scene.keys.accounts, flip(MINER.encode(), 9), "1:0"))),
        "account", flip(MINER.encode(), 9).decode(), True,
    ),
    "an account that is gone": (removed("accounts", lambda _: MINER), "account", MINER, True),
    "an allowance": (field("allowances", lambda _: PAIR, lambda t: flip(t, 0)), "allowance", PAIR, True),
    "an allowance that is gone": (removed("allowances", lambda _: PAIR), "allowance", PAIR, True),
    "an undo record": (field("undo", at(4), inside(BOB.address.encode() + b'":"')), "undo", "of block 4", True),
    "an undo record's check": (field("undo", at(4), inside(b'"check":"')), "undo", "of block 4", True),
    "an undo record that is gone": (removed("undo", at(3)), "undo", "of block 3", True),
    "a header's chainwork": (field("headers", at(5), inside(b'"chainwork":"')), "header", "of block 5", True),
    "a header's size": (field("headers", at(5), inside(b'"size":')), "header", "of block 5", True),
    "a header that is gone": (removed("headers", at(5)), "header", "of block 5", True),
    "the ids of a block": (field("ids", at(9), lambda t: flip(t, 40)), "ids", "of block 9", True),
    "the height of a block": (height(6, lambda t: flip(t, 10)), "height", "6", True),
    "the height of the first block": (height(1, lambda t: flip(t, 10)), "height", "1", True),
    "the height of the tip": (height(9, lambda t: flip(t, 10)), "height", "9", True),
    "a height that names another block": (
        lambda redis, scene: cast(None, redis.lset(scene.keys.heights, 4, scene.hashes[6])), "height", "5", True,
    ),
    "a height that is gone": (
        lambda redis, scene: cast(None, redis.lrem(scene.keys.heights, 1, scene.hashes[5])), "height", "6", True,
    ),
    "the last height": (lambda redis, scene: cast(None, redis.rpop(scene.keys.heights)), "height", "9", True),
    "the list of heights": (lambda redis, scene: cast(None, redis.delete(scene.keys.heights)), "height", "1", True),
    "an entry of the index": (
        field("transactions", lambda s: bytes.fromhex(s.ids[1]), lambda t: flip(t, 0)), "index", "", True,
    ),
    "an entry of the index that is gone": (
        removed("transactions", lambda s: bytes.fromhex(s.ids[2])), "index", "", True,
    ),
    "an entry of the index for nothing": (
        lambda redis, scene: cast(None, redis.hset(scene.keys.transactions, b"\1" * 32, "4:0")),
        "index", "01" * 32, True,
    ),
    "the tip's hash": (field("tip", lambda _: "hash", lambda t: flip(t, 9)), "tip", "hash", True),
    "the tip's height": (field("tip", lambda _: "height", lambda t: flip(t, 0)), "tip", "height", True),
    "the tip's chainwork": (field("tip", lambda _: "chainwork", lambda t: flip(t, 0)), "tip", "chainwork", True),
    "the tip's supply": (field("tip", lambda _: "supply", lambda t: flip(t, 0)), "tip", "supply", True),
    "the tip's supply, no number": (field("tip", lambda _: "supply", lambda t: b"x" + t), "tip", "supply", True),
    "the tip's timestamp": (field("tip", lambda _: "timestamp", lambda t: flip(t, 5)), "tip", "timestamp", True),
    "the tip's digest": (field("tip", lambda _: "digest", lambda t: flip(t, 70)), "digest", "in the tip", True),
    "the tip": (lambda redis, scene: cast(None, redis.delete(scene.keys.tip)), "tip", "hash", True),
    "an item of a history": (
        lambda redis, scene: cast(None, redis.lset(scene.keys.history(ALICE.address), 0, "3:1")),
        "history", ALICE.address, False,
    ),
    "a history": (
        lambda redis, scene: cast(None, redis.delete(scene.keys.history(BOB.address))), "history", BOB.address, False,
    ),
    "a history of nobody": (
        lambda redis, scene: cast(None, redis.rpush(scene.keys.history(KEYS[50].address), "2:0")),
        "history", KEYS[50].address, False,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", FAULTS)
def test_an_altered_record_is_named_heeded_and_repaired(what: str, scene: Scene, redis: Redis) -> None:
    alter, kind, name, by_start = FAULTS[what]
    here, node = scene.here, scene.here.node
    assert scene.quick() == scene.full() == []
    right = content(redis)
    alter(redis, scene)
    assert content(redis) != right
    found = scene.full()
    assert any(item.kind == kind and name in item.name and item.stored for item in found), found
    assert (scene.quick() != []) is by_start
    # A start of another process.
    again = here.build(redis)
    again.begin()
    fault = again.faults.read()
    assert (fault is not None) is by_start
    if fault is not None:
        assert fault.sentence and not any(ord(letter) < 32 for letter in fault.sentence)
        with pytest.raises(LedgerDiffers):
            here.admit(ALICE, 3)
        with pytest.raises(LedgerDiffers):
            node.requests.ask()
        assert node.rounds.ensure_open() is None
    done = node.repair.run()
    assert done.findings and done.removed == 0
    assert scene.quick() == scene.full() == []
    assert node.faults.read() is None
    assert_store_equals_replay(node, redis)
    # All is as it was but for the tip's digest, which counts the repair, and the news of it.
    after = content(redis)
    changed = {key for key in right.keys() | after.keys() if right.get(key) != after.get(key)}
    own = (scene.keys.tip, scene.keys.heights, scene.keys.rules, scene.keys.run)  # the last names the second start
    assert changed <= {key.encode() for key in own}
    here.admit(ALICE, 3)
    assert here.mine_pool().block.index == 10
    assert_store_equals_replay(node, redis)


def test_the_start_names_account_and_right_value(scene: Scene, redis: Redis) -> None:
    before = cast(bytes, redis.hget(scene.keys.accounts, ALICE.address))
    redis.hset(scene.keys.accounts, ALICE.address, cast(str, plus_one(before)))
    scene.here.build(redis).begin()
    fault = scene.here.node.faults.read()
    assert fault is not None
    assert fault.findings[0] == Finding("account", ALICE.address, plus_one(before).decode(), before.decode())
    assert ALICE.address in fault.sentence and "quarry repair" in fault.sentence


def test_money_moved_from_one_to_another_is_found_though_the_supply_is_right(scene: Scene, redis: Redis) -> None:
    for key, units in ((KEYS[30], 5), (KEYS[31], -5)):
        balance, _, nonce = cast(bytes, redis.hget(scene.keys.accounts, key.address)).partition(b":")
        redis.hset(scene.keys.accounts, key.address, f"{int(balance) + units}:{nonce.decode()}")
    scene.here.build(redis).begin()
    fault = scene.here.node.faults.read()
    assert fault is not None
    assert {item.name for item in fault.findings} >= {KEYS[30].address, KEYS[31].address}


def test_a_difference_is_not_healed_by_the_next_block(scene: Scene, redis: Redis) -> None:
    """A balance that is written over a falsified one is wrong too, and the digest shows it."""
    before = cast(bytes, redis.hget(scene.keys.accounts, ALICE.address))
    redis.hset(scene.keys.accounts, ALICE.address, cast(str, plus_one(before)))
    scene.here.mine(scene.here.sign(ALICE, 2, amount="1"))
    assert scene.quick()
    assert (
        Finding("account", ALICE.address, f"{1000 * COIN - 3 * COIN + 1}:3", f"{1000 * COIN - 3 * COIN}:3")
        in scene.full()
    )


def test_a_block_that_is_damaged_is_named_and_given_up_only_when_told(scene: Scene, redis: Redis) -> None:
    from services.audit.repair import BlockDamaged

    node = scene.here.node
    field("blocks", at(6), lambda text: flip(text, 30))(redis, scene)
    assert [item.name for item in scene.full()] == ["6"]
    scene.here.build(redis).begin()
    assert node.faults.read() is not None
    with pytest.raises(BlockDamaged, match="Block 6 is damaged") as caught:
        node.repair.run()
    assert caught.value.height == 6
    assert node.faults.read() is not None and node.chain.tip().height == 9
    done = node.repair.run(truncate=True)
    assert (done.height, done.removed, done.returned) == (5, 4, 2)
    assert node.faults.read() is None and scene.full() == []
    assert_store_equals_replay(node, redis)
    # The blocks above it are kept for whoever brings the sixth.
    assert redis.zcard(scene.keys.staged) == 3


def test_a_damaged_block_that_was_left_is_not_adopted_again(scene: Scene, redis: Redis) -> None:
    node = scene.here.node
    branch = node.reorganiser.begin(5)
    field("blocks", at(6), lambda text: flip(text, 30))(redis, scene)
    assert node.reorganiser.add_known(branch, scene.hashes[5]) is False


def test_a_commit_that_was_computed_before_a_repair_does_not_fit_after_it(scene: Scene, redis: Redis) -> None:
    """The tip is the same, but the block was validated against wrong records."""
    here, node = scene.here, scene.here.node
    block = here.block(here.sign(ALICE, 2, amount="1"))
    before = cast(bytes, redis.hget(scene.keys.accounts, ALICE.address))
    redis.hset(scene.keys.accounts, ALICE.address, cast(str, plus_one(before)))
    tip, known = node.chain.entries(node.rules.touched(block.transactions))
    change = node.rules.apply(block, known)
    node.repair.run()
    with pytest.raises(TipMoved):
        node.chain.append(block, change, tip, START, None)
    assert_store_equals_replay(node, redis)


def test_a_store_of_an_older_release_gets_its_digest(scene: Scene, redis: Redis) -> None:
    """Neither a digest in the tip, nor checks in the undo records."""
    node = scene.here.node
    right = node.chain.tip().digest
    redis.hdel(scene.keys.tip, "digest")
    for name, text in cast(dict[bytes, bytes], redis.hgetall(scene.keys.undo)).items():
        value = json.loads(text)
        del value["check"]
        redis.hset(scene.keys.undo, cast(str, name), json.dumps(value, separators=(",", ":")))
    assert scene.quick() == scene.full() == []
    scene.here.build(redis).begin()
    assert node.chain.tip().digest == right
    assert node.faults.read() is None
    scene.here.mine(scene.here.sign(ALICE, 2))
    assert scene.quick() == scene.full() == []


def test_an_older_release_that_wrote_meanwhile_is_noticed(scene: Scene, redis: Redis) -> None:
    """Its appends do not update the digest, which then belongs to another tip and is computed again."""
    node = scene.here.node
    old = redis.hget(scene.keys.tip, "digest")
    scene.here.mine()
    redis.hset(scene.keys.tip, "digest", cast(str, old))
    scene.here.build(redis).begin()
    tip = node.chain.tip()
    assert node.faults.read() is None
    assert read_digest(tip.digest, tip.hash) is not None
    assert scene.full() == []


def test_a_falsified_store_of_an_older_release_is_marked_and_gets_no_digest(scene: Scene, redis: Redis) -> None:
    redis.hdel(scene.keys.tip, "digest")
    for key, units in ((KEYS[30], 5), (KEYS[31], -5)):  # the supply is right: only the replay can tell
        redis.hset(scene.keys.accounts, key.address, f"{1000 * COIN + units}:0")
    scene.here.build(redis).begin()
    fault = scene.here.node.faults.read()
    assert fault is not None
    assert [item.name for item in fault.findings] == sorted([KEYS[30].address, KEYS[31].address])
    assert redis.hget(scene.keys.tip, "digest") is None


def test_housekeeping_looks_at_some_blocks(scene: Scene, redis: Redis) -> None:
    node = scene.here.node
    assert node.watchman.sample() is None
    field("ids", at(9), lambda t: flip(t, 40))(redis, scene)
    for _ in range(200):
        if node.watchman.sample() is not None:
            break
    fault = node.faults.read()
    assert fault is not None and fault.findings[0].name == "of block 9"


def test_a_mark_ends_the_round_and_a_request_that_waits_is_served_after_the_repair(scene: Scene, redis: Redis) -> None:
    node = scene.here.node
    request = node.requests.ask()
    opened = node.rounds.ensure_open()
    assert opened is not None
    redis.hset(scene.keys.accounts, KEYS[30].address, "5:0")
    node.watchman.now()
    found = node.mining.round(opened)
    assert found is not None and found.state == "cancelled"
    node.rounds.reconcile()
    assert node.rounds.ensure_open() is None
    assert request_of(node.mining, request).status in ("queued", "started")
    node.repair.run()
    again = node.rounds.ensure_open()
    assert again is not None and again != opened


def test_a_repair_of_what_is_right_writes_nothing(scene: Scene, redis: Redis) -> None:
    before = content(redis)
    done = scene.here.node.repair.run()
    assert (done.findings, done.height) == ((), 9)
    assert content(redis) == before


@pytest.mark.parametrize("fault", ["a balance", "the list of heights", "a header that is gone", "the tip's hash"])
def test_a_repair_that_dies_leaves_a_mark_and_can_be_run_again(
    fault: str, scene: Scene, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ended before each of its last commands."""
    FAULTS[fault][0](redis, scene)
    FAULTS["an entry of the index that is gone"][0](redis, scene)
    node = scene.here.node

    class Killed(BaseException):
        pass

    def dies(*_: Any, **__: Any) -> None:
        raise Killed

    for place in ("services.store.mender.Mender.flush", "services.store.faults.FaultStore.repaired"):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(place, dies)
            node.repair.run()
        mark = node.faults.read()
        assert mark is not None and mark.repairing
        with pytest.raises(LedgerDiffers):
            node.requests.ask()
    node.repair.run()
    assert_store_equals_replay(node, redis)
    assert scene.quick() == scene.full() == []


def test_of_two_repairs_at_once_one_ends_it(scene: Scene, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    FAULTS["a balance"][0](redis, scene)
    node = scene.here.node
    run = FullAudit.run
    calls = []

    def meanwhile(self: FullAudit, *args: Any, **options: Any) -> Any:
        found = run(self, *args, **options)
        if options.get("mender") is not None and not calls:
            calls.append(1)
            scene.here.build(redis).repair.run()
        return found

    monkeypatch.setattr(FullAudit, "run", meanwhile)
    with pytest.raises(TipMoved, match="Another repair"):
        node.repair.run()
    assert node.faults.read() is None
    assert_store_equals_replay(node, redis)


def test_under_the_rules_of_the_tutorial_too(redis: Redis) -> None:
    fields = {"name": "t", "rules": "tutorial", "chain_id": 77, "genesis_timestamp": START, "difficulty": 1}
    spec = spec_from_object({**fields, "development": True})
    here = TestNode(redis, make_settings(spec))
    node = here.node
    post = node.rules.read_request({"sender": "a", "recipient": "b", "amount": 5})
    for _ in range(3):
        admit_one(node.mempool, post)
        here.mine_pool()
    keys = node.chain.keys
    audit = FullAudit(node.chain, node.rules, node.clock)
    assert audit.certain().findings == []
    assert QuickAudit(node.chain, node.rules, node.randomness).run().findings == ()
    redis.hset(keys.accounts, post.sender, "0:2")
    here.build(redis).begin()
    fault = node.faults.read()
    assert fault is not None
    assert fault.findings[0] == Finding("account", post.sender, "0:2", "0:3")
    with pytest.raises(LedgerDiffers):
        admit_one(node.mempool, post)
    node.repair.run()
    assert audit.certain().findings == []
    admit_one(node.mempool, post)
    here.mine_pool()
    assert redis.hget(keys.accounts, post.sender) == b"0:4"
