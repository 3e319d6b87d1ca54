"""Fork choice between two valid branches of real blocks."""

from shared.forkchoice import is_better
from tests.support.chains import START, Chain, make_spec
from tests.support.keys import ALICE, BOB, CAROL


def test_the_longer_branch_wins_while_difficulty_is_constant() -> None:
    #   g - a2 - a3
    #    \- b2 - b3 - b4
    a, b = Chain(), Chain()
    a.mine(a.transfer(ALICE, BOB, "1"))
    a.mine()
    for _ in range(3):
        b.mine()
    assert is_better(b.replay.claim, a.replay.claim) and not is_better(a.replay.claim, b.replay.claim)
    assert (a.verify().chainwork, b.verify().chainwork) == (512, 768)


def test_the_heavier_branch_wins_although_it_is_shorter() -> None:
    #   g - 2 - 3 - 4 - 5 - a6 - a7 - a8          slow: difficulty falls by a quarter each
    #                    \- b6 - b7               fast: it rises by a quarter each
    trunk = Chain(make_spec(block_interval=10, difficulty=4096))
    for i in range(4):
        trunk.mine(timestamp=START + 10 * (i + 1))
    a, b = trunk.fork(), trunk.fork()
    for i in range(3):
        a.mine(timestamp=START + 40 + 1000 * (i + 1))
    for i in range(2):
        b.mine(timestamp=START + 41 + i)
    while not is_better(b.replay.claim, a.replay.claim):  # the clamps bind after a few blocks of each
        a.mine(timestamp=int(a.blocks[-1]["timestamp"]) + 1000)
        b.mine(timestamp=int(b.blocks[-1]["timestamp"]) + 1)
    assert a.height > b.height and a.replay.chainwork < b.replay.chainwork
    assert (a.verified().chainwork, b.verified().chainwork) == (a.replay.chainwork, b.replay.chainwork)


def test_genesis_adds_no_work() -> None:
    chain = Chain()
    assert chain.replay.chainwork == chain.rules.work(chain.rules.genesis().header) == 0


def test_a_tie_goes_to_the_lower_hash_on_every_node() -> None:
    #   g - a2
    #    \- b2      found at the same time; no more blocks follow
    a, b = Chain(), Chain()
    a.mine(a.transfer(ALICE, BOB, "1"))
    b.mine(b.transfer(ALICE, CAROL, "1"))
    claims = {a.replay.claim.hash: a.replay.claim, b.replay.claim.hash: b.replay.claim}
    low, high = (claims[digest] for digest in sorted(claims))
    # A node ends at the lower hash, whichever it saw first.
    assert is_better(low, high) and not is_better(high, low) and not is_better(low, low)


def test_branches_leave_no_trace_in_each_other() -> None:
    #   g - 2 - a3
    #        \- b3 : the same payment, confirmed on both
    a = Chain()
    a.mine()
    b = a.fork()
    payment = a.transfer(ALICE, BOB, "1", fee="0.5")
    a.mine(payment)
    b.mine(payment, b.transfer(ALICE, CAROL, "1", nonce=1))
    assert CAROL.address not in a.verified().accounts
    assert b.verified().accounts[CAROL.address].balance == 10**18
