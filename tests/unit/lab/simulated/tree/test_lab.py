"""Scenarios on the tree: the interface of every lab, recordings included."""

import io
from collections.abc import Iterator
from statistics import fmean

import pytest

import lab.guard as lab_guard
from lab.formulas import selfish_revenue
from lab.interface import Lab, LabError, NotReached
from lab.recording import Recorder, read_recording
from lab.simulated.tree.lab import TreeLab
from lab.strategies import DoubleSpender, FeeSniper, Honest, Majority, Selfish, TimeLiar
from lab.strategy import Action, Times, View
from lab.wallets import wallet_key
from shared.amounts import COIN
from shared.chain_spec import ChainSpec
from tests.unit.lab.simulated.tree.spec import make_spec

SPEC = make_spec(difficulty=4_000_000, allocations={wallet_key(number).address: 1000 * COIN for number in range(1, 9)})


@pytest.fixture
def lab() -> Iterator[TreeLab]:
    with TreeLab(4, SPEC, 1) as lab:
        yield lab


def test_it_is_a_lab(lab: TreeLab) -> None:
    typed: Lab = lab
    assert (typed.world, len(typed.nodes), typed.node(3).name) == ("simulated", 4, "node 3")


def test_the_same_seed_gives_the_same_recording() -> None:
    def record(seed: int) -> list[str]:
        out = io.StringIO()
        recorder = Recorder(out)
        recorder.note(0.0, "begin", recording=1, scenario="x", world="simulated", seed=seed, nodes=3, spec={},
                      parameters={})  # fmt: skip
        lab = TreeLab(3, SPEC, seed, recorder)
        lab.link(1, 2).set(latency=0.3, jitter=0.1)
        lab.strategy(1, Selfish())
        lab.run_for(60)
        lab.partition([1], [2, 3])
        lab.node(2).send(lab.node(3), "1.5")
        lab.run_for(20)
        lab.heal()
        lab.say("healed")
        lab.node(3).kill()
        lab.node(2).limit("1MH/s")
        lab.run_for(20)
        recorder.end()
        return out.getvalue().splitlines(keepends=True)

    lines = record(5)
    assert lines == record(5) != record(6)
    events = read_recording(lines)
    kinds = {event.kind for event in events}
    assert kinds == {"begin", "block", "heard", "withheld", "published", "tip", "payment", "node", "limit", "strategy",
                     "link", "groups", "said", "end"}  # fmt: skip
    blocks = {event.fields["hash"]: event.fields for event in events if event.kind == "block"}
    known: dict[int, set[str]] = {}
    tips: dict[int, str] = {}
    for event in events:  # a recording can be followed: parents first, and tips move along the tree
        fields = event.fields
        if event.kind == "heard":
            mine = known.setdefault(fields["node"], set())
            assert not mine or blocks[fields["hash"]]["parent"] in mine
            mine.add(fields["hash"])
        if event.kind == "tip":
            assert fields["hash"] in known[fields["node"]] and fields["attached"][-1] == fields["hash"]
            if fields["detached"]:
                assert fields["detached"][-1] == tips[fields["node"]]
            tips[fields["node"]] = fields["hash"]


def test_what_is_not_there_is_a_sentence(lab: TreeLab) -> None:
    for ask in (
        lambda: lab.node(5), lambda: lab.node(0), lambda: lab.link(1, 1), lambda: lab.link(1, 9),
        lambda: lab.partition([1], [1, 2]), lambda: lab.link(1, 2).set(latency=-1.0), lambda: lab.lie(),
        lambda: lab.run_for(float("inf")), lambda: lab.node(1).limit("much"), lambda: lab.node(1).mine(0),
        lambda: lab.node(1).send("nobody", 1), lambda: lab.node(1).send(lab.node(2), "2000"),
        lambda: lab.node(1).start(), lambda: lab.node(1).send(lab.node(2), "x"),
    ):  # fmt: skip
        with pytest.raises(LabError):
            ask()
    with pytest.raises(LabError, match="1 to 64"):
        TreeLab(65, SPEC, 1)
    with pytest.raises(LabError, match="tutorial"):
        TreeLab(2, ChainSpec("t", 1, 0, development=True, rules="tutorial"), 1)
    with pytest.raises(NotReached, match="After 5 s it was not reached that pigs fly"):
        lab.wait(lambda: False, 5, "pigs fly")
    lab.close()
    with pytest.raises(LabError, match="closed"):
        lab.run_for(1)


def test_a_partition_with_conflicting_payments_heals(lab: TreeLab) -> None:
    shop, friend = lab.node(2), lab.node(4)
    lab.partition([1, 2], [3, 4])
    first = lab.node(1).send(shop, 5, nonce=0)
    second = lab.node(1).send(friend, 5, nonce=0, at=lab.node(3))
    lab.wait(lambda: (shop.depth(first) or 0) > 1 and (friend.depth(second) or 0) > 1, 300)
    lab.wait(lambda: shop.tip().height != friend.tip().height, 60)
    lab.heal()
    lab.run_for(0.1)
    assert len({node.tip().hash for node in lab.nodes}) == 1
    depths = [[node.depth(payment) for node in lab.nodes] for payment in (first, second)]
    assert sorted(depths, key=str)[1] == [None] * 4 and None not in sorted(depths, key=str)[0]
    paid = shop if depths[0][0] else friend
    assert lab.node(1).balance(paid.wallet) >= 1005 * COIN
    assert lab.node(1).next_nonce() == 1


def test_a_double_spend() -> None:
    won = 0
    for seed in range(12):
        lab = TreeLab(2, SPEC, seed)
        lab.node(1).limit(900_000)
        lab.node(2).limit(1_100_000)
        spender = DoubleSpender(1)
        lab.strategy(1, spender)
        lab.wait(lambda spender=spender: spender.ready, 1000)
        payment = lab.node(1).send(lab.node(2), 3)
        shop = lab.node(2)
        lab.wait(lambda spender=spender: spender.won + spender.lost > 0, 10_000)
        lab.run_for(0)
        assert (shop.depth(payment) == 0) == (spender.won == 1)  # undone, it waits again
        won += spender.won
    assert won >= 6


def test_a_majority_owns_the_chain_and_a_selfish_miner_more_than_its_share() -> None:
    shares = []
    for strategy, rate in ((Majority(), 1_200_000), (Selfish(), 800_000)):
        lab = TreeLab(2, SPEC, 3)
        lab.node(1).limit(rate)
        lab.node(2).limit(2_000_000 - rate)
        lab.strategy(1, strategy)
        lab.run_for(5_000)
        lab.wait(lambda lab=lab: lab.node(2).tip().finder == 1, 1000)
        chain, by_hash = [lab.node(2).tip()], {block.hash: block for block in lab.blocks()}
        while chain[-1].height > 1:
            chain.append(by_hash[chain[-1].parent])
        shares.append(fmean(block.finder == 1 for block in chain[:-1]))
    assert shares[0] == 1.0
    assert shares[1] == pytest.approx(selfish_revenue(0.4), abs=0.05)


def test_fees_are_sniped() -> None:
    lab = TreeLab(2, SPEC, 3)
    sniper = FeeSniper(least=COIN)
    lab.strategy(1, sniper)
    for _ in range(30):
        lab.node(2).send(lab.node(1), "0.1", fee="1")
        lab.run_for(30)
    assert sniper.won > 3 and sniper.lost > 3
    fees = [block for block in lab.blocks() if block.transactions and block.finder == 1]
    assert fees


def test_liars_move_the_difficulty_a_little() -> None:
    lab = TreeLab(2, make_spec(difficulty=20_000_000, block_interval=10), 3)
    lab.strategy(1, TimeLiar("as far back as allowed"))
    lab.run_for(8000)
    blocks = lab.blocks()
    assert (blocks[-1].found_at - blocks[200].found_at) / (len(blocks) - 201) == pytest.approx(10.6, abs=0.9)


def test_blocks_on_demand(lab: TreeLab) -> None:
    lab.mining(False)
    lab.run_for(1000)
    assert len(lab.blocks()) == 1
    lab.node(2).mine(3)
    assert [block.finder for block in lab.blocks()] == [None, 2, 2, 2]
    assert lab.now > 1000
    lab.mining(True)
    lab.node(2).mine(2)
    assert sum(block.finder == 2 for block in lab.blocks()) == 5
    lab.node(3).limit(0)
    with pytest.raises(LabError, match="hash rate is 0"):
        lab.node(3).mine()


def test_a_stopped_node_hears_nothing_and_catches_up(lab: TreeLab) -> None:
    lab.run_for(20)
    lab.node(1).stop()
    with pytest.raises(LabError, match="it is stopped"):
        lab.node(1).tip()
    with pytest.raises(LabError, match="it is stopped"):
        lab.node(2).send(lab.node(3), 1, at=lab.node(1))
    lab.run_for(60)
    assert not any(block.finder == 1 and block.found_at > 20 for block in lab.blocks())
    lab.node(1).start()
    lab.run_for(0)
    assert lab.node(1).tip() == lab.node(2).tip()


def test_links_are_cut_one_by_one(lab: TreeLab) -> None:
    for other in (1, 2, 3):
        lab.link(other, 4).cut()
    assert lab.link(1, 4).conditions.cut and not lab.link(4, 1).conditions.cut
    lab.run_for(100)
    assert lab.node(1).tip().height > lab.node(4).tip().height
    lab.link(2, 4).restore()
    lab.run_for(0)
    assert lab.node(1).tip() == lab.node(4).tip()  # over node 2
    lab.partition([1, 2, 3])
    assert lab.link(2, 4).conditions.cut
    lab.link(2, 4).restore()
    assert not lab.link(2, 4).conditions.cut and lab.link(3, 4).conditions.cut
    lab.heal()
    assert not any(lab.link(a, 4).conditions.cut for a in (1, 2, 3))


class Broken(Honest):
    name = "broken"

    def on_heard(self, view: View) -> Action:
        raise KeyError("oops")


class Nonsense(Honest):
    name = "nonsense"

    def on_found(self, view: View) -> Action:
        return Action(publish=99)


class Clockless(Honest):
    name = "clockless"

    def timestamp(self, times: Times) -> int:
        raise ValueError("what time is it?")


class Picky(Honest):
    name = "picky"

    def takes(self, transaction: str) -> bool:
        while True:
            pass


def test_other_questions_to_a_strategy_do_not_hang_or_end_the_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab_guard, "ANSWER_SECONDS", 0.05)
    lab = TreeLab(3, make_spec(difficulty=4_000_000, block_interval=2, allocations=SPEC.allocations), 1)
    lab.strategy(1, Clockless())
    lab.strategy(2, Picky())
    for _ in range(10):
        paid = lab.node(3).send(lab.node(1), 1)
        lab.run_for(6)
    lab.run_for(20)
    said = [seen.claim for seen in lab.observations if not seen.held]
    assert sorted(said) == [f"the strategy {name} does only what a strategy can do" for name in ("clockless", "picky")]
    assert lab.node(1).depth(paid) and lab.node(1).tip() == lab.node(2).tip()
    assert {block.finder for block in lab.blocks()[1:]} == {1, 2, 3}


def test_a_strategy_that_fails_is_reported_and_its_node_goes_on(lab: TreeLab) -> None:
    lab.strategy(1, Broken())
    lab.strategy(2, Nonsense())
    lab.run_for(200)
    assert sorted((seen.claim, seen.held) for seen in lab.observations) == [
        ("the strategy broken does only what a strategy can do", False),
        ("the strategy nonsense does only what a strategy can do", False),
    ]
    assert lab.node(1).tip() == lab.node(2).tip() == lab.node(3).tip()
